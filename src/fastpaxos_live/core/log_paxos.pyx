# The fault-tolerant log: acceptor and coordinator joined with frames, the disk, catch-up. reference/log_paxos.py has
# the words. The layer above is reached by the function pointers of Host only.

cdef enum:
    RESEND_MAX = 32        # entries sent again for one WHERE

cdef struct LogEntry:         # what is accepted (or learned) at an instance
    uint64_t instance
    uint64_t number
    uint64_t sent
    uint64_t position      # of its frame in the log
    uint32_t length
    Buf value

cdef struct Held:          # an answer that waits until a group is durable
    uint64_t group
    uint32_t peer
    uint32_t type
    uint64_t number
    uint64_t instance
    uint64_t sent

cdef struct Link:          # one channel to a peer
    bint up
    Buf input
    Buf output

cdef struct Place:         # of the frame of an applied instance
    uint64_t position
    uint64_t length

cdef struct Offer:         # what promises say about an instance
    uint64_t instance      # 0: nothing
    uint64_t number
    Buf value

cdef struct Promised:      # a promise as it was announced
    bint here
    uint64_t mark
    uint64_t high

cdef struct Settings:
    uint64_t cell_id
    uint32_t replica
    uint32_t replicas
    uint32_t incarnation
    uint64_t seed
    uint64_t lease_us
    uint64_t lease_master_us
    uint64_t beat_us
    uint64_t election_us
    uint32_t window
    uint64_t batch_bytes
    uint64_t value_bytes_max
    uint64_t wait_master_us
    uint64_t write_timeout_us
    int redirect

cdef struct Host:
    void *self
    void (*deliver)(void *self, uint64_t instance, const char *value, size_t size) noexcept nogil
    void (*on_frame)(void *self, uint32_t peer, const Head *h, const char *payload, size_t size) noexcept nogil
    void (*on_role)(void *self) noexcept nogil
    void (*on_opening)(void *self, uint64_t *walls, uint32_t count) noexcept nogil
    void (*gap_value)(void *self, const Buf *before, Buf *value) noexcept nogil
    void (*epoch_value)(void *self, uint64_t number, Buf *value) noexcept nogil

cdef struct Log:
    Settings *settings
    Host host
    uint64_t random        # state of the generator
    uint64_t seed
    uint32_t me
    uint32_t replicas
    Acceptor acceptor
    Coordinator coordinator
    LogDisk disk
    Link links[REPLICAS_MAX + 1][2]
    LogEntry slots[SLOTS]
    Buf index              # of Place, by applied instance
    uint64_t applied
    Buf held               # of Held
    Buf scratch            # one frame
    uint64_t now
    uint64_t wall
    uint64_t jitter
    uint64_t beat_at
    uint64_t where_at
    uint64_t where_instance
    uint64_t resend_at[REPLICAS_MAX + 1]
    bint dummy             # a follower waits to be taken into this reign: propose something
    uint32_t fetch_peer    # catch-up from this one is under way ...
    uint64_t fetch_at      # ... and has shown progress then
    Buf reads              # of Place: disk reads wanted
    Buf serving            # of Held (peer, instance): for each read not yet answered
    Offer offers[SLOTS]
    uint64_t got[REPLICAS_MAX + 1][SLOTS]
    Promised promises[REPLICAS_MAX + 1]
    uint64_t walls[REPLICAS_MAX]
    uint32_t walls_count


cdef uint64_t log_random(Log *log, uint64_t below) noexcept nogil:
    # SplitMix64: all randomness of a replica.
    cdef uint64_t z
    log.random += 0x9E3779B97F4A7C15ULL
    z = log.random
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    z ^= z >> 31
    return z % below if below else 0


cdef void log_init(Log *log, Settings *settings) noexcept nogil:
    cdef Coordinator *c = &log.coordinator
    log.settings = settings
    log.random = settings.seed
    log.seed = settings.cell_id
    log.me = c.me = settings.replica
    log.replicas = c.replicas = settings.replicas
    c.quorum = settings.replicas // 2 + 1
    c.incarnation = settings.incarnation
    c.lease_us = log.acceptor.lease_us = settings.lease_us
    c.lease_master_us = settings.lease_master_us
    c.beat_us = settings.beat_us
    log.acceptor.silent = True
    log.disk.seed = settings.cell_id
    log.disk.replica = settings.replica
    log.disk.incarnation = settings.incarnation
    log.disk.group = 1


