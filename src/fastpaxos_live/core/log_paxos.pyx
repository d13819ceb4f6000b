# The fault-tolerant log: the protocol's machines joined with frames, the disk, catch-up. reference/log_paxos.py has
# the words. The layer above is reached by the function pointers of Host only.

cdef enum:
    RESENDS = 4            # a candidate repeats its PROPOSE this many times within a lease

# Messages as frames, and back.
cdef uint8_t frame_of[MESSAGES]
cdef uint32_t message_of[256]
for _message, _frame in (
    (M_ASK, ASK), (M_ANSWER, ANSWER), (M_PROPOSE, PROPOSE), (M_ENTRY, ENTRY), (M_PROMISE, PROMISE),
    (M_REFUSE, REFUSE), (M_ACCEPT, ACCEPT), (M_ACK, ACK), (M_BEAT, BEAT), (M_ECHO, ECHO), (M_WHERE, WHERE),
    (M_LEARN, LEARN),
):
    frame_of[_message] = _frame
    message_of[_frame] = _message

cdef struct LogEntry:         # what is accepted (or learned) at an instance
    uint64_t instance
    uint64_t number
    uint64_t sent
    uint64_t position      # of its frame in the log
    uint32_t length
    Buf value

cdef struct Held:          # a message that waits until a group is durable; `to` is the own id for the own machines
    uint64_t group
    uint32_t to
    Message message

cdef struct Wanted:        # entries that a peer asked for
    uint32_t peer
    uint64_t instance

cdef struct AtHand:        # the frame an event came with, or the value that is being proposed
    const char *data
    size_t length
    const char *value
    size_t size
    Buf *own               # the value's buffer, if it may be taken over
    uint64_t wall

cdef struct Transition:    # for whoever traces
    uint32_t row
    uint32_t type
    uint64_t now
    uint64_t before[SNAPSHOT]
    uint64_t after[SNAPSHOT]

cdef struct Link:          # one channel to a peer
    bint up
    Buf input
    Buf output

cdef struct Place:         # of the frame of an applied instance
    uint64_t position
    uint64_t length

cdef struct Settings:
    uint64_t cell_id
    uint64_t hash_seed
    uint32_t replica
    uint32_t replicas
    uint32_t incarnation
    uint64_t seed
    uint64_t lease_us
    uint64_t silence_us
    uint64_t lease_master_us
    uint64_t beat_us
    uint64_t boost_us
    uint64_t election_us
    uint32_t window
    uint64_t batch_bytes
    uint64_t value_bytes_max
    uint64_t wait_master_us
    uint64_t write_timeout_us
    uint64_t work_max
    uint64_t request_bytes_max
    uint64_t client_bytes_max
    uint64_t clients_bytes_max
    int redirect

cdef struct Host:
    void *self
    void (*deliver)(void *self, uint64_t instance, const char *value, size_t size) noexcept nogil
    bint (*is_sound)(void *self, const char *value, size_t size) noexcept nogil
    bint (*on_frame)(void *self, uint32_t peer, const Head *h, const char *payload, size_t size) noexcept nogil
    void (*on_role)(void *self) noexcept nogil
    void (*on_opening)(void *self, const uint64_t *walls, uint32_t count) noexcept nogil
    void (*gap_value)(void *self, const Buf *before, Buf *value) noexcept nogil
    void (*epoch_value)(void *self, uint64_t number, Buf *value) noexcept nogil

