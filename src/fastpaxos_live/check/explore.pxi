# Breadth-first exploration of a world: each state once (by a 64-bit hash), the shortest way to a violation.

cdef enum Kind:
    DELIVER
    SYNC
    CRASH
    STAND
    TICK
    SUBMIT
    TEACH
    CHALLENGE
    PASS
    HOLD
    KEEP

KINDS = ("deliver", "sync", "crash", "stand", "tick", "submit", "teach", "challenge", "pass", "hold", "keep")

cdef struct Table:         # open addressing; 0 is free
    uint64_t *slots
    uint64_t mask
    uint64_t count

cdef struct Bytes:
    uint8_t *data
    size_t size
    size_t room


cdef bint bytes_add(Bytes *b, const void *data, size_t size) noexcept nogil:
    cdef size_t room = b.room
    cdef uint8_t *more
    if b.size + size > b.room:
        while b.size + size > room:
            room = 2 * room if room else 1 << 20
        more = <uint8_t *>realloc(b.data, room)
        if more == NULL:
            return False
        b.data = more
        b.room = room
    memcpy(b.data + b.size, data, size)
    b.size += size
    return True


cdef bint table_grow(Table *t) noexcept nogil:
    cdef uint64_t size = 2 * (t.mask + 1) if t.slots != NULL else 1 << 16
    cdef uint64_t *slots = <uint64_t *>calloc(size, sizeof(uint64_t))
    cdef uint64_t i, j
    if slots == NULL:
        return False
    if t.slots != NULL:
        for i in range(t.mask + 1):
            if t.slots[i]:
                j = t.slots[i] & (size - 1)
                while slots[j]:
                    j = (j + 1) & (size - 1)
                slots[j] = t.slots[i]
        free(t.slots)
    t.slots = slots
    t.mask = size - 1
    return True


cdef int table_add(Table *t, uint64_t hash) noexcept nogil:
    # 1: it is new, 0: it was there, -1: no memory.
    cdef uint64_t i
    if (t.slots == NULL or 10 * t.count > 7 * t.mask) and not table_grow(t):
        return -1
    hash += hash == 0
    i = hash & t.mask
    while t.slots[i]:
        if t.slots[i] == hash:
            return 0
        i = (i + 1) & t.mask
    t.slots[i] = hash
    t.count += 1
    return 1


# A state as bytes.
cdef uint64_t values[VALUE_COUNT]


cdef void node_normalize(Node *n) noexcept nogil:
    # What is written again before it is read makes no difference.
    cdef Machines *s = &n.machines
    cdef uint32_t r
    s.coordinator.deadline = s.coordinator.resend = s.coordinator.fed = 0
    if s.coordinator.state == COORDINATOR_IDLE:
        s.coordinator.votes = 0
        s.coordinator.target = s.coordinator.offered = 0
        s.coordinator.source = 0
        memset(s.coordinator.got, 0, sizeof(s.coordinator.got))
        memset(s.coordinator.after, 0, sizeof(s.coordinator.after))
        memset(&s.coordinator.offers, 0, sizeof(s.coordinator.offers))
        if s.reign.state != REIGN_OPENING:
            memset(n.offers, 0, sizeof(n.offers))
    if s.reign.state == REIGN_IDLE:
        memset(&s.reign, 0, sizeof(Reign))
        memset(&s.boost, 0, sizeof(Boost))
        n.crown = 0
    if bounds.ticks and not bounds.reads:
        for r in range(NODES + 1):                   # a lease that is over
            if s.reign.heard[r] + bounds.master <= n.clock:
                s.reign.heard[r] = 0
    if s.reign.beat <= n.clock:
        s.reign.beat = 0
    if s.boost.state != BOOST_PROPOSING:
        s.boost.newest = 0
    s.boost.at = 200                             # CHALLENGE leads to boosts instead
    if s.acceptor.until <= n.clock:
        s.acceptor.until = 0
        s.acceptor.master = 0
    if s.acceptor.state == ACCEPTOR_VOTING:
        s.acceptor.quiet = s.acceptor.longest = 0


