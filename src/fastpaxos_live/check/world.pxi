# The world that is explored: a cell of three with its disks, its network, and what an observer knows (ghosts).
#
# Machines are the generated ones, as they ship. Around them is what a host does, reduced to what matters: a message to
# oneself is taken at once; one to another goes into a set that only grows, from which anybody may get any message at
# any time, again and again (so: lost, late, repeated, reordered); one that waits leaves with the next sync. The
# election machine is not run: standing at any time covers all that it could decide. So is giving up (Lost).

cdef enum:
    NODES = 3
    INSTANCES_MAX = 4      # 1..INSTANCES_MAX - 1
    NUMBERS = 16           # numbers are round << 2 | replica
    MESSAGES_MAX = 200
    WAITING_MAX = 12
    STATE_BYTES_MAX = 8192

cdef struct Cell:          # one entry of a log
    uint8_t number
    uint8_t value
    uint8_t sent
    uint8_t vote           # accepted; not learned

cdef struct Waiting:
    uint8_t to
    uint64_t message       # packed

cdef struct Node:
    Machines machines
    uint8_t hangs          # the disk does, where a test says so; else that is as messages that are late
    Cell log[INSTANCES_MAX]
    Cell disk[INSTANCES_MAX]
    uint8_t disk_promised
    uint8_t disk_reign
    uint8_t disk_last
    uint8_t disk_chosen
    uint8_t disk_kept      # how long grants may last, as the disk has it
    uint8_t lasting        # ... and as it shall have it; 0: that is so
    uint8_t dirty          # something is not synced
    uint8_t offers[INSTANCES_MAX]
    uint8_t clock
    uint8_t applied
    uint32_t waiting_count
    Waiting waiting[WAITING_MAX]
    uint16_t pending[INSTANCES_MAX]   # ghost: numbers accepted at, not yet durable
    uint16_t voted[INSTANCES_MAX]     # ghost: numbers durably accepted at
    uint8_t told           # ghost: the highest number promised to anybody
    uint8_t renewed        # the newest heartbeat taken was sent then, + 1
    uint8_t crown          # ghost: the number this mastership began with
    uint8_t held_since     # a read that waits for its confirmation: when, + 1
    uint8_t held_stale     # ghost: it would have been a wrong answer

cdef struct World:
    Node nodes[NODES + 1]
    uint8_t proposed[INSTANCES_MAX][NUMBERS]   # ghost: value at each number
    uint32_t count
    uint64_t set[MESSAGES_MAX]
    uint8_t crashes
    uint8_t stands
    uint8_t boosts
    uint8_t submits
    uint8_t beats

cdef struct Bounds:
    uint8_t instances
    uint8_t rounds
    uint8_t coordinators   # replicas 1..coordinators stand
    uint8_t crashes
    uint8_t stands
    uint8_t boosts
    uint8_t submits
    uint8_t beats          # heartbeats
    uint8_t window
    uint8_t ticks
    uint8_t skew
    uint8_t lease
    uint8_t lease_2        # of replica 2, if it is set to another one
    uint8_t master
    uint8_t beaters        # replicas 1..beaters send heartbeats
    uint8_t until_lost     # the scope ends where replica 1 reigns no more
    uint8_t teach          # learning from others' logs
    uint8_t reads          # reads may wait for a confirmation
    uint8_t founded        # replica 1 is the master at first
    uint8_t sweep          # forget messages that can make no difference any more

cdef struct At:            # the value at hand
    uint8_t value

cdef Bounds bounds
cdef bint beyond = False   # the world is too small for what happened
cdef const char *broken = NULL
cdef World *world_now = NULL
cdef uint64_t rows_taken[ROWS]


cdef inline void fail(const char *text) noexcept nogil:
    global broken
    if broken == NULL:
        broken = text


# What the machines ask of their host.
cdef uint64_t host_high(Machines *s) noexcept nogil:
    cdef Node *n = <Node *>s.host
    cdef uint64_t i = INSTANCES_MAX - 1
    while i and not n.log[i].number and not n.log[i].value:
        i -= 1
    return i


cdef uint64_t host_accepted_at(Machines *s, uint64_t instance) noexcept nogil:
    return (<Node *>s.host).log[instance].number if instance < INSTANCES_MAX else 0


cdef uint64_t host_sent_at(Machines *s, uint64_t instance) noexcept nogil:
    return (<Node *>s.host).log[instance].sent


cdef bint host_stalled(Machines *s) noexcept nogil:
    return (<Node *>s.host).hangs