cdef void log_free(Log *log) noexcept nogil:
    cdef uint32_t i
    for i in range(REPLICAS_MAX + 1):
        buf_free(&log.links[i][0].input)
        buf_free(&log.links[i][0].output)
        buf_free(&log.links[i][1].input)
        buf_free(&log.links[i][1].output)
    for i in range(SLOTS):
        buf_free(&log.slots[i].value)
        buf_free(&log.offers[i].value)
    disk_free(&log.disk)
    buf_free(&log.index)
    buf_free(&log.held)
    buf_free(&log.scratch)
    buf_free(&log.reads)
    buf_free(&log.serving)


# Replay.
cdef size_t log_replay(Log *log, const char *data, size_t size) noexcept nogil:
    cdef size_t at = 0, cursor, end
    cdef GroupHead g
    cdef Head h
    while disk_parse(&log.disk, data + at, size - at, &g):
        cursor = at + HEADER_BYTES
        end = cursor + g.size
        while cursor < end:
            memcpy(&h, data + cursor, HEADER_BYTES)
            log_replay_frame(log, g.position + cursor - at, &h, data + cursor)
            cursor += h.length
        acceptor_replay_promised(&log.acceptor, g.promised)
        acceptor_replay_chosen(&log.acceptor, g.chosen)
        log_deliver(log)
        disk_replayed(&log.disk, g.length)
        at += g.length
    return at


cdef void log_replay_frame(Log *log, uint64_t position, const Head *h, const char *data) noexcept nogil:
    # An entry was only taken within SLOTS of the chosen mark, a learned one only next to it.
    cdef uint64_t behind
    if h.type == PROMISED:
        acceptor_replay_promised(&log.acceptor, h.number)
        return
    behind = 1 if h.type == LEARN else SLOTS
    acceptor_replay_chosen(&log.acceptor, h.instance - behind if h.instance > behind else 0)
    log_deliver(log)
    log_store(log, position, h, data + HEADER_BYTES)
    if h.type == LEARN:
        acceptor_on_learn(&log.acceptor, h.instance)
        log_deliver(log)
    else:
        acceptor_replay_accept(&log.acceptor, h.number, h.instance)


cdef void log_start(Log *log, uint64_t now, uint64_t wall) noexcept nogil:
    log.now = now
    log.wall = wall
    acceptor_restart(&log.acceptor, now)
    log.jitter = log_random(log, log.settings.election_us)


# Frames out.
cdef inline Head log_head(Log *log, uint8_t type, uint64_t number) noexcept nogil:
    cdef Head h
    memset(&h, 0, sizeof(h))
    h.type = type
    h.sender = <uint8_t>log.me
    h.incarnation = <uint16_t>log.coordinator.incarnation
    h.number = number
    return h


cdef bint log_send_bytes(Log *log, uint32_t peer, uint32_t channel, const char *frame, size_t length) noexcept nogil:
    # Queues a frame; one that finds the channel closed or full is lost, which the protocol stands.
    cdef Link *link = &log.links[peer][channel]
    cdef size_t waiting = buf_size(&link.output)
    if not link.up or (waiting and waiting + length > CHANNEL_BYTES_MAX):
        return False
    buf_add(&link.output, frame, length)
    return True


cdef bint log_send(
    Log *log, uint32_t peer, uint32_t channel, Head *h, const char *payload, size_t size
) noexcept nogil:
    cdef Link *link = &log.links[peer][channel]
    cdef size_t waiting = buf_size(&link.output)
    if not link.up or (waiting and waiting + HEADER_BYTES + size > CHANNEL_BYTES_MAX):
        return False
    flog_frame_add(&link.output, log.seed, h, payload, size)
    return True


cdef void log_send_all(Log *log, Head *h) noexcept nogil:
    cdef uint32_t peer
    for peer in range(1, log.replicas + 1):
        if peer != log.me:
            log_send(log, peer, 0, h, NULL, 0)


cdef void log_hold(
    Log *log, uint32_t peer, uint32_t type, uint64_t number, uint64_t instance, uint64_t sent
) noexcept nogil:
    cdef Held held
    held.group = disk_frontier(&log.disk)
    held.peer = peer
    held.type = type
    held.number = number
    held.instance = instance
    held.sent = sent
    if held.group <= log.disk.durable_group:
        log_release(log, &held)
    else:
        buf_add(&log.held, &held, sizeof(Held))


