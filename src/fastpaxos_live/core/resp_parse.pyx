# Requests out of a stream of bytes. reference/resp_parse.py explains the rules; here arguments are
# not copied, they are offsets into the input (or into `words`, for inline commands).

cdef enum:
    RESP_MORE = 0
    RESP_REQUEST = 1
    RESP_TOO_LARGE = 2
    RESP_BROKEN = 3

    RESP_TLS_HANDSHAKE = 0x16
    RESP_TLS_MAJOR = 3
    RESP_ARGS_KEPT = 1024  # room for arguments above this is given back with the next request
    RESP_GO_ON = -1        # of a step: nothing to report yet


cdef struct RespArg:       # of ARGUMENT_BYTES
    size_t offset
    size_t size

cdef struct RespParser:
    RespArg *args          # of the last RESP_REQUEST, see resp_arg
    uint32_t argc
    size_t consumed        # bytes of the input that the owner may drop now
    const char *error      # what was wrong, after RESP_BROKEN; NULL: it is no Redis client, and is told nothing
    const char *base       # where offsets count from; NULL: the input
    uint32_t args_capacity
    size_t value_bytes_max
    size_t request_bytes_max
    size_t at              # where parsing goes on
    size_t begun           # where the request under way begins
    size_t scanned         # bytes after `at` that hold no end of line
    uint32_t left          # arguments still to come; 0 between requests
    int64_t bulk           # size of the bulk string begun, -1 without one
    uint64_t total         # bytes of the request so far, as they arrive
    bint skipping
    Buf words              # unquoted words of an inline command
    char unexpected[48]    # text of the one error that shows input


cdef void resp_init(RespParser *p, size_t value_bytes_max, size_t request_bytes_max) noexcept nogil:
    memset(p, 0, sizeof(RespParser))
    p.value_bytes_max = value_bytes_max
    p.request_bytes_max = request_bytes_max
    p.bulk = -1


cdef void resp_free(RespParser *p) noexcept nogil:
    free(p.args)
    buf_free(&p.words)
    memset(p, 0, sizeof(RespParser))


cdef void resp_forget(RespParser *p) noexcept nogil:
    # Of the request under way, and of all that may follow: nothing more is parsed.
    p.left = 0
    resp_args_reset(p)


