# Requests to operations: the commands that touch data, and those whose reply is known at once. The
# table at the end is that of reference/resp_fast.py, row by row (a test compares the two).

cdef enum:
    RESP_READ = 0
    RESP_WRITE = 1
    RESP_REPLY = 2
    RESP_CALL = 3
    RESP_ALIEN = 4       # no Redis client sends this
    RESP_MULTI = 5       # what these do depends on what went before on the connection
    RESP_EXEC = 6
    RESP_DISCARD = 7

    NAME_BYTES_MAX = 16
    SHOWN_BYTES_MAX = 128
    RESP_ROWS = 256      # slots of the command table, a power of two; mostly empty: short probes

cdef enum RespShape:
    SHAPE_KEYS
    SHAPE_PAIRS
    SHAPE_APPEND
    SHAPE_NUMBER
    SHAPE_SETEX
    SHAPE_SET
    SHAPE_GETEX
    SHAPE_EXPIRE
    SHAPE_FLUSH
    SHAPE_PING
    SHAPE_ECHO
    SHAPE_CALL

cdef extern from "string.h":
    size_t strnlen(const char *text, size_t size_max) noexcept nogil

cdef extern from *:
    """
    #define RESP_TTL_MS_MAX (INT64_MAX - (1LL << 45))
    static const char RESP_ABSENT[] =
        "SYNC PSYNC REPLCONF SAVE BGSAVE BGREWRITEAOF LPUSH RPUSH LPOP RPOP LRANGE SADD SPOP HSET ZADD "
        "ZPOPMIN XADD WATCH UNWATCH EVAL EVALSHA SCRIPT FUNCTION FCALL SUBSCRIBE "
        "PSUBSCRIBE SSUBSCRIBE PUBLISH SPUBLISH SCAN KEYS RANDOMKEY MONITOR SLOWLOG LATENCY ACL ";
    """
    int64_t RESP_TTL_MS_MAX
    const char *RESP_ABSENT


# A name of up to 16 bytes, in upper case and padded with zeros, as two integers.
cdef struct RespName:
    uint64_t head
    uint64_t tail

cdef struct RespCommand:
    RespName name
    int arity            # arguments with the name; negative: at least as many; 0: an empty row
    uint8_t shape
    uint8_t opcode
    uint8_t flags
    int64_t arg          # of the operation; or its unit of time in ms, or the sign of its number

# One request under way.
cdef struct RespRequest:
    const RespParser *parser
    const char *data
    uint32_t argc
    int resp
    Buf *op
    Buf *reply

cdef RespCommand resp_commands[RESP_ROWS]


cdef inline bint resp_name(const char *text, size_t size, RespName *name) noexcept nogil:
    # False: too long to be a name, or with a NUL, which would look like padding.
    cdef char padded[NAME_BYTES_MAX]
    cdef size_t i
    cdef char c
    if size > NAME_BYTES_MAX:
        return False
    memset(padded, 0, NAME_BYTES_MAX)
    for i in range(size):
        c = text[i]
        if c'a' <= c <= c'z':
            c -= 32
        elif not c:
            return False
        padded[i] = c
    name.head = xx_u64(padded)
    name.tail = xx_u64(padded + 8)
    return True


cdef inline RespCommand *resp_row(const RespName *name) noexcept nogil:
    # The row of that name, or the empty one where it would go.
    cdef size_t i = <size_t>(((name.head ^ name.tail) * XXP1) >> 56)
    cdef RespCommand *row
    while True:
        row = &resp_commands[i & (RESP_ROWS - 1)]
        if not row.arity or (row.name.head == name.head and row.name.tail == name.tail):
            return row
        i += 1


cdef inline const char *resp_text(const RespRequest *q, uint32_t i) noexcept nogil:
    return resp_arg(q.parser, q.data, i)


cdef inline uint32_t resp_size(const RespRequest *q, uint32_t i) noexcept nogil:
    return <uint32_t>q.parser.args[i].size


cdef inline bint resp_word(const RespRequest *q, uint32_t i, RespName *name) noexcept nogil:
    return resp_name(resp_text(q, i), resp_size(q, i), name)


cdef inline bint resp_option(const RespRequest *q, uint32_t i, RespName *name) noexcept nogil:
    # Redis compares options as strings of C, which end at a NUL.
    return resp_name(resp_text(q, i), strnlen(resp_text(q, i), resp_size(q, i)), name)


