# The replica: clients above, log below, fed and drained. reference/replica.py has the words; the class that Python sees
# is in replica_face.pyx.

cdef enum Redirect:
    REDIRECT_AUTO
    REDIRECT_MOVED
    REDIRECT_FORWARD

cdef enum:
    APPLIED_MAX = 4096
    RETRY_US = 1000            # before what found a channel full is tried again

cdef const char *ERR_NO_MASTER = b"-CLUSTERDOWN The cell has no master\r\n"
cdef const char *ERR_DISK_FULL = b"-ERR disk full, nothing was done\r\n"
cdef const char *ERR_NOT_HERE = b"-ERR this command is not forwarded\r\n"

cdef struct Applied:
    uint64_t instance
    uint64_t checksum

cdef struct Core:
    Settings settings
    char addresses[REPLICAS_MAX + 1][272]   # where each replica listens for clients
    Log log
    Store store
    uint64_t epoch
    uint64_t time_ms           # the time in force: the maximum over all applied values
    uint64_t sealed_ms         # time of the last value sealed here
    uint64_t least_ms          # no read of this epoch shows an earlier time: masters before may have shown it
    MasterClock clock
    Clients clients
    uint32_t clients_count
    Clients streams[REPLICAS_MAX + 1]
    uint64_t generation
    Batch *open
    Batch *flights[SLOTS]      # by instance
    Buf ready                  # lists of Client *
    Buf waiting
    Buf holds
    Buf touched
    Buf virtual_
    Buf posts
    Buf calls
    Buf complaints             # of Complaint
    uint64_t clients_bytes     # kept for clients, as counted last
    uint32_t leader            # whom this replica followed last, itself included
    uint32_t last_master
    size_t ahead               # so many of `ready` have their turn before those of `waiting`
    uint64_t now
    uint64_t wall
    uint64_t masterless
    uint64_t nudge_at
    uint64_t sweep_at
    uint64_t check_at
    uint64_t room_at           # when anybody found room in the open batch last
    uint64_t work              # for requests since the turn began to look after clients, or ended
    uint64_t called            # for those that Python answers, since the last turn
    uint64_t effort            # ever
    uint64_t heaviest          # of it, the most for one request
    uint64_t operations
    uint64_t reads
    uint64_t elections
    Counts counts
    uint64_t idle_us           # so long a client may be idle, 0: for ever
    uint64_t idle_at           # when that is looked at next
    Applied history[APPLIED_MAX]
    uint64_t history_count     # ever
    uint64_t history_taken
    Answers answers


cdef void core_init(Core *core) noexcept nogil:
    cdef Host *host = &core.log.host
    log_init(&core.log, &core.settings)
    host.self = core
    host.deliver = core_deliver
    host.is_sound = core_is_sound
    host.on_frame = core_on_frame
    host.on_role = core_on_role
    host.on_opening = core_on_opening
    host.gap_value = core_gap_value
    host.epoch_value = core_epoch_value
    fdb_init(&core.store, core.settings.hash_seed)
    core.open = batch_new()


cdef void core_free(Core *core) noexcept nogil:
    cdef uint32_t i
    if core.open == NULL:
        return
    list_drop(&core.ready)
    list_drop(&core.waiting)
    list_drop(&core.holds)
    list_drop(&core.touched)
    list_drop(&core.virtual_)
    list_drop(&core.posts)
    list_drop(&core.calls)
    buf_free(&core.complaints)
    batch_free(core.open)
    for i in range(SLOTS):
        if core.flights[i] != NULL:
            batch_free(core.flights[i])
    clients_drop(&core.clients)
    for i in range(REPLICAS_MAX + 1):
        clients_drop(&core.streams[i])
    fdb_free(&core.store)
    log_free(&core.log)


# Time.
cdef void core_clock(Core *core, uint64_t boot_us, uint64_t wall_ms) noexcept nogil:
    core.now = core.log.now = u64_max(core.now, boot_us)
    core.wall = core.log.wall = wall_ms


cdef uint64_t core_clock_ms(Core *core) noexcept nogil:
    # The master's log time: never behind a value, advances at the rate of boot time.
    return u64_max(u64_max(core.sealed_ms, core.time_ms), mclock_at(&core.clock, core.now))