cdef struct Log:
    Settings *settings
    Host host
    uint64_t random        # state of the generator
    uint64_t seed
    uint32_t me
    uint32_t replicas
    Machines machines
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
    uint64_t highest       # instance in the log, at any number
    uint64_t writing_since                  # the group under way was handed to the disk then ...
    uint64_t writing_acked[REPLICAS_MAX + 1]   # ... and so far were the others
    uint64_t where_at
    uint64_t where_instance
    uint64_t resend_at[REPLICAS_MAX + 1]
    uint32_t incarnations[REPLICAS_MAX + 1]   # the newest that spoke, by replica
    bint served            # what the host was told last
    uint64_t lasting       # so long grants shall be allowed to last, by what is durable; 0: they are
    bint dummy             # a follower waits to be taken into this reign: propose something
    uint32_t fetch_peer    # catch-up from this one is under way ...
    uint64_t fetch_at      # ... and has shown progress then
    uint64_t fetch_first   # the first instance asked for
    uint32_t fetch_skip    # replicas asked in vain since the last progress
    Buf reads              # of Place: disk reads wanted
    Buf serving            # of Wanted: for each read not yet answered
    uint64_t offered[SLOTS]   # the instance of ...
    Buf offers[SLOTS]      # ... the values that promises brought in
    int64_t ahead[REPLICAS_MAX + 1]    # what the clocks of those that promised are ahead of the own boot time ...
    uint32_t walled        # ... and who these are, a bit each
    bint tracing
    Buf transitions        # of Transition
    void *watcher          # is told ...
    Applying applying      # ... when values are applied; NULL: nobody asks


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
    cdef Machines *s = &log.machines
    log.settings = settings
    log.random = settings.seed
    log.seed = settings.cell_id
    log.me = s.me = settings.replica
    log.replicas = s.replicas = settings.replicas
    s.host = log
    s.quorum = settings.replicas // 2 + 1
    s.lease = settings.lease_us
    s.silence = u64_max(settings.lease_us, settings.silence_us)
    s.master = settings.lease_master_us
    s.beat = settings.beat_us
    s.term = settings.boost_us
    s.resend = settings.lease_us // RESENDS
    s.courtesy = settings.lease_us // 2
    s.patience = 2 * settings.lease_us
    s.window = SLOTS
    s.room = SLOTS // 2
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
        buf_free(&log.offers[i])
    disk_free(&log.disk)
    buf_free(&log.index)
    buf_free(&log.held)
    buf_free(&log.scratch)
    buf_free(&log.reads)
    buf_free(&log.serving)
    buf_free(&log.transitions)


# What the machines ask of their host (spec/words.py).
cdef inline uint64_t host_high(Machines *s) noexcept nogil:
    return (<Log *>s.host).highest


cdef inline uint64_t host_accepted_at(Machines *s, uint64_t instance) noexcept nogil:
    cdef LogEntry *e = &(<Log *>s.host).slots[instance % SLOTS]
    return e.number if e.instance == instance else 0


cdef inline uint64_t host_sent_at(Machines *s, uint64_t instance) noexcept nogil:
    return log_entry(<Log *>s.host, instance).sent


cdef inline bint host_stalled(Machines *s) noexcept nogil:
    return log_stalled(<Log *>s.host)


cdef inline uint64_t host_above(Machines *s, uint64_t number) noexcept nogil:
    return ((number >> 24) + 1) << 24 | <uint64_t>s.me << 16 | (<Log *>s.host).settings.incarnation


cdef inline uint32_t host_owner(Machines *s, uint64_t number) noexcept nogil:
    return number >> 16 & 0xFF


# Events.
cdef int log_step(Log *log, const Message *m, const AtHand *at_hand) noexcept nogil:
    # Every machine takes the event, and what its row asks for is done. Returns the last row taken.
    cdef Out out
    cdef Transition t
    cdef uint32_t index, i
    cdef int row, last = IGNORED
    for index in range(MACHINES):
        if log.tracing:
            machines_snapshot(&log.machines, t.before)
        out.count = 0
        row = machines_step(index, &log.machines, m, &out)
        if row == IGNORED:
            continue
        last = row
        if log.tracing:
            t.row = row
            t.type = m.type
            t.now = log.now
            machines_snapshot(&log.machines, t.after)
            buf_add(&log.transitions, &t, sizeof(Transition))
            if buf_size(&log.transitions) > TRANSITIONS_MAX * sizeof(Transition):
                buf_take(&log.transitions, sizeof(Transition))
        log_took(log, row, m, at_hand)
        for i in range(out.count):
            log_do(log, &out.actions[i], at_hand)
    return last


