# The coordinator: election, take-over, acknowledgements, the master's lease. reference/log_coordinator.py has the
# states, the table of rows and the words.

cdef enum CoordinatorState:
    FOLLOWER
    ASKING
    PREPARING
    RECOVERING
    OPENING
    SERVING

cdef enum CoordinatorRow:
    SUSPECT_ROW
    ASKED_ROW
    BEHIND_ROW
    NOT_ASKED_ROW
    PREPARE_ROW
    AGAIN_ROW
    PROMISED_ROW
    ELECTED_ROW
    OPEN_ROW
    SERVE_ROW
    ACKED_ROW
    ECHOED_ROW
    REFUSED_ROW
    GIVE_UP_ROW
    SUPERSEDED_ROW
    STALE_ROW
    COORDINATOR_ROWS

COORDINATOR_ROW_NAMES = (
    "suspect", "asked", "behind", "not_asked", "prepare", "again", "promised", "elected", "open", "serve", "acked",
    "echoed", "refused", "give_up", "superseded", "stale",
)

cdef enum:
    RESENDS = 4    # a candidate repeats its PROPOSE this many times within a lease

cdef struct Coordinator:
    uint32_t me
    uint32_t replicas
    uint32_t quorum
    uint32_t incarnation
    int state
    uint64_t number                          # own number of the present attempt or reign
    uint64_t seen                            # highest number met in any message
    uint32_t votes                           # bit set of replicas that answered yes or promised
    uint64_t marks[REPLICAS_MAX + 1]         # chosen mark in each answer or promise
    uint64_t acked[REPLICAS_MAX + 1]         # cumulative, at the own number
    uint64_t heard[REPLICAS_MAX + 1]         # newest own send time echoed at the own number
    uint64_t proposed                        # last instance proposed at the own number
    uint64_t epoch_instance
    uint64_t target                          # highest chosen mark reported
    uint64_t deadline                        # when the present state gives up; later: when the reign began
    uint64_t resend
    uint64_t retry                           # FOLLOWER: not before this time
    uint64_t lease_us
    uint64_t lease_master_us
    uint64_t beat_us
    uint64_t taken[COORDINATOR_ROWS]


cdef inline int coordinator_took(Coordinator *c, int row) noexcept nogil:
    c.taken[row] += 1
    return row


cdef inline void coordinator_follow(Coordinator *c, uint64_t retry) noexcept nogil:
    c.state = FOLLOWER
    c.retry = retry


cdef inline uint32_t bits(uint32_t set) noexcept nogil:
    cdef uint32_t n = 0
    while set:
        set &= set - 1
        n += 1
    return n


cdef bint coordinator_vote(Coordinator *c, uint32_t sender, uint64_t mark) noexcept nogil:
    # True when this vote makes the majority.
    cdef uint32_t before = bits(c.votes)
    c.votes |= 1u << sender
    c.marks[sender] = u64_max(c.marks[sender], mark)
    return before < c.quorum and c.quorum <= bits(c.votes)


cdef uint64_t coordinator_highest_mark(Coordinator *c) noexcept nogil:
    cdef uint64_t mark = 0
    cdef uint32_t r
    for r in range(1, c.replicas + 1):
        if c.votes >> r & 1:
            mark = u64_max(mark, c.marks[r])
    return mark


cdef uint32_t coordinator_with_mark(Coordinator *c, uint64_t mark) noexcept nogil:
    # The first replica that reported this mark.
    cdef uint32_t r
    for r in range(c.replicas + 1):
        if c.marks[r] == mark:
            return r
    return 0


cdef uint64_t coordinator_kth(Coordinator *c, const uint64_t *values) noexcept nogil:
    # The majority-th largest of values[1..replicas].
    cdef uint64_t sorted[REPLICAS_MAX]
    cdef uint64_t value
    cdef uint32_t i, j
    for i in range(c.replicas):
        value = values[i + 1]
        j = i
        while j > 0 and sorted[j - 1] < value:
            sorted[j] = sorted[j - 1]
            j -= 1
        sorted[j] = value
    return sorted[c.quorum - 1]


# Election.
cdef int coordinator_on_tick(
    Coordinator *c, uint64_t now, uint64_t granted_until, uint64_t jitter, uint64_t promised
) noexcept nogil:
    if c.state == FOLLOWER:
        if now < u64_max(granted_until, c.retry) + jitter:
            return STALE_ROW
        c.seen = u64_max(u64_max(c.seen, promised), c.number)
        c.number = ((c.seen >> 24) + 1) << 24 | <uint64_t>c.me << 16 | c.incarnation
        c.state = ASKING
        c.votes = 0
        memset(c.marks, 0, sizeof(c.marks))
        c.deadline = now + c.beat_us
        return coordinator_took(c, SUSPECT_ROW)
    if c.state >= OPENING:
        if now >= u64_max(coordinator_lease_base(c, now), c.deadline) + 2 * c.lease_us:
            coordinator_follow(c, now)
            return coordinator_took(c, GIVE_UP_ROW)
        return STALE_ROW
    if now >= c.deadline:
        coordinator_follow(c, now)
        return coordinator_took(c, GIVE_UP_ROW)
    if c.state == PREPARING and now >= c.resend:
        c.resend = now + c.lease_us // RESENDS
        return coordinator_took(c, AGAIN_ROW)
    return STALE_ROW


