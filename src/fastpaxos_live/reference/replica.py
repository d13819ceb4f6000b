"""The replica: clients above, log below, fed and drained. See `_api.Replica` for every public method.

Order on a connection is strict. A request is executed at once only if nothing before it is outstanding; else its
reply is a hook in the batch that the outstanding ones are in, run when that batch is applied.
"""

from collections import deque

from .db_apply import asks_time, is_due, is_left_time, run, slot
from .db_check import value_is_sound
from .db_reply import gives_value
from .db_store import Store
from .limits import (
    CLIENT_BYTES_MAX,
    DISK_BYTES_HIGH,
    FLIGHT_BYTES_MAX,
    HOOKED_BYTES_MAX,
    INLINE_BYTES_MAX,
    INSTANCE_MAX,
    OUTPUT_BYTES_MAX,
    REQUEST_SLACK,
    SHOWN_AHEAD_MS,
    STALLED_BYTES_MAX,
    TRANSITIONS_MAX,
    WORK_ARGUMENT,
    WORK_CALL,
    WORK_MAX,
    WORK_REQUEST,
    WORK_TRY,
)
from .log_frame import (
    EPOCH,
    NOOP,
    OPERATIONS,
    VALUE_BYTES,
    Frame,
    value_encode,
    value_header,
)
from .log_machines import (
    MESSAGES,
    REIGN_SERVING,
    ROWS,
    SNAPSHOT,
    reign_base,
    reign_confirmed,
    reign_may_read,
)
from .log_paxos import PaxosLog
from .replica_client import (
    HTTP,
    LATE_READ_HOOK,
    LITERAL_HOOK,
    READ_HOOK,
    TLS,
    WRITE_HOOK,
    Batch,
    Client,
    operations,
    screen,
)
from .replica_clock import MasterClock
from .replica_counts import Counts
from .replica_forward import Forwarding
from .replica_keep import Keeping
from .replica_replies import CHANGED, ERR_NOT_DONE, LATE, Replies
from .replica_status import status
from .resp_fast import ALIEN, CALL, COMMANDS, READ, REPLY, encode
from .resp_parse import BROKEN, MORE, TOO_LARGE

HOOK_BYTES = 32  # what a hook takes, whatever it says

AUTO, MOVED, ALWAYS_FORWARD = range(3)  # `redirect`
APPLIED_MAX = 4096
RETRY_US = 1000  # before what found a channel full is tried again

ERR_NO_MASTER = b"-CLUSTERDOWN The cell has no master\r\n"
ERR_TOO_LARGE = b"-ERR request too large: at most %d bytes an argument and %d in all\r\n"
ERR_DISK_FULL = b"-ERR disk full, nothing was done\r\n"
ERR_NOT_HERE = b"-ERR this command is not forwarded\r\n"