cdef inline bint resp_is(const RespName *name, const char *word) noexcept nogil:
    # `word`: in upper case, of at most 8 bytes.
    cdef char padded[8]
    memset(padded, 0, 8)
    memcpy(padded, word, strlen(word))
    return name.head == xx_u64(padded) and not name.tail


cdef inline bint resp_arity_fits(int arity, uint32_t argc) noexcept nogil:
    return argc == <uint32_t>arity if arity > 0 else argc >= <uint32_t>-arity


cdef int resp_encode(
    const RespParser *p, const char *data, int resp, Buf *op, Buf *reply, uint16_t *command
) noexcept nogil:
    # What to do with the request that the parser has just taken from `data`: RESP_READ or
    # RESP_WRITE (an operation was added to `op`), RESP_REPLY (a reply was added to `reply`), or
    # RESP_CALL: Python answers. Or one of the kinds above that.
    # `command` is 1 + the place of its row, 0 if it has none.
    cdef RespRequest q
    cdef RespName name
    cdef RespCommand *row
    q.parser = p
    q.data = data
    q.argc = p.argc
    q.resp = resp
    q.op = op
    q.reply = reply
    command[0] = 0
    if resp_word(&q, 0, &name):
        row = resp_row(&name)
        if row.arity:
            command[0] = <uint16_t>(1 + (row - resp_commands))
            if not resp_arity_fits(row.arity, q.argc):
                return resp_bad_arity(&q)
            return resp_shape(&q, row)
        if resp_is(&name, b"POST") or resp_is(&name, b"HOST:"):
            return RESP_ALIEN
        if resp_is(&name, b"MULTI"):
            return RESP_MULTI if q.argc == 1 else resp_bad_arity(&q)
        if resp_is(&name, b"EXEC"):
            return RESP_EXEC   # with other arguments too
        if resp_is(&name, b"DISCARD"):
            return RESP_DISCARD if q.argc == 1 else resp_bad_arity(&q)
    if resp_is_own(&q):
        return resp_call(&q)
    if resp_is_absent(&q) and resp_may_call(&q):
        return RESP_CALL
    return resp_unknown(&q)


cdef int resp_shape(const RespRequest *q, const RespCommand *row) noexcept nogil:
    cdef uint8_t shape = row.shape
    if shape == SHAPE_KEYS:
        return resp_operation(q, row.opcode, row.flags, row.arg, 1, 1)
    if shape == SHAPE_PAIRS:
        if q.argc % 2 == 0:
            return resp_bad_arity(q)
        return resp_operation(q, row.opcode, row.flags, row.arg, 1, 2)
    if shape == SHAPE_APPEND:  # how long a value may become is agreed on with the operation: settings may differ
        return resp_operation(q, row.opcode, row.flags, <int64_t>q.parser.value_bytes_max, 1, 2)
    if shape == SHAPE_SET:
        return resp_options(q, OP_SET, 3)
    if shape == SHAPE_NUMBER:
        return resp_number(q, row)
    if shape == SHAPE_SETEX:
        return resp_setex(q, row)
    if shape == SHAPE_GETEX:
        if q.argc == 2:
            return resp_single(q, OP_GET, 0, 0, b"", 0)
        return resp_options(q, OP_GETEX, 2)
    if shape == SHAPE_EXPIRE:
        return resp_expire(q, row)
    if shape == SHAPE_FLUSH:
        return resp_flush(q)
    if shape == SHAPE_PING:
        if q.argc > 2:
            return resp_bad_arity(q)
        if q.argc == 2:
            return resp_echo(q)
        fdb_say(q.reply, b"+PONG\r\n")
        return RESP_REPLY
    if shape == SHAPE_ECHO:
        return resp_echo(q)
    return resp_call(q)


cdef bint resp_frees(const RespParser *p, const char *data) noexcept nogil:
    # Is this request one that ends the refusal of all others, or the connection?
    cdef RespName name
    if not resp_name(resp_arg(p, data, 0), p.args[0].size, &name):
        return False
    return resp_is(&name, b"RESET") or resp_is(&name, b"QUIT")


cdef inline int resp_kind(uint8_t opcode) noexcept nogil:
    return RESP_READ if opcode < OP_SET else RESP_WRITE


