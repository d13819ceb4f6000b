# The log as it goes to disk: write groups at growing positions. Invariants 1-3 of reference/log_disk.py hold here too.

cdef struct LogDisk:
    uint64_t seed
    uint32_t replica
    uint32_t incarnation
    uint64_t base              # position of the open group
    Buf open                   # the open group, room for its header included; empty without frames
    Buf closed                 # the group being written
    uint64_t group             # index of the open group
    uint64_t durable_group
    uint64_t durable_position
    uint64_t vouched           # where the last durable group begins: nothing behind it says that it was durable
    uint64_t writing           # index of the group being written, 0 if none
    uint64_t writing_end
    bint sync                  # the open group holds a promise, which is synced whatever the policy
    uint64_t limit             # the log may grow up to here by what can be refused; 0: there is no limit


cdef inline uint64_t disk_size(LogDisk *d) noexcept nogil:
    # Bytes of frames in the open group.
    return buf_size(&d.open) - HEADER_BYTES if buf_size(&d.open) else 0


cdef uint64_t disk_append(LogDisk *d, const char *frame, size_t length) noexcept nogil:
    # Adds a frame to the open group; returns the position it will have.
    cdef uint64_t position = d.base + HEADER_BYTES + disk_size(d)
    debug_expect(length >= HEADER_BYTES and length == xx_u32(frame + 16), b"what goes to the log is no frame")
    if not buf_size(&d.open):
        buf_reserve(&d.open, HEADER_BYTES + length)
        d.open.end += HEADER_BYTES
    buf_add(&d.open, frame, length)
    if frame[13] == PROMISED:
        d.sync = True
    return position


cdef inline const char *disk_last(LogDisk *d, size_t length) noexcept nogil:
    # The frame of this length that was appended last; stays put until the next append.
    return d.open.data + d.open.end - length


cdef inline uint64_t disk_frontier(LogDisk *d) noexcept nogil:
    # The group whose durability covers everything appended so far.
    return d.group if buf_size(&d.open) else d.group - 1


cdef inline uint64_t disk_backlog(LogDisk *d) noexcept nogil:
    return d.base + disk_size(d) - d.durable_position


cdef inline bint disk_full(LogDisk *d, uint64_t size) noexcept nogil:
    # Is there no room for a frame with so many bytes in it?
    return d.limit and d.base + disk_size(d) + size + 2 * HEADER_BYTES + GROUP_ALIGN > d.limit


cdef size_t disk_drain(
    LogDisk *d, uint64_t promised, uint64_t chosen, uint64_t *position, const char **data, bint *sync
) noexcept nogil:
    # Closes the open group and hands it out; 0 when there is none or one is being written.
    cdef GroupHead h
    cdef uint64_t size = disk_size(d)
    cdef size_t padding = <size_t>(-size) & (GROUP_ALIGN - 1)
    cdef Buf swap
    if d.writing or not size:
        return 0
    debug_expect(d.base % GROUP_ALIGN == 0 and d.durable_position == d.base, b"the log has a gap, or is cut askew")
    expect(buf_size(&d.open) + padding <= GROUP_BYTES_MAX, b"a write group is longer than any that is read")
    buf_reserve(&d.open, padding)
    memset(d.open.data + d.open.end, 0, padding)
    d.open.end += padding
    memset(&h, 0, sizeof(h))
    h.magic = GROUP_MAGIC
    h.version = VERSION
    h.replica = <uint8_t>d.replica
    h.length = <uint32_t>buf_size(&d.open)
    h.incarnation = d.incarnation
    h.position = d.base
    h.size = size
    h.promised = promised
    h.durable = d.durable_position
    h.chosen = chosen
    h.checksum = xxh64(<char *>&h + 8, sizeof(h) - 8, d.seed)
    memcpy(d.open.data + d.open.start, &h, sizeof(h))
    swap = d.closed
    d.closed = d.open
    d.open = swap
    buf_trim(&d.open, 4 * BATCH_BYTES)
    position[0] = d.base
    data[0] = d.closed.data + d.closed.start
    sync[0] = d.sync
    d.base += h.length
    d.writing = d.group
    d.writing_end = d.base
    d.group += 1
    d.sync = False
    return h.length


cdef bint disk_durable(LogDisk *d, uint64_t position) noexcept nogil:
    # True if that completes the group under way.
    debug_expect(position <= d.base, b"more is durable than was written")
    if not d.writing or position < d.writing_end:
        return False
    d.durable_group = d.writing
    d.vouched = d.durable_position
    d.durable_position = d.writing_end
    d.writing = 0
    buf_trim(&d.closed, 4 * BATCH_BYTES)
    return True


cdef bint disk_parse(LogDisk *d, const char *data, size_t size, GroupHead *h) noexcept nogil:
    # Is there a whole valid group at `data`, the one at position `base`?
    cdef size_t at, end
    cdef int64_t n
    if size < HEADER_BYTES:
        return False
    memcpy(h, data, sizeof(GroupHead))
    if (
        h.magic != GROUP_MAGIC or h.version != VERSION or h.replica != d.replica or h.position != d.base
        or h.length > GROUP_BYTES_MAX or h.size > GROUP_BYTES_MAX or size < h.length
        or h.length != HEADER_BYTES + h.size + (<size_t>(-h.size) & (GROUP_ALIGN - 1))
        or xxh64(data + 8, HEADER_BYTES - 8, d.seed) != h.checksum
    ):
        return False
    at = HEADER_BYTES
    end = HEADER_BYTES + h.size
    while at < end:
        n = flog_frame_length(d.seed, data + at, end - at)
        if n <= 0 or at + n > end or not flog_frame_valid(d.seed, data + at, <size_t>n):
            return False
        at += n
    while at < h.length:
        if data[at]:
            return False
        at += 1
    return True


cdef void disk_replayed(LogDisk *d, size_t length) noexcept nogil:
    # The group just parsed is part of the log.
    debug_expect(length % GROUP_ALIGN == 0 and not d.writing and not disk_size(d), b"replay goes on behind the start")
    d.vouched = d.base
    d.base += length
    d.durable_position = d.base


cdef void disk_free(LogDisk *d) noexcept nogil:
    buf_free(&d.open)
    buf_free(&d.closed)