cdef void log_durable(Log *log, uint64_t position) noexcept nogil:
    # The disk reached this position: answers that waited for it leave; of a run of ACKs only the last.
    cdef Held held
    cdef Held *after
    cdef uint64_t done
    if not disk_durable(&log.disk, position):
        return
    done = log.disk.durable_group
    while buf_size(&log.held):
        memcpy(&held, log.held.data + log.held.start, sizeof(Held))
        if held.group > done:
            return
        buf_take(&log.held, sizeof(Held))
        if held.type == ACK and buf_size(&log.held):
            after = <Held *>(log.held.data + log.held.start)
            if (
                after.group <= done and after.peer == held.peer and after.type == ACK
                and after.number == held.number
            ):
                continue
        log_release(log, &held)


cdef void log_release(Log *log, const Held *held) noexcept nogil:
    cdef Head h
    if held.type == ACK:
        if held.peer == log.me:
            coordinator_on_ack(&log.coordinator, log.me, held.number, held.instance, held.sent)
            log_commit(log)
        else:
            h = log_head(log, ACK, held.number)
            h.instance = held.instance
            h.mark = log.acceptor.chosen
            h.sent = held.sent
            log_send(log, held.peer, 0, &h, NULL, 0)
    elif log.acceptor.promised == held.number:
        if held.peer == log.me:
            log_own_promise(log, held.number)
        else:
            log_send_promise(log, held.peer, held.number)


cdef void log_send_promise(Log *log, uint32_t peer, uint64_t number) noexcept nogil:
    cdef uint64_t high = u64_max(log.acceptor.high, log.acceptor.chosen)
    cdef uint64_t instance = log.acceptor.chosen + 1
    cdef LogEntry *e
    cdef Head h
    while instance <= high:
        e = log_entry(log, instance)
        h = log_head(log, ENTRY, number)
        h.instance = instance
        h.extra = e.number
        log_send(log, peer, 0, &h, e.value.data + e.value.start, buf_size(&e.value))
        instance += 1
    h = log_head(log, PROMISE, number)
    h.instance = high
    h.mark = log.acceptor.chosen
    h.extra = log.wall
    log_send(log, peer, 0, &h, NULL, 0)


# Entries.
cdef inline LogEntry *log_entry(Log *log, uint64_t instance) noexcept nogil:
    cdef LogEntry *e = &log.slots[instance % SLOTS]
    expect(e.instance == instance, b"an entry that must be here is not")
    return e


cdef void log_store(Log *log, uint64_t position, const Head *h, const char *value) noexcept nogil:
    cdef LogEntry *e = &log.slots[h.instance % SLOTS]
    cdef size_t size = h.length - HEADER_BYTES
    e.instance = h.instance
    e.number = h.number
    e.sent = h.sent
    e.position = position
    e.length = h.length
    if size <= BATCH_BYTES:
        buf_trim(&e.value, 2 * BATCH_BYTES)
    else:
        buf_clear(&e.value)
    buf_add(&e.value, value, size)


cdef void log_deliver(Log *log) noexcept nogil:
    cdef LogEntry *e
    cdef Place place
    while log.applied < log.acceptor.chosen:
        log.applied += 1
        e = log_entry(log, log.applied)
        place.position = e.position
        place.length = e.length
        buf_add(&log.index, &place, sizeof(Place))
        log.host.deliver(log.host.self, log.applied, e.value.data + e.value.start, buf_size(&e.value))
    if coordinator_on_applied(&log.coordinator, log.applied) == SERVE_ROW:
        log.host.on_role(log.host.self)


cdef void log_commit(Log *log) noexcept nogil:
    cdef uint64_t committed = coordinator_committed(&log.coordinator)
    if committed > log.acceptor.chosen:
        acceptor_on_chosen(&log.acceptor, committed)
        log_deliver(log)


# Proposing.
cdef uint32_t log_in_flight(Log *log, uint64_t *size) noexcept nogil:
    # Instances proposed and not known chosen, and the bytes of their values.
    cdef uint64_t instance = log.acceptor.chosen + 1
    cdef uint32_t count = 0
    size[0] = 0
    while instance <= log.coordinator.proposed:
        size[0] += buf_size(&log_entry(log, instance).value)
        count += 1
        instance += 1
    return count


