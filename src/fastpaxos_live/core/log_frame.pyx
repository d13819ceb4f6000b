# Frames, values and write-group headers. docs/design.md has the tables, reference/log_frame.py the words.

cdef enum FrameType:
    ACCEPT = 1
    ACK
    BEAT
    ECHO
    WHERE
    ASK
    ANSWER
    PROPOSE
    ENTRY
    PROMISE
    REFUSE
    FETCH
    LEARN
    FETCHED
    FORWARD
    REPLIES
    HANGUP
    TAKEN = 19
    PROMISED = 32

cdef enum ValueKind:
    OPERATIONS
    EPOCH
    NOOP

cdef enum:
    FRAME_MAGIC = 0x4C505846
    GROUP_MAGIC = 0x474C5046
    VERSION = 1
    HEADER_BYTES = 64
    VALUE_BYTES = 32

cdef struct Head:
    uint64_t checksum
    uint32_t magic
    uint8_t version
    uint8_t type
    uint8_t sender
    uint8_t flags
    uint32_t length
    uint16_t incarnation
    uint16_t check         # of the header, so that a damaged length is seen before anybody waits for that many bytes
    uint64_t number
    uint64_t instance
    uint64_t mark
    uint64_t sent
    uint64_t extra

cdef struct ValueHead:
    uint64_t checksum
    uint64_t time_ms
    uint64_t epoch
    uint32_t count
    uint32_t kind

cdef struct GroupHead:
    uint64_t checksum
    uint32_t magic
    uint8_t version
    uint8_t zero
    uint8_t replica
    uint8_t flags
    uint32_t length
    uint32_t incarnation
    uint64_t position
    uint64_t size          # bytes of frames
    uint64_t promised
    uint64_t durable
    uint64_t chosen

assert sizeof(Head) == HEADER_BYTES and sizeof(GroupHead) == HEADER_BYTES and sizeof(ValueHead) == VALUE_BYTES


cdef inline uint16_t flog_header_check(uint64_t seed, Head *h) noexcept nogil:
    h.check = 0
    return <uint16_t>xxh64(<char *>h + 8, HEADER_BYTES - 8, seed)


cdef inline int64_t flog_frame_length(uint64_t seed, const char *data, size_t size) noexcept nogil:
    # Length of the frame that starts here, 0 if its header is not complete, -1 if it is none.
    cdef Head h
    cdef uint16_t check
    if size < HEADER_BYTES:
        return 0
    memcpy(&h, data, HEADER_BYTES)
    check = h.check
    if check != flog_header_check(seed, &h):
        return -1
    if h.magic != FRAME_MAGIC or h.version != VERSION or h.length < HEADER_BYTES or h.length > FRAME_BYTES_MAX:
        return -1
    return h.length


cdef inline bint flog_frame_valid(uint64_t seed, const char *data, size_t length) noexcept nogil:
    return xxh64(data + 8, length - 8, seed) == xx_u64(data)


cdef inline void flog_frame_add(
    Buf *b, uint64_t seed, Head *h, const char *payload, size_t size
) noexcept nogil:
    # Appends a whole frame; fills in magic, version, length and checksum.
    cdef char *at
    expect(HEADER_BYTES + size <= FRAME_BYTES_MAX, b"a frame is longer than any that is read")
    h.magic = FRAME_MAGIC
    h.version = VERSION
    h.length = <uint32_t>(HEADER_BYTES + size)
    h.check = flog_header_check(seed, h)
    buf_reserve(b, h.length)
    at = b.data + b.end
    memcpy(at, h, HEADER_BYTES)
    if size:
        memcpy(at + HEADER_BYTES, payload, size)
    h.checksum = xxh64(at + 8, h.length - 8, seed)
    memcpy(at, &h.checksum, 8)
    b.end += h.length


cdef inline void flog_value_seal(Buf *b, uint64_t seed, ValueHead *v) noexcept nogil:
    # Completes a value whose first VALUE_BYTES were left free: header and checksum.
    cdef char *at = b.data + b.start
    memcpy(at, v, VALUE_BYTES)
    v.checksum = xxh64(at + 8, buf_size(b) - 8, seed)
    memcpy(at, &v.checksum, 8)