cdef int resp_operation(
    const RespRequest *q, uint8_t opcode, uint8_t flags, int64_t arg, uint32_t first, uint32_t step
) noexcept nogil:
    # Items from the arguments on from `first`: keys alone (`step` 1), or pairs (2).
    cdef size_t size = OP_BYTES
    cdef uint32_t count = (q.argc - first) // step
    cdef uint32_t i
    cdef char *to
    for i in range(first, q.argc):
        size += resp_size(q, i)
    size += <size_t>count * ITEM_BYTES
    buf_reserve(q.op, size)
    to = q.op.data + q.op.end
    q.op.end += size
    fdb_op_header(to, <uint32_t>size, count, arg, opcode, flags)
    to += OP_BYTES
    i = first
    while i < q.argc:
        if step == 1:
            to = fdb_op_item(to, resp_text(q, i), resp_size(q, i), b"", 0)
        else:
            to = fdb_op_item(
                to, resp_text(q, i), resp_size(q, i), resp_text(q, i + 1), resp_size(q, i + 1)
            )
        i += step
    return resp_kind(opcode)


cdef int resp_single(
    const RespRequest *q, uint8_t opcode, uint8_t flags, int64_t arg,
    const char *value, uint32_t value_size,
) noexcept nogil:
    # One item: the first argument and `value`.
    cdef uint32_t size = OP_BYTES + ITEM_BYTES + resp_size(q, 1) + value_size
    cdef char *to
    buf_reserve(q.op, size)
    to = q.op.data + q.op.end
    q.op.end += size
    fdb_op_header(to, size, 1, arg, opcode, flags)
    fdb_op_item(to + OP_BYTES, resp_text(q, 1), resp_size(q, 1), value, value_size)
    return resp_kind(opcode)


cdef int resp_error(const RespRequest *q, const char *text) noexcept nogil:
    fdb_say(q.reply, b"-ERR ")
    fdb_say(q.reply, text)
    fdb_say(q.reply, b"\r\n")
    return RESP_REPLY


cdef void resp_show(const RespRequest *q, uint32_t i, size_t size_max, bint lower) noexcept nogil:
    # Shows an argument in an error: up to a NUL, without line ends.
    cdef const char *text = resp_text(q, i)
    cdef size_t size = resp_size(q, i)
    cdef size_t at = 0
    cdef char c
    if size > size_max:
        size = size_max
    buf_reserve(q.reply, size)
    while at < size and text[at]:
        c = text[at]
        if c == c'\r' or c == c'\n':
            c = c' '
        elif lower and c'A' <= c <= c'Z':
            c += 32
        q.reply.data[q.reply.end] = c
        q.reply.end += 1
        at += 1


cdef int resp_bad_arity(const RespRequest *q) noexcept nogil:
    fdb_say(q.reply, b"-ERR wrong number of arguments for '")
    resp_show(q, 0, NAME_BYTES_MAX, True)
    fdb_say(q.reply, b"' command\r\n")
    return RESP_REPLY


cdef int resp_bad_time(const RespRequest *q) noexcept nogil:
    fdb_say(q.reply, b"-ERR invalid expire time in '")
    resp_show(q, 0, NAME_BYTES_MAX, True)
    fdb_say(q.reply, b"' command\r\n")
    return RESP_REPLY


cdef int resp_unknown(const RespRequest *q) noexcept nogil:
    cdef size_t start, shown
    cdef uint32_t i
    fdb_say(q.reply, b"-ERR unknown command '")
    resp_show(q, 0, SHOWN_BYTES_MAX, False)
    fdb_say(q.reply, b"', with args beginning with: ")
    start = buf_size(q.reply)
    for i in range(1, q.argc):
        shown = buf_size(q.reply) - start
        if shown >= SHOWN_BYTES_MAX:
            break
        fdb_say(q.reply, b"'")
        resp_show(q, i, SHOWN_BYTES_MAX - shown, False)
        fdb_say(q.reply, b"' ")
    fdb_say(q.reply, b"\r\n")
    return RESP_REPLY


cdef bint resp_is_own(const RespRequest *q) noexcept nogil:
    # Does the name begin with FPL. in any case?
    cdef RespName name
    return resp_size(q, 0) >= 4 and resp_name(resp_text(q, 0), 4, &name) and resp_is(&name, b"FPL.")


cdef bint resp_is_absent(const RespRequest *q) noexcept nogil:
    # Is the name among those that Python has something to say about?
    cdef const char *at = RESP_ABSENT
    cdef const char *end
    cdef uint32_t size = resp_size(q, 0)
    cdef RespName name, absent
    if not resp_word(q, 0, &name):
        return False
    while at[0]:
        end = at
        while end[0] != c' ':
            end += 1
        if <uint32_t>(end - at) == size and resp_name(at, size, &absent) and (
            name.head == absent.head and name.tail == absent.tail
        ):
            return True
        at = end + 1
    return False


