"""Faults aimed at one frame or one moment: what chance would hardly meet. Only where frames are lost one by one."""

from typing import TYPE_CHECKING

from ...reference.log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ENTRY,
    FETCH,
    FORWARD,
    LEARN,
    PROMISE,
    PROPOSE,
    REFUSE,
)
from ..trace import Fields
from .occasion import Fault, Occasion, both_ways

if TYPE_CHECKING:
    from ..network import Trap
    from ..node import Node


def _cell_of_three(o: Occasion) -> tuple["Node", "Node", "Node"] | None:
    # The master, and the others in any order; None where nothing can be aimed.
    network, master = o.world.network, o.master()
    if not network.lossy or network.trap is not None or network.blocked or o.world.plan.replicas != 3:
        return None
    if master is None:
        return None
    others = o.others(master)
    o.random.shuffle(others)
    return master, others[0], others[1]


def _set(o: Occasion, trap: "Trap", time: int) -> None:
    o.world.network.trap = trap
    o.world.after(time, _release, o)


def _release(o: Occasion) -> None:
    o.world.network.trap = None


def starve(o: Occasion) -> str | None:
    """A follower lacks one entry. In the place of heartbeats it gets later entries again and again, so it asks for the
    one and renews no lease; the other one is cut off from the master.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master, follower, other = cell
    network = o.world.network
    entries: list[tuple[int, bytes]] = []  # the one that is lacking, and a later one

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        if (sender, receiver) != (master.id, follower.id):
            return False
        if fields[0] == BEAT and len(entries) == 2:
            network.repeat(sender, receiver, entries[1][1])
        if fields[0] == ACCEPT and (not entries or len(entries) == 1 and fields[6] > entries[0][0]):
            entries.append((fields[6], frame))
        return fields[0] == BEAT or fields[0] == ACCEPT and fields[6] == entries[0][0]

    time = o.leases(3, 4)
    o.cut(both_ways(master, [other]), time)
    _set(o, trap, time)
    return f"{follower.id} by {master.id}, for {time} us"


def late_ack(o: Occasion) -> str | None:
    """A master with a slow disk proposes to one follower only, dies, and has forgotten that; the follower is not heard
    any more. When the first one is master again the old acknowledgements arrive, and all has to be sent twice to the
    other one.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master, follower, other = cell
    network, world = o.world.network, o.world
    acks: list[tuple[int, bytes]] = []  # number, frame
    lost: set[int] = set()

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        kind, number, instance = fields[0], fields[5], fields[6]
        if master.boots == life:
            if kind == ACK and (sender, receiver) == (follower.id, master.id):
                acks.append((number, frame))
                return True
            return (sender, receiver) == (master.id, other.id) and kind < FORWARD
        if kind == ACCEPT and sender == master.id and receiver == other.id and acks and instance not in lost:
            lost.add(instance)
            network.repeat(follower.id, master.id, acks[-1][1])
            return True
        return kind < FORWARD and follower.id in (sender, receiver) or kind == ASK and sender == other.id

    def part() -> None:
        if world.faulty and network.trap is None:
            _set(o, trap, o.leases(4, 5))
            world.after(time, die)

    def die() -> None:
        if world.faulty:
            master.crash()
            world.after(2000, master.start)

    life = master.boots
    time = o.leases(0.3, 0.6)
    master.disk_slow_until = world.now + 2 * time
    world.after(time, part)
    return f"of {follower.id} to {master.id}"


