# What the edge and Python see of the compiled core: some of the C face, and `_api.Replica`.

cdef bint core_answer_next(Core *core, Answer *answer) noexcept nogil:
    cdef Answers *answers = &core.answers
    if not answers.count:
        return False
    answer[0] = answers.items[answers.first]
    answers.first = (answers.first + 1) % SLOTS
    answers.count -= 1
    return True


cdef void core_watch(Core *core, void *watcher, Applying applying) noexcept nogil:
    core.log.watcher = watcher
    core.log.applying = applying


cdef void core_client_end(Core *core, uint32_t conn) noexcept nogil:
    cdef Client *c = core.clients.items[conn]
    c.ended = True
    if not c.blocked and not c.queued:
        core_run(core, c)


# Leases.
cdef uint64_t core_span_wanted(Core *core) noexcept nogil:
    return core.log.lasting


cdef void core_span_kept(Core *core, uint64_t span_us) noexcept nogil:
    log_span_kept(&core.log, span_us)


# Disk.
cdef size_t core_disk_output(Core *core, uint64_t *position, const char **data, bint *sync) noexcept nogil:
    return log_drain(&core.log, position, data, sync)


cdef void core_durable(Core *core, uint64_t position) noexcept nogil:
    log_durable(&core.log, position)


cdef void core_limit_log(Core *core, uint64_t position) noexcept nogil:
    core.log.disk.limit = position


cdef bint core_read_next(Core *core, uint64_t *position, uint32_t *length) noexcept nogil:
    cdef Place *place
    if not buf_size(&core.log.reads):
        return False
    place = <Place *>(core.log.reads.data + core.log.reads.start)
    position[0] = place.position
    length[0] = <uint32_t>place.length
    buf_take(&core.log.reads, sizeof(Place))
    return True


cdef uint64_t core_read_done(Core *core, uint64_t position, const char *data, size_t size) noexcept nogil:
    return log_read_done(&core.log, position, data, size)


cdef str resp_command_name(uint16_t command):
    cdef RespName *name
    if not command:
        return ""
    name = &resp_commands[command - 1].name
    return (<char *>name)[:sizeof(RespName)].rstrip(b"\0").lower().decode()


cdef bytes buf_bytes(Buf *b):
    return b.data[b.start:b.end] if buf_size(b) else b""