class Random:
    """SplitMix64: all randomness of a replica, the same in both cores."""

    def __init__(self, seed: int) -> None:
        self.state = seed & 0xFFFFFFFFFFFFFFFF

    def __call__(self, below: int) -> int:
        """An integer in 0..below-1 (0 for 0)."""
        self.state = z = (self.state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        z ^= z >> 31
        return z % below if below else 0


class Replica:
    """One replica of a cell; the reference implementation of `_api.Replica`."""

    def __init__(self, config: dict) -> None:
        self.config = config
        self.seed = config["cell_id"]
        self.me = config["replica"]
        self.value_bytes_max = config["value_bytes_max"]
        self.request_bytes_max = config.get("request_bytes_max", self.value_bytes_max + REQUEST_SLACK)
        self.client_bytes_max = config.get("client_bytes_max", CLIENT_BYTES_MAX)
        self.clients_bytes_max = config.get("clients_bytes_max", INSTANCE_MAX)
        self.log = PaxosLog(config, self, Random(config["seed"]))
        self.store = Store(config.get("hash_seed", self.seed))
        self.epoch = 0
        self.time_ms = 0  # the time in force: the maximum over all applied values
        self.sealed_ms = 0  # time of the last value sealed here
        self.least_ms = 0  # no read of this epoch shows an earlier time: masters before may have shown it
        self.master_clock = MasterClock()
        self.clients: dict[int, Client] = {}
        self.replies = Replies(self)
        self.forwarding = Forwarding(self)
        self.keeping = Keeping(self)
        self.open = Batch()
        self.flights: dict[int, Batch] = {}  # by instance
        self.ready: deque[Client] = deque()  # may go on
        self.waiting: list[Client] = []  # wait for room in a batch, or for a master; tried once a turn
        self.ahead = 0  # so many of `ready` have their turn before those of `waiting`
        self.holds: list[Client] = []
        self.touched: list[Client] = []
        self.calls: deque[Client] = deque()
        self.now = 0
        self.wall = 0
        self.last_master = 0
        self.masterless = 0  # since when no master is known, 0 while one is
        self.nudge_at = 0
        self.sweep_at = 0
        self.check_at = 0
        self.room_at = 0  # when anybody found room in the open batch last
        self.work_max = config.get("work_max", WORK_MAX)
        self.called = 0  # for requests that Python answers, since the last turn
        self.spent = 0  # for requests since the turn began to look after clients, or ended
        self.worked = 0  # ever
        self.heaviest = 0  # of it, the most for one request
        self.operations = 0
        self.reads = 0
        self.elections = 0
        self.counted = Counts()
        self.idle_us = 0  # so long a client may be idle, 0: for ever
        self.idle_at = 0  # when that is looked at next
        self.history: deque[tuple[int, int]] = deque(maxlen=APPLIED_MAX)

    # --- start
    def feed_log(self, data: bytes | memoryview) -> int:
        return self.log.replay(data)

    def start(self, boot_us: int, wall_ms: int) -> None:
        self.clock(boot_us, wall_ms)
        self.log.start(boot_us, wall_ms)
        self.masterless = boot_us

    # --- time
    def clock(self, boot_us: int, wall_ms: int) -> None:
        self.now = self.log.now = max(self.now, boot_us)
        self.wall = self.log.wall = wall_ms

    def _clock_ms(self) -> int:
        # The master's log time: never behind a value, advances at the rate of boot time.
        return max(self.sealed_ms, self.time_ms, self.master_clock.at(self.now))

    def _shown_ms(self) -> int:
        # By this the time left is counted for a read that is answered at once: the clock, as far as a new master would
        # know that it may have been shown.
        return max(self.least_ms, min(self._clock_ms(), self.time_ms + SHOWN_AHEAD_MS))

    def hooked_ms(self) -> int:
        """By this for a read that has its place behind the value that was just applied."""
        return max(self.least_ms, self.time_ms)

    def turn(self, boot_us: int, wall_ms: int) -> None:
        """Steps, in this order because reads are executed before the clock of their lease check was sampled."""
        self.clock(boot_us, wall_ms)
        self.log.tick()
        self.forwarding.follow()
        self._sweep()
        self.store.tidy()
        self.replies.time_out()
        self.keeping.end_idle()
        self.counted.look(self.now)
        self._watch_master()
        self._progress()
        self.keeping.relieve()
        if self.holds:
            self._release_reads()
        self.forwarding.send()
        self.spent = self.called = 0

    def wakeup(self) -> int:
        if self.ready:
            return self.now
        at = min(self.log.wakeup(), self.check_at)
        if self.forwarding.virtual or self.forwarding.posts or self.store.is_untidy():
            at = min(at, self.now + RETRY_US)
        if self.idle_us:
            at = min(at, self.idle_at)
        if self.waiting and self.masterless:
            at = min(at, self.masterless + self.config["wait_master_us"])
        return max(self.now, at)

    def serving(self) -> bool:
        return self.log.reign.state == REIGN_SERVING

    def master(self) -> int:
        """The master that can be reached now, 0 if none."""
        if self.serving():
            return self.me
        a = self.log.acceptor
        known = a.master and a.master != self.me and self.now < a.until
        return a.master if known and self.log.links[a.master][1].up else 0

    def _watch_master(self) -> None:
        if master := self.master():
            self.masterless = 0
            self.last_master = master
        elif not self.masterless:
            self.masterless = self.now

    def _sweep(self) -> None:
        # An idle master sends the time, so that keys due vanish on every replica.
        if self.now < self.sweep_at or not self.serving() or self.log.disk.full(VALUE_BYTES):
            return
        if 0 < self.store.next_deadline <= self._clock_ms():
            self.sweep_at = self.now + self.config["beat_us"]
            self.open.force = True

    def _busy(self) -> bool:
        """Has enough been done for now? What is left goes on in the next turn, in its order."""
        return self.spent >= self.work_max

    def _count_work(self, work: int) -> None:
        self.spent += work
        self.worked += work

    def _progress(self) -> None:
        # Who waits is tried when all who were ready have had their turn: sooner, the two would take turns for ever;
        # later, who always has more to ask would have them all.
        self.spent = 0
        if not self.ahead:
            self._resume_waiting()
        while True:
            while self.ready and not self._busy():
                client = self.ready.popleft()
                client.queued = False
                self.ahead = max(self.ahead - 1, 0)
                self.run(client)
            if not self._seal() or not self.waiting or self._busy():
                return
            self._resume_waiting()

    def _resume_waiting(self) -> None:
        waiting, self.waiting = self.waiting, []
        for client in waiting:
            self.queue(client)
        self.ahead = len(self.ready)

    def queue(self, client: Client) -> None:
        if not client.queued:
            client.queued = True
            self.ready.append(client)

    def _seal(self) -> bool:
        """Proposes the open batch, if there is something in it and the window has room."""
        batch, log = self.open, self.log
        if not (batch.count or batch.force or log.dummy) or not log.may_propose():
            return False
        flying, size = log.in_flight()
        if flying >= self.config["window"] or flying and size + VALUE_BYTES + len(batch.body) > FLIGHT_BYTES_MAX:
            return False
        self.sealed_ms = self._clock_ms()
        value = value_encode(
            self.seed, self.sealed_ms, self.epoch, batch.count, OPERATIONS, bytes(batch.body))
        batch.checksum = value_header(value).checksum
        batch.sealed_us = self.now
        batch.body.clear()
        self.open = Batch()
        log.dummy = False
        if batch.hooks:
            self.flights[log.reign.proposed + 1] = batch
        log.propose(value)
        return True

    # --- what the log asks of its host
    def deliver(self, instance: int, value: bytes) -> None:
        """Applies a chosen value. Batches of another epoch have no effect."""
        header = value_header(value)
        if header.kind == EPOCH:
            self.least_ms = self.time_ms + SHOWN_AHEAD_MS
        self.time_ms = max(self.time_ms, header.time_ms)
        keys = self.store.size
        self.store.expire(self.time_ms)
        self.counted.expired += keys - self.store.size
        batch = self.flights.pop(instance, None)
        if header.kind == EPOCH:
            self.epoch += 1
        elif header.kind == OPERATIONS and header.epoch == self.epoch:
            self.operations += header.operations
            if batch is not None and batch.checksum == header.checksum:
                self.replies.apply(value, batch)
                batch = None
            else:
                for at in operations(value, VALUE_BYTES):
                    run(self.store, value, at, self.time_ms, 2, None)
        if batch is not None:
            self.replies.fail(batch)
        self.history.append((instance, header.checksum))

    def on_role(self) -> None:
        """Mastership began or ended."""
        if self.serving():
            self.elections += 1
            return
        self.replies.fail_open(CHANGED)
        holds, self.holds = self.holds, []
        for client in holds:
            if client.holding:
                self.replies.close(client, CHANGED)

    def on_opening(self, walls: list[int]) -> None:
        """A mastership begins; `walls` are the clocks of those that promised."""
        self.master_clock.begin(self.time_ms, self.wall, walls, self.log.machines.quorum, self.now)
        self.sealed_ms = 0

    def gap_value(self, before: bytes) -> bytes:
        time_ms = value_header(before).time_ms if before else self.time_ms
        return value_encode(self.seed, time_ms, 0, 0, NOOP, b"")

    def epoch_value(self, number: int) -> bytes:
        return value_encode(self.seed, self._clock_ms(), 0, 0, EPOCH, number.to_bytes(8, "little"))

    # --- clients
    def open_client(self, conn: int) -> None:
        self.clients[conn] = client = self.new_client(conn, 0, 0)
        client.active_at = self.now

    def new_client(self, id: int, peer: int, stream: int) -> Client:
        """A connection, or a stream."""
        return Client(id, peer, stream, self.value_bytes_max, self.request_bytes_max, self.counted)

    def feed_client(self, conn: int, data: bytes) -> None:
        client = self.clients[conn]
        client.input += data
        client.active_at = self.now
        self.counted.bytes_in += len(data)
        self._count_work(len(data))
        if not client.blocked and not client.queued:
            self.run(client)
        self.keeping.weigh(client)
        if len(client.input) > self.client_bytes_max and not client.calling:
            self.keeping.overfed(client)

    def end_client(self, conn: int) -> None:
        client = self.clients[conn]
        client.ended = True
        if not client.blocked and not client.queued:
            self.run(client)

    def close_client(self, conn: int) -> None:
        client = self.clients.pop(conn)
        self.forwarding.hang_up(client)
        self.keeping.forget(client)

    def wants_client(self, conn: int) -> bool:
        client = self.clients[conn]
        if client.closing or client.ended or client.broken is not None:
            return False
        limit = STALLED_BYTES_MAX
        if not (client.blocked or client.calling or client.delayed):
            # The largest request, and a line too long to belong to it.
            limit += self.request_bytes_max + INLINE_BYTES_MAX
        elif client.output and not (client.holding or client.calling):
            return True  # it may want to send all before it takes anything; how much is kept says feed_client
        return len(client.input) < limit

    def is_closing(self, conn: int) -> bool:
        return self.clients[conn].closing and not self.clients[conn].holding

    def drain_clients(self) -> list[int]:
        touched, self.touched = self.touched, []
        for client in touched:
            client.touched = False
            self.keeping.weigh(client)
        return [client.id for client in touched if client.alive]

    def drain_client(self, conn: int, most: int = 0) -> bytes:
        client = self.clients[conn]
        if client.holding:
            return b""
        size = min(most or len(client.output), len(client.output))
        output = bytes(client.output[:size])
        del client.output[:size]
        client.active_at = self.now
        self.counted.bytes_out += size
        self.keeping.weigh(client)
        if client.output:
            return output
        client.replies = 0
        if client.full or self.forwarding.must_report(client):
            self.queue(client)
        return output

    def drain_complaints(self) -> list[tuple[int, int]]:
        complaints, self.keeping.complaints = self.keeping.complaints, []
        return complaints

    def drain_calls(self) -> list[tuple[int, list[bytes]]]:
        while self.calls and self.called < self.work_max:
            client = self.calls.popleft()
            if client.alive and client.calling:
                self.called += WORK_CALL
                return [(client.id, client.parser.args)]
        return []

    def answer(self, conn: int, reply: bytes, close: bool = False) -> None:
        client = self.clients[conn]
        self.called += len(reply)
        client.write(reply)
        client.calling = False
        client.closing = client.closing or close
        self.touch(client)
        self.queue(client)

    def set_client(self, conn: int, resp: int, redirect: bool, readonly: bool = False) -> None:
        client = self.clients[conn]
        client.resp = resp
        client.redirect = redirect
        client.readonly = readonly

    def client_seen(self, conn: int) -> tuple[str, int]:
        client = self.clients[conn]
        return client.command, self.now - client.active_at

    def limit_idle(self, us: int) -> None:
        self.idle_us = us
        self.idle_at = self.now

    def touch(self, client: Client) -> None:
        if not client.touched and client.alive:
            client.touched = True
            (self.forwarding.virtual if client.peer else self.touched).append(client)

    def run(self, client: Client) -> None:
        """Executes a client's requests until there is none, one has to wait, or others shall have their turn."""
        if not client.alive:
            return
        self._count_work(WORK_TRY)
        self.forwarding.report(client)
        if client.blocked or client.delayed:
            client.blocked = client.full = client.delayed = False
            self.touch(client)
        while client.alive and not (client.calling or client.closing or client.broken is not None):
            if self._busy():
                client.delayed = True
                self.queue(client)
                break
            if client.waiting_bytes() > OUTPUT_BYTES_MAX:
                client.blocked = client.full = True
                break
            fresh = not client.parsed
            if fresh and not self._parse(client):
                break
            replied = len(client.output)
            if not self._execute(client):
                if fresh or client.kind == READ:  # parsed, or each of its keys looked up, it was work all the same
                    self._request_cost(client, 0)
                client.blocked = True
                break
            self._request_cost(client, len(client.output) - replied)
            client.parsed = False
            client.waiting_since = 0
        self.forwarding.send_requests(client)
        self.keeping.weigh(client)

    def _request_cost(self, client: Client, replied: int) -> None:
        work = WORK_REQUEST + WORK_ARGUMENT * len(client.parser.args) + client.consumed + replied
        self._count_work(work)
        self.heaviest = max(self.heaviest, work)

    def _parse(self, client: Client) -> bool:
        parser = client.parser
        status = parser.next(client.input, 0)
        if status == BROKEN:
            if not parser.error:
                self.keeping.complain(client, TLS)
            self._break(client, b"-ERR " + parser.error + b"\r\n" if parser.error else b"")
            return False
        del client.input[: parser.consumed]
        if status == MORE:
            if client.ended:
                self._break(client, b"")
            return False
        client.parsed = True
        client.consumed = parser.consumed
        if status == TOO_LARGE:
            client.kind, client.data = REPLY, ERR_TOO_LARGE % (self.value_bytes_max, self.request_bytes_max)
            client.command = ""
        else:
            client.kind, client.data = encode(parser.args, client.resp, self.value_bytes_max)
            name = parser.args[0].upper()
            client.command = name.lower().decode() if name in COMMANDS else ""
            if client.kind == ALIEN:
                self.keeping.complain(client, HTTP)
                client.parsed = False
                self._break(client, b"")
                return False
            if client.kind > ALIEN or client.refusing:
                screen(client)
        if not client.peer:
            self.counted.request(client.command)
        return True

    def _break(self, client: Client, said: bytes) -> None:
        # Nothing more is read: the connection ends when all before is answered.
        client.input.clear()
        client.parser.forget()
        client.broken = said
        self.replies.settle(client)

    def _execute(self, client: Client) -> bool:
        """Executes the parsed request; False if it has to wait (and will be tried again)."""
        if client.kind == REPLY:
            return self._reply(client, client.data)
        if client.kind == CALL:
            if client.peer:
                return self._reply(client, ERR_NOT_HERE)
            if client.pending or client.forwarded or client.outbox_count:
                return False
            client.calling = True
            self.calls.append(client)
            return True
        if self.serving():
            if client.forwarded or client.outbox_count:
                return False
            return self._read(client) if client.kind == READ else self._write(client)
        if client.pending:
            return False
        coming = self.log.opening()
        if client.peer and not coming:
            return self._reply(client, ERR_NOT_DONE[CHANGED])
        master = self.master() if not coming and not client.peer else 0
        if master:
            if self._redirects(client):
                address = self.config["clients"][master - 1]
                return self._reply(client, b"-MOVED %d %b\r\n" % (slot(client.data, 0), address.encode()))
            return self.forwarding.forward(client, master)
        if self.masterless and self.now - self.masterless > self.config["wait_master_us"]:
            return self._reply(client, ERR_NO_MASTER)
        self.waiting.append(client)
        return False

    def _redirects(self, client: Client) -> bool:
        redirect = self.config["redirect"]
        if client.readonly and client.kind == READ:
            return False
        return bool(redirect == MOVED or redirect == AUTO and client.redirect)

    def _reply(self, client: Client, reply: bytes) -> bool:
        if client.forwarded or client.outbox_count:
            return False
        if client.batch is not None:
            size = len(reply) + HOOK_BYTES
            if client.hooked_bytes + size > HOOKED_BYTES_MAX or not client.batch.gives(size):
                return False
            client.hooked_bytes += size
            client.batch.hook(LITERAL_HOOK, client, reply)
            return True
        client.write(reply)
        self.touch(client)
        return True

    def _read(self, client: Client) -> bool:
        if client.batch is not None:
            if client.batch is self.open:
                return self.replies.hook_read(client, client.batch, READ_HOOK)
            if asks_time(client.data, 0):
                return self._read_behind_time(client)
            return self.replies.hook_read(client, client.batch, LATE_READ_HOOK)
        if is_due(self.store, client.data, 0, self._clock_ms()) or self._is_ahead(client.data):
            return self._read_behind_time(client)
        self.replies.read(client, self._shown_ms())
        self.hold(client)
        return True

    def _is_ahead(self, read: bytes) -> bool:
        # Would it show a time that a new master knows nothing of? While the disk is full it shows an earlier one.
        return (
            self._clock_ms() > self.time_ms + SHOWN_AHEAD_MS
            and is_left_time(self.store, read, 0)
            and not self.log.disk.full(VALUE_BYTES + len(self.open.body))
        )

    def _read_behind_time(self, client: Client) -> bool:
        # It is answered behind a value that carries the time.
        if self.log.disk.full(VALUE_BYTES + len(self.open.body)):
            return self._reply(client, ERR_DISK_FULL)
        if not self.replies.hook_read(client, self.open, READ_HOOK):
            return False if client.pending else self._wait_for_room(client)
        self.room_at = self.now
        self.open.force = True
        return True

    def hold(self, client: Client) -> None:
        """Keeps the reply of a read until the lease check, and all behind it."""
        if not client.holding:
            client.holding = True
            self.holds.append(client)
        client.held_since = 0

    def _write(self, client: Client) -> bool:
        batch = self.open
        bound = self.keeping.reply_bound(client) if gives_value(client.data) else 0
        if bound and client.pending and client.hooked_bytes + bound > HOOKED_BYTES_MAX:
            return False  # replies that are made when the batch is applied can't be stopped half-way
        if self.log.disk.full(VALUE_BYTES + len(batch.body) + len(client.data)):
            return self._reply(client, ERR_DISK_FULL)
        full = len(batch.body) >= self.config["batch_bytes"] or self.log.disk.backlog() > DISK_BYTES_HIGH
        if full or not batch.gives(bound):
            return self._wait_for_room(client)
        self.room_at = self.now
        batch.open_at(self.now)
        client.hooked_bytes += bound
        batch.add(client.data)
        batch.hook(WRITE_HOOK, client, b"")
        return True

    def _wait_for_room(self, client: Client) -> bool:
        # Not for longer than write_timeout, whatever the disk or a majority does; what is behind waits no more, unless
        # anybody has found room since.
        if client.waiting_since and self.now - client.waiting_since > self.config["write_timeout_us"]:
            client.late_at = self.now
        if client.late_at and self.room_at <= client.late_at:
            return self._reply(client, ERR_NOT_DONE[LATE])
        client.late_at = 0
        if not client.waiting_since:
            client.waiting_since = self.now
        self.waiting.append(client)
        return False

    def _release_reads(self) -> None:
        """The lease check (PML 5.2): after the reads, with a clock sampled after them, before their replies leave.

        A reply that it does not cover waits for a heartbeat sent after the read: when a majority has answered that
        one at the own number, nobody else can have been master at the time of the read.
        """
        machines = self.log.machines
        covered = reign_may_read(machines, self.now)
        still = []
        for client in self.holds:
            if not client.holding or not client.alive:
                continue
            if covered or client.held_since and reign_confirmed(machines, client.held_since, self.now):
                client.holding = False
                self.touch(client)
                continue
            if not client.held_since:
                client.held_since = self.now
            still.append(client)
        self.holds = still
        if still and self.now >= self.nudge_at:
            self.nudge_at = self.now + self.config["beat_us"] // 4
            self.log.tick(nudge=True)

    def is_sound(self, value: bytes) -> bool:
        """Can this value of a peer be applied?"""
        return value_is_sound(self.seed, value)

    def on_frame(self, peer: int, frame: Frame) -> bool:
        return self.forwarding.on_frame(peer, frame)

    # --- peers
    def open_peer(self, peer: int, channel: int) -> None:
        self.close_peer(peer, channel)
        self.log.links[peer][channel].up = True

    def close_peer(self, peer: int, channel: int) -> None:
        link = self.log.links[peer][channel]
        link.up = False
        link.input.clear()
        link.output.clear()
        if channel != 1:
            return
        self.forwarding.on_channel_closed(peer)

    def feed_peer(self, peer: int, channel: int, data: bytes) -> bool:
        return self.log.arrival.feed(peer, channel, data)

    def drain_peers(self) -> list[tuple[int, int]]:
        return [
            (peer, channel)
            for peer in range(1, self.log.machines.replicas + 1)
            for channel, link in enumerate(self.log.links[peer])
            if link.output
        ]

    def drain_peer(self, peer: int, channel: int) -> bytes:
        link = self.log.links[peer][channel]
        if not link.output:
            return b""
        output = bytes(link.output)
        link.output.clear()
        return output

    # --- leases
    def span_wanted(self) -> int:
        return self.log.lasting

    def span_kept(self, span_us: int) -> None:
        self.log.span_kept(span_us)

    # --- disk
    def durable(self, position: int) -> None:
        self.log.durable(position)

    def drain_disk(self) -> tuple[int, bytes, bool] | None:
        group = self.log.disk.drain(self.log.acceptor.promised, self.log.acceptor.chosen)
        if group is not None:
            self.log.stall.begin()
        return group

    def limit_log(self, position: int) -> None:
        self.log.disk.limit = position

    def drain_reads(self) -> list[tuple[int, int]]:
        reads = list(self.log.catchup.reads)
        self.log.catchup.reads.clear()
        return reads

    def read_done(self, position: int, data: bytes) -> int:
        return self.log.catchup.read_done(position, data)

    # --- looking
    def status(self) -> dict:
        return status(self)

    def counts(self) -> dict:
        return self.counted.shown()

    def effort(self) -> tuple[int, int]:
        return self.worked, self.heaviest

    def glance(self) -> tuple[int, int, int, int, int, bool, int]:
        a = self.log.acceptor
        serving = self.serving()
        left = reign_base(self.log.machines, self.now) + self.log.machines.master - self.now if serving else 0
        return self.log.applied, a.chosen, a.promised, self.epoch, self.store.state_sum, serving, max(0, left)

    def work(self) -> tuple[int, int, int, int, int, int]:
        return self.operations, *self.store.work()

    def rows(self) -> dict[str, int]:
        return dict(zip(ROWS, self.log.machines.taken[1:], strict=True))

    def trace_rows(self, on: bool) -> None:
        if on != (self.log.transitions is not None):
            self.log.transitions = deque(maxlen=TRANSITIONS_MAX) if on else None

    def drain_rows(self) -> list[tuple[int, str, str, dict[str, tuple[int, int]]]]:
        noted = self.log.transitions or deque()
        rows = [
            (now, ROWS[row - 1], MESSAGES[type], {
                name: (old, new) for name, old, new in zip(SNAPSHOT, before, after, strict=True) if old != new
            })
            for now, row, type, before, after in noted
        ]  # fmt: skip
        noted.clear()
        return rows

    def get(self, key: bytes) -> bytes | None:
        return self.store.get(key)

    def applied(self) -> list[tuple[int, int]]:
        applied = list(self.history)
        self.history.clear()
        return applied
