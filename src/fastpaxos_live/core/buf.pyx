# A growing byte buffer: valid bytes are data[start:end]. Bounds are the business of its users.

cdef struct Buf:
    char *data
    size_t start     # first valid byte
    size_t end       # one past the last valid byte
    size_t capacity


cdef void buf_reserve(Buf *b, size_t room) noexcept nogil:
    # Afterwards at least `room` bytes can be written at data + end. Running out of memory ends the process: nothing
    # that a replica could answer would be right.
    cdef size_t size, capacity
    debug_expect(b.start <= b.end <= b.capacity, b"a buffer ends behind its room")
    if b.capacity - b.end >= room:
        return
    size = b.end - b.start
    if size + room <= b.capacity and b.start >= size // 2:
        # At least half as many bytes were taken since the last move: it costs each byte a constant.
        memmove(b.data, b.data + b.start, size)
    else:
        capacity = b.capacity if b.capacity else 256
        while capacity < size + room or capacity == b.capacity:
            capacity *= 2
        if b.start:
            memmove(b.data, b.data + b.start, size)
        b.data = <char *>realloc(b.data, capacity)
        if b.data == NULL:
            abort()
        b.capacity = capacity
    b.start = 0
    b.end = size


cdef inline void buf_add(Buf *b, const void *source, size_t size) noexcept nogil:
    if not size:   # neither may be NULL for memcpy
        return
    buf_reserve(b, size)
    memcpy(b.data + b.end, source, size)
    b.end += size


cdef inline size_t buf_size(const Buf *b) noexcept nogil:
    return b.end - b.start


cdef inline void buf_take(Buf *b, size_t size) noexcept nogil:
    debug_expect(size <= buf_size(b), b"more is taken from a buffer than it holds")
    b.start += size
    if b.start == b.end:
        b.start = b.end = 0


cdef inline void buf_clear(Buf *b) noexcept nogil:
    b.start = b.end = 0


cdef void buf_trim(Buf *b, size_t keep) noexcept nogil:
    # Empties the buffer and gives memory above `keep` back.
    b.start = b.end = 0
    if b.capacity > keep:
        free(b.data)
        b.data = NULL
        b.capacity = 0


cdef inline void buf_rest(Buf *b, size_t keep) noexcept nogil:
    # Of an empty buffer memory above `keep` is given back.
    if b.start == b.end and b.capacity > keep:
        buf_trim(b, keep)


cdef void buf_free(Buf *b) noexcept nogil:
    free(b.data)
    memset(b, 0, sizeof(Buf))
