# Frames of peers: taken apart, checked, and handed on as events. reference/log_arrival.py has the words.

cdef enum:
    RESEND_MAX = 32        # entries sent again for one WHERE


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
        if n == 0:
            break
        if <size_t>n > buf_size(&link.input):
            log_on_part(log, data)
            break
        memcpy(&h, data, HEADER_BYTES)
        if not flog_frame_valid(log.seed, data, <size_t>n) or h.sender != peer or not log_is_sound(log, peer, &h, data):
            return False
        if log_counts(log, peer, &h) and not log_on_frame(log, peer, &h, data):
            return False
        buf_take(&link.input, <size_t>n)
    buf_rest(&link.input, 2 * BATCH_BYTES)
    return True


cdef void log_on_part(Log *log, const char *data) noexcept nogil:
    # Of a frame whose header is here.
    cdef Coordinator *c = &log.machines.coordinator
    cdef Head h
    memcpy(&h, data, HEADER_BYTES)
    if c.state == COORDINATOR_PREPARING and h.type == ENTRY and h.number == c.number:
        log_happen(log, M_PROGRESS)


cdef bint log_counts(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    # Does it come from this life of ours, and of its sender? What does not is as a frame that was lost.
    if h.incarnation < log.incarnations[peer]:
        return False
    log.incarnations[peer] = h.incarnation
    return (h.type != ACK and h.type != ECHO) or h.sent <= log.now   # a machine's clock begins anew


cdef bint log_is_sound(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    # Can a replica of this cell have sent it? If not, nothing that comes this way can be trusted.
    cdef uint8_t type = h.type
    cdef uint32_t owner = host_owner(&log.machines, h.number)
    if not message_of[type]:
        return True
    if type == ASK or type == PROPOSE or type == ACCEPT or type == BEAT:
        if owner != peer:
            return False
    elif type != LEARN and owner != log.me:
        return False
    if h.instance > <uint64_t>INSTANCE_MAX or h.mark > <uint64_t>INSTANCE_MAX or not log_is_near(log, h.number):
        return False
    if (type == ANSWER or type == REFUSE or type == ENTRY) and not log_is_near(log, h.extra):
        return False
    if (type == ACCEPT or type == BEAT) and h.extra > <uint64_t>SPAN_US_MAX:
        return False
    if type != ACCEPT and type != LEARN and type != ENTRY:
        return True
    return h.instance > 0 and log.host.is_sound(log.host.self, data + HEADER_BYTES, h.length - HEADER_BYTES)


cdef inline bint log_is_near(Log *log, uint64_t number) noexcept nogil:
    cdef Machines *s = &log.machines
    cdef uint64_t known = u64_max(
        u64_max(s.acceptor.promised, s.election.seen), u64_max(s.election.number, s.coordinator.number))
    return number >> 24 <= (known >> 24) + <uint64_t>ROUNDS_AHEAD_MAX


cdef inline Message log_message(Log *log, uint32_t sender, const Head *h) noexcept nogil:
    cdef Message m = log_event(log, message_of[h.type])
    m.sender = sender
    m.number = h.number
    m.yes = h.flags != 0
    m.mark = h.mark
    m.promised = h.extra
    m.instance = h.instance
    m.accepted = h.extra
    m.high = h.instance
    m.sent = h.sent
    m.span = h.extra
    return m


cdef inline AtHand log_at_hand(const Head *h, const char *data) noexcept nogil:
    cdef AtHand at_hand
    at_hand.data = data
    at_hand.length = h.length
    at_hand.value = data + HEADER_BYTES
    at_hand.size = h.length - HEADER_BYTES
    at_hand.own = NULL
    at_hand.wall = h.extra
    return at_hand


cdef bint log_on_frame(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    # False: no replica sends such a frame.
    cdef Message m
    cdef AtHand at_hand
    if h.type == FETCH:
        log_on_fetch(log, peer, h.instance)
    elif h.type == FETCHED:
        log_on_fetched(log, peer, h)
    elif not message_of[h.type]:
        return log.host.on_frame(log.host.self, peer, h, data + HEADER_BYTES, h.length - HEADER_BYTES)
    elif h.type == LEARN:
        log_on_learn(log, peer, h, data)
    elif h.type == ACCEPT and log_too_far(log, h, data + HEADER_BYTES):
        log_behind(log, peer, h)   # as if the frame had been lost: the disk or catch-up is not so far yet
    elif h.type == WHERE:
        log_on_where(log, peer, h)
    else:
        m = log_message(log, peer, h)
        at_hand = log_at_hand(h, data)
        log_step(log, &m, &at_hand)
        if (h.type == PROPOSE or h.type == ACCEPT or h.type == BEAT) and log_claims(log):
            log_happen(log, M_FOLLOWED)
        log_settle(log)
        if h.type == ACCEPT or h.type == BEAT:
            log_behind(log, peer, h)
    return True


cdef inline bint log_claims(Log *log) noexcept nogil:
    # Is there anything that following another replica could end?
    cdef Machines *s = &log.machines
    return (
        s.reign.state != REIGN_IDLE or s.coordinator.state != COORDINATOR_IDLE
        or s.election.state != ELECTION_RESTING
    )


cdef inline bint log_too_far(Log *log, const Head *h, const char *value) noexcept nogil:
    return h.instance > log.machines.acceptor.chosen + SLOTS or log_no_room(log, h, value)


cdef bint log_no_room(Log *log, const Head *h, const char *value) noexcept nogil:
    # Does the disk not keep up, or is it full? What a new master needs is taken by a full one, too: it is little.
    cdef ValueHead v
    if disk_backlog(&log.disk) > 2 * DISK_BYTES_HIGH:
        return True
    if not disk_full(&log.disk, h.length - HEADER_BYTES):
        return False
    memcpy(&v, value, VALUE_BYTES)
    return v.kind == OPERATIONS


cdef bint log_learn(Log *log, uint32_t peer, const Head *h, const char *data) noexcept nogil:
    # Takes a chosen entry, if it is the next.
    cdef Message m = log_message(log, peer, h)
    cdef AtHand at_hand = log_at_hand(h, data)
    return log_step(log, &m, &at_hand) == ROW_ACCEPTOR_LEARN


cdef void log_on_where(Log *log, uint32_t peer, const Head *h) noexcept nogil:
    # A follower in a gap mostly lacks what follows it as well.
    cdef Message m = log_message(log, peer, h)
    cdef uint64_t end = h.instance + RESEND_MAX
    if h.instance <= log.machines.reign.proposed and log.now < log.resend_at[peer]:
        return
    while m.instance < end:
        if log_step(log, &m, NULL) != ROW_REIGN_RESEND:
            return
        log.resend_at[peer] = log.now + log.settings.beat_us // 4
        m.instance += 1
