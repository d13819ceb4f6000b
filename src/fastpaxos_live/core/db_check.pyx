# Is a value that came from a peer one that can be applied? reference/db_check.py has the words.

cdef enum:
    EPOCH_BYTES = 8


cdef bint fdb_value_is_sound(uint64_t seed, const char *value, size_t size) noexcept nogil:
    cdef ValueHead v
    if size < VALUE_BYTES:
        return False
    memcpy(&v, value, VALUE_BYTES)
    if v.time_ms > TIME_MS_MAX or xxh64(value + 8, size - 8, seed) != v.checksum:
        return False
    if v.kind == OPERATIONS:
        return fdb_operations_are_sound(value + VALUE_BYTES, size - VALUE_BYTES, v.count)
    return v.count == 0 and (
        (v.kind == EPOCH and size == VALUE_BYTES + EPOCH_BYTES) or (v.kind == NOOP and size == VALUE_BYTES)
    )


cdef bint fdb_operations_are_sound(const char *at, size_t left, uint32_t count) noexcept nogil:
    cdef size_t size
    while left:
        size = fdb_sound_size(at, left)
        if not size or not count:
            return False
        at += size
        left -= size
        count -= 1
    return not count


cdef size_t fdb_sound_size(const char *op, size_t left) noexcept nogil:
    # Of the write at `op`; 0 if it is none, or its items do not fill it.
    cdef size_t size, item
    cdef uint32_t count, _
    cdef uint8_t opcode
    cdef const char *at = op + OP_BYTES
    if left < OP_BYTES:
        return 0
    size = fdb_op_size(op)
    count = fdb_op_count(op)
    opcode = fdb_op_code(op)
    if op[18] or op[19] or opcode < OP_SET or opcode > OP_FLUSH or size < OP_BYTES or size > left:
        return 0
    if opcode == OP_MSET or opcode == OP_MSETNX or opcode == OP_DEL:
        if not count:
            return 0
    elif count != (opcode != OP_FLUSH):
        return 0
    left = size - OP_BYTES
    for _ in range(count):
        if left < ITEM_BYTES:
            return 0
        item = <size_t>ITEM_BYTES + xx_u32(at) + xx_u32(at + 4)
        if item > left:
            return 0
        at += item
        left -= item
    return 0 if left else size
