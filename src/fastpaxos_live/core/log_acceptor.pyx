# The acceptor: promises, accepts, grants the lease. reference/log_acceptor.py has the table of rows and the words.

cdef enum AcceptorRow:
    PROMISE_ROW
    PROMISE_AGAIN_ROW
    REFUSE_PROPOSE_ROW
    WOULD_ROW
    WOULD_NOT_ROW
    ACCEPT_ROW
    REPEAT_ROW
    WHERE_ROW
    RENEW_ROW
    REFUSE_ROW
    LEARN_ROW
    KNOWN_ROW
    ACCEPTOR_ROWS

ACCEPTOR_ROW_NAMES = (
    "promise", "promise_again", "refuse_propose", "would", "would_not", "accept", "repeat", "where", "renew",
    "refuse", "learn", "known",
)

cdef struct Acceptor:
    uint64_t promised      # durable: highest number promised
    uint64_t reign         # durable: the number at which ...
    uint64_t last          # durable: ... everything from the reign's first instance to here is here
    uint64_t chosen        # all up to here are known chosen; safe to forget
    uint64_t high          # highest instance accepted at any number
    bint silent            # a lease long after a start: promises nobody, itself included
    uint64_t quiet         # end of the silence
    uint32_t master        # the lease is granted to this replica ...
    uint64_t until         # ... until then
    uint64_t lease_us
    uint64_t taken[ACCEPTOR_ROWS]


cdef inline uint64_t u64_max(uint64_t a, uint64_t b) noexcept nogil:
    return a if a > b else b


cdef inline uint64_t u64_min(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef inline int acceptor_took(Acceptor *a, int row) noexcept nogil:
    a.taken[row] += 1
    return row


cdef inline bint acceptor_may_promise(Acceptor *a, uint32_t sender, uint64_t number, uint64_t now) noexcept nogil:
    return not a.silent and number > a.promised and (a.master == sender or now >= a.until)


cdef inline uint64_t acceptor_next_instance(Acceptor *a, uint64_t number) noexcept nogil:
    # The instance that an accept at `number` must have: contiguous within a reign.
    return u64_max(a.last, a.chosen) + 1 if number == a.reign else a.chosen + 1


cdef inline void acceptor_follow(
    Acceptor *a, uint32_t sender, uint64_t number, uint64_t mark, uint64_t now
) noexcept nogil:
    # A mark from this number commits only what was accepted at this number.
    a.master = sender
    a.until = u64_max(a.until, now + a.lease_us)
    if number == a.reign:
        a.chosen = u64_max(a.chosen, u64_min(mark, a.last))


cdef int acceptor_on_propose(Acceptor *a, uint32_t sender, uint64_t number, uint64_t now) noexcept nogil:
    if acceptor_may_promise(a, sender, number, now):
        a.promised = number
        return acceptor_took(a, PROMISE_ROW)
    if not a.silent and number == a.promised and (number >> 16 & 0xFF) == sender and a.reign != number:
        return acceptor_took(a, PROMISE_AGAIN_ROW)
    return acceptor_took(a, REFUSE_PROPOSE_ROW)


cdef int acceptor_on_ask(Acceptor *a, uint32_t sender, uint64_t number, uint64_t now) noexcept nogil:
    return acceptor_took(a, WOULD_ROW if acceptor_may_promise(a, sender, number, now) else WOULD_NOT_ROW)


cdef int acceptor_on_accept(
    Acceptor *a, uint32_t sender, uint64_t number, uint64_t instance, uint64_t mark, uint64_t now
) noexcept nogil:
    cdef uint64_t wanted
    if number < a.promised:
        return acceptor_took(a, REFUSE_ROW)
    wanted = acceptor_next_instance(a, number)
    if instance == wanted:
        a.promised = a.reign = number
        a.last = instance
        a.high = u64_max(a.high, instance)
        acceptor_follow(a, sender, number, mark, now)
        return acceptor_took(a, ACCEPT_ROW)
    if number == a.reign and instance < wanted:
        acceptor_follow(a, sender, number, mark, now)
        return acceptor_took(a, REPEAT_ROW)
    return acceptor_took(a, WHERE_ROW)


cdef int acceptor_on_beat(
    Acceptor *a, uint32_t sender, uint64_t number, uint64_t mark, uint64_t now
) noexcept nogil:
    if number < a.promised:
        return acceptor_took(a, REFUSE_ROW)
    if number > a.promised:
        return acceptor_took(a, WHERE_ROW)
    acceptor_follow(a, sender, number, mark, now)
    return acceptor_took(a, RENEW_ROW)


cdef int acceptor_on_learn(Acceptor *a, uint64_t instance) noexcept nogil:
    if instance != a.chosen + 1:
        return acceptor_took(a, KNOWN_ROW)
    a.chosen = instance
    a.last = u64_max(a.last, instance)
    a.high = u64_max(a.high, instance)
    return acceptor_took(a, LEARN_ROW)


cdef void acceptor_on_chosen(Acceptor *a, uint64_t commit) noexcept nogil:
    # The own coordinator counted a majority at this reign's number up to `commit`.
    expect(commit <= a.last, b"a majority acknowledged what was never proposed")
    a.chosen = u64_max(a.chosen, commit)


cdef void acceptor_on_tick(Acceptor *a, uint64_t now) noexcept nogil:
    if a.silent and now >= a.quiet:
        a.silent = False


cdef void acceptor_restart(Acceptor *a, uint64_t now) noexcept nogil:
    # After replay: grants were forgotten, so nobody gets a promise for one lease.
    a.silent = True
    a.quiet = now + a.lease_us
    a.master = 0
    a.until = 0


# Replay of the own log (PML 4.2): the same changes, without time.
cdef void acceptor_replay_promised(Acceptor *a, uint64_t number) noexcept nogil:
    a.promised = u64_max(a.promised, number)


cdef void acceptor_replay_accept(Acceptor *a, uint64_t number, uint64_t instance) noexcept nogil:
    a.promised = u64_max(a.promised, number)
    a.reign = number
    a.last = instance
    a.high = u64_max(a.high, instance)


cdef void acceptor_replay_chosen(Acceptor *a, uint64_t mark) noexcept nogil:
    a.chosen = u64_max(a.chosen, mark)
