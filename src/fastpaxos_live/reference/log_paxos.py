"""The fault-tolerant log: the protocol's machines joined with frames, the disk, catch-up. PML 3, 4, 5.2.

Knows no keys and no clients. The host above it gives values to `propose` and gets each chosen value, in order, by
`deliver`. Every decision is a row of a machine (spec/); here is only what the rows ask for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from . import log_machines as M
from .limits import (
    BATCH_BYTES,
    CHANNEL_BYTES_MAX,
    CHANNEL_RESERVE,
    FRAME_BYTES_MAX,
    SHORT_BYTES,
    SLOT_BYTES_LARGE,
    SLOTS,
    SLOTS_BYTES_MAX,
    TIME_MS_MAX,
)
from .log_arrival import FRAME_OF, MESSAGE_OF, Arrival, message
from .log_catchup import CatchUp
from .log_disk import LogDisk
from .log_frame import ACCEPT, ENTRY, HEADER_BYTES, LEARN, PROMISED, Frame, frame_encode
from .log_replay import group_is_sound, known_before
from .log_stall import Stall

RESENDS = 4  # a candidate repeats its PROPOSE this many times within a lease

STEPS_OF = {message: tuple(M.STEPS[index] for index in taken_by) for message, taken_by in M.TAKEN_BY.items()}
# Rows that the host has something to do for, beside their actions.
NOTED = {
    M.ROW_ELECTION_SUSPECT, M.ROW_COORDINATOR_STAND, M.ROW_COORDINATOR_PROMISED, M.ROW_COORDINATOR_ELECTED,
    M.ROW_REIGN_BEGIN,
}  # fmt: skip


class Entry(NamedTuple):
    """What is accepted (or learned) at an instance."""

    instance: int
    number: int
    sent: int
    value: bytes
    position: int  # of its frame in the log
    length: int


class Held(NamedTuple):
    """A message that waits until a group is durable; `to` is the own id for one to the own machines."""

    group: int
    to: int
    message: M.Message


class AtHand(NamedTuple):
    """The frame an event came with, or the value that is being proposed."""

    data: bytes
    value: bytes
    wall: int


NOTHING = AtHand(b"", b"", 0)


class Link:
    """One channel to a peer."""

    __slots__ = ("up", "input", "output")

    def __init__(self) -> None:
        self.up = False
        self.input = bytearray()
        self.output = bytearray()


class Host(Protocol):
    """What the log asks of the layer above."""

    def deliver(self, instance: int, value: bytes) -> None: ...
    def is_sound(self, value: bytes) -> bool: ...
    def on_frame(self, peer: int, frame: Frame) -> bool: ...
    def on_role(self) -> None: ...
    def on_opening(self, walls: list[int]) -> None: ...
    def gap_value(self, before: bytes) -> bytes: ...
    def epoch_value(self, number: int) -> bytes: ...


def has_room(waiting: int, length: int) -> bool:
    """May a frame of that length be queued behind so many bytes? Bulk, be it one frame as long as can be, must not keep
    out what is short: a promise whose last entry never fits behind the others is never given.
    """
    if length <= SHORT_BYTES:
        return waiting < FRAME_BYTES_MAX + CHANNEL_RESERVE + CHANNEL_RESERVE * (length == HEADER_BYTES)
    return waiting < CHANNEL_RESERVE or waiting + length <= CHANNEL_BYTES_MAX


class PaxosLog:
    """One replica's log."""

    def __init__(self, config: dict, host: Host, random: Callable[[int], int]) -> None:
        self.host = host
        self.random = random
        self.seed = config["cell_id"]
        self.me = config["replica"]
        self.replicas = config["replicas"]
        self.others = [peer for peer in range(1, self.replicas + 1) if peer != self.me]
        self.incarnation = config["incarnation"]
        self.beat_us = config["beat_us"]
        self.election_us = config["election_us"]
        self.machines = M.Machines(
            self, self.replicas, me=self.me, lease=config["lease_us"],
            silence=max(config["lease_us"], config.get("silence_us", 0)), master=config["lease_master_us"],
            beat=self.beat_us, term=config["boost_us"], resend=config["lease_us"] // RESENDS,
            courtesy=config["lease_us"] // 2, patience=2 * config["lease_us"], window=SLOTS, room=SLOTS // 2,
        )  # fmt: skip
        self.acceptor = self.machines.acceptor
        self.reign = self.machines.reign
        self.disk = LogDisk(self.seed, self.me, self.incarnation)
        self.links = [[Link(), Link()] for _ in range(self.replicas + 1)]
        self.slots: list[Entry | None] = [None] * SLOTS
        self.highest = 0  # instance in the log, at any number
        self.index: list[tuple[int, int]] = []  # position and length of the frame of each applied instance
        self.applied = 0
        self.held: deque[Held] = deque()
        self.now = 0
        self.wall = 0
        self.jitter = 0
        self.where_at = 0
        self.where_instance = 0
        self.due = 0  # before this time no machine has a row for a tick; 0: not known
        self.served = False  # what the host was told last
        self.lasting = 0  # so long grants shall be allowed to last, by what is durable; 0: they are
        self.dummy = False  # a follower waits to be taken into this reign: propose something
        self.catchup = CatchUp(self)
        self.arrival = Arrival(self)
        self.stall = Stall(self, config["lease_us"])
        self.offers: dict[int, bytes] = {}  # the values that promises brought in
        self.walls: dict[int, int] = {}  # what the clocks of those that promised are ahead of the own boot time
        self.transitions: deque[tuple[int, int, int, tuple, tuple]] | None = None

    # --- what the machines ask of their host (words.py)
    def high(self) -> int:
        return self.highest

    def accepted_at(self, instance: int) -> int:
        entry = self.slots[instance % SLOTS]
        return entry.number if entry is not None and entry.instance == instance else 0

    def sent_at(self, instance: int) -> int:
        return self._entry(instance).sent

    def stalled(self) -> bool:
        return self.stall.lasts()

    def above(self, number: int) -> int:
        return (number >> 24) + 1 << 24 | self.me << 16 | self.incarnation

    def owner(self, number: int) -> int:
        return number >> 16 & 0xFF

    # --- events
    def step(self, m: M.Message, at_hand: AtHand = NOTHING) -> int:
        """Every machine takes the event, and what its row asks for is done. Returns the last row taken."""
        last = 0
        tracing = self.transitions is not None
        for step in STEPS_OF[m.type]:
            out: list[M.Action] = []
            before = M.snapshot(self.machines) if tracing else ()
            row = step(self.machines, m, out)
            if not row:
                continue
            last = row
            self.due = 0
            if self.transitions is not None:
                self.transitions.append((self.now, row, m.type, before, M.snapshot(self.machines)))
            if row in NOTED:
                self._took(row, m, at_hand)
            for action in out:
                self._do(action, at_hand)
        return last

    def take(self, m: M.Message, data: bytes, frame: Frame) -> int:
        """As `step`, of an event that came with a frame."""
        return self.step(m, AtHand(data, frame.payload, frame.extra))

    def event(self, type: int, **fields: int) -> int:
        """An event of this replica itself."""
        return self.step(M.Message(type, self.me, self.now, **fields))

    def _took(self, row: int, m: M.Message, at_hand: AtHand) -> None:
        if row == M.ROW_ELECTION_SUSPECT:
            self.jitter = self.random(self.election_us)
        elif row == M.ROW_COORDINATOR_STAND:
            self.offers, self.walls = {}, {}
        elif row in (M.ROW_COORDINATOR_PROMISED, M.ROW_COORDINATOR_ELECTED):
            ahead = min(at_hand.wall, TIME_MS_MAX) - self.now // 1000  # on its way it only falls behind
            self.walls[m.sender] = max(self.walls.get(m.sender, ahead), ahead)
        elif row == M.ROW_REIGN_BEGIN:
            self.dummy = False
            self.host.on_opening([ahead + self.now // 1000 for _, ahead in sorted(self.walls.items())])

    def _do(self, action: M.Action, at_hand: AtHand) -> None:
        m = action.message
        if action.kind == M.SEND:
            if action.after:
                self._hold(action.to, m)
            elif m.type == M.M_ACCEPT:
                self._send_accept(action.to, m, at_hand)
            else:
                self._send(action.to, m)
        elif action.kind == M.PERSIST:
            if m.type == M.M_LOGGED:
                self.disk.append(self.frame(PROMISED, number=m.number))
                self._hold(self.me, m)
            else:
                self.store(self.disk.append(at_hand.data), m, at_hand.value)
        elif m.type == M.M_KEEP:
            self.offers[m.instance] = at_hand.value
        elif m.type == M.M_FETCH:
            self.catchup.fetch(m.source)
        elif m.type == M.M_LASTING:
            self.lasting = m.span
        elif m.type == M.M_WANT:
            self.dummy = True

    def settle(self) -> None:
        """Brings the layer above up to what the machines know by now."""
        self._role()
        while self.applied < self.acceptor.chosen:
            while self.applied < self.acceptor.chosen:
                self.applied += 1
                entry = self._entry(self.applied)
                self.index.append((entry.position, entry.length))
                self.host.deliver(self.applied, entry.value)
                if len(entry.value) > SLOT_BYTES_LARGE:
                    self._forget()
            if self.opening():  # nobody else waits for it
                self.event(M.M_APPLIED, instance=self.applied)
                self.event(M.M_GO)
                self._role()

    def _role(self) -> None:
        if self.serving() != self.served:
            self.served = not self.served
            self.host.on_role()

    def serving(self) -> bool:
        """Is this replica the master?"""
        return self.reign.state == M.REIGN_SERVING

    def may_propose(self) -> bool:
        """Does the master take values now? Not while it gives itself a higher number."""
        return self.serving() and self.machines.boost.state == M.BOOST_IDLE

    def candidate(self) -> bool:
        """Does this replica try to become master?"""
        m = self.machines
        return m.election.state != M.ELECTION_RESTING or m.coordinator.state != M.COORDINATOR_IDLE or self.opening()

    def opening(self) -> bool:
        """Was this replica elected, and takes over now?"""
        return self.machines.coordinator.state == M.COORDINATOR_RECOVERING or self.reign.state == M.REIGN_OPENING

    # --- replay
    def replay(self, data: bytes | memoryview) -> int:
        """See `_api.Replica.feed_log`."""
        at = 0
        while True:
            length, frames, promised, chosen = self.disk.parse(data, at)
            if not length:
                return at
            records = [frame for _, frame in frames]
            if not group_is_sound(self.applied, self._holds, records, chosen, self.host.is_sound):
                return at
            for position, frame in frames:
                self._replay_frame(position, frame)
            self._recall(number=promised, mark=chosen)
            self.disk.replayed(length)
            at += length

    def _holds(self, instance: int) -> bool:
        entry = self.slots[instance % SLOTS]
        return entry is not None and entry.instance == instance

    def _recall(self, **fields: int) -> None:
        # What the rows ask for was done before: it is in the log.
        M.acceptor_step(self.machines, M.Message(M.M_RECORD, self.me, 0, **fields), [])
        self.settle()

    def _replay_frame(self, position: int, frame: Frame) -> None:
        if frame.type == PROMISED:
            self._recall(number=frame.number)
            return
        self._recall(mark=known_before(frame))
        m = message(MESSAGE_OF[frame.type], self.me, self.now, frame)
        self.store(position, m, frame.payload)
        if frame.type == LEARN:
            M.acceptor_step(self.machines, m, [])
            self.settle()
        else:
            self._recall(number=frame.number, instance=frame.instance)

    def start(self, now: int, wall: int) -> None:
        self.now, self.wall = now, wall
        self.jitter = self.random(self.election_us)
        self.event(M.M_START)

    def span_kept(self, span: int) -> None:
        """See `_api.Replica.span_kept`. What is not wanted any more does not count: it will be written over."""
        if span == self.lasting:
            self.lasting = 0
            self.event(M.M_KEPT, span=span)

    # --- frames out
    def frame(self, type: int, **fields: Any) -> bytes:
        """A frame of this replica."""
        return frame_encode(self.seed, type, self.me, self.incarnation, **fields)

    def send(self, peer: int, channel: int, frame: bytes) -> bool:
        """Queues a frame; one that finds the channel closed or full is lost, which the protocol stands."""
        if not self.may_send(peer, channel, len(frame)):
            return False
        self.links[peer][channel].output += frame
        return True

    def may_send(self, peer: int, channel: int, length: int) -> bool:
        """Is the channel open, and has it room for a frame of that length?"""
        link = self.links[peer][channel]
        return link.up and has_room(len(link.output), length)

    def _peers(self, to: int) -> list[int]:
        return self.others if to >= M.ALL else [to]

    def _send(self, to: int, m: M.Message) -> None:
        """Sends a message; one to the own machines is taken at once, before any that goes out."""
        type = m.type
        if type == M.M_WHERE and not self._may_ask_where(m.instance):
            return
        if type == M.M_PROMISE:
            self._send_entries(to, m)
        if to == self.me or to == M.ALL:
            self.step(m, AtHand(b"", b"", self.wall))
            if to == self.me:
                return
        extra = self.wall if type == M.M_PROMISE else m.span if type == M.M_BEAT else m.promised
        data = frame_encode(
            self.seed, FRAME_OF[type], self.me, self.incarnation, m.number, m.high or m.instance, m.mark, m.sent,
            extra, int(m.yes))
        for peer in self._peers(to):
            self.send(peer, 0, data)

    def _may_ask_where(self, instance: int) -> bool:
        full = self.disk.full(BATCH_BYTES)
        if (full or instance == self.where_instance) and self.now < self.where_at:
            return False
        self.where_instance = instance
        self.where_at = self.now + (4 * self.beat_us if full else self.beat_us // 4)
        return True

    def _send_entries(self, to: int, promise: M.Message) -> None:
        # All above the chosen mark, in order, before the promise that counts them.
        for instance in range(promise.mark + 1, promise.high + 1):
            entry = self._entry(instance)
            if to == self.me:
                m = M.Message(
                    M.M_ENTRY, self.me, self.now, number=promise.number, mark=promise.mark, instance=instance,
                    accepted=entry.number)
                self.step(m, AtHand(b"", entry.value, 0))
            else:
                self.send(to, 0, self.frame(
                    ENTRY, number=promise.number, mark=promise.mark, instance=instance, extra=entry.number,
                    payload=entry.value))

    def _send_accept(self, to: int, m: M.Message, at_hand: AtHand) -> None:
        value = self._value(m, at_hand)
        data = self.frame(
            ACCEPT, number=m.number, instance=m.instance, mark=m.mark, sent=m.sent, extra=m.span, payload=value)
        if to == M.ALL:
            row = self.step(m, AtHand(data, value, 0))
            assert row == M.ROW_ACCEPTOR_ACCEPT
        for peer in self._peers(to):
            self.send(peer, 0, data)

    def _value(self, m: M.Message, at_hand: AtHand) -> bytes:
        if m.value == M.SPAN_VALUE:
            return at_hand.value
        if m.value == M.SPAN_EPOCH:
            return self.host.epoch_value(m.number)
        if m.value == M.SPAN_LOGGED:
            return self._entry(m.instance).value
        offer = self.offers.pop(m.instance, b"")
        if offer:
            return offer
        before = self._entry(m.instance - 1).value if m.instance - 1 > self.applied else b""
        return self.host.gap_value(before)

    # --- the disk
    def _hold(self, to: int, m: M.Message) -> None:
        held = Held(self.disk.frontier(), to, m)
        if held.group <= self.disk.durable_group:
            self._release(held)
        else:
            self.held.append(held)

    def durable(self, position: int) -> None:
        """The disk reached this position: messages that waited for it leave; of a run of ACKs only the last."""
        if not self.disk.durable(position):
            return
        self.due = 0  # for a disk that hung
        done = self.disk.durable_group
        while self.held and self.held[0].group <= done:
            held = self.held.popleft()
            if held.message.type == M.M_ACK and self.held:
                after = self.held[0]
                if (
                    after.group <= done and after.to == held.to and after.message.type == M.M_ACK
                    and after.message.number == held.message.number
                ):
                    continue
            self._release(held)
        self.settle()

    def _release(self, held: Held) -> None:
        self._send(held.to, held.message)

    # --- entries
    def _entry(self, instance: int) -> Entry:
        entry = self.slots[instance % SLOTS]
        assert entry is not None and entry.instance == instance
        return entry

    def store(self, position: int, m: M.Message, value: bytes) -> None:
        self.slots[m.instance % SLOTS] = Entry(
            m.instance, m.number, m.sent, value, position, HEADER_BYTES + len(value))
        self.highest = max(self.highest, m.instance)

    def _forget(self) -> None:
        # Of the applied values, which are in the log as well, the newest are kept: one always, others by their bytes.
        total = 0
        for instance in range(self.applied, max(0, self.applied - SLOTS), -1):
            entry = self.slots[instance % SLOTS]
            if entry is not None and entry.instance == instance:
                total += len(entry.value)
                if total > SLOTS_BYTES_MAX and instance < self.applied:
                    self.slots[instance % SLOTS] = None

    # --- proposing
    def in_flight(self) -> tuple[int, int]:
        """Instances proposed and not known chosen, and the bytes of their values."""
        first, last = self.acceptor.chosen + 1, self.reign.proposed
        return max(0, last - first + 1), sum(len(self._entry(i).value) for i in range(first, last + 1))

    def propose(self, value: bytes) -> None:
        """Proposes a value at the instance `reign.proposed` + 1; only when `may_propose`."""
        row = self.step(M.Message(M.M_SUBMIT, self.me, self.now), AtHand(b"", value, 0))
        assert row == M.ROW_REIGN_PROPOSE
        self.settle()

    # --- turn
    def tick(self, nudge: bool = False) -> None:
        """Timers, at the time `now`, until no machine has anything more to do; `nudge` asks for a heartbeat."""
        self.stall.watch()
        if not nudge:
            self.due = self.due or self._due()
            if self.now < self.due:
                return
        while self.event(M.M_TICK, jitter=self.jitter, nudge=nudge) != M.IGNORED:
            nudge = False
        self.settle()

    def _due(self) -> int:
        if self.reign.state == M.REIGN_OPENING or self.machines.boost.state == M.BOOST_DRAINING:
            return 0
        at = self.wakeup()
        return min(at, self.acceptor.quiet) if self.acceptor.state == M.ACCEPTOR_SILENT else at

    def wakeup(self) -> int:
        """When the next tick has something to do, if nothing happens before."""
        a, e, c, r = self.acceptor, self.machines.election, self.machines.coordinator, self.reign
        if c.state != M.COORDINATOR_IDLE:
            return min(c.deadline, c.resend)
        if r.state != M.REIGN_IDLE:
            boosts = self.may_propose() and not self.stall.lasts()
            return min(r.beat, self.machines.boost.at) if boosts else r.beat
        if e.state == M.ELECTION_ASKING:
            return e.deadline
        if self.stall.lasts():
            return self.now + self.stall.limit  # the disk's answer comes first, or the next one waits as well
        return max(e.pause, a.quiet, M.election_granted(self.machines)) + self.jitter