cdef inline uint64_t core_shown_ms(Core *core) noexcept nogil:
    # By this the time left is counted for a read that is answered at once: the clock, as far as a new master would know
    # that it may have been shown.
    return u64_max(core.least_ms, u64_min(core_clock_ms(core), core.time_ms + SHOWN_AHEAD_MS))


cdef inline uint64_t core_hooked_ms(Core *core) noexcept nogil:
    # By this for a read that has its place behind the value that was just applied.
    return u64_max(core.least_ms, core.time_ms)


cdef void core_turn(Core *core, uint64_t boot_us, uint64_t wall_ms) noexcept nogil:
    # Steps, in this order because reads are executed before the clock of their lease check was sampled.
    core_clock(core, boot_us, wall_ms)
    log_tick(&core.log, False)
    core_follow(core)
    core_sweep(core)
    fdb_tidy(&core.store)
    core_time_out(core)
    core_end_idle(core)
    count_rate(&core.counts, core.now)
    core_watch_master(core)
    core_progress(core)
    core_relieve(core)
    core_release_reads(core)
    core_send_streams(core)
    core.work = core.called = 0
    if DEBUGGING:
        core_check(core)


cdef uint64_t core_wakeup(Core *core) noexcept nogil:
    cdef uint64_t at
    if buf_size(&core.ready):
        return core.now
    at = u64_min(log_wakeup(&core.log), core.check_at)
    if buf_size(&core.virtual_) or buf_size(&core.posts) or fdb_untidy(&core.store):
        at = u64_min(at, core.now + RETRY_US)
    if core.idle_us:
        at = u64_min(at, core.idle_at)
    if buf_size(&core.waiting) and core.masterless:
        at = u64_min(at, core.masterless + core.settings.wait_master_us)
    return u64_max(core.now, at)


cdef inline bint core_serving(Core *core) noexcept nogil:
    return log_serving(&core.log)


cdef uint32_t core_master(Core *core) noexcept nogil:
    # The master that can be reached now, 0 if none.
    cdef Acceptor *a = &core.log.machines.acceptor
    if core_serving(core):
        return core.log.me
    if a.master and a.master != core.log.me and core.now < a.until and core.log.links[a.master][1].up:
        return a.master
    return 0


cdef void core_watch_master(Core *core) noexcept nogil:
    cdef uint32_t master = core_master(core)
    if master:
        core.masterless = 0
        core.last_master = master
    elif not core.masterless:
        core.masterless = core.now


cdef void core_sweep(Core *core) noexcept nogil:
    # An idle master sends the time, so that keys due vanish on every replica.
    cdef uint64_t due = core.store.next_deadline
    if disk_full(&core.log.disk, VALUE_BYTES):
        return
    if core_serving(core) and core.now >= core.sweep_at and 0 < due and due <= core_clock_ms(core):
        core.sweep_at = core.now + core.settings.beat_us
        core.open.force = True


cdef bint core_is_busy(Core *core) noexcept nogil:
    # Has enough been done for now? What is left goes on in the next turn, in its order.
    return core.work >= core.settings.work_max


cdef inline void core_worked(Core *core, uint64_t work) noexcept nogil:
    core.work += work
    core.effort += work


cdef void core_progress(Core *core) noexcept nogil:
    # Who waits is tried when all who were ready have had their turn: sooner, the two would take turns for ever; later,
    # who always has more to ask would have them all.
    cdef Client *c
    core.work = 0
    if not core.ahead:
        core_resume_waiting(core)
    while True:
        while not core_is_busy(core):
            c = client_pop(&core.ready)
            if c == NULL:
                break
            c.queued = False
            if core.ahead:
                core.ahead -= 1
            core_run(core, c)
            client_unref(c)
        if not core_seal(core) or not buf_size(&core.waiting) or core_is_busy(core):
            return
        core_resume_waiting(core)


cdef void core_resume_waiting(Core *core) noexcept nogil:
    cdef Client *c = client_pop(&core.waiting)
    while c != NULL:
        core_queue(core, c)
        client_unref(c)
        c = client_pop(&core.waiting)
    core.ahead = buf_size(&core.ready) // sizeof(Client *)


