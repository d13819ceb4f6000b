"""One replica and what surrounds it: its clocks, its inbox, its disk; the turns, the crashes and the restarts.

It does what the real edge does: takes the time, feeds what has arrived, ends the turn with a new time, drains. A stall
makes the process stop inside a turn, a pause between two.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING, Any

from .._api import COMPLAINTS, Config
from ..log.datadir import DataDir, Identity, open_data_dir
from ..log.recovery import Recovery
from ..log.startup import REFUSALS, start_up
from ..log.storage import NoRoom, StorageError, log_damaged
from . import trace as t
from .check import Violation
from .disk import Died, Disk
from .effort import Effort
from .network import Connection
from .outbound import Outbound
from .plan import draw_settings
from .replay import Replay

if TYPE_CHECKING:
    from .link import Link
    from .world import World

PPM = 1_000_000
WALL_MS = 1_700_000_000_000  # the wall clock when a run begins
CLIENT_ITEMS = ("open_client", "feed_client", "close_client", "client_reads")
RETRY_US = 1_000_000  # before a log file that could not be made is tried again
SPINS_MAX = 200  # turns that a replica may ask for without any time passing


class Node:
    """Replica number `id` of the world's cell, running or not."""

    def __init__(self, world: "World", id: int) -> None:
        random = world.random
        self.world = world
        self.id = id
        self.core: Any = None  # a Replica while it runs
        self.boots = 0  # lives so far: events of an earlier life are void
        self.starts = 0  # lives so far that its disk knows of
        self.kernel = 0  # starts of the machine so far
        self.disk = Disk(f"disk{id}")
        self.disk_slow_until = 0
        self.disk_hung_at = self.disk_hangs_until = 0  # no operation ends from then until then
        self.writing_since = 0  # true time
        self.started = 0  # by the own clock: when this life began
        self.storage: Any = None  # a Storage while it runs
        self.data_dir: Any = None  # the newest life's DataDir
        self.keeping = False  # how long grants may last is being written
        self.writing: tuple[int, bytes, bool] | None = None  # the group under way: position, bytes, must be synced
        self.syncing = False  # the end of an interval is arranged
        self.lacking = False  # the next log file can't be made for now
        self.durable = 0  # all below was reported durable, or recovered
        self.vouched_told = 0  # `vouched`, as its process knows
        self.vouched = 0  # the groups below are followed by another one, which says that they were durable
        self.damage = ""  # which fault damaged its disk: it must not start any more ...
        self.sure = True  # ... or perhaps, if this is False
        self.refused = False  # it did not
        self.rate = PPM + world.plan.drift_ppm[id - 1]  # ticks of the own clock in a true second
        self.boot_offset = random.randrange(1, 1 << 40)
        self.wall_offset_ms = world.plan.wall_offset_ms[id - 1]
        self.wall_ahead_ms = self.wall_behind_ms = 0  # as wrong as it ever was
        self.set_wall(self.wall_offset_ms)
        self.settings = world.plan.settings(id)
        self.paused_until = 0
        self.stall: tuple[int, str] | None = None  # (us, before what) of the next turn
        self.stalled_until = 0
        self.dying: tuple[int, Callable[[Node], None]] | None = None  # after so many outputs, and what follows
        self.serving = False
        self.slow = world.plan.slow[id - 1] if world.plan.slow else 1
        self.turn_us = world.plan.turn_us[0] * self.slow, world.plan.turn_us[1] * self.slow
        self.served_at = -1  # the last turn in which it was serving
        self.note = world.trace.event
        self.down_for_good = False
        self._reset()

    def _reset(self) -> None:
        self.inbox: list[tuple] = []
        self.received: list[tuple] = []  # of the turn under way
        self.peers: dict[tuple[int, int], Connection] = {}
        self.links: dict[int, Link] = {}
        self.stopped: dict[int, list[bytes]] = {}  # client id -> what arrives while the replica refuses it
        self.undrained: dict[int, Link] = {}  # have output, or are to be closed, and no room
        self.roomy: list[int] = []  # have room again
        self.outbound = Outbound(self)
        self.scheduled = False
        self.in_turn = False
        self.wake_at = 0
        self.last_wake = 0
        self.read_at = 0  # reads are answered in order
        self.before_read: Callable[[int], None] | None = None  # something happens to what it reads next
        self.spins = 0
        self.effort = Effort(self.id, self.world.plan.work_max)

    # --- clocks
    def boot_us(self) -> int:
        """The own clock now."""
        return self.boot_offset + self.world.now * self.rate // PPM

    def wall_ms(self) -> int:
        """The own wall clock now."""
        return max(0, WALL_MS + self.world.now // 1000 + self.wall_offset_ms)  # no clock shows a time before 1970

    def set_wall(self, offset_ms: int) -> None:
        """The own wall clock is so wrong from now on."""
        self.wall_offset_ms = offset_ms
        self.wall_ahead_ms = max(self.wall_ahead_ms, offset_ms)
        self.wall_behind_ms = max(self.wall_behind_ms, -offset_ms)

    def true_us(self, boot_us: int) -> int:
        """True time at which the own clock reaches `boot_us`."""
        return -(-(boot_us - self.boot_offset) * PPM // self.rate)

    def set_drift(self, ppm: int) -> None:
        """From now on the own clock has that rate error; it does not jump."""
        world = self.world
        view = world.check.views[self.id]
        boot = self.boot_us()
        lease_end = self.boot_offset + view.serving_until * self.rate // PPM
        self.rate = PPM + ppm
        self.boot_offset = boot - world.now * self.rate // PPM
        world.drift_ppm_max = max(world.drift_ppm_max, abs(ppm))
        if view.serving_until:
            view.serving_until = self.true_us(lease_end)
        if self.wake_at:
            world.at(world.now, self._wake, self.boots)  # what it waits for may be due sooner

    # --- life
    def format(self) -> None:
        """Its directory becomes that of a new replica."""
        self._open_data_dir(self.disk, new=True).close()

    def _open_data_dir(self, disk: Disk, *, new: bool = False) -> DataDir:
        world = self.world
        identity = Identity(world.cell_id, "sim", self.id, f"r{self.id}")
        plan = world.plan
        return open_data_dir(
            disk, identity, new=new, fsync=plan.fsync, disk_id=world.cell_id ^ self.id,
            segment_bytes=plan.segment_bytes,
        )  # fmt: skip

    def _boot_id(self) -> str:
        return f"kernel {self.kernel}"

    def start(self) -> None:
        """The process starts: recovery from the disk, then silence."""
        if self.core is not None or self.refused or self.down_for_good:
            return
        world = self.world
        if world.now < self.disk_hangs_until:
            world.at(self.disk_hangs_until, self.start)
            return
        self.boots += 1
        self._change_settings()
        found = self._recover()
        if found is None:
            self.disk.release()
            world.check.ended(self.id)
            return
        if found.tail != "clean":
            world.count("tail_" + found.tail)
        core: Any = self.core
        boot, wall = self.boot_us(), self.wall_ms()
        self.started = boot
        world.trace.event(world.now, self.id, t.START, found.position, boot)
        core.trace_rows(world.trace.with_rows)
        core.start(boot, wall)
        world.check.views[self.id].quiet_until = boot + self.data_dir.meta.lease_us
        self._look(boot)
        world.check.begun(self.id)
        world.network.start(self.id)
        self._schedule_now()

    @property
    def lease_us(self) -> int:
        """As this replica grants it."""
        return self.world.plan.lease_us * self.settings.lease_percent // 100

    @property
    def lease_master_us(self) -> int:
        """As this replica relies on it."""
        return self.world.plan.lease_master_us * self.settings.lease_percent // 100

    def is_of_this_life(self, sent: int) -> bool:
        """Does it run, and had it started at that time of its own clock?"""
        return self.core is not None and self.started <= sent <= self.boot_us()

    def relies_us(self, sent: int) -> int:
        """For how long still (true us) it may rely on an answer to what it sent at `sent` by its own clock."""
        if not self.is_of_this_life(sent):
            return 0
        return self.true_us(sent + self.lease_master_us) - self.world.now

    def _change_settings(self) -> None:
        plan = self.world.plan
        if plan.changes and self.starts:
            random = Random(f"{self.world.seed} settings {self.id} {self.boots}")
            if random.random() < plan.changes:
                self.settings = draw_settings(random, plan.lease_us)

    def _recover(self) -> Recovery | None:
        # As the server does it. None: it does not start, perhaps not yet.
        world = self.world
        try:
            data_dir = self.data_dir = self._open_data_dir(self.disk)
            started = start_up(data_dir, self._boot_id(), self._new_replica)
            data_dir.begin(world.plan.fsync, self._boot_id(), self.lease_us)
        except REFUSALS as error:
            self._refuse(str(error))
            return None
        except (OSError, Died) as error:
            self._event(t.CRASH, 0, 0, f"while it starts: {error!r}".encode())
            world.count("start_fails")
            world.after(world.plan.lease_us // 2, self.start)
            return None
        found = started.found
        if self.damage and self.sure:
            raise Violation(f"replica {self.id} starts with a damaged disk: {self.damage}")
        if found.position < self.durable:
            raise Violation(
                f"recovery of replica {self.id} cut the log at {found.position}, but {self.durable} bytes were durable")
        self.storage, self.core = started.storage, started.replica.core
        self.starts = data_dir.meta.boots
        world.check.durable(self.id, self.storage.read(self.durable, found.position - self.durable))
        self.durable, self.vouched = found.position, found.last
        self.vouched_told = found.last
        return found

    def _new_replica(self, incarnation: int) -> Replay:
        config = self._config(incarnation) | {"silence_us": self.data_dir.meta.lease_us}
        return Replay(self.world.new_replica(config), self._replayed)

    def _replayed(self, entries: list[tuple[int, int]]) -> None:
        self.world.check.applied(self.id, entries, self.world.now)

    def _refuse(self, reason: str) -> None:
        if not self.damage:
            raise Violation(f"replica {self.id} refuses to start, and its disk is sound: {reason}")
        self.refused = True
        self.world.count(f"refused_{self.damage.partition('#')[0]}")
        self._event(t.CRASH, 0, 0, f"it refuses to start: {reason}".encode())

    def revive(self) -> None:
        """Checks that what it did is on its disk: what a start would find there now, and after a loss of power where
        each write is synced. Nothing is changed.
        """
        world = self.world
        disk = deepcopy(self.disk)
        disk.release()
        if world.plan.fsync == "always":
            disk.power_cut(world.random)
        entries: list[tuple[int, int]] = []
        try:
            started = start_up(
                self._open_data_dir(disk), self._boot_id(),
                lambda incarnation: Replay(world.new_replica(self._config(incarnation)), entries.extend))
        except REFUSALS as error:
            raise Violation(f"the disk of replica {self.id} can't be used any more: {error}") from None
        position = started.found.position
        if position < self.durable:
            raise Violation(f"replica {self.id}'s disk ends at {position}, but {self.durable} bytes were durable")
        core = started.replica.core
        core.start(self.boot_us(), self.wall_ms())
        world.check.revived(self.id, entries, core.glance())

    def _config(self, incarnation: int) -> Config:
        world, plan, own = self.world, self.world.plan, self.settings
        percent = own.lease_percent
        return Config(
            cell_id=world.cell_id, hash_seed=world.hash_seed, replica=self.id, replicas=plan.replicas,
            incarnation=incarnation, seed=world.random.getrandbits(64),
            clients=[f"10.0.0.{id}:{7000 + id}" for id in range(1, plan.replicas + 1)],
            lease_us=self.lease_us, lease_master_us=self.lease_master_us,
            beat_us=plan.beat_us * percent // 100, boost_us=plan.boost_us, election_us=plan.election_us,
            window=own.window, batch_bytes=own.batch_bytes, value_bytes_max=plan.value_bytes_max,
            wait_master_us=plan.wait_master_us, write_timeout_us=own.write_timeout_us, redirect=own.redirect,
            work_max=plan.work_max,
        )  # fmt: skip

    def crash(self) -> None:
        """kill -9: memory is gone, and of the write under way some part is left."""
        if self.core is not None:
            left = self._leave_write()
            self._die(left)

    def hang_disk(self, until: int) -> None:
        """No operation on the disk ends before that true time."""
        if self.world.now >= self.disk_hangs_until:
            self.disk_hung_at = self.world.now
        self.disk_hangs_until = max(self.disk_hangs_until, until)

    def power_off(self) -> None:
        """The machine goes down: what was not synced is perhaps not there. Its clock begins again."""
        world = self.world
        if self.core is not None:
            self._leave_write()
            self._die("power")
        self.disk.power_cut(world.random)
        self.kernel += 1
        self.boot_offset = world.random.randrange(1, 1 << 20) - world.now * self.rate // PPM

    def fail(self, error: Exception) -> None:
        """An error of the disk ends the process at once; somebody starts it again."""
        self._die(repr(error))
        self.world.after(self.world.plan.lease_us // 2, self.start)

    def _leave_write(self) -> str:
        if self.writing is None:
            return "idle"
        random = self.world.random
        position, data, _ = self.writing
        left = random.choice((0, len(data), random.randrange(len(data))))
        try:
            if left:
                self.storage.prepare((position + len(data)) // self.storage.segment_bytes)
                self.storage.write(position, data[:left])
        except (OSError, Died) as error:
            return repr(error)
        return f"{left} of {len(data)} bytes"

    def _die(self, how: str) -> None:
        world = self.world
        world.trace.event(world.now, self.id, t.CRASH, self.durable, 0, how.encode())
        self.disk.release()
        self.writing = self.storage = None
        self.syncing = self.lacking = self.keeping = False
        self.count_rows()
        self.core = None
        self.serving = False
        self.dying = None
        world.check.ended(self.id)
        links = dict.fromkeys(self.links.values())
        links |= dict.fromkeys(item[1] for item in self.received + self.inbox if item[0] == "open_client")
        self._reset()
        world.network.stop(self.id)
        for link in links:
            if not world.faulty or world.random.random() < 0.8:  # else the client has to find out by itself
                world.after(world.network.delay(), link.client.on_closed, link)

    def die_sending(self, outputs: int, then: Callable[["Node"], None]) -> None:
        """Of what the next turns put out only so much leaves; then the process dies, and `then` is called."""
        self.dying = outputs, then

    def count_rows(self) -> None:
        """This life's rows go into the outcome."""
        if self.core is not None:
            self._show_rows()
            self.world.outcome.rows.update(self.core.rows())

    def _show_rows(self) -> None:
        if self.world.trace.with_rows:
            self.world.trace.rows(self.world.now, self.id, self.core.drain_rows())

    # --- turns
    def post(self, item: tuple) -> None:
        """Something arrived; the next turn takes it."""
        if self.core is None:
            return
        self.inbox.append(item)
        if not self.scheduled and not self.in_turn:
            world = self.world
            low, high = self.turn_us
            self.scheduled = True
            world.after(low + int(world.random.random() * (high - low)), self._begin, self.boots)

    def _schedule_now(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            self.world.at(self.world.now, self._begin, self.boots)

    def has_room(self) -> None:
        """A connection to another replica takes more again."""
        if self.core is not None and not self.in_turn:
            self._schedule_now()

    def _wake(self, boots: int) -> None:
        if boots != self.boots or self.core is None:
            return
        self.wake_at = 0
        if self.scheduled or self.in_turn:
            return
        due = self.true_us(self.core.wakeup())
        if due <= self.world.now:
            self._schedule_now()
        else:
            self._wake_at(due)

    def _wake_at(self, due: int) -> None:
        # One wake-up event is enough: it looks again when it comes too early.
        if not self.wake_at or due < self.wake_at:
            self.wake_at = due
            self.world.at(due, self._wake, self.boots)

    def _begin(self, boots: int) -> None:
        if boots != self.boots or self.core is None:
            return
        world = self.world
        if world.now < self.paused_until:
            world.at(self.paused_until, self._begin, boots)
            return
        self.scheduled = False
        self.in_turn = True
        # The clock is taken when everything of peers and disk that will be fed has been received.
        boot, wall = self.boot_us(), self.wall_ms()
        self.core.clock(boot, wall)
        self.received, self.inbox = self.inbox, []
        if self.stall is None:
            if not self.received:  # else what it is fed tells of the turn
                self.note(world.now, self.id, t.TURN, boot)
            self._feed_received()
            self._end(boot, wall)
            return
        world.trace.event(world.now, self.id, t.CLOCK, boot, wall)
        (time, before), self.stall = self.stall, None
        self.stalled_until = world.now + time
        if before == "turn":
            self._feed_received()
        world.after(time, self._end_stalled, boots, before)

    def _end_stalled(self, boots: int, before: str) -> None:
        if boots != self.boots or self.core is None:
            return
        if before == "feed":
            # Clients are read when the clock has been taken: what they sent during the stall belongs to this turn.
            self.received += [item for item in self.inbox if item[0] in CLIENT_ITEMS]
            self.inbox = [item for item in self.inbox if item[0] not in CLIENT_ITEMS]
            self._feed_received()
        self.note(self.world.now, self.id, t.TURN, self.boot_us())
        self._end(self.boot_us(), self.wall_ms())

    def _feed_received(self) -> None:
        for item in self.received:
            HANDLERS[item[0]](self, *item[1:])
            if self.core is None:
                return  # it found its log damaged
        self.received = []

    def _end(self, boot: int, wall: int) -> None:
        world, core = self.world, self.core
        if core is None:
            return
        self.in_turn = False
        core.turn(boot, wall)
        if self.effort.end_turn(*core.effort()):
            self.spins = 0  # it goes on with what was left over
        self._look(boot)
        if not self._drain(boot):
            return  # died while it sent
        wake = core.wakeup()
        if boot > self.last_wake + 2:
            self.spins = 0
        else:
            self._count_spin()
        self.last_wake = boot
        if self.inbox:
            self._schedule_now()
        elif not self.scheduled:
            due, soonest = self.true_us(wake), world.now + 1
            self._wake_at(due if due > soonest else soonest)

    def _count_spin(self) -> None:
        self.spins += 1
        if self.spins > SPINS_MAX:
            raise Violation(f"replica {self.id} asks for turn after turn without time passing")

    def _look(self, boot: int) -> None:
        # The checks see every turn before anything of it leaves the replica.
        world, core = self.world, self.core
        entries = core.applied()
        if entries:
            world.check.applied(self.id, entries, world.now)
        if world.trace.with_rows:
            self._show_rows()
        world.check.worked(self.id, core.work())
        seen = core.glance()
        serving = seen[5]
        if serving and not self.serving:
            world.count_election(self.id)
        if serving or self.serving:
            self.served_at = world.now
        self.serving = serving
        lease_end = self.true_us(boot + seen[6]) if serving else 0
        world.check.glance(self.id, seen, world.now, lease_end)

    # --- what goes in
    def _event(self, event: int, a: int = 0, b: int = 0, data: bytes = b"") -> None:
        self.world.trace.event(self.world.now, self.id, event, a, b, data)

    def _on_open_peer(self, conn: Connection) -> None:
        if not conn.closed:
            peer = conn.other(self.id)
            self._event(t.OPEN_PEER, peer, conn.channel)
            self.outbound.breaks(peer, conn.channel)  # with the one before, whose end was not heard of
            self.peers[peer, conn.channel] = conn
            self.core.open_peer(peer, conn.channel)

    def _on_feed_peer(self, conn: Connection, data: bytes, damaged: bool) -> None:
        peer, channel = conn.other(self.id), conn.channel
        self.world.network.taken(conn, self.id, len(data))
        if self.peers.get((peer, channel)) is not conn:
            return  # a newer connection took its place
        self.note(self.world.now, self.id, t.FEED_PEER, peer, channel, data)
        sound = self.core.feed_peer(peer, channel, data)
        if sound and damaged:
            raise Violation(f"replica {self.id} took damaged bytes from {peer} for good ones")
        if not sound:
            if not damaged and not self.world.plan.corrupt:
                raise Violation(f"replica {self.id} refused the good bytes of {peer}")
            self._on_close_peer(conn)
            self.world.network.close(conn)

    def _on_feed_frame(self, peer: int, frame: bytes) -> None:
        if (peer, 0) in self.peers:
            self.note(self.world.now, self.id, t.FEED_PEER, peer, 0, frame)
            if not self.core.feed_peer(peer, 0, frame):
                raise Violation(f"replica {self.id} refused a good frame of {peer}")

    def _on_close_peer(self, conn: Connection) -> None:
        peer = conn.other(self.id)
        if self.peers.get((peer, conn.channel)) is conn:
            del self.peers[peer, conn.channel]
            self.outbound.breaks(peer, conn.channel)
            self._event(t.CLOSE_PEER, peer, conn.channel)
            self.core.close_peer(peer, conn.channel)

    def _on_open_client(self, link: "Link") -> None:
        link.id = next(id for id in range(len(self.links) + 1) if id not in self.links)
        self.links[link.id] = link
        self._event(t.OPEN_CLIENT, link.id)
        self.core.open_client(link.id)
        if link.resp != 2 or link.redirect:  # as HELLO and CLUSTER do, and READONLY of every other client
            self.core.set_client(link.id, link.resp, link.redirect, link.redirect and link.client.id % 2 == 1)

    def _on_feed_client(self, link: "Link", data: bytes) -> None:
        if self.links.get(link.id) is not link:
            return
        if link.id in self.stopped or not self.core.wants_client(link.id):
            self.stopped.setdefault(link.id, []).append(data)
            return
        self.note(self.world.now, self.id, t.FEED_CLIENT, link.id, 0, data)
        self.effort.feed(len(data))
        self.core.feed_client(link.id, data)

    def _on_close_client(self, link: "Link") -> None:
        if self.links.get(link.id) is link:
            del self.links[link.id]
            self.stopped.pop(link.id, None)
            self.undrained.pop(link.id, None)
            self._event(t.CLOSE_CLIENT, link.id)
            self.core.close_client(link.id)

    def _on_client_reads(self, link: "Link") -> None:
        if self.undrained.get(link.id) is link:
            del self.undrained[link.id]
            self.roomy.append(link.id)

    def _on_durable(self, position: int) -> None:
        self.note(self.world.now, self.id, t.DURABLE, position)
        self.core.durable(position)
        self.vouched_told = self.vouched

    def _on_limit_log(self, position: int) -> None:
        self._event(t.LIMIT_LOG, position)
        self.core.limit_log(position)

    def _on_span_kept(self, span: int) -> None:
        self._event(t.SPAN_KEPT, span)
        self.core.span_kept(span)

    def _on_read_done(self, position: int, data: bytes) -> None:
        self._event(t.READ_DONE, position, len(data))
        if damaged := self.core.read_done(position, data):
            self._miss(log_damaged(damaged))
        elif data and position < self.vouched_told:
            self.world.check.handed_on(self.id, self.world.cell_id, position, data)

    # --- what comes out
    def _drain(self, boot: int) -> bool:
        """False if the process died on the way."""
        world, core = self.world, self.core
        outputs = self.outbound.drain(boot)
        group = core.drain_disk()
        if group is not None:
            self.note(world.now, self.id, t.TO_DISK, group[0], group[2], group[1])
            outputs.append((self._write, *group))
            world.written[self.id].append(group[1])
        if not self.keeping and (span := core.span_wanted()):
            self._event(t.WANT_SPAN, span)
            outputs.append((self._write_span, span))
        reads = core.drain_reads()
        if reads:
            outputs.append((self._read, reads))
        clients: Iterable[int] = core.drain_clients()
        if self.roomy:
            roomy, self.roomy = self.roomy, []
            clients = dict.fromkeys([*roomy, *clients])
        for id in clients:
            self._drain_client(id, outputs)
        if core.drain_calls():
            raise Violation(f"replica {self.id} hands up a request that the simulated clients never send")
        if not outputs:
            return True
        for _, what in core.drain_complaints():
            raise Violation(f"replica {self.id} ended a connection of a simulated client: {COMPLAINTS[what]}")
        if self.dying is not None:
            world.random.shuffle(outputs)
        for output in outputs:
            if self.dying is not None:
                left, then = self.dying
                if not left:
                    self.crash()
                    then(self)
                    return False
                self.dying = left - 1, then
            output[0](*output[1:])
            if self.core is None:
                return False  # it could not read its log
        return True

    def _drain_client(self, id: int, outputs: list[tuple]) -> None:
        core, link = self.core, self.links.get(id)
        if link is None:
            return
        if link.full:
            self.undrained[id] = link
            return
        data = core.drain_client(id)
        if data:
            self.note(self.world.now, self.id, t.TO_CLIENT, id, 0, data)
            outputs.append((link.deliver, data))
        if core.is_closing(id):
            link.ended = True
            outputs += self.outbound.ends()
            outputs.append((link.hang_up,))
            self.post(("close_client", link))
        elif id in self.stopped and core.wants_client(id):
            self.inbox[:0] = [("feed_client", link, data) for data in self.stopped.pop(id)]
            self._schedule_now()

    def _write(self, position: int, data: bytes, must_sync: bool) -> None:
        world = self.world
        if self.writing is not None or position != self.durable or len(data) % 64 or not data:
            raise Violation(
                f"write group of {len(data)} bytes at {position}: the log ends at {self.durable}, "
                f"{'a' if self.writing else 'no'} write is under way"
            )
        self.writing = position, data, must_sync
        self.writing_since = world.now
        world.after(self._disk_takes(), self._written, self.boots)

    def _disk_takes(self) -> int:
        # For one write (us).
        world = self.world
        low, high = world.plan.disk_us
        time = self.slow * (low + int(world.random.random() * (high - low)))
        if world.now < self.disk_slow_until:
            time += int(world.random.random() * 1_000_000)
        return time

    def _written(self, boots: int) -> None:
        if boots != self.boots or self.writing is None:
            return
        if self.world.now < self.disk_hangs_until:
            self.world.at(self.disk_hangs_until, self._written, boots)
            return
        position, data, must_sync = self.writing
        end = position + len(data)
        number, inside = divmod(end, self.storage.segment_bytes)
        if not self._prepare(end // self.storage.segment_bytes):
            if self.writing is not None:  # else it failed
                self.world.after(RETRY_US, self._written, boots)
            return
        try:
            self.storage.write(position, data)
            if must_sync or self.world.plan.fsync == "always":
                self.storage.sync()
        except (OSError, Died) as error:
            self.fail(error)
            return
        if inside > self.storage.segment_bytes // 2:
            self._prepare(number + 1)
            if self.core is None:
                return
        self.writing = None
        self.durable, self.vouched = end, position
        self.world.check.durable(self.id, data)
        self.post(("durable", end))
        if not self.syncing and self.world.plan.sync_us:
            self.syncing = True
            self.world.after(self.world.plan.sync_us, self._sync, boots)

    def _prepare(self, number: int) -> bool:
        # Makes the log's files up to that number; False if there is no room for now, or if that failed.
        try:
            self.storage.prepare(number)
        except NoRoom:
            self.world.count("no_room")
            if not self.lacking:
                self.world.after(RETRY_US, self._prepare_again, self.boots)
            self.lacking = True
            self.post(("limit_log", self.storage.limit))
            return False
        except (OSError, Died) as error:
            self.fail(error)
            return False
        if self.lacking and number >= self.storage.files - 1:
            self.lacking = False
            self.post(("limit_log", 0))
        return True

    def _prepare_again(self, boots: int) -> None:
        if boots == self.boots and self.core is not None and self.lacking:
            if not self._prepare(self.storage.files) and self.core is not None:
                self.world.after(RETRY_US, self._prepare_again, boots)

    def _write_span(self, span: int) -> None:
        self.keeping = True
        self.world.after(self._disk_takes(), self._keep_span, self.boots, span)

    def _keep_span(self, boots: int, span: int) -> None:
        if boots != self.boots or self.core is None:
            return
        if self.world.now < self.disk_hangs_until:
            self.world.at(self.disk_hangs_until, self._keep_span, boots, span)
            return
        try:
            self.data_dir.keep_span(span)
        except (OSError, Died) as error:
            self.fail(error)
            return
        self.keeping = False
        self.post(("span_kept", span))

    def _sync(self, boots: int) -> None:
        if boots != self.boots or self.core is None:
            return
        if self.world.now < self.disk_hangs_until:
            self.world.at(self.disk_hangs_until, self._sync, boots)
            return
        self.syncing = False
        try:
            self.storage.sync()
        except (OSError, Died) as error:
            self.fail(error)

    def _read(self, reads: list[tuple[int, int]]) -> None:
        world = self.world
        for position, length in reads:
            self._event(t.WANT_READ, position, length)
            fails = world.faulty and world.plan.read_fails and world.random.random() < world.plan.read_fails
            if fails:
                world.count("read_fails")
            data = b"" if fails else self._pread(position, length)
            if self.core is None:
                return
            took = self.slow * (100 + int(400 * world.random.random()))
            self.read_at = max(self.read_at, self.disk_hangs_until, world.now + took)
            world.at(self.read_at, self._was_read, self.boots, position, data)

    def _pread(self, position: int, length: int) -> bytes:
        data: bytes
        if self.before_read is not None:
            self.before_read(position)
            self.before_read = None
        try:
            data = self.storage.read(position, length)
        except StorageError as error:
            self._miss(error)
            return b""
        except OSError:
            return b""
        return data

    def _miss(self, error: StorageError) -> None:
        # What it wrote can't be read.
        if not self.damage:
            raise Violation(f"replica {self.id} can't read its log, and its disk is sound: {error}")
        self.fail(error)

    def _was_read(self, boots: int, position: int, data: bytes) -> None:
        if boots == self.boots:
            self.post(("read_done", position, data))


HANDLERS: dict[str, Callable[..., None]] = {
    "open_peer": Node._on_open_peer, "feed_peer": Node._on_feed_peer, "feed_frame": Node._on_feed_frame,
    "close_peer": Node._on_close_peer, "open_client": Node._on_open_client, "feed_client": Node._on_feed_client,
    "close_client": Node._on_close_client, "client_reads": Node._on_client_reads, "durable": Node._on_durable,
    "read_done": Node._on_read_done, "limit_log": Node._on_limit_log, "span_kept": Node._on_span_kept,
}  # fmt: skip