cdef void log_propose(Log *log, Buf *value) noexcept nogil:
    # Proposes a value at the next instance (OPENING or SERVING only). Takes the bytes; `value` is empty afterwards.
    cdef Coordinator *c = &log.coordinator
    cdef uint64_t instance = c.proposed + 1
    cdef LogEntry *e = &log.slots[instance % SLOTS]
    cdef Head h = log_head(log, ACCEPT, c.number)
    cdef Buf swap
    cdef const char *frame
    cdef uint32_t peer
    h.instance = instance
    h.mark = log.acceptor.chosen
    h.sent = log.now
    expect(
        acceptor_on_accept(&log.acceptor, log.me, c.number, instance, h.mark, log.now) == ACCEPT_ROW,
        b"the master's own acceptor did not take its proposal")
    c.proposed = instance
    flog_frame_add(&log.scratch, log.seed, &h, value.data + value.start, buf_size(value))
    frame = log.scratch.data + log.scratch.start
    e.instance = instance
    e.number = c.number
    e.sent = log.now
    e.position = disk_append(&log.disk, frame, h.length)
    e.length = h.length
    swap = e.value
    e.value = value[0]
    value[0] = swap
    buf_trim(value, 2 * BATCH_BYTES)
    for peer in range(1, log.replicas + 1):
        if peer != log.me:
            log_send_bytes(log, peer, 0, frame, h.length)
    buf_trim(&log.scratch, 2 * BATCH_BYTES)
    log_hold(log, log.me, ACK, c.number, instance, log.now)


# Turn.
cdef void log_tick(Log *log) noexcept nogil:
    # Timers, at the time `now`.
    cdef Acceptor *a = &log.acceptor
    cdef Coordinator *c = &log.coordinator
    cdef int before, row
    acceptor_on_tick(a, log.now)
    before = c.state
    row = coordinator_on_tick(c, log.now, log_granted_until(log), log.jitter, a.promised)
    if row == SUSPECT_ROW:
        log.jitter = log_random(log, log.settings.election_us)
        log_ask(log)
    elif row == AGAIN_ROW:
        log_propose_all(log)
    elif row == GIVE_UP_ROW:
        log.jitter = log_random(log, log.settings.election_us)
        if before >= OPENING:
            log.host.on_role(log.host.self)
    if c.state >= OPENING:
        log_propose_epoch(log)
        if log.now >= log.beat_at:
            log_beat(log)
    elif c.state == RECOVERING:
        log_recover(log)


cdef uint64_t log_granted_until(Log *log) noexcept nogil:
    # A grant to oneself doesn't keep from trying again.
    cdef Acceptor *a = &log.acceptor
    return u64_max(a.quiet, a.until if a.master != log.me else 0)


cdef uint64_t log_wakeup(Log *log) noexcept nogil:
    cdef Coordinator *c = &log.coordinator
    if c.state == FOLLOWER:
        return u64_max(log_granted_until(log), c.retry) + log.jitter
    if c.state >= OPENING:
        return log.beat_at
    return u64_min(c.deadline, c.resend if c.state == PREPARING else log.now + log.settings.beat_us)


cdef void log_beat(Log *log) noexcept nogil:
    # A heartbeat: never logged, answered from memory, so that a slow disk costs no lease.
    cdef Coordinator *c = &log.coordinator
    cdef Head h = log_head(log, BEAT, c.number)
    log.beat_at = log.now + log.settings.beat_us
    acceptor_on_beat(&log.acceptor, log.me, c.number, log.acceptor.chosen, log.now)
    h.instance = c.proposed
    h.mark = log.acceptor.chosen
    h.sent = log.now
    log_send_all(log, &h)


# Election.
cdef void log_ask(Log *log) noexcept nogil:
    cdef uint64_t number = log.coordinator.number
    cdef Head h = log_head(log, ASK, number)
    h.mark = log.acceptor.chosen
    log_send_all(log, &h)
    log_answered(
        log, log.me, number, acceptor_on_ask(&log.acceptor, log.me, number, log.now) == WOULD_ROW,
        log.acceptor.chosen)


