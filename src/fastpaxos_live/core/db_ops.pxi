# Operations: the constants of reference/db_ops.py, which says what each means (a test compares the
# two files), and the way from bytes to fields. docs/design.md has the layout.
cdef enum:
    OP_GET = 1
    OP_MGET = 2
    OP_EXISTS = 3
    OP_STRLEN = 4
    OP_TYPE = 5
    OP_TTL = 6
    OP_DBSIZE = 7
    OP_SET = 16
    OP_SETNX = 17
    OP_MSET = 18
    OP_MSETNX = 19
    OP_DEL = 20
    OP_INCRBY = 21
    OP_APPEND = 22
    OP_EXPIRE = 23
    OP_PERSIST = 24
    OP_GETDEL = 25
    OP_GETEX = 26
    OP_FLUSH = 27

    MISTAKE_INTEGER = 1
    MISTAKE_TIME = 2

    FLAG_NX = 1
    FLAG_XX = 2
    FLAG_GT = 4
    FLAG_LT = 8
    FLAG_GET = 16
    FLAG_KEEP = 32
    FLAG_RELATIVE = 64
    FLAG_ABSOLUTE = 128

    OP_BYTES = 20
    ITEM_BYTES = 8
    REPLY_BYTES_MAX = 64 << 20

cdef extern from *:
    """
    #define FDB_INTEGER_MIN INT64_MIN
    #define FDB_INTEGER_MAX INT64_MAX
    """
    int64_t FDB_INTEGER_MIN, FDB_INTEGER_MAX


cdef struct Item:
    const char *key
    const char *value
    uint32_t key_size
    uint32_t value_size


cdef inline uint32_t fdb_op_size(const char *op) noexcept nogil:
    return xx_u32(op)


cdef inline uint32_t fdb_op_count(const char *op) noexcept nogil:
    return xx_u32(op + 4)


cdef inline int64_t fdb_op_arg(const char *op) noexcept nogil:
    return <int64_t>xx_u64(op + 8)


cdef inline uint8_t fdb_op_code(const char *op) noexcept nogil:
    return <uint8_t>op[16]


cdef inline uint8_t fdb_op_flags(const char *op) noexcept nogil:
    return <uint8_t>op[17]


cdef inline const char *fdb_item(const char *at, Item *item) noexcept nogil:
    # Reads the item at `at`; returns where the next one starts.
    item.key_size = xx_u32(at)
    item.value_size = xx_u32(at + 4)
    item.key = at + ITEM_BYTES
    item.value = item.key + item.key_size
    return item.value + item.value_size


cdef inline void fdb_op_header(
    char *op, uint32_t size, uint32_t count, int64_t arg, uint8_t opcode, uint8_t flags
) noexcept nogil:
    memset(op, 0, OP_BYTES)
    memcpy(op, &size, 4)
    memcpy(op + 4, &count, 4)
    memcpy(op + 8, &arg, 8)
    op[16] = <char>opcode
    op[17] = <char>flags


cdef inline char *fdb_op_item(
    char *at, const char *key, uint32_t key_size, const char *value, uint32_t value_size
) noexcept nogil:
    # Writes an item; returns where the next one goes.
    memcpy(at, &key_size, 4)
    memcpy(at + 4, &value_size, 4)
    memcpy(at + ITEM_BYTES, key, key_size)
    memcpy(at + ITEM_BYTES + key_size, value, value_size)
    return at + ITEM_BYTES + key_size + value_size


cdef bint fdb_parse_integer(const char *text, size_t size, int64_t *number) noexcept nogil:
    # A signed 64-bit integer in its one decimal spelling (no sign +, no leading zeros or blanks).
    cdef bint negative = size > 0 and text[0] == c'-'
    cdef size_t at = 1 if negative else 0
    cdef uint64_t total = 0
    cdef uint8_t digit
    if size - at == 0 or size - at > 19 or (text[at] == c'0' and size > 1):
        return False
    while at < size:
        digit = <uint8_t>(text[at] - c'0')
        if digit > 9:
            return False
        total = total * 10 + digit  # 19 digits fit
        at += 1
    if total > <uint64_t>FDB_INTEGER_MAX + negative:
        return False
    number[0] = <int64_t>(0 - total if negative else total)
    return True


cdef size_t fdb_format_integer(int64_t number, char *text) noexcept nogil:
    # Writes at most 20 bytes; returns how many.
    cdef char digits[20]
    cdef uint64_t rest = 0 - <uint64_t>number if number < 0 else <uint64_t>number
    cdef size_t count = 0, size = 0
    while True:
        digits[count] = <char>(c'0' + rest % 10)
        count += 1
        rest //= 10
        if not rest:
            break
    if number < 0:
        text[0] = c'-'
        size = 1
    while count:
        count -= 1
        text[size] = digits[count]
        size += 1
    return size