cdef void core_queue(Core *core, Client *c) noexcept nogil:
    if not c.queued:
        c.queued = True
        client_push(&core.ready, c)


cdef bint core_seal(Core *core) noexcept nogil:
    # Proposes the open batch, if there is something in it and the window has room.
    cdef Batch *b = core.open
    cdef ValueHead v
    cdef uint64_t size
    cdef uint64_t instance
    cdef uint32_t flying
    if not log_may_propose(&core.log) or not (b.count or b.force or core.log.dummy):
        return False
    flying = log_in_flight(&core.log, &size)
    if flying >= core.settings.window or (flying and size + buf_size(&b.body) > FLIGHT_BYTES_MAX):
        return False
    core.sealed_ms = core_clock_ms(core)
    v.checksum = 0
    v.time_ms = core.sealed_ms
    v.epoch = core.epoch
    v.count = b.count
    v.kind = OPERATIONS
    flog_value_seal(&b.body, core.settings.cell_id, &v)
    b.checksum = v.checksum
    b.sealed_us = core.now
    core.open = batch_new()
    core.log.dummy = False
    instance = core.log.machines.reign.proposed + 1
    log_propose(&core.log, &b.body)
    if buf_size(&b.hooks):
        b.instance = instance
        core.flights[instance % SLOTS] = b
    else:
        batch_free(b)
    return True


# What the log asks of its host.
cdef void core_deliver(void *self, uint64_t instance, const char *value, size_t size) noexcept nogil:
    # Applies a chosen value. Batches of another epoch have no effect.
    cdef Core *core = <Core *>self
    cdef ValueHead v
    cdef Batch *b = core.flights[instance % SLOTS]
    cdef Applied *applied
    cdef size_t at = VALUE_BYTES
    cdef uint64_t keys
    cdef FdbAhead ahead
    cdef bint done = False
    memcpy(&v, value, VALUE_BYTES)
    if v.kind == EPOCH:
        core.least_ms = core.time_ms + SHOWN_AHEAD_MS
    core.time_ms = u64_max(core.time_ms, v.time_ms)
    keys = fdb_size(&core.store)
    fdb_expire(&core.store, core.time_ms)
    core.counts.expired += keys - fdb_size(&core.store)
    if b != NULL:
        if b.instance == instance:
            core.flights[instance % SLOTS] = NULL
        else:
            b = NULL
    if v.kind == EPOCH:
        core.epoch += 1
    elif v.kind == OPERATIONS and v.epoch == core.epoch:
        core.operations += v.count
        if b != NULL and b.checksum == v.checksum:
            core_apply_with_hooks(core, value, size, b)
            batch_answered(b, &core.answers, core.now, size)
            done = True
        else:
            fdb_ahead_begin(&core.store, &ahead, value + at, value + size)
            while at < size:
                fdb_ahead_step(&core.store, &ahead)
                fdb_run(&core.store, value + at, core.time_ms, 2, NULL)
                at += fdb_op_size(value + at)
    if b != NULL:
        if not done:
            core_fail(core, b)
        batch_free(b)
    applied = &core.history[core.history_count % APPLIED_MAX]
    applied.instance = instance
    applied.checksum = v.checksum
    core.history_count += 1


cdef void core_on_role(void *self) noexcept nogil:
    # Mastership began or ended.
    cdef Core *core = <Core *>self
    cdef Client *c
    if core_serving(core):
        core.elections += 1
        return
    core_fail_open(core, CHANGED)
    c = client_pop(&core.holds)
    while c != NULL:
        if c.holding:
            core_close(core, c, CHANGED)
        client_unref(c)
        c = client_pop(&core.holds)


cdef void core_on_opening(void *self, const uint64_t *walls, uint32_t count) noexcept nogil:
    cdef Core *core = <Core *>self
    mclock_begin(&core.clock, core.time_ms, core.wall, walls, count, core.log.machines.quorum, core.now)
    core.sealed_ms = 0