cdef size_t world_pack(World *w, uint8_t *to) noexcept nogil:
    cdef size_t count, i, n = 0
    cdef uint32_t r
    cdef Node *node
    for r in range(1, NODES + 1):
        node = &w.nodes[r]
        count = machines_values(&node.machines, values)
        for i in range(count):
            if values[i] > 255:
                fail(b"a value does not fit a byte")
            to[n] = <uint8_t>values[i]
            n += 1
        memcpy(to + n, &node.log, sizeof(Node) - (<char *>&node.log - <char *>node))
        n += sizeof(Node) - (<char *>&node.log - <char *>node)
    memcpy(to + n, &w.proposed, sizeof(w.proposed))
    n += sizeof(w.proposed)
    to[n] = w.crashes
    to[n + 1] = w.stands
    to[n + 2] = w.boosts
    to[n + 3] = w.submits
    to[n + 4] = w.beats
    n += 5
    memcpy(to + n, &w.count, 4)
    n += 4
    memcpy(to + n, w.set, w.count * sizeof(uint64_t))
    return n + w.count * sizeof(uint64_t)


cdef void world_unpack(World *w, const uint8_t *data) noexcept nogil:
    cdef size_t count = VALUE_COUNT, i, n = 0
    cdef uint32_t r
    cdef Node *node
    for r in range(1, NODES + 1):
        node = &w.nodes[r]
        for i in range(count):
            values[i] = data[n]
            n += 1
        machines_load(&node.machines, values)
        memcpy(&node.log, data + n, sizeof(Node) - (<char *>&node.log - <char *>node))
        n += sizeof(Node) - (<char *>&node.log - <char *>node)
    memcpy(&w.proposed, data + n, sizeof(w.proposed))
    n += sizeof(w.proposed)
    w.crashes = data[n]
    w.stands = data[n + 1]
    w.boosts = data[n + 2]
    w.submits = data[n + 3]
    w.beats = data[n + 4]
    n += 5
    memcpy(&w.count, data + n, 4)
    n += 4
    memcpy(w.set, data + n, w.count * sizeof(uint64_t))


cdef void world_init(World *w) noexcept nogil:
    cdef uint32_t r
    cdef Machines *s
    memset(w, 0, sizeof(World))
    for r in range(1, NODES + 1):
        s = &w.nodes[r].machines
        s.host = &w.nodes[r]
        s.me = r
        s.replicas = NODES
        s.quorum = NODES // 2 + 1
        s.lease = s.silence = bounds.lease_2 if r == 2 and bounds.lease_2 else bounds.lease
        s.acceptor.kept = w.nodes[r].disk_kept = <uint8_t>s.lease
        s.master = bounds.master
        s.beat = 1 if bounds.ticks else 0
        s.term = s.patience = 200
        s.window = s.room = INSTANCES_MAX
        s.acceptor.state = ACCEPTOR_VOTING


# What can happen next.
cdef bint may_stand(World *w, Node *n) noexcept nogil:
    cdef uint64_t number = u64_max(n.machines.acceptor.promised, n.machines.election.seen)
    return host_above(&n.machines, number) >> 2 <= bounds.rounds


cdef bint fits(Node *n) noexcept nogil:
    return n.machines.reign.proposed < bounds.instances


cdef bint possible(World *w, uint32_t kind, uint32_t r, uint32_t arg) noexcept nogil:
    cdef Node *n = &w.nodes[r]
    cdef Machines *s = &n.machines
    cdef uint32_t i
    if kind == SYNC:
        return n.dirty
    if kind == CRASH:
        return w.crashes < bounds.crashes
    if kind == STAND:
        return (
            w.stands < bounds.stands and r <= bounds.coordinators and may_stand(w, n)
        )
    if kind == TICK:
        if s.acceptor.state == ACCEPTOR_SILENT and n.clock >= s.acceptor.quiet:
            return True
        if s.reign.state == REIGN_OPENING and (s.reign.proposed < s.reign.offered or s.reign.epoch == 0):
            return fits(n)
        if s.boost.state == BOOST_DRAINING:
            return may_stand(w, n) and s.reign.proposed <= s.acceptor.chosen
        return (
            s.reign.state != REIGN_IDLE and s.reign.beat <= n.clock and s.coordinator.state == COORDINATOR_IDLE
            and w.beats < bounds.beats and r <= bounds.beaters
        )
    if kind == SUBMIT:
        return (
            s.reign.state == REIGN_SERVING and s.boost.state == BOOST_IDLE and w.submits < bounds.submits and fits(n)
            and s.reign.proposed < s.acceptor.chosen + bounds.window
        )
    if kind == TEACH:
        return (
            bounds.teach and arg and arg != r and w.nodes[arg].applied > s.acceptor.chosen
        )
    if kind == CHALLENGE:
        return (
            s.reign.state == REIGN_SERVING and s.boost.state == BOOST_IDLE and w.boosts < bounds.boosts
            and (not arg or w.nodes[arg].machines.acceptor.promised > s.reign.number)
        )
    if kind == PASS:
        if n.clock >= bounds.ticks:
            return False
        for i in range(1, NODES + 1):
            if n.clock + 1 > w.nodes[i].clock + bounds.skew:
                return False
        return True
    if kind == KEEP:
        return n.lasting
    if kind == HOLD:
        return bounds.reads and s.reign.state == REIGN_SERVING and not n.held_since
    return False