cdef uint64_t host_above(Machines *s, uint64_t number) noexcept nogil:
    return ((number >> 2) + 1) << 2 | s.me


cdef uint32_t host_owner(Machines *s, uint64_t number) noexcept nogil:
    return number & 3


# Messages as integers: a set of them is a sorted array.
cdef uint64_t pack(const Message *m, uint32_t to) noexcept nogil:
    return (
        <uint64_t>m.type | <uint64_t>to << 6 | <uint64_t>m.sender << 8 | m.number << 10 | m.instance << 16
        | m.mark << 20 | m.sent << 24 | m.accepted << 28 | m.promised << 34 | m.high << 40
        | <uint64_t>m.value << 44 | <uint64_t>m.to << 52 | <uint64_t>m.yes << 55 | m.span << 56
    )


cdef Message unpack(uint64_t x) noexcept nogil:
    cdef Message m
    memset(&m, 0, sizeof(m))
    m.type = x & 63
    m.sender = x >> 8 & 3
    m.number = x >> 10 & 63
    m.instance = x >> 16 & 15
    m.mark = x >> 20 & 15
    m.sent = x >> 24 & 15
    m.accepted = x >> 28 & 63
    m.promised = x >> 34 & 63
    m.high = x >> 40 & 15
    m.value = x >> 44 & 255
    m.to = x >> 52 & 7
    m.yes = x >> 55 & 1
    m.span = x >> 56 & 15
    return m


cdef void set_add(World *w, uint64_t x) noexcept nogil:
    cdef uint32_t i = w.count
    while i and w.set[i - 1] > x:
        i -= 1
    if i and w.set[i - 1] == x:
        return
    if w.count == MESSAGES_MAX:
        fail(b"the set of messages is full: raise MESSAGES_MAX")
        return
    memmove(&w.set[i + 1], &w.set[i], (w.count - i) * sizeof(uint64_t))
    w.set[i] = x
    w.count += 1


# Events.
cdef void world_step(World *w, Node *n, const Message *m, At at) noexcept nogil:
    cdef Out out
    cdef uint32_t machine, i
    cdef int row
    for machine in range(MACHINES):
        if machine == ELECTION_MACHINE:
            continue
        if machines_candidates(machine, &n.machines, m) > 1:
            fail(b"two rows can take the same event")
        out.count = 0
        row = machines_step(machine, &n.machines, m, &out)
        if row == IGNORED:
            continue
        rows_taken[row] += 1
        if row == ROW_REIGN_BEGIN:
            n.crown = <uint8_t>n.machines.reign.number
        for i in range(out.count):
            world_do(w, n, &out.actions[i], at)


cdef void world_do(World *w, Node *n, const Action *action, At at) noexcept nogil:
    cdef Message m = action.message
    cdef Waiting *x
    if action.kind == EFFECT:
        if m.type == M_KEEP:
            n.offers[m.instance] = at.value
        elif m.type == M_LASTING:
            n.lasting = <uint8_t>m.span
    elif action.kind == PERSIST:
        n.dirty = True
        if m.type == M_LOGGED:
            world_hold(n, n.machines.me, &m)
        else:
            n.log[m.instance].number = <uint8_t>m.number
            n.log[m.instance].value = at.value
            n.log[m.instance].sent = <uint8_t>m.sent
            n.log[m.instance].vote = m.type == M_ACCEPT
            if m.type == M_ACCEPT:
                n.pending[m.instance] |= <uint16_t>(1 << m.number)
                if m.number < n.told:
                    fail(b"a promise is broken: accepted at a lower number")
    elif action.after and n.dirty:
        world_hold(n, action.to, &m)
    else:
        world_send(w, n, action.to, &m, at)


cdef void world_hold(Node *n, uint32_t to, const Message *m) noexcept nogil:
    # In order and each once: they leave together, into a set.
    cdef uint64_t x = pack(m, to if to < ALL else 0)
    cdef uint32_t i
    for i in range(n.waiting_count):
        if n.waiting[i].message == x and n.waiting[i].to == to:
            return
    if n.waiting_count == WAITING_MAX:
        fail(b"too many messages wait for a sync: raise WAITING_MAX")
        return
    i = n.waiting_count
    while i and n.waiting[i - 1].message > x:
        n.waiting[i] = n.waiting[i - 1]
        i -= 1
    n.waiting[i].to = <uint8_t>to
    n.waiting[i].message = x
    n.waiting_count += 1