cdef void core_gap_value(void *self, const Buf *before, Buf *value) noexcept nogil:
    cdef Core *core = <Core *>self
    cdef ValueHead v, previous
    memset(&v, 0, sizeof(v))
    v.time_ms = core.time_ms
    if before != NULL:
        memcpy(&previous, before.data + before.start, VALUE_BYTES)
        v.time_ms = previous.time_ms
    v.kind = NOOP
    buf_clear(value)
    buf_reserve(value, VALUE_BYTES)
    value.end += VALUE_BYTES
    flog_value_seal(value, core.settings.cell_id, &v)


cdef void core_epoch_value(void *self, uint64_t number, Buf *value) noexcept nogil:
    cdef Core *core = <Core *>self
    cdef ValueHead v
    memset(&v, 0, sizeof(v))
    v.time_ms = core_clock_ms(core)
    v.kind = EPOCH
    buf_clear(value)
    buf_reserve(value, VALUE_BYTES)
    value.end += VALUE_BYTES
    buf_add(value, &number, sizeof(number))
    flog_value_seal(value, core.settings.cell_id, &v)


# Clients.
cdef inline Client *core_client_new(Core *core, uint32_t id, uint32_t peer, uint64_t stream) noexcept nogil:
    return client_new(
        id, peer, stream, core.settings.value_bytes_max, core.settings.request_bytes_max, &core.counts)


cdef void core_client_open(Core *core, uint32_t conn) noexcept nogil:
    clients_set(&core.clients, conn, core_client_new(core, conn, 0, 0))
    core.clients.items[conn].active_at = core.now
    core.clients_count += 1


cdef char *core_client_space(Core *core, uint32_t conn, size_t *room) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    buf_reserve(&c.input, 16 << 10)
    room[0] = c.input.capacity - c.input.end
    return c.input.data + c.input.end


cdef void core_client_fed(Core *core, uint32_t conn, size_t size) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    c.input.end += size
    core_fed(core, c, size)


cdef inline void core_fed(Core *core, Client *c, size_t size) noexcept nogil:
    c.active_at = core.now
    core.counts.bytes_in += size
    core_worked(core, size)
    if not c.blocked and not c.queued:
        core_run(core, c)
    core_weigh(core, c)
    if buf_size(&c.input) - c.consume > core.settings.client_bytes_max and not c.calling:
        core_overfed(core, c)


cdef void core_client_close(Core *core, uint32_t conn) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    core_hang_up(core, c)
    core_forget(core, c)
    clients_set(&core.clients, conn, NULL)
    core.clients_count -= 1


cdef bint core_client_wants(Core *core, uint32_t conn) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    cdef size_t limit = STALLED_BYTES_MAX
    if c.closing or c.broken or c.ended:
        return False
    if not (c.blocked or c.calling or c.delayed):
        limit += core.settings.request_bytes_max + INLINE_BYTES_MAX
    elif buf_size(&c.output) and not (c.holding or c.calling):
        return True   # it may want to send all before it takes anything; how much is kept says core_fed
    return buf_size(&c.input) - c.consume < limit


cdef bint core_client_closing(Core *core, uint32_t conn) noexcept nogil:
    return core.clients.items[conn].closing and not core.clients.items[conn].holding


cdef bint core_touched_next(Core *core, uint32_t *conn) noexcept nogil:
    cdef Client *c
    cdef bint alive
    while True:
        c = client_pop(&core.touched)
        if c == NULL:
            return False
        c.touched = False
        core_weigh(core, c)
        conn[0] = c.id
        alive = c.alive
        client_unref(c)
        if alive:
            return True


cdef size_t core_client_output(Core *core, uint32_t conn, const char **data) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    if c.holding:
        return 0
    data[0] = c.output.data + c.output.start
    return buf_size(&c.output)


cdef void core_client_sent(Core *core, uint32_t conn, size_t size) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    buf_take(&c.output, size)
    c.active_at = core.now
    core.counts.bytes_out += size
    core_weigh(core, c)
    if buf_size(&c.output):
        return
    buf_rest(&c.output, IDLE_BYTES)
    c.replies = 0
    if c.full or core_must_report(c):
        core_queue(core, c)


cdef bint core_has_calls(Core *core) noexcept nogil:
    return buf_size(&core.calls) > 0