cdef void resp_rest(RespParser *p) noexcept nogil:
    # Between requests, when the last one is done with: gives back what a large one needed.
    if not p.left:
        resp_args_reset(p)
        if p.words.capacity > INLINE_BYTES_MAX // 8:
            buf_trim(&p.words, INLINE_BYTES_MAX // 8)


cdef inline const char *resp_arg(const RespParser *p, const char *data, uint32_t i) noexcept nogil:
    # `data`: the input that resp_next was given, wherever it is now.
    return (p.base if p.base != NULL else data) + p.args[i].offset


cdef inline void resp_between(RespParser *p) noexcept nogil:
    p.scanned = 0
    p.bulk = -1
    p.total = 0
    p.skipping = False


cdef int resp_broken(RespParser *p, const char *error) noexcept nogil:
    p.error = error
    return RESP_BROKEN


cdef void resp_args_reset(RespParser *p) noexcept nogil:
    p.argc = 0
    p.base = NULL
    if p.args_capacity > RESP_ARGS_KEPT:
        free(p.args)
        p.args = NULL
        p.args_capacity = 0


cdef inline void resp_args_add(RespParser *p, size_t offset, size_t size) noexcept nogil:
    if p.argc == p.args_capacity:
        # By a quarter where that is much: what is counted for a client are its arguments, not their room.
        p.args_capacity += p.args_capacity // 4 if p.args_capacity > RESP_ARGS_KEPT else p.args_capacity
        if not p.args_capacity:
            p.args_capacity = 8
        p.args = <RespArg *>fdb_allocate(p.args, p.args_capacity * sizeof(RespArg))
    p.args[p.argc].offset = offset
    p.args[p.argc].size = size
    p.argc += 1


cdef inline int64_t resp_line(
    RespParser *p, const char *data, size_t size, char end
) noexcept nogil:
    # Position of `end` relative to `at`, or -1. A line that is too long is INLINE_BYTES_MAX + 1.
    cdef size_t room = size - p.at
    cdef const char *line = data + p.at
    cdef const char *found
    if room > INLINE_BYTES_MAX + 1:
        room = INLINE_BYTES_MAX + 1
    found = <const char *>memchr(line + p.scanned, end, room - p.scanned)
    if found != NULL:
        return found - line
    p.scanned = room
    return <int64_t>room if room > INLINE_BYTES_MAX else -1


cdef inline int resp_count(
    RespParser *p, const char *data, size_t size, const char *too_big, int64_t *count, size_t *after
) noexcept nogil:
    # A line of one marker byte and a number; `count` is INTEGER_MAX if it is none. `after` is where
    # the next line starts. Numbers of one or two digits are so common that they have their own way.
    cdef const char *line = data + p.at
    cdef size_t room = size - p.at
    cdef int64_t found
    if room >= 4 and c'0' <= line[1] <= c'9' and line[2] == c'\r':
        count[0] = line[1] - c'0'
        after[0] = p.at + 4
        return RESP_GO_ON
    if room >= 5 and c'1' <= line[1] <= c'9' and c'0' <= line[2] <= c'9' and line[3] == c'\r':
        count[0] = 10 * (line[1] - c'0') + line[2] - c'0'
        after[0] = p.at + 5
        return RESP_GO_ON
    found = resp_line(p, data, size, c'\r')
    if found > INLINE_BYTES_MAX:
        return resp_broken(p, too_big)
    if found < 0 or room < <size_t>found + 2:
        return RESP_MORE
    if found == 0 or not fdb_parse_integer(line + 1, <size_t>found - 1, count):
        count[0] = FDB_INTEGER_MAX  # more than anybody takes
    after[0] = p.at + <size_t>found + 2
    return RESP_GO_ON


cdef int resp_first_line(RespParser *p, const char *data, size_t size) noexcept nogil:
    cdef int64_t count
    cdef size_t after
    cdef int state
    if p.at == size:
        return RESP_MORE
    if data[p.at] != c'*':
        return resp_inline(p, data, size)
    state = resp_count(
        p, data, size, b"Protocol error: too big mbulk count string", &count, &after
    )
    if state != RESP_GO_ON:
        return state
    if count > ARGUMENTS_MAX:
        return resp_broken(p, b"Protocol error: invalid multibulk length")
    resp_between(p)
    if count > 0:
        resp_args_reset(p)
        p.left = <uint32_t>count
        p.begun = p.at
        p.total = after - p.at
    p.at = after
    return RESP_GO_ON


cdef int resp_inline(RespParser *p, const char *data, size_t size) noexcept nogil:
    cdef int64_t found = resp_line(p, data, size, c'\n')
    cdef const char *line = data + p.at
    cdef size_t line_size
    if line[0] == RESP_TLS_HANDSHAKE:  # of a ClientHello: it has no end of line, and is no reason to wait for one
        if size - p.at < 2:
            return RESP_MORE
        if line[1] == RESP_TLS_MAJOR:
            return resp_broken(p, NULL)
    if found > INLINE_BYTES_MAX:
        return resp_broken(p, b"Protocol error: too big inline request")
    if found < 0:
        return RESP_MORE
    line_size = <size_t>found
    if line_size and line[line_size - 1] == c'\r':
        line_size -= 1
    p.at += <size_t>found + 1
    resp_between(p)
    resp_args_reset(p)
    if not resp_split(p, line, line_size):
        return resp_broken(p, b"Protocol error: unbalanced quotes in request")
    return RESP_REQUEST if p.argc else RESP_GO_ON


cdef int resp_bulk_line(RespParser *p, const char *data, size_t size) noexcept nogil:
    cdef int64_t bulk
    cdef size_t after
    cdef int state = resp_count(
        p, data, size, b"Protocol error: too big bulk count string", &bulk, &after
    )
    if state != RESP_GO_ON:
        return state
    if data[p.at] != c'$':
        return resp_expected_bulk(p, data[p.at])
    if not 0 <= bulk <= BULK_BYTES_MAX:
        return resp_broken(p, b"Protocol error: invalid bulk length")
    p.total += after - p.at + <uint64_t>bulk + 2
    p.at = after
    p.scanned = 0
    p.bulk = bulk
    if <size_t>bulk > p.value_bytes_max or p.total > p.request_bytes_max:
        p.skipping = True
        resp_args_reset(p)
    if p.skipping:
        p.bulk += 2
    return RESP_GO_ON


cdef int resp_expected_bulk(RespParser *p, char got) noexcept nogil:
    if got == 0 or got == c'\r' or got == c'\n':
        got = c' '
    memset(p.unexpected, 0, sizeof(p.unexpected))
    memcpy(p.unexpected, <const char *>b"Protocol error: expected '$', got '", 35)
    p.unexpected[35] = got
    p.unexpected[36] = c'\''
    return resp_broken(p, p.unexpected)


cdef int resp_bulk_bytes(RespParser *p, size_t size) noexcept nogil:
    # The two bytes behind a bulk string are not looked at, as in Redis.
    cdef size_t room = size - p.at
    cdef size_t bulk = <size_t>p.bulk
    if p.skipping:
        if room < bulk:
            p.at = size
            p.bulk -= <int64_t>room
            return RESP_MORE
        p.at += bulk
    elif room < bulk + 2:
        return RESP_MORE
    else:
        resp_args_add(p, p.at, bulk)
        p.at += bulk + 2
    p.bulk = -1
    p.left -= 1
    if p.left:
        return RESP_GO_ON
    return RESP_TOO_LARGE if p.skipping else RESP_REQUEST


cdef int resp_next(RespParser *p, const char *data, size_t size) noexcept nogil:
    # Takes the next request from `data`. After any answer but RESP_BROKEN the owner drops
    # `consumed` bytes and, unless that was RESP_MORE, calls again with the rest; after RESP_BROKEN
    # nothing more may be asked.
    cdef int state = RESP_GO_ON
    cdef uint32_t i
    p.consumed = 0
    while state == RESP_GO_ON:
        if not p.left:
            state = resp_first_line(p, data, size)
        elif p.bulk < 0:
            state = resp_bulk_line(p, data, size)
        else:
            state = resp_bulk_bytes(p, size)
    p.consumed = p.at
    if state == RESP_MORE and p.left and not p.skipping:
        # The request is kept until it is whole, what went before it is not.
        p.consumed = p.begun
        if p.begun:
            for i in range(p.argc):
                p.args[i].offset -= p.begun
    p.at -= p.consumed
    p.begun = 0
    if state == RESP_REQUEST or state == RESP_TOO_LARGE:
        resp_between(p)
    return state


cdef size_t resp_peek(const char *data, size_t size, const char **key, size_t *key_size) noexcept nogil:
    # The length of the request at `data` if it is a whole array of a short name and a key of less than 100 bytes, as
    # that of a pipelined GET; else 0. It says only which key will be asked for soon: nothing is checked.
    cdef size_t at, length
    if size < 16 or data[0] != c'*' or data[1] != c'2' or data[4] != c'$' or data[6] != c'\r':
        return 0
    at = 10 + (data[5] - c'0')  # behind "*2", "$n" and the name
    if data[5] < c'1' or data[5] > c'9' or at + 8 > size or data[at] != c'$':
        return 0
    length = data[at + 1] - c'0'
    at += 2
    if data[at] != c'\r':
        length = 10 * length + (data[at] - c'0')
        at += 1
    if length > 99 or data[at] != c'\r' or at + length + 4 > size:
        return 0
    key[0] = data + at + 2
    key_size[0] = length
    return at + length + 4


cdef inline bint resp_is_blank(char c) noexcept nogil:
    return c == c' ' or c'\t' <= c <= c'\r'


cdef inline bint resp_ends_word(char c) noexcept nogil:
    # Outside quotes; the other blanks only separate.
    return not c or c == c' ' or c == c'\t' or c == c'\n' or c == c'\r'


cdef int resp_hex(char c) noexcept nogil:
    # Value of a hexadecimal digit, or -1.
    if c'0' <= c <= c'9':
        return c - c'0'
    if c'a' <= (c | 32) <= c'f':
        return (c | 32) - c'a' + 10
    return -1


cdef bint resp_split(RespParser *p, const char *line, size_t size) noexcept nogil:
    # The words of an inline command by the quoting rules of Redis; a NUL ends the line. False:
    # unbalanced quotes. Words never grow, so one reservation holds them all, with a copy of the
    # line that ends in a NUL before them.
    cdef char *from_
    cdef char *to
    cdef char *word
    buf_trim(&p.words, INLINE_BYTES_MAX // 8)
    buf_reserve(&p.words, 2 * size + 1)
    p.base = p.words.data
    from_ = p.words.data
    to = from_ + size + 1
    memcpy(from_, line, size)
    from_[size] = 0
    while True:
        while resp_is_blank(from_[0]):
            from_ += 1
        if not from_[0]:
            return True
        word = to
        while not resp_ends_word(from_[0]):
            if from_[0] == c'"' or from_[0] == c'\'':
                if not resp_quoted(&from_, &to) or (from_[0] and not resp_is_blank(from_[0])):
                    return False
                break
            to[0] = from_[0]
            to += 1
            from_ += 1
        resp_args_add(p, <size_t>(word - p.base), <size_t>(to - word))


cdef bint resp_quoted(char **from_, char **to) noexcept nogil:
    # Copies what is in the quotes that open at `from_`; both end up behind what they passed. False:
    # they never close.
    cdef char *at = from_[0]
    cdef char quote = at[0]
    cdef char c
    at += 1
    while at[0] != quote:
        c = at[0]
        if not c:
            return False
        if c == c'\\' and quote == c'"' and at[1]:
            if at[1] == c'x' and resp_hex(at[2]) >= 0 and resp_hex(at[3]) >= 0:
                c = <char>(16 * resp_hex(at[2]) + resp_hex(at[3]))
                at += 3
            else:
                at += 1
                c = resp_escape(at[0])
        elif c == c'\\' and quote == c'\'' and at[1] == c'\'':
            at += 1
            c = at[0]
        to[0][0] = c
        to[0] += 1
        at += 1
    from_[0] = at + 1
    return True


cdef char resp_escape(char c) noexcept nogil:
    # What a backslash and `c` stand for in double quotes.
    if c == c'n':
        return c'\n'
    if c == c'r':
        return c'\r'
    if c == c't':
        return c'\t'
    if c == c'b':
        return c'\b'
    if c == c'a':
        return c'\a'
    return c
