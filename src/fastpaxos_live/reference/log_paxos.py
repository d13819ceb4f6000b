"""The fault-tolerant log: acceptor and coordinator joined with frames, the disk, catch-up. PML 3, 4, 5.2.

Knows no keys and no clients. The host above it gives values to `propose` and gets each chosen value, in order, by
`deliver`. Decisions are the rows of the two machines; here is only what they ask for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from . import log_acceptor as A
from . import log_coordinator as C
from .limits import CHANNEL_BYTES_MAX, DISK_BYTES_HIGH, SLOTS
from .log_catchup import CatchUp
from .log_disk import LogDisk
from .log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ECHO,
    ENTRY,
    FETCH,
    FETCHED,
    HEADER_BYTES,
    LEARN,
    PROMISE,
    PROMISED,
    PROPOSE,
    REFUSE,
    VALUE_BYTES,
    WHERE,
    BadFrame,
    Frame,
    frame_decode,
    frame_encode,
    frame_length,
)

RESEND_MAX = 32  # entries sent again for one WHERE


class Entry(NamedTuple):
    """What is accepted (or learned) at an instance."""

    instance: int
    number: int
    sent: int
    value: bytes
    position: int  # of its frame in the log
    length: int


class Held(NamedTuple):
    """An answer that waits until a group is durable."""

    group: int
    peer: int
    type: int
    number: int
    instance: int
    sent: int


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
    def on_frame(self, peer: int, frame: Frame) -> None: ...
    def on_role(self) -> None: ...
    def on_opening(self, walls: list[int]) -> None: ...
    def gap_value(self, before: bytes) -> bytes: ...
    def epoch_value(self, number: int) -> bytes: ...


class PaxosLog:
    """One replica's log."""

    def __init__(self, config: dict, host: Host, random: Callable[[int], int]) -> None:
        self.host = host
        self.random = random
        self.seed = config["cell_id"]
        self.me = config["replica"]
        self.replicas = config["replicas"]
        self.incarnation = config["incarnation"]
        self.beat_us = config["beat_us"]
        self.election_us = config["election_us"]
        self.acceptor = A.Acceptor(config["lease_us"])
        self.coordinator = C.Coordinator(
            self.me, self.replicas, self.incarnation, config["lease_us"], config["lease_master_us"], self.beat_us
        )
        self.disk = LogDisk(self.seed, self.me, self.incarnation)
        self.links = [[Link(), Link()] for _ in range(self.replicas + 1)]
        self.slots: list[Entry | None] = [None] * SLOTS
        self.index: list[tuple[int, int]] = []  # position and length of the frame of each applied instance
        self.applied = 0
        self.held: deque[Held] = deque()
        self.now = 0
        self.wall = 0
        self.jitter = 0
        self.beat_at = 0
        self.where_at = 0
        self.where_instance = 0
        self.resend_at = [0] * (self.replicas + 1)
        self.dummy = False  # a follower waits to be taken into this reign: propose something
        self.catchup = CatchUp(self)
        # What promises brought in, while PREPARING.
        self.offers: dict[int, tuple[int, bytes]] = {}  # instance: number, value
        self.got: list[set[int]] = []
        self.promises: dict[int, tuple[int, int]] = {}  # replica: mark, highest instance
        self.walls: list[int] = []

    # --- replay
    def replay(self, data: bytes | memoryview) -> int:
        """See `_api.Replica.feed_log`."""
        at = 0
        while True:
            length, frames, promised, chosen = self.disk.parse(data, at)
            if not length:
                return at
            for position, frame in frames:
                self._replay_frame(position, frame)
            self.acceptor.replay_promised(promised)
            self.acceptor.replay_chosen(chosen)
            self.deliver()
            self.disk.replayed(length)
            at += length

    def _replay_frame(self, position: int, frame: Frame) -> None:
        # An entry was only taken within SLOTS of the chosen mark, a learned one only next to it.
        if frame.type == PROMISED:
            self.acceptor.replay_promised(frame.number)
            return
        self.acceptor.replay_chosen(frame.instance - (1 if frame.type == LEARN else SLOTS))
        self.deliver()
        self.store(position, frame)
        if frame.type == LEARN:
            self.acceptor.on_learn(frame.instance)
            self.deliver()
        else:
            self.acceptor.replay_accept(frame.number, frame.instance)

    def start(self, now: int, wall: int) -> None:
        self.now, self.wall = now, wall
        self.acceptor.restart(now)
        self.jitter = self.random(self.election_us)

    # --- frames out
    def frame(self, type: int, **fields: Any) -> bytes:
        """A frame of this replica."""
        return frame_encode(self.seed, type, self.me, self.incarnation, **fields)

    def send(self, peer: int, channel: int, frame: bytes) -> bool:
        """Queues a frame; one that finds the channel closed or full is lost, which the protocol stands."""
        link = self.links[peer][channel]
        if not link.up or link.output and len(link.output) + len(frame) > CHANNEL_BYTES_MAX:
            return False
        link.output += frame
        return True

    def _send_all(self, frame: bytes) -> None:
        for peer in range(1, self.replicas + 1):
            if peer != self.me:
                self.send(peer, 0, frame)

    def _hold(self, peer: int, type: int, number: int, instance: int = 0, sent: int = 0) -> None:
        held = Held(self.disk.frontier(), peer, type, number, instance, sent)
        if held.group <= self.disk.durable_group:
            self._release(held)
        else:
            self.held.append(held)

    def durable(self, position: int) -> None:
        """The disk reached this position: answers that waited for it leave; of a run of ACKs only the last."""
        if not self.disk.durable(position):
            return
        done = self.disk.durable_group
        while self.held and self.held[0].group <= done:
            held = self.held.popleft()
            if held.type == ACK and self.held:
                after = self.held[0]
                if after.group <= done and after[1:4] == held[1:4]:
                    continue
            self._release(held)

    def _release(self, held: Held) -> None:
        if held.type == ACK:
            if held.peer == self.me:
                self.coordinator.on_ack(self.me, held.number, held.instance, held.sent)
                self._commit()
            else:
                self.send(held.peer, 0, self.frame(
                    ACK, number=held.number, instance=held.instance, mark=self.acceptor.chosen, sent=held.sent))
        elif self.acceptor.promised == held.number:
            if held.peer == self.me:
                self._own_promise(held.number)
            else:
                self._send_promise(held.peer, held.number)

    def _send_promise(self, peer: int, number: int) -> None:
        high = max(self.acceptor.high, self.acceptor.chosen)
        for instance in range(self.acceptor.chosen + 1, high + 1):
            entry = self._entry(instance)
            self.send(peer, 0, self.frame(
                ENTRY, number=number, instance=instance, extra=entry.number, payload=entry.value))
        self.send(peer, 0, self.frame(
            PROMISE, number=number, instance=high, mark=self.acceptor.chosen, extra=self.wall))

    # --- entries
    def _entry(self, instance: int) -> Entry:
        entry = self.slots[instance % SLOTS]
        assert entry is not None and entry.instance == instance
        return entry

    def store(self, position: int, frame: Frame) -> None:
        self.slots[frame.instance % SLOTS] = Entry(
            frame.instance, frame.number, frame.sent, frame.payload, position, HEADER_BYTES + len(frame.payload))

    def deliver(self) -> None:
        while self.applied < self.acceptor.chosen:
            self.applied += 1
            entry = self._entry(self.applied)
            self.index.append((entry.position, entry.length))
            self.host.deliver(self.applied, entry.value)
        if self.coordinator.on_applied(self.applied) == C.SERVE_ROW:
            self.host.on_role()

    def _commit(self) -> None:
        committed = self.coordinator.committed()
        if committed > self.acceptor.chosen:
            self.acceptor.on_chosen(committed)
            self.deliver()

    # --- proposing
    def in_flight(self) -> tuple[int, int]:
        """Instances proposed and not known chosen, and the bytes of their values."""
        first, last = self.acceptor.chosen + 1, self.coordinator.proposed
        return max(0, last - first + 1), sum(len(self._entry(i).value) for i in range(first, last + 1))

    def propose(self, value: bytes) -> int:
        """Proposes a value at the next instance (OPENING or SERVING only); returns the instance."""
        c = self.coordinator
        instance = c.proposed + 1
        mark = self.acceptor.chosen
        row = self.acceptor.on_accept(self.me, c.number, instance, mark, self.now)
        assert row == A.ACCEPT_ROW
        c.proposed = instance
        data = self.frame(
            ACCEPT, number=c.number, instance=instance, mark=mark, sent=self.now, payload=value)
        position = self.disk.append(data)
        self.slots[instance % SLOTS] = Entry(instance, c.number, self.now, value, position, len(data))
        self._send_all(data)
        self._hold(self.me, ACK, c.number, instance, self.now)
        return instance

    # --- turn
    def tick(self) -> None:
        """Timers, at the time `now`."""
        a, c = self.acceptor, self.coordinator
        a.on_tick(self.now)
        before = c.state
        row = c.on_tick(self.now, self._granted_until(), self.jitter, a.promised)
        if row == C.SUSPECT_ROW:
            self.jitter = self.random(self.election_us)
            self._ask()
        elif row == C.AGAIN_ROW:
            self._propose_all()
        elif row == C.GIVE_UP_ROW:
            self.jitter = self.random(self.election_us)
            if before >= C.OPENING:
                self.host.on_role()
        if c.state >= C.OPENING:
            self._propose_epoch()
            if self.now >= self.beat_at:
                self.beat()
        elif c.state == C.RECOVERING:
            self.recover()

    def _granted_until(self) -> int:
        # A grant to oneself doesn't keep from trying again.
        a = self.acceptor
        return max(a.quiet, a.until if a.master != self.me else 0)

    def wakeup(self) -> int:
        c = self.coordinator
        if c.state == C.FOLLOWER:
            return max(self._granted_until(), c.retry) + self.jitter
        if c.state >= C.OPENING:
            return self.beat_at
        return min(c.deadline, c.resend) if c.state == C.PREPARING else min(c.deadline, self.now + self.beat_us)

    def beat(self) -> None:
        """A heartbeat: never logged, answered from memory, so that a slow disk costs no lease."""
        c = self.coordinator
        self.beat_at = self.now + self.beat_us
        self.acceptor.on_beat(self.me, c.number, self.acceptor.chosen, self.now)
        self._send_all(self.frame(
            BEAT, number=c.number, instance=c.proposed, mark=self.acceptor.chosen, sent=self.now))

    # --- election
    def _ask(self) -> None:
        number, chosen = self.coordinator.number, self.acceptor.chosen
        self._send_all(self.frame(ASK, number=number, mark=chosen))
        yes = self.acceptor.on_ask(self.me, number, self.now) == A.WOULD_ROW
        self._answered(self.me, number, yes, chosen)

    def _answered(self, peer: int, number: int, yes: bool, mark: int) -> None:
        a, c = self.acceptor, self.coordinator
        row = c.on_answer(peer, number, yes, mark, a.chosen, self.now)
        if row == C.BEHIND_ROW:
            self.catchup.fetch(c.marks.index(c.highest_mark()))
        elif row == C.ASKED_ROW:
            self.offers, self.promises, self.walls = {}, {}, []
            self.got = [set() for _ in range(self.replicas + 1)]
            if a.on_propose(self.me, number, self.now) == A.PROMISE_ROW:
                self.disk.append(self.frame(PROMISED, number=number))
                self._hold(self.me, PROMISE, number)
            else:
                c.on_refuse(number, a.promised, self.now)

    def _propose_all(self) -> None:
        self._send_all(self.frame(PROPOSE, number=self.coordinator.number, mark=self.acceptor.chosen))

    def _own_promise(self, number: int) -> None:
        if self.coordinator.on_own_promise(number, self.now) != C.PREPARE_ROW:
            return
        self._propose_all()
        for instance in range(self.acceptor.chosen + 1, self.acceptor.high + 1):
            entry = self._entry(instance)
            self._offer(self.me, instance, entry.number, entry.value)
        self._promise(self.me, self.acceptor.chosen, self.acceptor.high, self.wall)

    def _offer(self, peer: int, instance: int, number: int, value: bytes) -> None:
        # The value of the highest number wins, instance by instance.
        if not self.acceptor.chosen < instance <= self.acceptor.chosen + SLOTS:
            return
        self.got[peer].add(instance)
        if instance not in self.offers or self.offers[instance][0] < number:
            self.offers[instance] = number, value

    def _promise(self, peer: int, mark: int, high: int, wall: int) -> None:
        if peer not in self.promises:
            self.walls.append(wall)
        self.promises[peer] = mark, high
        self._count(peer)

    def _count(self, peer: int) -> None:
        # A promise counts once all its entries are here.
        if peer not in self.promises:
            return
        mark, high = self.promises[peer]
        first = max(mark, self.acceptor.chosen) + 1
        if not all(instance in self.got[peer] for instance in range(first, high + 1)):
            return
        c = self.coordinator
        if c.on_promise(peer, c.number, mark, self.now) == C.ELECTED_ROW:
            self.recover()

    def recover(self) -> None:
        c = self.coordinator
        if c.on_chosen(self.acceptor.chosen, self.now) == C.OPEN_ROW:
            self._open()
        elif c.state == C.RECOVERING:
            self.catchup.fetch(c.marks.index(c.target))

    def _open(self) -> None:
        """Proposes everything open again, values unchanged, no-ops in the gaps, then the epoch instance."""
        self.host.on_opening(self.walls)
        self.dummy = False
        first = self.acceptor.chosen + 1
        value = b""
        for instance in range(first, max(self.offers, default=0) + 1):
            offer = self.offers.get(instance)
            value = offer[1] if offer else self.host.gap_value(value)
            self.propose(value)
        self.offers = {}
        self._propose_epoch()
        self.beat()
        self.host.on_role()

    def _propose_epoch(self) -> None:
        # Waits while so many entries are open that it would not fit beside them.
        c = self.coordinator
        if not c.epoch_instance and c.proposed - self.acceptor.chosen < SLOTS // 2:
            c.epoch_instance = c.proposed + 1
            self.propose(self.host.epoch_value(c.number))

    def _foreign(self, granted: bool) -> None:
        c = self.coordinator
        before = c.state
        if c.on_foreign(self.acceptor.promised, granted, self.now) == C.SUPERSEDED_ROW and before >= C.OPENING:
            self.host.on_role()

    # --- frames in
    def feed(self, peer: int, channel: int, data: bytes) -> bool:
        """See `_api.Replica.feed_peer`."""
        link = self.links[peer][channel]
        if not link.up:
            return True
        link.input += data
        at = 0
        try:
            while n := frame_length(self.seed, link.input, at):
                if at + n > len(link.input):
                    break
                frame = frame_decode(self.seed, link.input, at, n)
                if frame.sender != peer:
                    return False
                if frame.incarnation == self.incarnation:
                    self._on_frame(peer, frame, bytes(link.input[at : at + n]))
                at += n
        except BadFrame:
            return False
        del link.input[:at]
        return True

    def _on_frame(self, peer: int, frame: Frame, data: bytes) -> None:
        type = frame.type
        if type in (ACCEPT, LEARN, ENTRY) and len(frame.payload) < VALUE_BYTES:
            raise BadFrame
        if type == ACCEPT:
            self._on_accept(peer, frame, data)
        elif type == ACK:
            self.coordinator.on_ack(peer, frame.number, frame.instance, frame.sent)
            self._commit()
        elif type == BEAT:
            self._on_beat(peer, frame)
        elif type == ECHO:
            self.coordinator.on_echo(peer, frame.number, frame.sent)
        elif type == WHERE:
            self._on_where(peer, frame)
        elif type == ASK:
            yes = self.acceptor.on_ask(peer, frame.number, self.now) == A.WOULD_ROW
            self.send(peer, 0, self.frame(
                ANSWER, number=frame.number, flags=int(yes), mark=self.acceptor.chosen,
                extra=self.acceptor.promised))
        elif type == ANSWER:
            self.coordinator.seen = max(self.coordinator.seen, frame.extra)
            self._answered(peer, frame.number, bool(frame.flags), frame.mark)
        elif type == PROPOSE:
            self._on_propose(peer, frame)
        elif type == ENTRY:
            if self.coordinator.state == C.PREPARING and frame.number == self.coordinator.number:
                self._offer(peer, frame.instance, frame.extra, frame.payload)
                self._count(peer)
        elif type == PROMISE:
            if self.coordinator.state == C.PREPARING and frame.number == self.coordinator.number:
                self._promise(peer, frame.mark, frame.instance, frame.extra)
        elif type == REFUSE:
            before = self.coordinator.state
            row = self.coordinator.on_refuse(frame.number, frame.extra, self.now)
            if row == C.REFUSED_ROW and before >= C.OPENING:
                self.host.on_role()
        elif type == FETCH:
            self.catchup.on_fetch(peer, frame.instance)
        elif type == LEARN:
            self.catchup.on_learn(frame, data)
        elif type == FETCHED:
            self.catchup.on_fetched(peer, frame)
        else:
            self.host.on_frame(peer, frame)

    def _on_propose(self, peer: int, frame: Frame) -> None:
        row = self.acceptor.on_propose(peer, frame.number, self.now)
        if row == A.PROMISE_ROW:
            self.disk.append(self.frame(PROMISED, number=frame.number))
            self._foreign(False)
            self._hold(peer, PROMISE, frame.number)
        elif row == A.PROMISE_AGAIN_ROW:
            self._hold(peer, PROMISE, frame.number)
        else:
            self._refuse(peer, frame.number)

    def _refuse(self, peer: int, number: int) -> None:
        self.send(peer, 0, self.frame(
            REFUSE, number=number, mark=self.acceptor.chosen, extra=self.acceptor.promised))

    def _on_accept(self, peer: int, frame: Frame, data: bytes) -> None:
        a = self.acceptor
        if frame.instance > a.chosen + SLOTS or self.disk.backlog() > 2 * DISK_BYTES_HIGH:
            self.catchup.behind(peer, frame)  # as if the frame had been lost: the disk or catch-up is not so far yet
            return
        row = a.on_accept(peer, frame.number, frame.instance, frame.mark, self.now)
        if row == A.REFUSE_ROW:
            self._refuse(peer, frame.number)
            return
        if row == A.ACCEPT_ROW:
            self.store(self.disk.append(data), frame)
        if row in (A.ACCEPT_ROW, A.REPEAT_ROW):
            self._foreign(True)
            self.deliver()
            self._hold(peer, ACK, frame.number, a.last, frame.sent)
        else:
            self._where(peer, frame.number)
        self.catchup.behind(peer, frame)

    def _on_beat(self, peer: int, frame: Frame) -> None:
        a = self.acceptor
        row = a.on_beat(peer, frame.number, frame.mark, self.now)
        if row == A.REFUSE_ROW:
            self._refuse(peer, frame.number)
            return
        if row == A.RENEW_ROW:
            self._foreign(True)
            self.deliver()
            entered = frame.number == a.reign
            self.send(peer, 0, self.frame(
                ECHO, number=frame.number, instance=a.last if entered else 0, mark=a.chosen, sent=frame.sent))
            if entered and a.last > frame.mark:
                self._hold(peer, ACK, frame.number, a.last, frame.sent)  # an earlier one may have been lost
            if frame.instance > (a.last if entered else a.chosen):
                self._where(peer, frame.number)
        else:
            self._where(peer, frame.number)
        self.catchup.behind(peer, frame)

    def _where(self, peer: int, number: int) -> None:
        wanted = self.acceptor.next_instance(number)
        if wanted == self.where_instance and self.now < self.where_at:
            return
        self.where_instance = wanted
        self.where_at = self.now + self.beat_us // 4
        self.send(peer, 0, self.frame(
            WHERE, number=number, instance=wanted, mark=self.acceptor.chosen, extra=self.acceptor.promised))

    def _on_where(self, peer: int, frame: Frame) -> None:
        c = self.coordinator
        if c.state < C.OPENING or frame.number != c.number:
            return
        if frame.instance > c.proposed:
            self.dummy = True
            return
        entry = self.slots[frame.instance % SLOTS]
        if entry is None or entry.instance != frame.instance or self.now < self.resend_at[peer]:
            return
        self.resend_at[peer] = self.now + self.beat_us // 4
        for instance in range(frame.instance, min(frame.instance + RESEND_MAX, c.proposed + 1)):
            entry = self._entry(instance)
            if entry.number != c.number:
                return  # not of this reign: the follower fetches it
            self.send(peer, 0, self.frame(
                ACCEPT, number=entry.number, instance=instance, mark=self.acceptor.chosen, sent=entry.sent,
                payload=entry.value))