cdef inline void core_touch(Core *core, Client *c) noexcept nogil:
    if not c.touched and c.alive:
        c.touched = True
        client_push(&core.virtual_ if c.peer else &core.touched, c)


cdef void core_run(Core *core, Client *c) noexcept nogil:
    # Executes a client's requests until there is none, one has to wait, or others shall have their turn.
    cdef FdbAhead ahead
    cdef size_t replied
    cdef bint fresh
    ahead.next = NULL
    ahead.slots = ahead.entries = 0
    if not c.alive:
        return
    core_worked(core, WORK_TRY)
    core_report(core, c)
    if c.blocked or c.delayed:
        c.blocked = c.full = c.delayed = False
        core_touch(core, c)
    while c.alive and not (c.calling or c.closing or c.broken):
        if core_is_busy(core):
            c.delayed = True
            core_queue(core, c)
            break
        if client_waiting_bytes(c) > OUTPUT_BYTES_MAX:
            c.blocked = c.full = True
            break
        client_look_ahead(c, &core.store, &ahead)
        fresh = not c.parsed
        if fresh and not core_parse(core, c):
            break
        replied = buf_size(&c.output)
        if not core_execute(core, c):
            if fresh or c.kind == RESP_READ:   # parsed, or each of its keys looked up, it was work all the same
                core_request_cost(core, c, 0)
            c.blocked = True
            break
        core_request_cost(core, c, buf_size(&c.output) - replied)
        c.parsed = False
        c.waiting_since = 0
        if not c.calling:
            buf_take(&c.input, c.consume)
            c.consume = 0
    core_forward_outbox(core, c)
    client_rest(c)
    core_weigh(core, c)


cdef inline void core_request_cost(Core *core, Client *c, size_t replied) noexcept nogil:
    cdef uint64_t work = WORK_REQUEST + <uint64_t>WORK_ARGUMENT * c.parser.argc + c.consume + replied
    core_worked(core, work)
    core.heaviest = u64_max(core.heaviest, work)


cdef inline void core_break(Core *core, Client *c) noexcept nogil:
    # Nothing more is read: the connection ends when all before is answered.
    buf_clear(&c.input)
    resp_forget(&c.parser)
    c.consume = 0
    c.broken = True
    core_settle(core, c)


cdef bint core_parse(Core *core, Client *c) noexcept nogil:
    cdef const char *data = c.input.data + c.input.start
    cdef int status = resp_next(&c.parser, data, buf_size(&c.input))
    if status == RESP_BROKEN:
        if c.parser.error == NULL:
            core_complain(core, c, COMPLAINT_TLS)
        core_break(core, c)
        return False
    if status == RESP_MORE:
        buf_take(&c.input, c.parser.consumed)
        if c.ended:
            core_break(core, c)
        return False
    c.parsed = True
    c.consume = c.parser.consumed
    buf_clear(&c.data)
    if status == RESP_TOO_LARGE:
        c.command = 0
        client_too_large(c)
    else:
        c.kind = resp_encode(&c.parser, data, c.resp, &c.data, &c.data, &c.command)
        if c.kind == RESP_ALIEN:
            core_complain(core, c, COMPLAINT_HTTP)
            c.parsed = False
            core_break(core, c)
            return False
        if c.kind > RESP_ALIEN or c.refusing:
            client_screen(c, data)
    if not c.peer:
        count_request(&core.counts, c.command)
    return True


