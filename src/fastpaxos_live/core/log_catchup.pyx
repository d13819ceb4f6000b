# Catch-up (PML 4.2): only chosen entries are handed on, read back from the own log by the place noted when they were
# applied. reference/log_catchup.py has the words.

cdef enum:
    DOUBLINGS = 6    # of the wait for an answer: each time that all others were asked in vain
    FULL_BEATS = 20  # a replica whose disk is full asks this seldom: mostly it can't take the answer

cdef void log_behind(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    if h.mark > log.machines.acceptor.chosen and h.number >= log.machines.acceptor.promised:
        log_fetch(log, peer)


cdef void log_fetch(Log *log, uint32_t peer) noexcept nogil:
    cdef Head h
    # An answer that is slow on its way is only kept up by those to the same question again.
    cdef uint32_t doublings = min(log.fetch_skip // max(1, log.replicas - 1), <uint32_t>DOUBLINGS)
    if peer == log.me or (log.fetch_peer and log.now < log.fetch_at + (2 * log.settings.beat_us << doublings)):
        return
    if disk_full(&log.disk, BATCH_BYTES) and log.now < log.fetch_at + FULL_BEATS * log.settings.beat_us:
        return
    if log.fetch_peer:  # no answer
        log.fetch_skip += 1
    peer = (peer - (peer > log.me) - 1 + log.fetch_skip) % (log.replicas - 1) + 1  # among the others
    peer += peer >= log.me
    log.fetch_peer = peer
    log.fetch_at = log.now
    log.fetch_first = log.machines.acceptor.chosen + 1
    h = log_head(log, FETCH, 0)
    h.instance = log.fetch_first
    log_send(log, peer, 1, &h, NULL, 0)


cdef inline Place *log_place(Log *log, uint64_t instance) noexcept nogil:
    return <Place *>(log.index.data + log.index.start) + (instance - 1)


cdef void log_on_fetch(Log *log, uint32_t peer, uint64_t first) noexcept nogil:
    cdef Place place
    cdef Wanted want
    cdef uint64_t available
    if buf_size(&log.serving) >= SERVED_MAX * sizeof(Wanted):
        return
    if first == 0 or first > log.applied:
        log_fetched(log, peer, first)
        return
    place = log_place(log, first)[0]
    if log.disk.durable_position < place.position + place.length:
        log_fetched(log, peer, first)
        return
    available = log.disk.durable_position - place.position
    place.length = u64_max(place.length, u64_min(available, FETCH_BYTES))
    buf_add(&log.reads, &place, sizeof(Place))
    want.peer = peer
    want.instance = first
    buf_add(&log.serving, &want, sizeof(Wanted))


cdef void log_fetched(Log *log, uint32_t peer, uint64_t after) noexcept nogil:
    cdef Head h = log_head(log, FETCHED, 0)
    h.instance = after
    h.mark = log.machines.acceptor.chosen
    log_send(log, peer, 1, &h, NULL, 0)


cdef uint64_t log_read_done(Log *log, uint64_t position, const char *data, size_t size) noexcept nogil:
    # Sends on the chosen entries that lie in the bytes read. Returns one that is not there as it was written, or 0. Not
    # one of the last group, of which nothing says that it was durable: the next start would cut it, and forget what is
    # still known here.
    cdef Wanted want
    cdef Place *place
    cdef Head h, out
    cdef uint64_t instance, at
    if not buf_size(&log.serving):
        return 0
    memcpy(&want, log.serving.data + log.serving.start, sizeof(Wanted))
    buf_take(&log.serving, sizeof(Wanted))
    instance = want.instance
    while instance <= log.applied:
        place = log_place(log, instance)
        if place.position < position or place.position + place.length > position + size:
            break
        at = place.position - position
        memcpy(&h, data + at, HEADER_BYTES)
        if not flog_frame_valid(log.seed, data + at, place.length) or h.instance != instance:
            if place.position < log.disk.vouched:
                return instance
            break
        out = log_head(log, LEARN, h.number)
        out.instance = instance
        if not log_send(log, want.peer, 1, &out, data + at + HEADER_BYTES, place.length - HEADER_BYTES):
            break
        instance += 1
    log_fetched(log, want.peer, instance)
    return 0


cdef void log_on_learn(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    # Takes a chosen entry if the disk keeps up, and has room.
    if not log_no_room(log, h, data + HEADER_BYTES) and log_learn(log, peer, h, data):
        log.fetch_at = log.now
        log.fetch_skip = 0
        log_settle(log)


cdef void log_on_fetched(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    if peer != log.fetch_peer:
        return
    log.fetch_peer = 0
    if h.instance == log.fetch_first:
        log.fetch_skip += 1  # it has nothing, or can't read it: who is asked at once could only say so again
    elif h.mark > log.machines.acceptor.chosen and h.instance == log.machines.acceptor.chosen + 1:
        log_fetch(log, peer)