def comeback(o: Occasion) -> str | None:
    """The master is cut off; when another one has asked whether it would be elected and begins to stand, the master is
    heard again by the third, which then refuses, and of that the other one hears nothing.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master, first, second = cell
    network = o.world.network
    pairs = both_ways(master, [first, second])
    back: list[int] = []

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        if fields[0] == PROPOSE and sender != master.id and not back:
            back.append(receiver)
            network.unblock(both_ways(master, [o.world.nodes[receiver]]))
            o.world.after(2 * o.world.plan.beat_us, network.repeat, sender, receiver, frame)
            return True
        return fields[0] == REFUSE and sender in back

    network.block(pairs)
    time = o.leases(3, 4)
    o.world.after(time, network.unblock, pairs)
    _set(o, trap, time)
    return f"of {master.id}"


def usurp(o: Occasion) -> str | None:
    """The master is cut off; another one is elected, and cut off as soon as the third one has an entry of it. When
    the lease that goes with the entry is over the first one is back. Its clock is so slow that it has not given up:
    it boosts, and must not go on.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master = cell[0]
    network, world = o.world.network, o.world
    off = [master.id]

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        if fields[0] == ACCEPT and off == [master.id] and master.id not in (sender, receiver):
            off.append(sender)
            network.repeat(sender, receiver, frame)
            world.after(o.leases(0.9, 1.0), off.remove, master.id)
        return sender in off or receiver in off

    bound = world.plan.drift_bound_ppm
    for node in o.nodes():
        node.set_drift(-bound if node is master else bound)
    _set(o, trap, o.leases(4, 5))
    return f"{master.id} is cut off first"


class _LateLearner:
    """The frames of `learn_late`."""

    def __init__(self, o: Occasion, master: "Node", voter: "Node", candidate: "Node") -> None:
        self.o = o
        self.master, self.voter, self.candidate = master.id, voter.id, candidate.id
        self.before = o.random.random() < 0.5  # it learns before it promises, or between two answers
        self.cut = False
        self.fetch = b""
        self.learns: dict[int, bytes] = {}  # by instance
        self.mark = 0  # the voter's chosen mark, as the candidate was told
        self.promise = b""
        self.released = False

    def trap(self, sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        kind, way = fields[0], (sender, receiver)
        if way == (self.master, self.voter):
            if kind == LEARN and self.cut:
                self.learns[fields[6]] = frame
            return kind < FORWARD if self.cut else kind == ACCEPT and not self.fetch
        if way == (self.voter, self.master) and kind == FETCH and not self.fetch:
            self.fetch = frame
            self.o.world.after(self.o.leases(0.2, 0.3), self._cut)
        if self.fetch and self.candidate in way and kind < FORWARD and (not self.cut or self.master in way):
            return True
        return kind == ASK and sender == self.voter or self._between(way, fields, frame)

    def _cut(self) -> None:
        self.cut = True
        self.o.world.after(self.o.leases(0.2, 0.3), self.o.world.network.repeat, self.voter, self.master, self.fetch)

    def _between(self, way: tuple[int, int], fields: Fields, frame: bytes) -> bool:
        kind, repeat = fields[0], self.o.world.network.repeat
        if way == (self.voter, self.candidate):
            if kind == ANSWER:
                self.mark = fields[7]
            elif kind == ENTRY and not self.before:
                return not self.released
            elif kind == PROMISE and not self.before:
                self.promise = self.promise or frame
                if self.released:
                    self.o.world.after(5000, repeat, *way, self.promise)
                else:
                    self._release()
                return True
        elif way == (self.candidate, self.voter) and kind == PROPOSE and self.before and not self.released:
            self._release()
            self.o.world.after(5000, repeat, *way, frame)
            return True
        return False

    def _release(self) -> None:
        self.released = True
        for instance in range(self.mark + 1, self.mark + (3 if self.before else 2)):
            if instance in self.learns:
                self.o.world.network.repeat(self.master, self.voter, self.learns[instance])


def learn_late(o: Occasion) -> str | None:
    """A follower learns of a chosen entry, or of two, when it has said how far its knowledge goes, to the one who
    stands when the master is cut off: before it promises, or between two promises of which the first arrives last,
    without its entries.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    _set(o, _LateLearner(o, *cell).trap, o.leases(4, 5))
    return f"{cell[1].id}, for {cell[2].id}"


KINDS: tuple[Fault, ...] = (starve, late_ack, comeback, usurp, learn_late)