cdef bint core_execute(Core *core, Client *c) noexcept nogil:
    # Executes the parsed request; False if it has to wait (and will be tried again).
    cdef bint coming
    cdef uint32_t master
    cdef char moved[320]
    if c.kind == RESP_REPLY:
        return core_reply(core, c, c.data.data, buf_size(&c.data))
    if c.kind == RESP_CALL:
        if c.peer:
            return core_reply(core, c, ERR_NOT_HERE, strlen(ERR_NOT_HERE))
        if c.pending or c.forwarded or c.outbox_count:
            return False
        c.calling = CALL_WAITS
        client_push(&core.calls, c)
        return True
    if core_serving(core):
        if c.forwarded or c.outbox_count:
            return False
        return core_read(core, c) if c.kind == RESP_READ else core_write(core, c)
    if c.pending:
        return False
    coming = log_opening(&core.log)
    if c.peer and not coming:
        return core_reply(core, c, ERR_NOT_DONE[CHANGED], strlen(ERR_NOT_DONE[CHANGED]))
    master = core_master(core) if not coming and not c.peer else 0
    if master:
        if core_redirects(core, c):
            snprintf(moved, sizeof(moved), "-MOVED %u %s\r\n", fdb_slot(c.data.data), core.addresses[master])
            return core_reply(core, c, moved, strlen(moved))
        return core_forward(core, c, master)
    if core.masterless and core.now - core.masterless > core.settings.wait_master_us:
        return core_reply(core, c, ERR_NO_MASTER, strlen(ERR_NO_MASTER))
    client_push(&core.waiting, c)
    return False


cdef inline bint core_redirects(Core *core, Client *c) noexcept nogil:
    if c.readonly and c.kind == RESP_READ:
        return False
    return core.settings.redirect == REDIRECT_MOVED or (core.settings.redirect == REDIRECT_AUTO and c.redirect)


cdef bint core_reply(Core *core, Client *c, const char *reply, size_t size) noexcept nogil:
    if c.forwarded or c.outbox_count:
        return False
    if c.pending:
        if c.hooked_bytes + size + sizeof(Hook) > HOOKED_BYTES_MAX or not batch_gives(c.batch, size + sizeof(Hook)):
            return False
        c.hooked_bytes += size + sizeof(Hook)
        batch_hook(c.batch, LITERAL_HOOK, c, reply, size)
        return True
    client_write(c, reply, size)
    core_touch(core, c)
    return True


cdef bint core_read(Core *core, Client *c) noexcept nogil:
    cdef Buf *output
    cdef size_t before
    if c.pending:
        if c.batch == core.open:
            return core_hook_read(core, c, c.batch, READ_HOOK)
        if fdb_asks_time(c.data.data):
            return core_read_behind_time(core, c)
        return core_hook_read(core, c, c.batch, LATE_READ_HOOK)
    if fdb_is_due(&core.store, c.data.data, core_clock_ms(core)) or core_is_ahead(core, c.data.data):
        return core_read_behind_time(core, c)
    output = client_say(c)
    before = buf_size(output)
    fdb_run(&core.store, c.data.data, core_shown_ms(core), c.resp, output)
    count_reply(&core.counts, &core.store, c.data.data, output, before)
    core.reads += 1
    core_hold(core, c)
    return True


cdef bint core_is_ahead(Core *core, const char *read) noexcept nogil:
    # Would it show a time that a new master knows nothing of? While the disk is full it shows an earlier one.
    return (
        core_clock_ms(core) > core.time_ms + SHOWN_AHEAD_MS
        and fdb_is_left_time(&core.store, read)
        and not disk_full(&core.log.disk, buf_size(&core.open.body))
    )


cdef bint core_read_behind_time(Core *core, Client *c) noexcept nogil:
    # It is answered behind a value that carries the time.
    if disk_full(&core.log.disk, buf_size(&core.open.body)):
        return core_reply(core, c, ERR_DISK_FULL, strlen(ERR_DISK_FULL))
    if not core_hook_read(core, c, core.open, READ_HOOK):
        return False if c.pending else core_wait_for_room(core, c)
    core.room_at = core.now
    core.open.force = True
    return True


cdef void core_hold(Core *core, Client *c) noexcept nogil:
    # Keeps the reply of a read until the lease check, and all behind it.
    if not c.holding:
        c.holding = True
        client_push(&core.holds, c)
    c.held_since = 0


