# How long replies can be. reference/db_reply.py has the words.

cdef enum:
    FDB_REPLY_SHORT = 64   # of a reply without keys, and what is around those of another one


cdef inline bint fdb_gives_value(const char *op) noexcept nogil:
    # Is this a write whose reply is a value?
    cdef uint8_t opcode = fdb_op_code(op)
    return opcode == OP_GETDEL or opcode == OP_GETEX or (opcode == OP_SET and fdb_op_flags(op) & FLAG_GET)


cdef uint64_t fdb_reply_bound(Store *s, const char *op, uint64_t growth) noexcept nogil:
    # No reply to this operation is longer, if no value becomes longer than the present one by more than `growth`. What
    # the look-ups cost is in it as well.
    cdef Item item
    cdef Entry *entry
    cdef const char *at = op + OP_BYTES
    cdef uint64_t bound = FDB_REPLY_SHORT + <uint64_t>LOOKUP_BYTES * fdb_op_count(op)
    cdef uint8_t opcode = fdb_op_code(op)
    cdef uint32_t _
    if opcode != OP_GET and opcode != OP_MGET and not fdb_gives_value(op):
        return bound
    for _ in range(fdb_op_count(op)):
        at = fdb_item(at, &item)
        entry = fdb_entry(s, item.key, item.key_size)
        bound += growth + (entry.value_size if entry != NULL else 0)
    return bound
