# What a replica counts of its clients' requests, for INFO. reference/replica_counts.py has the words.

cdef enum:
    ERROR_CODES = 8
    RATE_US = 1_000_000

cdef extern from *:
    """
    static const char *const COUNTED_ERRORS[] = {
        "ERR", "MOVED", "TRYAGAIN", "CLUSTERDOWN", "UNKNOWN", "NOPROTO", "WRONGPASS", "OTHER"};
    """
    const char **COUNTED_ERRORS

cdef struct Counts:
    uint64_t requests      # of the own clients
    uint64_t calls[RESP_ROWS + 1]   # of them by command, as resp_encode numbers them
    uint64_t errors[ERROR_CODES]
    uint64_t hits
    uint64_t misses
    uint64_t expired
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t rate          # requests a second, in the last whole period
    uint64_t rate_at       # when this period began ...
    uint64_t rate_from     # ... and how many there had been then


cdef inline void count_request(Counts *n, uint16_t command) noexcept nogil:
    n.requests += 1
    n.calls[command] += 1


cdef void count_error(Counts *n, const char *reply) noexcept nogil:
    # By its code, the first word.
    cdef const char *code
    cdef const char *at
    cdef uint32_t i
    for i in range(ERROR_CODES - 1):
        at = reply + 1
        code = COUNTED_ERRORS[i]
        while code[0] and code[0] == at[0]:
            code += 1
            at += 1
        if not code[0] and at[0] == c' ':
            break
    else:
        i = ERROR_CODES - 1
    n.errors[i] += 1


cdef inline const char *count_line(const char *at, int64_t *number) noexcept nogil:
    # Behind a line of a marker and a number.
    cdef const char *end = <const char *>memchr(at, c'\r', 32)
    fdb_parse_integer(at + 1, <uint32_t>(end - at - 1), number)
    return end + 2


cdef void count_values(Counts *n, const char *at) noexcept nogil:
    # Of an array of values.
    cdef int64_t count = 0, size
    at = count_line(at, &count)
    while count:
        count -= 1
        size = -1
        if at[0] == c'$':
            at = count_line(at, &size)
        else:
            at += 3
        if size < 0:
            n.misses += 1
        else:
            n.hits += 1
            at += size + 2


cdef void count_lookup(Counts *n, Store *s, const char *op, const char *reply) noexcept nogil:
    cdef uint8_t opcode = fdb_op_code(op)
    cdef int64_t number = 0
    cdef Item item
    cdef bint hit
    if opcode == OP_MGET:
        count_values(n, reply)
        return
    if opcode == OP_EXISTS:
        count_line(reply, &number)
        n.hits += <uint64_t>number
        n.misses += fdb_op_count(op) - <uint64_t>number
        return
    if opcode == OP_GETEX or opcode == OP_GETDEL or opcode == OP_SET:
        hit = reply[0] != c'_' and not (reply[0] == c'$' and reply[1] == c'-')
    elif opcode == OP_TTL:
        hit = not (reply[1] == c'-' and reply[2] == c'2')
    elif opcode == OP_TYPE:
        hit = reply[1] != c'n'
    elif opcode == OP_STRLEN:
        hit = reply[1] != c'0'
        if not hit:
            fdb_item(op + OP_BYTES, &item)
            hit = fdb_entry(s, item.key, item.key_size) != NULL
    else:
        return
    if hit:
        n.hits += 1
    else:
        n.misses += 1


cdef inline void count_reply(Counts *n, Store *s, const char *op, const Buf *output, size_t before) noexcept nogil:
    # What was written behind the first `before` bytes is the reply to this operation.
    cdef const char *reply
    cdef uint8_t opcode
    if output == NULL:
        return
    reply = output.data + output.start + before
    if reply[0] == c'-':
        count_error(n, reply)
    elif op != NULL:
        opcode = fdb_op_code(op)
        if opcode == OP_GET:   # most are
            if reply[0] == c'$' and reply[1] != c'-':
                n.hits += 1
            else:
                n.misses += 1
        elif opcode < OP_SET or opcode == OP_GETEX or opcode == OP_GETDEL or (
            opcode == OP_SET and fdb_op_flags(op) & FLAG_GET
        ):
            count_lookup(n, s, op, reply)


cdef inline void count_rate(Counts *n, uint64_t now) noexcept nogil:
    if now - n.rate_at >= RATE_US:
        n.rate = (n.requests - n.rate_from) * RATE_US // (now - n.rate_at)
        n.rate_at = now
        n.rate_from = n.requests