cdef void log_answered(Log *log, uint32_t peer, uint64_t number, bint yes, uint64_t mark) noexcept nogil:
    cdef Acceptor *a = &log.acceptor
    cdef Coordinator *c = &log.coordinator
    cdef Head h
    cdef uint32_t i
    cdef int row = coordinator_on_answer(c, peer, number, yes, mark, a.chosen, log.now)
    if row == BEHIND_ROW:
        log_fetch(log, coordinator_with_mark(c, coordinator_highest_mark(c)))
    elif row == ASKED_ROW:
        for i in range(SLOTS):
            log.offers[i].instance = 0
        memset(log.got, 0, sizeof(log.got))
        memset(log.promises, 0, sizeof(log.promises))
        log.walls_count = 0
        if acceptor_on_propose(a, log.me, number, log.now) == PROMISE_ROW:
            h = log_head(log, PROMISED, number)
            log_append_head(log, &h)
            log_hold(log, log.me, PROMISE, number, 0, 0)
        else:
            coordinator_on_refuse(c, number, a.promised, log.now)


cdef void log_append_head(Log *log, Head *h) noexcept nogil:
    # A log record without payload.
    flog_frame_add(&log.scratch, log.seed, h, NULL, 0)
    disk_append(&log.disk, log.scratch.data + log.scratch.start, h.length)
    buf_clear(&log.scratch)


cdef void log_propose_all(Log *log) noexcept nogil:
    cdef Head h = log_head(log, PROPOSE, log.coordinator.number)
    h.mark = log.acceptor.chosen
    log_send_all(log, &h)


cdef void log_own_promise(Log *log, uint64_t number) noexcept nogil:
    cdef uint64_t instance
    cdef LogEntry *e
    if coordinator_on_own_promise(&log.coordinator, number, log.now) != PREPARE_ROW:
        return
    log_propose_all(log)
    instance = log.acceptor.chosen + 1
    while instance <= log.acceptor.high:
        e = log_entry(log, instance)
        log_offer(log, log.me, instance, e.number, e.value.data + e.value.start, buf_size(&e.value))
        instance += 1
    log_promise(log, log.me, log.acceptor.chosen, log.acceptor.high, log.wall)


cdef void log_offer(
    Log *log, uint32_t peer, uint64_t instance, uint64_t number, const char *value, size_t size
) noexcept nogil:
    # The value of the highest number wins, instance by instance.
    cdef Offer *o = &log.offers[instance % SLOTS]
    if instance <= log.acceptor.chosen or instance > log.acceptor.chosen + SLOTS:
        return
    log.got[peer][instance % SLOTS] = instance
    if o.instance != instance or o.number < number:
        o.instance = instance
        o.number = number
        buf_clear(&o.value)
        buf_add(&o.value, value, size)


cdef void log_promise(Log *log, uint32_t peer, uint64_t mark, uint64_t high, uint64_t wall) noexcept nogil:
    if not log.promises[peer].here:
        log.walls[log.walls_count] = wall
        log.walls_count += 1
    log.promises[peer].here = True
    log.promises[peer].mark = mark
    log.promises[peer].high = high
    log_count(log, peer)


cdef void log_count(Log *log, uint32_t peer) noexcept nogil:
    # A promise counts once all its entries are here.
    cdef Promised *p = &log.promises[peer]
    cdef uint64_t instance
    if not p.here:
        return
    instance = u64_max(p.mark, log.acceptor.chosen) + 1
    while instance <= p.high:
        if log.got[peer][instance % SLOTS] != instance:
            return
        instance += 1
    if coordinator_on_promise(
        &log.coordinator, peer, log.coordinator.number, p.mark, log.now
    ) == ELECTED_ROW:
        log_recover(log)


cdef void log_recover(Log *log) noexcept nogil:
    cdef Coordinator *c = &log.coordinator
    if coordinator_on_chosen(c, log.acceptor.chosen, log.now) == OPEN_ROW:
        log_open(log)
    elif c.state == RECOVERING:
        log_fetch(log, coordinator_with_mark(c, c.target))


cdef void log_open(Log *log) noexcept nogil:
    # Proposes everything open again, values unchanged, no-ops in the gaps, then the epoch instance.
    cdef uint64_t first = log.acceptor.chosen + 1, last = 0, instance
    cdef uint32_t i
    cdef Buf *before = NULL
    cdef Offer *o
    cdef Buf value
    memset(&value, 0, sizeof(value))
    log.host.on_opening(log.host.self, log.walls, log.walls_count)
    log.dummy = False
    for i in range(SLOTS):
        last = u64_max(last, log.offers[i].instance)
    instance = first
    while instance <= last:
        o = &log.offers[instance % SLOTS]
        if o.instance == instance:
            buf_add(&value, o.value.data + o.value.start, buf_size(&o.value))
        else:
            log.host.gap_value(log.host.self, before, &value)
        log_propose(log, &value)
        before = &log.slots[instance % SLOTS].value
        instance += 1
    buf_free(&value)
    for i in range(SLOTS):
        log.offers[i].instance = 0
        buf_trim(&log.offers[i].value, 0)
    log_propose_epoch(log)
    log_beat(log)
    log.host.on_role(log.host.self)