cdef bint core_write(Core *core, Client *c) noexcept nogil:
    cdef Batch *b = core.open
    cdef uint64_t bound = core_reply_bound(core, c) if fdb_gives_value(c.data.data) else 0
    if bound and c.pending and c.hooked_bytes + bound > HOOKED_BYTES_MAX:
        return False   # replies that are made when the batch is applied can't be stopped half-way
    if disk_full(&core.log.disk, buf_size(&b.body) + buf_size(&c.data)):
        return core_reply(core, c, ERR_DISK_FULL, strlen(ERR_DISK_FULL))
    if (
        buf_size(&b.body) - VALUE_BYTES >= core.settings.batch_bytes
        or disk_backlog(&core.log.disk) > DISK_BYTES_HIGH or not batch_gives(b, bound)
    ):
        return core_wait_for_room(core, c)
    core.room_at = core.now
    batch_open_at(b, core.now)
    c.hooked_bytes += bound
    batch_add(b, &c.data)
    batch_hook(b, WRITE_HOOK, c, NULL, 0)
    return True


cdef bint core_wait_for_room(Core *core, Client *c) noexcept nogil:
    # Not for longer than write_timeout, whatever the disk or a majority does; what is behind waits no more, unless
    # anybody has found room since.
    if c.waiting_since and core.now - c.waiting_since > core.settings.write_timeout_us:
        c.late_at = core.now
    if c.late_at and core.room_at <= c.late_at:
        return core_reply(core, c, ERR_NOT_DONE[LATE], strlen(ERR_NOT_DONE[LATE]))
    c.late_at = 0
    if not c.waiting_since:
        c.waiting_since = core.now
    client_push(&core.waiting, c)
    return False


cdef void core_release_reads(Core *core) noexcept nogil:
    # The lease check (PML 5.2): after the reads, with a clock sampled after them, before their replies leave.
    cdef Machines *machines = &core.log.machines
    cdef bint covered
    cdef size_t count = buf_size(&core.holds) // sizeof(Client *)
    cdef Client *c
    if not count:
        return
    covered = reign_may_read(machines, core.now)
    while count:
        count -= 1
        c = client_pop(&core.holds)
        if c.holding and c.alive:
            if covered or (c.held_since and reign_confirmed(machines, c.held_since, core.now)):
                c.holding = False
                core_touch(core, c)
            else:
                if not c.held_since:
                    c.held_since = core.now
                client_push(&core.holds, c)
        client_unref(c)
    if buf_size(&core.holds) and core.now >= core.nudge_at:
        core.nudge_at = core.now + core.settings.beat_us // 4
        log_tick(&core.log, True)


# Peers.
cdef void core_peer_open(Core *core, uint32_t peer, uint32_t channel) noexcept nogil:
    core_peer_close(core, peer, channel)
    core.log.links[peer][channel].up = True


cdef void core_peer_close(Core *core, uint32_t peer, uint32_t channel) noexcept nogil:
    cdef Link *link = &core.log.links[peer][channel]
    cdef Client *c
    cdef uint32_t i
    link.up = False
    buf_trim(&link.input, 0)
    buf_trim(&link.output, 0)
    if channel != 1:
        return
    for i in range(core.streams[peer].capacity):
        c = core.streams[peer].items[i]
        if c != NULL:
            core_forget(core, c)
    clients_drop(&core.streams[peer])
    for i in range(core.clients.capacity):
        c = core.clients.items[i]
        if c != NULL and c.forward_peer == peer:
            c.forward_peer = 0
            core_end_stream(core, c, CUT_OFF)


cdef char *core_peer_space(Core *core, uint32_t peer, uint32_t channel, size_t *room) noexcept nogil:
    cdef Buf *b = &core.log.links[peer][channel].input
    buf_reserve(b, 256 << 10)
    room[0] = b.capacity - b.end
    return b.data + b.end


cdef bint core_peer_fed(Core *core, uint32_t peer, uint32_t channel, size_t size) noexcept nogil:
    core.log.links[peer][channel].input.end += size
    return log_feed(&core.log, peer, channel)


cdef size_t core_peer_output(Core *core, uint32_t peer, uint32_t channel, const char **data) noexcept nogil:
    cdef Buf *b = &core.log.links[peer][channel].output
    data[0] = b.data + b.start
    return buf_size(b)


cdef void core_peer_sent(Core *core, uint32_t peer, uint32_t channel, size_t size) noexcept nogil:
    cdef Buf *b = &core.log.links[peer][channel].output
    buf_take(b, size)
    if not buf_size(b) and b.capacity > 4 * BATCH_BYTES:
        buf_trim(b, 0)