cdef class Replica:
    """One replica of a cell; the compiled implementation of `_api.Replica`."""
    cdef Core core

    def __cinit__(self, config: dict):
        cdef Settings *s = &self.core.settings
        cdef bytes address
        cdef uint32_t i
        s.cell_id = config["cell_id"]
        s.hash_seed = config.get("hash_seed", s.cell_id)
        s.replica = config["replica"]
        s.replicas = config["replicas"]
        s.incarnation = config["incarnation"]
        s.seed = config["seed"] & 0xFFFFFFFFFFFFFFFF
        s.lease_us = config["lease_us"]
        s.silence_us = config.get("silence_us", 0)
        s.lease_master_us = config["lease_master_us"]
        s.beat_us = config["beat_us"]
        s.boost_us = config["boost_us"]
        s.election_us = config["election_us"]
        s.window = config["window"]
        s.batch_bytes = config["batch_bytes"]
        s.value_bytes_max = config["value_bytes_max"]
        s.wait_master_us = config["wait_master_us"]
        s.write_timeout_us = config["write_timeout_us"]
        s.work_max = config.get("work_max", WORK_MAX)
        s.request_bytes_max = config.get("request_bytes_max", s.value_bytes_max + REQUEST_SLACK)
        s.client_bytes_max = config.get("client_bytes_max", CLIENT_BYTES_MAX)
        s.clients_bytes_max = config.get("clients_bytes_max", <uint64_t>INSTANCE_MAX)
        s.redirect = config["redirect"]
        if not 1 <= s.replica <= s.replicas <= REPLICAS_MAX:
            raise ValueError("replica and replicas must be within 1..%d" % REPLICAS_MAX)
        for i, text in enumerate(config["clients"]):
            address = text.encode()[:sizeof(self.core.addresses[0]) - 1]
            memcpy(self.core.addresses[i + 1], <const char *>address, len(address))
        core_init(&self.core)

    def __dealloc__(self):
        core_free(&self.core)

    cdef Client *client(self, uint32_t conn) except NULL:
        cdef Client *c = clients_get(&self.core.clients, conn)
        if c == NULL:
            raise KeyError(conn)
        return c

    def feed_log(self, data) -> int:
        cdef const uint8_t[::1] view = data
        cdef size_t size = view.shape[0]
        if not size:
            return 0
        with nogil:
            size = log_replay(&self.core.log, <const char *>&view[0], size)
        return size

    def start(self, uint64_t boot_us, uint64_t wall_ms):
        core_clock(&self.core, boot_us, wall_ms)
        log_start(&self.core.log, boot_us, wall_ms)
        self.core.masterless = boot_us

    def clock(self, uint64_t boot_us, uint64_t wall_ms):
        core_clock(&self.core, boot_us, wall_ms)

    def span_wanted(self) -> int:
        return core_span_wanted(&self.core)

    def span_kept(self, uint64_t span_us):
        core_span_kept(&self.core, span_us)

    def turn(self, uint64_t boot_us, uint64_t wall_ms):
        with nogil:
            core_turn(&self.core, boot_us, wall_ms)

    def wakeup(self) -> int:
        return core_wakeup(&self.core)

    def open_client(self, uint32_t conn):
        core_client_open(&self.core, conn)

    def feed_client(self, uint32_t conn, bytes data):
        cdef Client *c = self.client(conn)
        cdef size_t size = len(data)
        buf_add(&c.input, <const char *>data, size)
        with nogil:
            core_fed(&self.core, c, size)

    def end_client(self, uint32_t conn):
        self.client(conn)
        with nogil:
            core_client_end(&self.core, conn)

    def close_client(self, uint32_t conn):
        self.client(conn)
        core_client_close(&self.core, conn)

    def wants_client(self, uint32_t conn) -> bool:
        self.client(conn)
        return core_client_wants(&self.core, conn)

    def is_closing(self, uint32_t conn) -> bool:
        self.client(conn)
        return core_client_closing(&self.core, conn)

    def drain_clients(self) -> list:
        cdef uint32_t conn
        touched = []
        while core_touched_next(&self.core, &conn):
            touched.append(conn)
        return touched

    def drain_client(self, uint32_t conn, size_t most=0) -> bytes:
        cdef Client *c = self.client(conn)
        cdef size_t size = buf_size(&c.output)
        if c.holding:
            return b""
        if most and size > most:
            size = most
        output = c.output.data[c.output.start : c.output.start + size] if size else b""
        core_client_sent(&self.core, conn, size)
        return output

    def drain_complaints(self) -> list:
        cdef Buf *noted = &self.core.complaints
        cdef Complaint complaint
        complaints = []
        while buf_size(noted):
            memcpy(&complaint, noted.data + noted.start, sizeof(Complaint))
            buf_take(noted, sizeof(Complaint))
            complaints.append((complaint.conn, complaint.what))
        return complaints

    def drain_calls(self) -> list:
        cdef Client *c
        cdef const char *data
        cdef uint32_t i
        calls = []
        while not calls and self.core.called < self.core.settings.work_max:
            c = client_pop(&self.core.calls)
            if c == NULL:
                break
            if c.alive and c.calling:
                c.calling = CALL_GIVEN
                self.core.called += WORK_CALL
                data = c.input.data + c.input.start
                calls.append((c.id, [
                    resp_arg(&c.parser, data, i)[:c.parser.args[i].size] for i in range(c.parser.argc)
                ]))
            client_unref(c)
        return calls

    def answer(self, uint32_t conn, bytes reply, bint close=False):
        cdef Client *c = self.client(conn)
        self.core.called += len(reply)
        client_write(c, <const char *>reply, len(reply))
        if c.calling:
            buf_take(&c.input, c.consume)
            c.consume = 0
        c.calling = 0
        c.closing = c.closing or close
        core_touch(&self.core, c)
        core_queue(&self.core, c)

    def set_client(self, uint32_t conn, int resp, bint redirect, bint readonly=False):
        cdef Client *c = self.client(conn)
        c.resp = resp
        c.redirect = redirect
        c.readonly = readonly

    def client_seen(self, uint32_t conn) -> tuple:
        cdef Client *c = self.client(conn)
        return resp_command_name(c.command), self.core.now - c.active_at

    def limit_idle(self, uint64_t us):
        self.core.idle_us = us
        self.core.idle_at = self.core.now

    def counts(self) -> dict:
        cdef Counts *n = &self.core.counts
        cdef uint16_t i
        calls = {}
        for i in range(RESP_ROWS + 1):
            if n.calls[i]:
                calls[resp_command_name(i)] = n.calls[i]
        return {
            "requests": n.requests,
            "requests_per_s": n.rate,
            "calls": calls,
            "errors": {COUNTED_ERRORS[i].decode(): n.errors[i] for i in range(ERROR_CODES) if n.errors[i]},
            "hits": n.hits,
            "misses": n.misses,
            "expired": n.expired,
            "bytes_in": n.bytes_in,
            "bytes_out": n.bytes_out,
        }

    cdef int check_peer(self, uint32_t peer, uint32_t channel) except -1:
        if not 1 <= peer <= self.core.settings.replicas or channel > 1:
            raise IndexError("no such peer or channel")
        return 0

    def open_peer(self, uint32_t peer, uint32_t channel):
        self.check_peer(peer, channel)
        core_peer_open(&self.core, peer, channel)

    def close_peer(self, uint32_t peer, uint32_t channel):
        self.check_peer(peer, channel)
        core_peer_close(&self.core, peer, channel)

    def feed_peer(self, uint32_t peer, uint32_t channel, bytes data) -> bool:
        cdef bint good
        self.check_peer(peer, channel)
        if not self.core.log.links[peer][channel].up:
            return True
        buf_add(&self.core.log.links[peer][channel].input, <const char *>data, len(data))
        with nogil:
            good = core_peer_fed(&self.core, peer, channel, 0)
        return good

    def drain_peers(self) -> list:
        cdef uint32_t peer, channel
        found = []
        for peer in range(1, self.core.log.machines.replicas + 1):
            for channel in range(2):
                if buf_size(&self.core.log.links[peer][channel].output):
                    found.append((peer, channel))
        return found

    def drain_peer(self, uint32_t peer, uint32_t channel) -> bytes:
        self.check_peer(peer, channel)
        cdef Buf *b = &self.core.log.links[peer][channel].output
        output = buf_bytes(b)
        core_peer_sent(&self.core, peer, channel, buf_size(b))
        return output

    def durable(self, uint64_t position):
        core_durable(&self.core, position)

    def drain_disk(self):
        cdef uint64_t position
        cdef const char *data
        cdef bint sync
        cdef size_t size = core_disk_output(&self.core, &position, &data, &sync)
        return (position, data[:size], bool(sync)) if size else None

    def drain_reads(self) -> list:
        cdef uint64_t position
        cdef uint32_t length
        reads = []
        while core_read_next(&self.core, &position, &length):
            reads.append((position, length))
        return reads

    def limit_log(self, uint64_t position):
        core_limit_log(&self.core, position)

    def read_done(self, uint64_t position, bytes data):
        return core_read_done(&self.core, position, <const char *>data, len(data))

    def status(self) -> dict:
        cdef Machines *machines = &self.core.log.machines
        cdef Acceptor *a = &machines.acceptor
        cdef Reign *r = &machines.reign
        cdef bint serving = core_serving(&self.core)
        cdef uint64_t now = self.core.now
        cdef uint64_t end = reign_base(machines, now) + machines.master
        cdef uint32_t id
        heard = []
        for id in range(1, machines.replicas + 1):
            if serving and (id == machines.me or now < r.heard[id] + machines.lease):
                heard.append(id)
        return {
            "role": "master" if serving else "candidate" if log_candidate(&self.core.log) else "replica",
            "serving": bool(serving),
            "master": core_master(&self.core),
            "last_master": self.core.last_master,
            "sequence_number": r.number if r.state != REIGN_IDLE else a.promised,
            "epoch": self.core.epoch,
            "instance_committed": a.chosen,
            "instance_applied": self.core.log.applied,
            "lease_us_left": end - now if serving and end > now else 0,
            "voting": a.state != ACCEPTOR_SILENT,
            "heard": heard,
            "followers": {
                id: (r.acked[id], now - r.heard[id])
                for id in range(1, machines.replicas + 1) if serving and id != machines.me
            },
            "linked": [
                id for id in range(1, machines.replicas + 1)
                if id == machines.me or self.core.log.links[id][0].up and self.core.log.links[id][1].up
            ],
            "keys": fdb_size(&self.core.store),
            "keys_expiring": fdb_expiring(&self.core.store),
            "state_sum": self.core.store.state_sum,
            "operations": self.core.operations,
            "reads": self.core.reads,
            "clients": self.core.clients_count,
            "log_position": self.core.log.disk.base + disk_size(&self.core.log.disk),
            "disk_full": self.core.log.disk.limit != 0,
            "time_ms": self.core.time_ms,
            "promised": a.promised,
            "elections": self.core.elections,
            "clock_refused_ms": self.core.clock.refused_ms,
            "disk_stalled_ms": (now - self.core.log.writing_since) // 1000 if log_stalled(&self.core.log) else 0,
        }

    def effort(self) -> tuple:
        return self.core.effort, self.core.heaviest

    def glance(self) -> tuple:
        cdef Acceptor *a = &self.core.log.machines.acceptor
        cdef bint serving = core_serving(&self.core)
        cdef uint64_t now = self.core.now
        cdef uint64_t end = 0
        if serving:
            end = reign_base(&self.core.log.machines, now) + self.core.log.machines.master
        return (
            self.core.log.applied, a.chosen, a.promised, self.core.epoch, self.core.store.state_sum,
            bool(serving), end - now if end > now else 0,
        )

    def work(self) -> tuple:
        cdef Work *work = &self.core.store.work
        return self.core.operations, work.added, work.moved, work.swept, work.removed, work.bytes

    def rows(self) -> dict:
        cdef uint32_t i
        rows = {}
        for i, name in enumerate(ROW_NAMES):
            rows[name] = self.core.log.machines.taken[i + 1]
        return rows

    def trace_rows(self, bint on):
        self.core.log.tracing = on
        if not on:
            buf_free(&self.core.log.transitions)

    def drain_rows(self) -> list:
        cdef Buf *noted = &self.core.log.transitions
        cdef Transition t
        cdef uint32_t i
        rows = []
        while buf_size(noted):
            memcpy(&t, noted.data + noted.start, sizeof(Transition))
            buf_take(noted, sizeof(Transition))
            changed = {}
            for i, name in enumerate(SNAPSHOT_NAMES):
                if t.before[i] != t.after[i]:
                    changed[name] = (t.before[i], t.after[i])
            rows.append((t.now, ROW_NAMES[t.row - 1], MESSAGE_NAMES[t.type], changed))
        return rows

    def get(self, bytes key):
        cdef size_t size
        cdef const char *value = fdb_get(&self.core.store, key, len(key), &size)
        return None if value == NULL else value[:size]

    def applied(self) -> list:
        cdef Core *core = &self.core
        cdef uint64_t at = u64_max(
            core.history_taken, core.history_count - APPLIED_MAX if core.history_count > APPLIED_MAX else 0)
        applied = []
        while at < core.history_count:
            applied.append((core.history[at % APPLIED_MAX].instance, core.history[at % APPLIED_MAX].checksum))
            at += 1
        core.history_taken = at
        return applied


cdef Core *core_of(object replica) except NULL:
    return &(<Replica?>replica).core