cdef uint8_t world_value(World *w, Node *n, Message *m, At at) noexcept nogil:
    # What is proposed: bit 0 says whether it is an epoch.
    if m.value == SPAN_OFFER:
        return n.offers[m.instance] if n.offers[m.instance] else <uint8_t>(m.instance << 1)
    if m.value == SPAN_LOGGED:
        return n.log[m.instance].value
    return <uint8_t>(m.number << 3 | (m.instance & 3) << 1 | (m.value == SPAN_EPOCH))


cdef void world_send(World *w, Node *n, uint32_t to, const Message *given, At at) noexcept nogil:
    global beyond
    cdef Message m = given[0]
    cdef uint32_t peer
    cdef uint64_t i
    cdef Message entry
    if m.type == M_REFUSE or m.type == M_WHERE and not bounds.ticks:
        return                                   # standing and giving up at any time cover what these lead to
    if m.type == M_ACCEPT:
        at.value = world_value(w, n, &m, at)
        m.value = at.value
        if m.instance >= INSTANCES_MAX or m.number >= NUMBERS:
            beyond = True
            return
        if w.proposed[m.instance][m.number] and w.proposed[m.instance][m.number] != at.value:
            fail(b"one number proposed two values at one instance")
        w.proposed[m.instance][m.number] = at.value
        if to == ALL and m.instance <= n.machines.acceptor.chosen:
            fail(b"proposed at an instance known to be chosen")
    if m.type == M_PROMISE:
        if m.number > n.told:
            n.told = <uint8_t>m.number
        for i in range(m.mark + 1, m.high + 1):
            entry = m
            entry.type = M_ENTRY
            entry.high = 0
            entry.instance = i
            entry.accepted = n.log[i].number
            entry.value = n.log[i].value
            if to == n.machines.me:
                at.value = n.log[i].value
                world_own(w, n, &entry, at)
            else:
                set_add(w, pack(&entry, to))
    if to == ALL or to == n.machines.me:
        world_own(w, n, &m, at)
    for peer in range(1, NODES + 1):
        if peer != n.machines.me and (to >= ALL or to == peer) and m.type <= M_LEARN:
            set_add(w, pack(&m, peer))


cdef void world_own(World *w, Node *n, Message *m, At at) noexcept nogil:
    m.now = n.clock
    m.sender = n.machines.me
    world_step(w, n, m, at)


cdef void world_happen(World *w, Node *n, uint32_t type) noexcept nogil:
    cdef Message m
    cdef At at
    memset(&m, 0, sizeof(m))
    memset(&at, 0, sizeof(at))
    m.type = type
    m.sender = n.machines.me
    m.now = n.clock
    world_step(w, n, &m, at)


cdef void world_settle(World *w, Node *n) noexcept nogil:
    # Applies what is known to be chosen.
    cdef Message m
    cdef At at
    memset(&at, 0, sizeof(at))
    while n.applied < n.machines.acceptor.chosen:
        n.applied = <uint8_t>n.machines.acceptor.chosen
        if n.applied >= INSTANCES_MAX:
            fail(b"committed what was never proposed")
            return
        memset(&m, 0, sizeof(m))
        m.type = M_APPLIED
        m.sender = n.machines.me
        m.now = n.clock
        m.instance = n.applied
        world_step(w, n, &m, at)
        world_happen(w, n, M_GO)
    if n.machines.reign.state != REIGN_SERVING:
        n.held_since = n.held_stale = 0


cdef inline bint world_grants(Node *n, Message *m) noexcept nogil:
    return m.number == n.machines.acceptor.promised and m.span <= n.machines.acceptor.kept


cdef void world_keep(World *w, Node *n) noexcept nogil:
    # How long grants may last is on the disk now.
    cdef Message m
    cdef At at
    memset(&m, 0, sizeof(m))
    memset(&at, 0, sizeof(at))
    m.type = M_KEPT
    m.sender = n.machines.me
    m.now = n.clock
    m.span = n.disk_kept = n.lasting
    n.lasting = 0
    world_step(w, n, &m, at)


cdef void world_deliver(World *w, uint32_t index) noexcept nogil:
    cdef uint64_t x = w.set[index]
    cdef Node *n = &w.nodes[x >> 6 & 3]
    cdef Message m = unpack(x)
    cdef At at
    at.value = <uint8_t>m.value
    m.now = n.clock
    world_step(w, n, &m, at)
    if m.type == M_BEAT and world_grants(n, &m) and m.sent >= n.renewed:
        n.renewed = <uint8_t>m.sent + 1
    if m.type == M_PROPOSE or m.type == M_ACCEPT or m.type == M_BEAT:
        world_happen(w, n, M_FOLLOWED)
    world_settle(w, n)


