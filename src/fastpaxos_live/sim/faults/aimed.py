"""Faults aimed at one frame or one moment: what chance would hardly meet. Only where frames are lost one by one."""

from typing import TYPE_CHECKING

from ...reference.log_frame import ACCEPT, ACK, BEAT, PROPOSE, REFUSE
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
    """A follower lacks one entry and hears no heartbeat, so it asks for the entry and renews no lease; the other one
    is cut off from the master.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master, follower, other = cell
    lacking: list[int] = []

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        if (sender, receiver) != (master.id, follower.id):
            return False
        if fields[0] == ACCEPT and not lacking:
            lacking.append(fields[6])
        return fields[0] == BEAT or fields[0] == ACCEPT and fields[6] == lacking[0]

    time = o.leases(3, 4)
    o.cut(both_ways(master, [other]), time)
    _set(o, trap, time)
    return f"{follower.id} by {master.id}, for {time} us"


def late_ack(o: Occasion) -> str | None:
    """A master dies before its disk has what one follower acknowledged; that follower is cut off, and its
    acknowledgements arrive when the first one is master again.
    """
    cell = _cell_of_three(o)
    if cell is None:
        return None
    master, follower, other = cell
    network, world = o.world.network, o.world
    acks: list[tuple[int, bytes]] = []

    def trap(sender: int, receiver: int, fields: Fields, frame: bytes) -> bool:
        if fields[0] == ACK and (sender, receiver) == (follower.id, master.id):
            acks.append((fields[5], frame))
            return True
        if fields[0] == ACCEPT and sender == master.id and acks and fields[5] > acks[-1][0]:
            network.repeat(follower.id, master.id, acks.pop()[1])
        return False

    def die() -> None:
        network.unblock(both_ways(master, [other]))
        if world.faulty:
            o.cut(both_ways(follower, [master, other]), o.leases(4, 5))
            master.crash()
            world.after(2000, master.start)

    time = o.leases(0.3, 0.7)
    master.disk_slow_until = world.now + time
    network.block(both_ways(master, [other]))
    world.after(time, die)
    _set(o, trap, o.leases(5, 6))
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