cdef int resp_number(const RespRequest *q, const RespCommand *row) noexcept nogil:
    cdef int64_t number
    if not fdb_parse_integer(resp_text(q, 2), resp_size(q, 2), &number):
        return resp_error(q, b"value is not an integer or out of range")
    if row.arg < 0 and number == FDB_INTEGER_MIN:
        return resp_error(q, b"decrement would overflow")
    return resp_single(q, row.opcode, row.flags, number * row.arg, b"", 0)


cdef int64_t resp_time_mistake(
    const RespRequest *q, uint32_t i, int64_t unit, uint8_t flag, int64_t least, int64_t *ms
) noexcept nogil:
    # The time in argument i in ms; or what is wrong with it, else 0.
    cdef int64_t number
    cdef int64_t most = RESP_TTL_MS_MAX if flag == FLAG_RELATIVE else FDB_INTEGER_MAX
    if not fdb_parse_integer(resp_text(q, i), resp_size(q, i), &number):
        return MISTAKE_INTEGER
    if number < least or number > most // unit:
        return MISTAKE_TIME
    ms[0] = number * unit
    return 0


cdef int resp_lifetime(
    const RespRequest *q, uint32_t i, int64_t unit, uint8_t flag, int64_t least, int64_t *ms
) noexcept nogil:
    # The time in argument i in ms: RESP_GO_ON, or RESP_REPLY after an error. `flag`: FLAG_RELATIVE
    # or FLAG_ABSOLUTE.
    cdef int64_t mistake = resp_time_mistake(q, i, unit, flag, least, ms)
    if mistake == MISTAKE_INTEGER:
        return resp_error(q, b"value is not an integer or out of range")
    if mistake:
        return resp_bad_time(q)
    return RESP_GO_ON


cdef int resp_setex(const RespRequest *q, const RespCommand *row) noexcept nogil:
    cdef int64_t ms
    cdef int state = resp_lifetime(q, 2, row.arg, FLAG_RELATIVE, 1, &ms)
    if state != RESP_GO_ON:
        return state
    return resp_single(q, OP_SET, FLAG_RELATIVE, ms, resp_text(q, 3), resp_size(q, 3))


cdef uint8_t resp_time_option(const RespName *name, int64_t *unit) noexcept nogil:
    # The flag of an option that gives a time, 0 if it is another one.
    unit[0] = 1000
    if resp_is(name, b"EX"):
        return FLAG_RELATIVE
    if resp_is(name, b"EXAT"):
        return FLAG_ABSOLUTE
    unit[0] = 1
    if resp_is(name, b"PX"):
        return FLAG_RELATIVE
    if resp_is(name, b"PXAT"):
        return FLAG_ABSOLUTE
    return 0


cdef int resp_options(const RespRequest *q, uint8_t opcode, uint32_t at) noexcept nogil:
    # The options of SET and GETEX. One that gives a time may be repeated, the last one counts; any
    # other way of saying two things about the deadline is a mistake.
    cdef RespName option
    cdef uint64_t said = 0       # head of the option about the deadline
    cdef uint32_t time_at = 0    # where its time stands
    cdef uint8_t flags = 0, time_flag = 0, flag
    cdef int64_t ms = 0, unit, time_unit = 0
    cdef bint is_set = opcode == OP_SET
    cdef int state
    cdef int64_t bad = 0
    while at < q.argc:
        if not resp_option(q, at, &option):
            return resp_error(q, b"syntax error")
        at += 1
        flag = resp_time_option(&option, &unit)
        if flag and (not said or said == option.head) and at < q.argc:
            said = option.head
            time_flag = flag
            time_unit = unit
            time_at = at
            at += 1
        elif not is_set and resp_is(&option, b"PERSIST") and (not said or said == option.head):
            said = option.head
        elif is_set and resp_is(&option, b"KEEPTTL") and (not said or said == option.head):
            said = option.head
            flags |= FLAG_KEEP
        elif is_set and resp_is(&option, b"NX") and not flags & FLAG_XX:
            flags |= FLAG_NX
        elif is_set and resp_is(&option, b"XX") and not flags & FLAG_NX:
            flags |= FLAG_XX
        elif is_set and resp_is(&option, b"GET"):
            flags |= FLAG_GET
        else:
            return resp_error(q, b"syntax error")
    if time_flag and not is_set:
        bad = resp_time_mistake(q, time_at, time_unit, time_flag, 1, &ms)
        if bad:   # but a key that is missing is noticed first
            return resp_single(q, OP_GET, 0, bad, b"", 0)
    elif time_flag:
        state = resp_lifetime(q, time_at, time_unit, time_flag, 1, &ms)
        if state != RESP_GO_ON:
            return state
    flags |= time_flag
    if is_set:
        return resp_single(q, opcode, flags, ms, resp_text(q, 2), resp_size(q, 2))
    return resp_single(q, opcode, flags, ms, b"", 0)