cdef void world_sync(World *w, Node *n) noexcept nogil:
    cdef Waiting waiting[WAITING_MAX]
    cdef uint32_t count = n.waiting_count, i
    cdef Message m
    cdef At at
    memset(&at, 0, sizeof(at))
    memcpy(waiting, n.waiting, sizeof(waiting))
    n.waiting_count = 0
    memset(n.waiting, 0, sizeof(n.waiting))
    n.dirty = False
    n.disk_promised = <uint8_t>n.machines.acceptor.promised
    n.disk_reign = <uint8_t>n.machines.acceptor.reign
    n.disk_last = <uint8_t>n.machines.acceptor.last
    n.disk_chosen = <uint8_t>n.machines.acceptor.chosen
    memcpy(n.disk, n.log, sizeof(n.disk))
    for i in range(INSTANCES_MAX):
        n.voted[i] |= n.pending[i]
        n.pending[i] = 0
    for i in range(count):
        m = unpack(waiting[i].message)
        m.now = n.clock
        world_send(w, n, waiting[i].to, &m, at)
    world_settle(w, n)


cdef void world_crash(World *w, Node *n) noexcept nogil:
    # Memory is lost; the own log is replayed.
    cdef Machines *s = &n.machines
    cdef Message m
    cdef At at
    memset(&at, 0, sizeof(at))
    memset(&s.acceptor, 0, sizeof(Acceptor))
    memset(&s.election, 0, sizeof(Election))
    memset(&s.coordinator, 0, sizeof(Coordinator))
    memset(&s.reign, 0, sizeof(Reign))
    memset(&s.boost, 0, sizeof(Boost))
    memcpy(n.log, n.disk, sizeof(n.log))
    memset(n.offers, 0, sizeof(n.offers))
    memset(n.pending, 0, sizeof(n.pending))
    memset(n.waiting, 0, sizeof(n.waiting))
    n.waiting_count = 0
    n.dirty = False
    n.applied = 0
    n.lasting = 0
    s.silence = n.disk_kept = <uint8_t>u64_max(s.lease, n.disk_kept)
    n.held_since = n.held_stale = n.crown = 0
    memset(&m, 0, sizeof(m))
    m.type = M_RECORD
    m.sender = s.me
    m.number = n.disk_reign
    m.instance = n.disk_last
    world_step(w, n, &m, at)
    m.number = n.disk_promised
    m.instance = 0
    m.mark = n.disk_chosen
    world_step(w, n, &m, at)
    world_settle(w, n)
    world_happen(w, n, M_START)
    if s.acceptor.promised < n.told:
        fail(b"a promise was forgotten in a crash")


cdef inline bint world_voted(Node *n, uint64_t instance, uint64_t number) noexcept nogil:
    return n.disk[instance].vote and n.disk[instance].number == number


cdef bint world_dead(World *w, uint64_t x) noexcept nogil:
    # Can this message make no difference any more, whatever happens? Durable promises only grow, and a number at or
    # below the own one is never stood with again. For the protocol as it is, so not for a mutant.
    cdef Node *n = &w.nodes[x >> 6 & 3]
    cdef Machines *s = &n.machines
    cdef Message m = unpack(x)
    cdef bint stands = s.coordinator.state != COORDINATOR_IDLE and s.coordinator.number == m.number
    cdef bint reigns = s.reign.state != REIGN_IDLE and s.reign.number == m.number
    if m.type == M_PROPOSE:
        return m.number < n.disk_promised or (m.number == n.disk_promised and m.number == n.disk_reign)
    if bounds.ticks and (m.type == M_BEAT or m.type == M_ECHO):
        # The lease that it could bring is over by now.
        if m.sent + bounds.master <= w.nodes[m.sender if m.type == M_BEAT else s.me].clock and not bounds.reads:
            return m.type == M_ECHO or m.mark <= n.disk_chosen
    if m.type == M_ACCEPT or m.type == M_BEAT:
        if (
            m.number == n.disk_reign and m.instance <= n.disk_last and m.mark <= n.disk_chosen
            and world_voted(n, m.instance, m.number) and world_voted(n, n.disk_last, m.number)
        ):
            # Taken before. Again, it would be answered as it was, and prolong a grant, which forbids more.
            return m.sent < n.renewed if m.type == M_BEAT else m.span <= s.lease
        return m.number < n.disk_promised
    if m.type == M_PROMISE or m.type == M_ENTRY:
        return m.number <= n.disk_promised and not (stands and s.coordinator.state == COORDINATOR_PREPARING)
    if m.type == M_ACK or m.type == M_ECHO:
        if m.number <= n.disk_promised and not reigns:
            return not stands
        return reigns and m.instance <= s.reign.acked[m.sender] and m.sent <= s.reign.heard[m.sender]
    return False