cdef void world_act(World *w, uint32_t kind, uint32_t r, uint32_t arg) noexcept nogil:
    cdef Node *n = &w.nodes[r]
    cdef Machines *s = &n.machines
    cdef Message m
    cdef At at
    cdef uint64_t before
    memset(&m, 0, sizeof(m))
    memset(&at, 0, sizeof(at))
    m.sender = r
    m.now = n.clock
    if kind == DELIVER:
        world_deliver(w, arg)
        return
    if kind == SYNC:
        world_sync(w, n)
    elif kind == CRASH:
        w.crashes += 1
        world_crash(w, n)
    elif kind == STAND:
        w.stands += 1
        give_up(w, n)
        m.type = M_STAND
        m.number = host_above(s, u64_max(s.acceptor.promised, s.election.seen))
        world_step(w, n, &m, at)
    elif kind == TICK:
        before = rows_taken[ROW_REIGN_PULSE]
        world_happen(w, n, M_TICK)
        w.beats += rows_taken[ROW_REIGN_PULSE] != before
    elif kind == SUBMIT:
        w.submits += 1
        world_happen(w, n, M_SUBMIT)
    elif kind == TEACH:
        if s.reign.state != REIGN_IDLE:
            give_up(w, n)
        m.type = M_LEARN
        m.sender = arg
        m.instance = s.acceptor.chosen + 1
        m.number = w.nodes[arg].log[m.instance].number
        at.value = w.nodes[arg].log[m.instance].value
        world_step(w, n, &m, at)
    elif kind == CHALLENGE:
        w.boosts += 1
        m.type = M_REFUSE
        # By a replica that promised a higher number; from nobody: it boosts because it is time to.
        m.sender = arg if arg else 1 + r % NODES
        m.number = s.reign.number
        m.promised = w.nodes[arg].machines.acceptor.promised if arg else s.reign.number + 1
        s.election.seen = u64_max(s.election.seen, w.nodes[arg].machines.acceptor.promised if arg else 0)
        world_step(w, n, &m, at)
    elif kind == PASS:
        n.clock += 1
    elif kind == HOLD:
        n.held_since = n.clock + 1
        n.held_stale = world_stale(w, n)
    elif kind == KEEP:
        world_keep(w, n)
    world_settle(w, n)


cdef void give_up(World *w, Node *n) noexcept nogil:
    # One that lost and does nothing is as one that only does nothing: so losing needs no step of its own.
    if n.machines.coordinator.state != COORDINATOR_IDLE or n.machines.reign.state != REIGN_IDLE:
        world_happen(w, n, M_LOST)


cdef void world_calm(World *w) noexcept nogil:
    # Where no crash can come any more, a sync that is late is as a message that is late.
    cdef uint32_t r
    if w.crashes == bounds.crashes:
        for r in range(1, NODES + 1):
            while w.nodes[r].dirty or w.nodes[r].waiting_count:
                world_sync(w, &w.nodes[r])
    if bounds.sweep:
        world_sweep(w)
    for r in range(1, NODES + 1):
        node_normalize(&w.nodes[r])