cdef int resp_expire(const RespRequest *q, const RespCommand *row) noexcept nogil:
    cdef RespName option
    cdef uint8_t conditions = 0
    cdef int64_t ms
    cdef uint32_t i
    cdef int state
    for i in range(3, q.argc):
        if not resp_option(q, i, &option):
            return resp_bad_option(q, i)
        if resp_is(&option, b"NX"):
            conditions |= FLAG_NX
        elif resp_is(&option, b"XX"):
            conditions |= FLAG_XX
        elif resp_is(&option, b"GT"):
            conditions |= FLAG_GT
        elif resp_is(&option, b"LT"):
            conditions |= FLAG_LT
        else:
            return resp_bad_option(q, i)
    if conditions & FLAG_NX and conditions != FLAG_NX:
        return resp_error(q, b"NX and XX, GT or LT options at the same time are not compatible")
    if conditions & FLAG_GT and conditions & FLAG_LT:
        return resp_error(q, b"GT and LT options at the same time are not compatible")
    state = resp_lifetime(q, 2, row.arg, row.flags, FDB_INTEGER_MIN // row.arg, &ms)
    if state != RESP_GO_ON:
        return state
    return resp_single(q, OP_EXPIRE, row.flags | conditions, ms, b"", 0)


cdef int resp_bad_option(const RespRequest *q, uint32_t i) noexcept nogil:
    cdef const char *text = resp_text(q, i)
    cdef size_t size = strnlen(text, resp_size(q, i))
    while size and (text[size - 1] == c'\r' or text[size - 1] == c'\n'):
        size -= 1
    fdb_say(q.reply, b"-ERR Unsupported option ")
    resp_show(q, i, size, False)
    fdb_say(q.reply, b"\r\n")
    return RESP_REPLY


cdef int resp_flush(const RespRequest *q) noexcept nogil:
    cdef RespName option
    if q.argc > 2:
        return resp_error(q, b"syntax error")
    if q.argc == 2:
        if not resp_option(q, 1, &option):
            return resp_error(q, b"syntax error")
        if not resp_is(&option, b"ASYNC") and not resp_is(&option, b"SYNC"):
            return resp_error(q, b"syntax error")
    return resp_operation(q, OP_FLUSH, 0, 0, q.argc, 1)


cdef bint resp_may_call(const RespRequest *q) noexcept nogil:
    cdef uint64_t size = 0
    cdef uint32_t i
    if q.argc > CALL_ARGUMENTS_MAX:
        return False
    for i in range(q.argc):
        size += resp_size(q, i)
    return size <= CALL_BYTES_MAX


cdef int resp_call(const RespRequest *q) noexcept nogil:
    if resp_may_call(q):
        return RESP_CALL
    return resp_error(q, b"this command takes at most 256 arguments of 65536 bytes in all")


cdef int resp_echo(const RespRequest *q) noexcept nogil:
    fdb_say_bulk(q.reply, resp_text(q, 1), resp_size(q, 1))
    return RESP_REPLY


cdef void resp_command(
    const char *text, int arity, uint8_t shape, uint8_t opcode=0, uint8_t flags=0, int64_t arg=0
) noexcept nogil:
    cdef RespName name
    cdef RespCommand *row
    resp_name(text, strlen(text), &name)
    row = resp_row(&name)
    row.name = name
    row.arity = arity
    row.shape = shape
    row.opcode = opcode
    row.flags = flags
    row.arg = arg


cdef void resp_table() noexcept nogil:
    resp_command(b"GET", 2, SHAPE_KEYS, OP_GET)
    resp_command(b"MGET", -2, SHAPE_KEYS, OP_MGET)
    resp_command(b"EXISTS", -2, SHAPE_KEYS, OP_EXISTS)
    resp_command(b"TOUCH", -2, SHAPE_KEYS, OP_EXISTS)
    resp_command(b"STRLEN", 2, SHAPE_KEYS, OP_STRLEN)
    resp_command(b"TYPE", 2, SHAPE_KEYS, OP_TYPE)
    resp_command(b"TTL", 2, SHAPE_KEYS, OP_TTL, 0, 1000)
    resp_command(b"PTTL", 2, SHAPE_KEYS, OP_TTL, 0, 1)
    resp_command(b"EXPIRETIME", 2, SHAPE_KEYS, OP_TTL, FLAG_ABSOLUTE, 1000)
    resp_command(b"PEXPIRETIME", 2, SHAPE_KEYS, OP_TTL, FLAG_ABSOLUTE, 1)
    resp_command(b"DBSIZE", 1, SHAPE_KEYS, OP_DBSIZE)
    resp_command(b"SET", -3, SHAPE_SET)
    resp_command(b"SETEX", 4, SHAPE_SETEX, OP_SET, 0, 1000)
    resp_command(b"PSETEX", 4, SHAPE_SETEX, OP_SET, 0, 1)
    resp_command(b"GETSET", 3, SHAPE_PAIRS, OP_SET, FLAG_GET)
    resp_command(b"SETNX", 3, SHAPE_PAIRS, OP_SETNX)
    resp_command(b"MSET", -3, SHAPE_PAIRS, OP_MSET)
    resp_command(b"MSETNX", -3, SHAPE_PAIRS, OP_MSETNX)
    resp_command(b"APPEND", 3, SHAPE_APPEND, OP_APPEND)
    resp_command(b"DEL", -2, SHAPE_KEYS, OP_DEL)
    resp_command(b"UNLINK", -2, SHAPE_KEYS, OP_DEL)
    resp_command(b"GETDEL", 2, SHAPE_KEYS, OP_GETDEL)
    resp_command(b"GETEX", -2, SHAPE_GETEX)
    resp_command(b"INCR", 2, SHAPE_KEYS, OP_INCRBY, 0, 1)
    resp_command(b"DECR", 2, SHAPE_KEYS, OP_INCRBY, 0, -1)
    resp_command(b"INCRBY", 3, SHAPE_NUMBER, OP_INCRBY, 0, 1)
    resp_command(b"DECRBY", 3, SHAPE_NUMBER, OP_INCRBY, 0, -1)
    resp_command(b"EXPIRE", -3, SHAPE_EXPIRE, OP_EXPIRE, FLAG_RELATIVE, 1000)
    resp_command(b"PEXPIRE", -3, SHAPE_EXPIRE, OP_EXPIRE, FLAG_RELATIVE, 1)
    resp_command(b"EXPIREAT", -3, SHAPE_EXPIRE, OP_EXPIRE, FLAG_ABSOLUTE, 1000)
    resp_command(b"PEXPIREAT", -3, SHAPE_EXPIRE, OP_EXPIRE, FLAG_ABSOLUTE, 1)
    resp_command(b"PERSIST", 2, SHAPE_KEYS, OP_PERSIST)
    resp_command(b"FLUSHALL", -1, SHAPE_FLUSH, OP_FLUSH)
    resp_command(b"FLUSHDB", -1, SHAPE_FLUSH, OP_FLUSH)
    resp_command(b"PING", -1, SHAPE_PING)
    resp_command(b"ECHO", 2, SHAPE_ECHO)
    resp_command(b"HELLO", -1, SHAPE_CALL)
    resp_command(b"AUTH", -1, SHAPE_CALL)
    resp_command(b"QUIT", -1, SHAPE_CALL)
    resp_command(b"RESET", 1, SHAPE_CALL)    # with any more it must not end the refusal after MULTI
    resp_command(b"SELECT", -1, SHAPE_CALL)
    resp_command(b"CLIENT", -1, SHAPE_CALL)
    resp_command(b"COMMAND", -1, SHAPE_CALL)
    resp_command(b"CONFIG", -1, SHAPE_CALL)
    resp_command(b"INFO", -1, SHAPE_CALL)
    resp_command(b"CLUSTER", -1, SHAPE_CALL)
    resp_command(b"READONLY", -1, SHAPE_CALL)
    resp_command(b"READWRITE", -1, SHAPE_CALL)
    resp_command(b"ROLE", -1, SHAPE_CALL)
    resp_command(b"WAIT", -1, SHAPE_CALL)


resp_table()