cdef bint world_surpassed(World *w, uint32_t index) noexcept nogil:
    # A later heartbeat or echo of the same reign is there as well: this one would grant as much for less, or give less.
    cdef Message m = unpack(w.set[index])
    cdef Message other
    cdef uint32_t i
    if m.type != M_BEAT and m.type != M_ECHO:
        return False
    for i in range(w.count):
        other = unpack(w.set[i])
        if (
            i != index and other.type == m.type and (w.set[i] ^ w.set[index]) & 0x3C0 == 0
            and other.number == m.number and other.sent >= m.sent and other.mark >= m.mark
            and other.instance >= m.instance
        ):
            return True
    return False


cdef void world_sweep(World *w) noexcept nogil:
    cdef uint32_t i = 0, kept = 0
    while i < w.count:
        if world_surpassed(w, i):
            memmove(&w.set[i], &w.set[i + 1], (w.count - i - 1) * sizeof(uint64_t))
            w.count -= 1
            w.set[w.count] = 0
        else:
            i += 1
    for i in range(w.count):
        if not world_dead(w, w.set[i]):
            w.set[kept] = w.set[i]
            kept += 1
    for i in range(kept, w.count):
        w.set[i] = 0
    w.count = kept


# What must hold in every state.
cdef uint32_t world_votes(World *w, uint32_t instance, uint32_t number) noexcept nogil:
    cdef uint32_t r, count = 0
    for r in range(1, NODES + 1):
        count += w.nodes[r].voted[instance] >> number & 1
    return count


cdef void world_check(World *w) noexcept nogil:
    cdef uint8_t chosen[INSTANCES_MAX]
    cdef uint32_t i, number, r
    cdef Node *n
    memset(chosen, 0, sizeof(chosen))
    for i in range(1, INSTANCES_MAX):
        for number in range(1, NUMBERS):
            if w.proposed[i][number] and world_votes(w, i, number) > NODES // 2:
                if chosen[i] and chosen[i] != w.proposed[i][number]:
                    fail(b"two values are chosen at one instance")
                chosen[i] = w.proposed[i][number]
    for r in range(1, NODES + 1):
        n = &w.nodes[r]
        for i in range(1, n.applied + 1):
            if not chosen[i]:
                fail(b"something is committed that was not chosen")
            elif chosen[i] != n.log[i].value:
                fail(b"another value is committed than the chosen one")
        if n.machines.acceptor.promised < n.told:
            fail(b"a promise is broken: the promised number went down")
        if n.machines.reign.state == REIGN_SERVING:
            if reign_may_read(&n.machines, n.clock) and world_stale(w, n):
                fail(b"a stale read: another master can have chosen a value under this lease")
            if n.held_since and n.held_stale and reign_confirmed(&n.machines, n.held_since - 1, n.clock):
                fail(b"a stale read: confirmed after another master had chosen a value")
            world_check_epoch(w, r)


cdef bint world_stale(World *w, Node *n) noexcept nogil:
    # Is something chosen that this master neither applied nor proposed in this mastership?
    cdef uint32_t i, number
    cdef bint chosen, own
    for i in range(n.applied + 1, INSTANCES_MAX):
        chosen = own = False
        for number in range(1, NUMBERS):
            if w.proposed[i][number] and world_votes(w, i, number) > NODES // 2:
                chosen = True
                if (number & 3) == n.machines.me and number >= n.crown:
                    own = True
        if chosen and not own:
            return True
    return False


cdef uint32_t world_epoch(Node *n) noexcept nogil:
    cdef uint32_t i, epoch = 0
    for i in range(1, n.applied + 1):
        epoch += n.log[i].value & 1
    return epoch


cdef void world_check_epoch(World *w, uint32_t r) noexcept nogil:
    cdef uint32_t other
    cdef Node *n = &w.nodes[r]
    cdef uint32_t i, owner
    for other in range(r + 1, NODES + 1):
        if (
            w.nodes[other].machines.reign.state == REIGN_SERVING
            and world_epoch(n) == world_epoch(&w.nodes[other])
        ):
            fail(b"two masters serve in one epoch")
    # Behind its epoch instance there is nothing of another master.
    for i in range(<uint32_t>n.machines.reign.epoch + 1, n.applied + 1):
        owner = n.log[i].value >> 3 & 3
        if n.log[i].value >> 3 and owner != r:
            fail(b"an epoch was interrupted by another master")