cdef void log_propose_epoch(Log *log) noexcept nogil:
    # Waits while so many entries are open that it would not fit beside them.
    cdef Coordinator *c = &log.coordinator
    cdef Buf value
    if c.epoch_instance or c.proposed - log.acceptor.chosen >= SLOTS // 2:
        return
    memset(&value, 0, sizeof(value))
    c.epoch_instance = c.proposed + 1
    log.host.epoch_value(log.host.self, c.number, &value)
    log_propose(log, &value)
    buf_free(&value)


cdef void log_foreign(Log *log, bint granted) noexcept nogil:
    cdef int before = log.coordinator.state
    if (
        coordinator_on_foreign(&log.coordinator, log.acceptor.promised, granted, log.now) == SUPERSEDED_ROW
        and before >= OPENING
    ):
        log.host.on_role(log.host.self)


# Frames in.
cdef bint log_feed(Log *log, uint32_t peer, uint32_t channel) noexcept nogil:
    # Handles the whole frames in a link's input. False: the bytes are no frames of this peer.
    cdef Link *link = &log.links[peer][channel]
    cdef const char *data
    cdef int64_t n
    cdef Head h
    while link.up:
        data = link.input.data + link.input.start
        n = flog_frame_length(log.seed, data, buf_size(&link.input))
        if n < 0:
            return False
        if n == 0 or <size_t>n > buf_size(&link.input):
            break
        memcpy(&h, data, HEADER_BYTES)
        if not flog_frame_valid(log.seed, data, <size_t>n) or h.sender != peer:
            return False
        if h.incarnation == log.coordinator.incarnation:
            if (h.type == ACCEPT or h.type == LEARN or h.type == ENTRY) and n < HEADER_BYTES + VALUE_BYTES:
                return False
            log_on_frame(log, peer, &h, data)
        buf_take(&link.input, <size_t>n)
    return True


