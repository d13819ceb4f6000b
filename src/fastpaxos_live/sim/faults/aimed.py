"""Faults aimed at one frame or one moment: what chance would hardly meet. Only where frames are lost one by one."""

from typing import TYPE_CHECKING

from ...reference.log_frame import ACCEPT, ACK, ASK, BEAT, FORWARD, PROPOSE, REFUSE
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


KINDS: tuple[Fault, ...] = (starve, late_ack, comeback)