cdef int coordinator_on_answer(
    Coordinator *c, uint32_t sender, uint64_t number, bint yes, uint64_t mark, uint64_t chosen, uint64_t now
) noexcept nogil:
    if c.state != ASKING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    if not yes:
        return coordinator_took(c, NOT_ASKED_ROW)
    if not coordinator_vote(c, sender, mark):
        return STALE_ROW
    if coordinator_highest_mark(c) > chosen:
        coordinator_follow(c, now)
        return coordinator_took(c, BEHIND_ROW)
    c.state = PREPARING
    c.votes = 0
    memset(c.marks, 0, sizeof(c.marks))
    c.deadline = now + c.lease_us
    c.resend = c.deadline
    return coordinator_took(c, ASKED_ROW)


cdef int coordinator_on_own_promise(Coordinator *c, uint64_t number, uint64_t now) noexcept nogil:
    # The own promise of `number` is durable.
    if c.state != PREPARING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    c.resend = now + c.lease_us // RESENDS
    return coordinator_took(c, PREPARE_ROW)


cdef int coordinator_on_promise(
    Coordinator *c, uint32_t sender, uint64_t number, uint64_t mark, uint64_t now
) noexcept nogil:
    # A promise with all its entries has arrived.
    if c.state != PREPARING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    if not coordinator_vote(c, sender, mark):
        return coordinator_took(c, PROMISED_ROW)
    c.state = RECOVERING
    c.target = coordinator_highest_mark(c)
    c.deadline = now + 2 * c.lease_us
    return coordinator_took(c, ELECTED_ROW)


cdef int coordinator_on_chosen(Coordinator *c, uint64_t chosen, uint64_t now) noexcept nogil:
    if c.state != RECOVERING or chosen < c.target:
        return STALE_ROW
    c.state = OPENING
    c.proposed = chosen
    c.epoch_instance = 0
    memset(c.acked, 0, sizeof(c.acked))
    memset(c.heard, 0, sizeof(c.heard))
    c.deadline = now
    return coordinator_took(c, OPEN_ROW)


cdef int coordinator_on_applied(Coordinator *c, uint64_t applied) noexcept nogil:
    if c.state != OPENING or not c.epoch_instance or applied < c.epoch_instance:
        return STALE_ROW
    c.state = SERVING
    return coordinator_took(c, SERVE_ROW)


# Reign.
cdef int coordinator_on_ack(
    Coordinator *c, uint32_t sender, uint64_t number, uint64_t instance, uint64_t sent
) noexcept nogil:
    if c.state < OPENING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    c.acked[sender] = u64_max(c.acked[sender], instance)
    c.heard[sender] = u64_max(c.heard[sender], sent)
    return coordinator_took(c, ACKED_ROW)


cdef uint64_t coordinator_committed(Coordinator *c) noexcept nogil:
    # The highest instance that a majority acknowledged at the own number, 0 if none.
    return coordinator_kth(c, c.acked)


cdef int coordinator_on_echo(Coordinator *c, uint32_t sender, uint64_t number, uint64_t sent) noexcept nogil:
    if c.state < OPENING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    c.heard[sender] = u64_max(c.heard[sender], sent)
    return coordinator_took(c, ECHOED_ROW)


cdef uint64_t coordinator_lease_base(Coordinator *c, uint64_t now) noexcept nogil:
    # The majority-th newest own send time that was echoed at the own number; the own entry is `now`.
    cdef uint64_t times[REPLICAS_MAX + 1]
    memcpy(times, c.heard, sizeof(times))
    times[c.me] = now
    return coordinator_kth(c, times)


cdef bint coordinator_may_read(Coordinator *c, uint64_t now) noexcept nogil:
    # Is a read that was executed before `now` covered by the lease?
    return c.state == SERVING and now < coordinator_lease_base(c, now) + c.lease_master_us


cdef int coordinator_on_refuse(Coordinator *c, uint64_t number, uint64_t promised, uint64_t now) noexcept nogil:
    c.seen = u64_max(c.seen, promised)
    if c.state < PREPARING or number != c.number:
        return coordinator_took(c, STALE_ROW)
    if c.state >= RECOVERING and promised <= c.number:
        return coordinator_took(c, STALE_ROW)
    coordinator_follow(c, now)
    return coordinator_took(c, REFUSED_ROW)


cdef int coordinator_on_foreign(Coordinator *c, uint64_t promised, bint granted, uint64_t now) noexcept nogil:
    # The own acceptor promised or followed another replica.
    c.seen = u64_max(c.seen, promised)
    if (c.state == ASKING and granted) or (c.state >= PREPARING and promised > c.number):
        coordinator_follow(c, now)
        return coordinator_took(c, SUPERSEDED_ROW)
    return STALE_ROW