cdef inline Message log_event(Log *log, uint32_t type) noexcept nogil:
    # An event of this replica itself.
    cdef Message m
    memset(&m, 0, sizeof(m))
    m.type = type
    m.sender = log.me
    m.now = log.now
    return m


cdef int log_happen(Log *log, uint32_t type) noexcept nogil:
    cdef Message m = log_event(log, type)
    return log_step(log, &m, NULL)


cdef void log_took(Log *log, int row, const Message *m, const AtHand *at_hand) noexcept nogil:
    cdef uint32_t slot
    if row == ROW_ELECTION_SUSPECT:
        log.jitter = log_random(log, log.settings.election_us)
    elif row == ROW_COORDINATOR_STAND:
        memset(log.offered, 0, sizeof(log.offered))
        for slot in range(SLOTS):
            buf_trim(&log.offers[slot], 0)
        log.walled = 0
    elif row == ROW_COORDINATOR_PROMISED or row == ROW_COORDINATOR_ELECTED:
        log_note_wall(log, m.sender, at_hand.wall)
    elif row == ROW_REIGN_BEGIN:
        log.dummy = False
        log_open(log)


cdef void log_note_wall(Log *log, uint32_t peer, uint64_t wall) noexcept nogil:
    cdef int64_t ahead = <int64_t>u64_min(wall, TIME_MS_MAX) - <int64_t>(log.now // 1000)
    if not (log.walled >> peer & 1) or log.ahead[peer] < ahead:   # on its way it only falls behind
        log.ahead[peer] = ahead
    log.walled |= 1 << peer


cdef void log_open(Log *log) noexcept nogil:
    # A mastership begins: the host is told the clocks of those that promised, as they are now.
    cdef uint64_t walls[REPLICAS_MAX]
    cdef uint32_t peer, count = 0
    for peer in range(1, REPLICAS_MAX + 1):
        if log.walled >> peer & 1:
            walls[count] = <uint64_t>(log.ahead[peer] + <int64_t>(log.now // 1000))
            count += 1
    log.host.on_opening(log.host.self, walls, count)


cdef void log_do(Log *log, const Action *action, const AtHand *at_hand) noexcept nogil:
    cdef const Message *m = &action.message
    cdef Head h
    cdef uint64_t slot = m.instance % SLOTS
    if action.kind == SEND:
        if action.after:
            log_hold(log, action.to, m)
        elif m.type == M_ACCEPT:
            log_send_accept(log, action.to, m, at_hand)
        else:
            log_send_message(log, action.to, m)
    elif action.kind == PERSIST:
        if m.type == M_LOGGED:
            h = log_head(log, PROMISED, m.number)
            flog_frame_add(&log.scratch, log.seed, &h, NULL, 0)
            disk_append(&log.disk, log.scratch.data + log.scratch.start, h.length)
            buf_clear(&log.scratch)
            log_hold(log, log.me, m)
        else:
            log_store(log, disk_append(&log.disk, at_hand.data, at_hand.length), m, at_hand)
    elif m.type == M_KEEP:
        log.offered[slot] = m.instance
        buf_clear(&log.offers[slot])
        buf_add(&log.offers[slot], at_hand.value, at_hand.size)
    elif m.type == M_FETCH:
        log_fetch(log, m.source)
    elif m.type == M_LASTING:
        log.lasting = m.span
    elif m.type == M_WANT:
        log.dummy = True


cdef void log_settle(Log *log) noexcept nogil:
    # Brings the layer above up to what the machines know by now.
    cdef LogEntry *e
    cdef Place place
    cdef Message m
    log_role(log)
    while log.applied < log.machines.acceptor.chosen:
        if log.applying != NULL:
            log.applying(log.watcher, True)
        while log.applied < log.machines.acceptor.chosen:
            log.applied += 1
            e = log_entry(log, log.applied)
            place.position = e.position
            place.length = e.length
            buf_add(&log.index, &place, sizeof(Place))
            log.host.deliver(log.host.self, log.applied, e.value.data + e.value.start, buf_size(&e.value))
            if buf_size(&e.value) > SLOT_BYTES_LARGE:
                log_forget(log)
        if log.applying != NULL:
            log.applying(log.watcher, False)
        if log_opening(log):   # nobody else waits for it
            m = log_event(log, M_APPLIED)
            m.instance = log.applied
            log_step(log, &m, NULL)
            log_happen(log, M_GO)
            log_role(log)


cdef inline void log_role(Log *log) noexcept nogil:
    if log_serving(log) != log.served:
        log.served = not log.served
        log.host.on_role(log.host.self)


cdef inline bint log_serving(Log *log) noexcept nogil:
    # Is this replica the master?
    return log.machines.reign.state == REIGN_SERVING


cdef inline bint log_may_propose(Log *log) noexcept nogil:
    # Does the master take values now? Not while it gives itself a higher number.
    return log_serving(log) and log.machines.boost.state == BOOST_IDLE


cdef inline bint log_candidate(Log *log) noexcept nogil:
    # Does this replica try to become master?
    cdef Machines *s = &log.machines
    return s.election.state != ELECTION_RESTING or s.coordinator.state != COORDINATOR_IDLE or log_opening(log)


cdef inline bint log_opening(Log *log) noexcept nogil:
    # Was this replica elected, and takes over now?
    return log.machines.coordinator.state == COORDINATOR_RECOVERING or log.machines.reign.state == REIGN_OPENING


# Replay.
cdef size_t log_replay(Log *log, const char *data, size_t size) noexcept nogil:
    cdef size_t at = 0, cursor, end
    cdef GroupHead g
    cdef Head h
    while disk_parse(&log.disk, data + at, size - at, &g):
        cursor = at + HEADER_BYTES
        end = cursor + g.size
        if not log_group_is_sound(log, data + cursor, g.size, g.chosen):
            break
        while cursor < end:
            memcpy(&h, data + cursor, HEADER_BYTES)
            log_replay_frame(log, g.position + cursor - at, &h, data + cursor)
            cursor += h.length
        log_recall(log, g.promised, 0, g.chosen)
        disk_replayed(&log.disk, g.length)
        at += g.length
    return at


cdef void log_recall(Log *log, uint64_t number, uint64_t instance, uint64_t mark) noexcept nogil:
    cdef Message m = log_event(log, M_RECORD)
    m.number = number
    m.instance = instance
    m.mark = mark
    log_remember(log, &m)


cdef void log_remember(Log *log, const Message *m) noexcept nogil:
    # What the row asks for was done before: it is in the log.
    cdef Out out
    out.count = 0
    acceptor_step(&log.machines, m, &out)
    log_settle(log)


cdef void log_replay_frame(Log *log, uint64_t position, const Head *h, const char *data) noexcept nogil:
    cdef AtHand at_hand
    cdef Message m
    if h.type == PROMISED:
        log_recall(log, h.number, 0, 0)
        return
    log_recall(log, 0, 0, log_known_before(h))
    at_hand = log_at_hand(h, data)
    m = log_message(log, log.me, h)
    log_store(log, position, &m, &at_hand)
    if h.type == LEARN:
        log_remember(log, &m)
    else:
        log_recall(log, h.number, h.instance, 0)


cdef void log_start(Log *log, uint64_t now, uint64_t wall) noexcept nogil:
    log.now = now
    log.wall = wall
    log.jitter = log_random(log, log.settings.election_us)
    log_happen(log, M_START)


cdef void log_span_kept(Log *log, uint64_t span) noexcept nogil:
    cdef Message m = log_event(log, M_KEPT)
    if span == log.lasting:
        log.lasting = 0
        m.span = span
        log_step(log, &m, NULL)


# Frames out.
cdef inline Head log_head(Log *log, uint8_t type, uint64_t number) noexcept nogil:
    cdef Head h
    memset(&h, 0, sizeof(h))
    h.type = type
    h.sender = <uint8_t>log.me
    h.incarnation = <uint16_t>log.settings.incarnation
    h.number = number
    return h


cdef inline bint log_has_room(size_t waiting, size_t length) noexcept nogil:
    # May a frame of that length be queued behind so many bytes? Bulk, be it one frame as long as can be, must not keep
    # out what is short: a promise whose last entry never fits behind the others is never given.
    if length <= SHORT_BYTES:
        return waiting < FRAME_BYTES_MAX + CHANNEL_RESERVE + CHANNEL_RESERVE * (length == HEADER_BYTES)
    return waiting < CHANNEL_RESERVE or waiting + length <= CHANNEL_BYTES_MAX


cdef bint log_send_bytes(Log *log, uint32_t peer, uint32_t channel, const char *frame, size_t length) noexcept nogil:
    # Queues a frame; one that finds the channel closed or full is lost, which the protocol stands.
    cdef Link *link = &log.links[peer][channel]
    if not link.up or not log_has_room(buf_size(&link.output), length):
        return False
    buf_add(&link.output, frame, length)
    return True


cdef bint log_send(
    Log *log, uint32_t peer, uint32_t channel, Head *h, const char *payload, size_t size
) noexcept nogil:
    cdef Link *link = &log.links[peer][channel]
    if not link.up or not log_has_room(buf_size(&link.output), HEADER_BYTES + size):
        return False
    flog_frame_add(&link.output, log.seed, h, payload, size)
    return True


cdef inline bint log_goes_to(Log *log, uint32_t peer, uint32_t to) noexcept nogil:
    return peer != log.me and (to >= ALL or peer == to)


cdef void log_send_message(Log *log, uint32_t to, const Message *m) noexcept nogil:
    # Sends a message; one to the own machines is taken at once, before any that goes out.
    cdef AtHand own
    cdef Head h
    cdef uint32_t peer
    if m.type == M_WHERE and not log_may_ask_where(log, m.instance):
        return
    if m.type == M_PROMISE:
        log_send_entries(log, to, m)
    if to == log.me or to == ALL:
        memset(&own, 0, sizeof(own))
        own.wall = log.wall
        log_step(log, m, &own)
    if not frame_of[m.type]:
        return
    h = log_head(log, frame_of[m.type], m.number)
    h.instance = m.high if m.high else m.instance
    h.mark = m.mark
    h.sent = m.sent
    h.extra = log.wall if m.type == M_PROMISE else m.span if m.type == M_BEAT else m.promised
    h.flags = m.yes
    for peer in range(1, log.replicas + 1):
        if log_goes_to(log, peer, to):
            log_send(log, peer, 0, &h, NULL, 0)


cdef bint log_may_ask_where(Log *log, uint64_t instance) noexcept nogil:
    cdef bint full = disk_full(&log.disk, BATCH_BYTES)
    if (full or instance == log.where_instance) and log.now < log.where_at:
        return False
    log.where_instance = instance
    log.where_at = log.now + (4 * log.settings.beat_us if full else log.settings.beat_us // 4)
    return True


cdef void log_send_entries(Log *log, uint32_t to, const Message *promise) noexcept nogil:
    # All above the chosen mark, in order, before the promise that counts them.
    cdef uint64_t instance = promise.mark + 1
    cdef LogEntry *e
    cdef Message m
    cdef AtHand at_hand
    cdef Head h
    while instance <= promise.high:
        e = log_entry(log, instance)
        if to == log.me:
            m = log_event(log, M_ENTRY)
            m.number = promise.number
            m.mark = promise.mark
            m.instance = instance
            m.accepted = e.number
            memset(&at_hand, 0, sizeof(at_hand))
            at_hand.value = e.value.data + e.value.start
            at_hand.size = buf_size(&e.value)
            log_step(log, &m, &at_hand)
        else:
            h = log_head(log, ENTRY, promise.number)
            h.instance = instance
            h.mark = promise.mark
            h.extra = e.number
            log_send(log, to, 0, &h, e.value.data + e.value.start, buf_size(&e.value))
        instance += 1


cdef void log_send_accept(Log *log, uint32_t to, const Message *m, const AtHand *given) noexcept nogil:
    cdef Head h = log_head(log, ACCEPT, m.number)
    cdef LogEntry *e
    cdef Buf made
    cdef AtHand at_hand
    cdef uint32_t peer
    h.instance = m.instance
    h.mark = m.mark
    h.sent = m.sent
    h.extra = m.span
    if m.value == SPAN_LOGGED:
        e = log_entry(log, m.instance)
        log_send(log, to, 0, &h, e.value.data + e.value.start, buf_size(&e.value))
        return
    memset(&made, 0, sizeof(made))
    memset(&at_hand, 0, sizeof(at_hand))
    at_hand.own = given.own if m.value == SPAN_VALUE else log_value(log, m, &made)
    at_hand.value = at_hand.own.data + at_hand.own.start
    at_hand.size = buf_size(at_hand.own)
    flog_frame_add(&log.scratch, log.seed, &h, at_hand.value, at_hand.size)
    at_hand.data = log.scratch.data + log.scratch.start
    at_hand.length = h.length
    expect(
        log_step(log, m, &at_hand) == ROW_ACCEPTOR_ACCEPT, b"the master's own acceptor did not take its proposal")
    for peer in range(1, log.replicas + 1):
        if log_goes_to(log, peer, to):
            log_send_bytes(log, peer, 0, at_hand.data, at_hand.length)
    buf_trim(&log.scratch, 2 * BATCH_BYTES)
    buf_free(&made)


cdef Buf *log_value(Log *log, const Message *m, Buf *made) noexcept nogil:
    # The epoch, or what is open at this instance: the offer, or a value without effect in a gap.
    cdef uint64_t slot = m.instance % SLOTS
    if m.value == SPAN_EPOCH:
        log.host.epoch_value(log.host.self, m.number, made)
        return made
    if log.offered[slot] == m.instance:
        log.offered[slot] = 0
        return &log.offers[slot]
    log.host.gap_value(
        log.host.self, &log_entry(log, m.instance - 1).value if m.instance - 1 > log.applied else NULL, made)
    return made


# The disk.
cdef void log_hold(Log *log, uint32_t to, const Message *m) noexcept nogil:
    cdef Held held
    held.group = disk_frontier(&log.disk)
    held.to = to
    held.message = m[0]
    if held.group <= log.disk.durable_group:
        log_send_message(log, to, m)
    else:
        buf_add(&log.held, &held, sizeof(Held))


cdef void log_durable(Log *log, uint64_t position) noexcept nogil:
    # The disk reached this position: messages that waited for it leave; of a run of ACKs only the last.
    cdef Held held
    cdef Held *after
    cdef uint64_t done
    if not disk_durable(&log.disk, position):
        return
    done = log.disk.durable_group
    while buf_size(&log.held):
        memcpy(&held, log.held.data + log.held.start, sizeof(Held))
        if held.group > done:
            break
        buf_take(&log.held, sizeof(Held))
        if held.message.type == M_ACK and buf_size(&log.held):
            after = <Held *>(log.held.data + log.held.start)
            if (
                after.group <= done and after.to == held.to and after.message.type == M_ACK
                and after.message.number == held.message.number
            ):
                continue
        log_send_message(log, held.to, &held.message)
    log_settle(log)


# Entries.
cdef inline LogEntry *log_entry(Log *log, uint64_t instance) noexcept nogil:
    cdef LogEntry *e = &log.slots[instance % SLOTS]
    expect(e.instance == instance, b"an entry that must be here is not")
    return e


cdef void log_store(Log *log, uint64_t position, const Message *m, const AtHand *at_hand) noexcept nogil:
    cdef LogEntry *e = &log.slots[m.instance % SLOTS]
    cdef Buf swap
    debug_expect(
        log.applied < m.instance <= log.machines.acceptor.chosen + SLOTS and e.instance <= m.instance,
        b"an entry takes the slot of one that is still needed")
    debug_expect(position + HEADER_BYTES + at_hand.size <= log.disk.base + GROUP_BYTES_MAX, b"an entry is nowhere")
    e.instance = m.instance
    e.number = m.number
    e.sent = m.sent
    e.position = position
    e.length = HEADER_BYTES + <uint32_t>at_hand.size
    log.highest = u64_max(log.highest, m.instance)
    if at_hand.own:
        swap = e.value
        e.value = at_hand.own[0]
        at_hand.own[0] = swap
        buf_trim(at_hand.own, 2 * BATCH_BYTES)
        return
    if at_hand.size <= BATCH_BYTES:
        buf_trim(&e.value, 2 * BATCH_BYTES)
    else:
        buf_clear(&e.value)
    buf_add(&e.value, at_hand.value, at_hand.size)


cdef void log_forget(Log *log) noexcept nogil:
    # Of the applied values, which are in the log as well, the newest are kept: one always, others by their bytes.
    cdef uint64_t instance = log.applied, total = 0
    cdef LogEntry *e
    cdef int _
    for _ in range(SLOTS):
        e = &log.slots[instance % SLOTS]
        if e.instance == instance and instance:
            total += buf_size(&e.value)
            if total > SLOTS_BYTES_MAX and instance < log.applied:
                e.instance = e.number = 0
                buf_trim(&e.value, 0)
        instance -= 1


# Proposing.
cdef uint32_t log_in_flight(Log *log, uint64_t *size) noexcept nogil:
    # Instances proposed and not known chosen, and the bytes of their values.
    cdef uint64_t instance = log.machines.acceptor.chosen + 1
    cdef uint32_t count = 0
    size[0] = 0
    while instance <= log.machines.reign.proposed:
        size[0] += buf_size(&log_entry(log, instance).value)
        count += 1
        instance += 1
    return count


cdef void log_propose(Log *log, Buf *value) noexcept nogil:
    # Proposes a value at the instance reign.proposed + 1; only when log_may_propose. Takes the bytes.
    cdef Message m = log_event(log, M_SUBMIT)
    cdef AtHand at_hand
    memset(&at_hand, 0, sizeof(at_hand))
    at_hand.own = value
    expect(log_step(log, &m, &at_hand) == ROW_REIGN_PROPOSE, b"a value was submitted to no master")
    log_settle(log)


# Turn.
cdef void log_tick(Log *log, bint nudge) noexcept nogil:
    # Timers, at the time `now`, until no machine has anything more to do; `nudge` asks for a heartbeat.
    cdef Message m
    log_watch_disk(log)
    if log.now < log_due(log) and not nudge:
        return
    while True:
        m = log_event(log, M_TICK)
        m.jitter = log.jitter
        m.nudge = nudge
        if log_step(log, &m, NULL) == IGNORED:
            break
        nudge = False
    log_settle(log)


cdef uint64_t log_due(Log *log) noexcept nogil:
    # Before this time no machine has a row for a tick.
    cdef Machines *s = &log.machines
    cdef uint64_t at
    if s.reign.state == REIGN_OPENING or s.boost.state == BOOST_DRAINING:
        return 0
    at = log_wakeup(log)
    return u64_min(at, s.acceptor.quiet) if s.acceptor.state == ACCEPTOR_SILENT else at


cdef uint64_t log_wakeup(Log *log) noexcept nogil:
    # When the next tick has something to do, if nothing happens before.
    cdef Machines *s = &log.machines
    if s.coordinator.state != COORDINATOR_IDLE:
        return u64_min(s.coordinator.deadline, s.coordinator.resend)
    if s.reign.state != REIGN_IDLE:
        return u64_min(s.reign.beat, s.boost.at) if log_may_propose(log) and not log_stalled(log) else s.reign.beat
    if s.election.state == ELECTION_ASKING:
        return s.election.deadline
    if log_stalled(log):
        return log.now + log_stall_limit(log)   # the disk's answer comes first, or the next one waits as well
    return u64_max(u64_max(s.election.pause, s.acceptor.quiet), election_granted(s)) + log.jitter