cdef void log_on_frame(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    cdef Coordinator *c = &log.coordinator
    cdef Head out
    cdef int before
    if h.type == ACCEPT:
        log_on_accept(log, peer, h, data)
    elif h.type == ACK:
        coordinator_on_ack(c, peer, h.number, h.instance, h.sent)
        log_commit(log)
    elif h.type == BEAT:
        log_on_beat(log, peer, h)
    elif h.type == ECHO:
        coordinator_on_echo(c, peer, h.number, h.sent)
    elif h.type == WHERE:
        log_on_where(log, peer, h)
    elif h.type == ASK:
        out = log_head(log, ANSWER, h.number)
        out.flags = acceptor_on_ask(&log.acceptor, peer, h.number, log.now) == WOULD_ROW
        out.mark = log.acceptor.chosen
        out.extra = log.acceptor.promised
        log_send(log, peer, 0, &out, NULL, 0)
    elif h.type == ANSWER:
        c.seen = u64_max(c.seen, h.extra)
        log_answered(log, peer, h.number, h.flags != 0, h.mark)
    elif h.type == PROPOSE:
        log_on_propose(log, peer, h)
    elif h.type == ENTRY:
        if c.state == PREPARING and h.number == c.number:
            log_offer(log, peer, h.instance, h.extra, data + HEADER_BYTES, h.length - HEADER_BYTES)
            log_count(log, peer)
    elif h.type == PROMISE:
        if c.state == PREPARING and h.number == c.number:
            log_promise(log, peer, h.mark, h.instance, h.extra)
    elif h.type == REFUSE:
        before = c.state
        if coordinator_on_refuse(c, h.number, h.extra, log.now) == REFUSED_ROW and before >= OPENING:
            log.host.on_role(log.host.self)
    elif h.type == FETCH:
        log_on_fetch(log, peer, h.instance)
    elif h.type == LEARN:
        log_on_learn(log, h, data)
    elif h.type == FETCHED:
        log_on_fetched(log, peer, h)
    else:
        log.host.on_frame(log.host.self, peer, h, data + HEADER_BYTES, h.length - HEADER_BYTES)


cdef void log_on_propose(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    cdef Head out
    cdef int row = acceptor_on_propose(&log.acceptor, peer, h.number, log.now)
    if row == PROMISE_ROW:
        out = log_head(log, PROMISED, h.number)
        log_append_head(log, &out)
        log_foreign(log, False)
        log_hold(log, peer, PROMISE, h.number, 0, 0)
    elif row == PROMISE_AGAIN_ROW:
        log_hold(log, peer, PROMISE, h.number, 0, 0)
    else:
        log_refuse(log, peer, h.number)


cdef void log_refuse(Log *log, uint32_t peer, uint64_t number) noexcept nogil:
    cdef Head h = log_head(log, REFUSE, number)
    h.mark = log.acceptor.chosen
    h.extra = log.acceptor.promised
    log_send(log, peer, 0, &h, NULL, 0)


cdef void log_on_accept(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    cdef Acceptor *a = &log.acceptor
    cdef int row
    if h.instance > a.chosen + SLOTS or disk_backlog(&log.disk) > 2 * DISK_BYTES_HIGH:
        log_behind(log, peer, h)   # as if the frame had been lost: the disk or catch-up is not so far yet
        return
    row = acceptor_on_accept(a, peer, h.number, h.instance, h.mark, log.now)
    if row == REFUSE_ROW:
        log_refuse(log, peer, h.number)
        return
    if row == ACCEPT_ROW:
        log_store(log, disk_append(&log.disk, data, h.length), h, data + HEADER_BYTES)
    if row == ACCEPT_ROW or row == REPEAT_ROW:
        log_foreign(log, True)
        log_deliver(log)
        log_hold(log, peer, ACK, h.number, a.last, h.sent)
    else:
        log_where(log, peer, h.number)
    log_behind(log, peer, h)


cdef void log_on_beat(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    cdef Acceptor *a = &log.acceptor
    cdef Head out
    cdef bint entered
    cdef int row = acceptor_on_beat(a, peer, h.number, h.mark, log.now)
    if row == REFUSE_ROW:
        log_refuse(log, peer, h.number)
        return
    if row == RENEW_ROW:
        log_foreign(log, True)
        log_deliver(log)
        entered = h.number == a.reign
        out = log_head(log, ECHO, h.number)
        out.instance = a.last if entered else 0
        out.mark = a.chosen
        out.sent = h.sent
        log_send(log, peer, 0, &out, NULL, 0)
        if entered and a.last > h.mark:
            log_hold(log, peer, ACK, h.number, a.last, h.sent)   # an earlier one may have been lost
        if h.instance > (a.last if entered else a.chosen):
            log_where(log, peer, h.number)
    else:
        log_where(log, peer, h.number)
    log_behind(log, peer, h)


cdef void log_where(Log *log, uint32_t peer, uint64_t number) noexcept nogil:
    cdef uint64_t wanted = acceptor_next_instance(&log.acceptor, number)
    cdef Head h
    if wanted == log.where_instance and log.now < log.where_at:
        return
    log.where_instance = wanted
    log.where_at = log.now + log.settings.beat_us // 4
    h = log_head(log, WHERE, number)
    h.instance = wanted
    h.mark = log.acceptor.chosen
    h.extra = log.acceptor.promised
    log_send(log, peer, 0, &h, NULL, 0)


cdef void log_on_where(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    cdef Coordinator *c = &log.coordinator
    cdef uint64_t instance
    cdef LogEntry *e
    cdef Head out
    if c.state < OPENING or h.number != c.number:
        return
    if h.instance > c.proposed:
        log.dummy = True
        return
    if log.slots[h.instance % SLOTS].instance != h.instance or log.now < log.resend_at[peer]:
        return
    log.resend_at[peer] = log.now + log.settings.beat_us // 4
    instance = h.instance
    while instance < h.instance + RESEND_MAX and instance <= c.proposed:
        e = log_entry(log, instance)
        if e.number != c.number:
            return   # not of this reign: the follower fetches it
        out = log_head(log, ACCEPT, e.number)
        out.instance = instance
        out.mark = log.acceptor.chosen
        out.sent = e.sent
        log_send(log, peer, 0, &out, e.value.data + e.value.start, buf_size(&e.value))
        instance += 1