cdef void world_found(World *w) noexcept nogil:
    # Replica 1 becomes master, and everybody knows: the beginning of scopes that are about what comes after.
    cdef uint32_t i, r, turn
    world_act(w, STAND, 1, 0)
    for turn in range(8):
        for r in range(1, NODES + 1):
            if w.nodes[r].dirty:
                world_act(w, SYNC, r, 0)
            if w.nodes[r].lasting:
                world_act(w, KEEP, r, 0)
        i = 0
        while i < w.count:
            world_act(w, DELIVER, 0, i)
            i += 1
        if w.nodes[1].machines.reign.state != REIGN_IDLE:
            world_act(w, TICK, 1, 0)
            w.nodes[1].machines.reign.beat = 0
    w.crashes = w.stands = w.boosts = w.submits = w.beats = 0


cdef class Explorer:
    """One exploration; `run` goes on until all states are seen, a limit is met, or an invariant is broken."""

    cdef Table seen
    cdef Bytes frontier, coming    # states, each: size (4 bytes), id (4 bytes), bytes
    cdef Bytes trail               # for each state: parent (4 bytes), action (4 bytes)
    cdef World world
    cdef uint8_t packed[STATE_BYTES_MAX]
    cdef Bounds limits
    cdef readonly uint64_t states
    cdef readonly uint64_t transitions
    cdef readonly uint64_t discarded     # steps beyond the bounds of the world
    cdef readonly uint32_t depth
    cdef readonly bint complete
    cdef readonly str violation
    cdef uint32_t last

    def __init__(self, dict limits):
        """`limits`: the fields of Bounds, and which mutant (0: none)."""
        global bounds, mutant
        mutant = limits.get("mutant", 0)
        memset(&bounds, 0, sizeof(bounds))
        bounds.instances = limits["instances"]
        bounds.rounds = limits["rounds"]
        bounds.coordinators = limits["coordinators"]
        bounds.crashes = limits["crashes"]
        bounds.stands = limits["stands"]
        bounds.boosts = limits.get("boosts", 0)
        bounds.submits = limits.get("submits", 0)
        bounds.beats = limits.get("beats", 0)
        bounds.teach = limits.get("teach", 1)
        bounds.beaters = limits.get("beaters", NODES)
        bounds.until_lost = limits.get("until_lost", 0)
        bounds.founded = limits.get("founded", 0)
        bounds.sweep = limits.get("sweep", 1)
        bounds.window = limits.get("window", 1)
        bounds.ticks = limits.get("ticks", 0)
        bounds.skew = limits.get("skew", 0)
        bounds.lease = limits.get("lease", 0)
        bounds.lease_2 = limits.get("lease_2", 0)
        bounds.master = limits.get("master", 0)
        bounds.reads = limits.get("reads", 0)
        self.limits = bounds
        memset(rows_taken, 0, sizeof(rows_taken))

    def __dealloc__(self):
        free(self.seen.slots)
        free(self.frontier.data)
        free(self.coming.data)
        free(self.trail.data)

    cdef void begin(self):
        global broken, bounds
        broken = NULL
        bounds = self.limits
        world_init(&self.world)
        if bounds.founded:
            world_found(&self.world)
        world_calm(&self.world)

    cdef int visit(self, uint32_t parent, uint32_t action) noexcept nogil:
        # Takes the world's state up if it is new; -1: no memory.
        cdef size_t size
        cdef uint32_t head[2]
        cdef int new
        world_check(&self.world)
        size = world_pack(&self.world, self.packed)
        new = table_add(&self.seen, xxh64(self.packed, size, 0))
        if new != 1:
            return new
        head[0] = parent
        head[1] = action
        if not bytes_add(&self.trail, head, 8):
            return -1
        head[0] = <uint32_t>size
        head[1] = <uint32_t>self.states
        self.last = <uint32_t>self.states
        self.states += 1
        if not bytes_add(&self.coming, head, 8) or not bytes_add(&self.coming, self.packed, size):
            return -1
        return 1

    cdef bint expand(self, const uint8_t *state, uint32_t id) noexcept nogil:
        # Visits all that can follow a state; False: a violation, or no memory.
        cdef uint32_t kind, r, arg, count
        world_unpack(&self.world, state)
        if bounds.until_lost and self.world.nodes[1].machines.reign.state == REIGN_IDLE:
            return True
        count = self.world.count
        for arg in range(count):
            world_unpack(&self.world, state)
            if not self.follow(id, DELIVER, 0, arg):
                return False
        world_unpack(&self.world, state)
        for kind in range(SYNC, KEEP + 1):
            for r in range(1, NODES + 1):
                for arg in range(NODES + 1 if kind == TEACH or kind == CHALLENGE else 1):
                    if possible(&self.world, kind, r, arg):
                        if not self.follow(id, kind, r, arg):
                            return False
                        world_unpack(&self.world, state)
        return True

    cdef bint follow(self, uint32_t id, uint32_t kind, uint32_t r, uint32_t arg) noexcept nogil:
        cdef uint32_t action = kind | r << 8 | arg << 16
        global beyond
        self.transitions += 1
        world_act(&self.world, kind, r, arg)
        world_calm(&self.world)
        if beyond:
            beyond = False
            self.discarded += 1
            return True
        if self.visit(id, action) < 0:
            fail(b"no memory")
        if broken != NULL:
            if self.trail.size // 8 == self.states and (<uint32_t *>self.trail.data)[2 * self.last + 1] != action:
                bytes_add(&self.trail, &id, 4)
                bytes_add(&self.trail, &action, 4)
                self.last = <uint32_t>self.states
            return False
        return True

    def run(self, double seconds=1e9, uint64_t states_max=1 << 62, report=None):
        """Explores for at most that long; `report(depth, states, transitions)` after each level."""
        global broken, bounds
        cdef size_t at
        cdef uint32_t head[2]
        cdef bint fine = True
        end = monotonic() + seconds
        self.begin()
        if self.visit(0, 0xFF) < 0 or broken != NULL:
            self.violation = broken.decode()
            return
        while self.coming.size and fine:
            self.frontier, self.coming = self.coming, self.frontier
            self.coming.size = 0
            self.depth += 1
            at = 0
            while at < self.frontier.size and fine:
                memcpy(head, self.frontier.data + at, 8)
                fine = self.expand(self.frontier.data + at + 8, head[1])
                at += 8 + head[0]
                if not head[1] & 0x3FFF and (monotonic() > end or self.states > states_max):
                    return
            if report is not None:
                report(self.depth, self.states, self.transitions)
        if broken != NULL:
            self.violation = broken.decode()
        else:
            self.complete = not self.discarded

    def rows(self):
        """How often each row was taken."""
        return {name: rows_taken[i + 1] for i, name in enumerate(ROW_NAMES)}

    def way(self):
        """The actions that lead to the violation: (kind, replica, message or other replica)."""
        cdef uint32_t *trail = <uint32_t *>self.trail.data
        cdef uint32_t id = self.last, action
        actions = []
        while True:
            action = trail[2 * id + 1]
            if action == 0xFF:
                return actions[::-1]
            actions.append((action & 0xFF, action >> 8 & 0xFF, action >> 16))
            id = trail[2 * id]

    def replay(self, list actions):
        """Takes these actions again; yields for each what there is to say of it."""
        cdef Message m
        cdef uint64_t before[ROWS]
        cdef uint32_t i
        self.begin()
        steps = []
        for kind, r, arg in actions:
            message = None
            if kind == DELIVER:
                m = unpack(self.world.set[arg])
                r = self.world.set[arg] >> 6 & 3
                message = dict(type=MESSAGE_NAMES[m.type], sender=m.sender, number=m.number, instance=m.instance,
                               mark=m.mark, sent=m.sent, accepted=m.accepted, high=m.high, value=m.value,
                               span=m.span)
            memcpy(before, rows_taken, sizeof(before))
            world_act(&self.world, kind, r, arg)
            world_calm(&self.world)
            taken = [ROW_NAMES[i - 1] for i in range(1, ROWS) if rows_taken[i] > before[i]]
            world_check(&self.world)
            steps.append((KINDS[kind], r, message or arg, taken, self.state()))
        return steps

    def state(self):
        """The present state, for reading: one dict a replica."""
        cdef uint64_t snapshot[SNAPSHOT]
        cdef uint32_t r, i
        states = []
        for r in range(1, NODES + 1):
            machines_snapshot(&self.world.nodes[r].machines, snapshot)
            found = {name: snapshot[i] for i, name in enumerate(SNAPSHOT_NAMES)}
            found["clock"] = self.world.nodes[r].clock
            found["applied"] = self.world.nodes[r].applied
            found["log"] = [(c.number, c.value) for c in self.world.nodes[r].log[:INSTANCES_MAX]]
            states.append(found)
        return states
