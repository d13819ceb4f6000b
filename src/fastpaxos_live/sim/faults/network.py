"""Links that are cut, break and come back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .occasion import Fault, Occasion, both_ways

if TYPE_CHECKING:
    from ..node import Node

RELAY_US = 1000  # between two looks whether another master serves
BANDWIDTHS = (10_000, 50_000, 300_000)  # of a slow link, bytes a second

NextOff = Callable[[Occasion, "Node", "Node"], "Node"]


def partition(o: Occasion) -> str | None:
    """Two groups can't talk to each other."""
    nodes = o.nodes()
    if len(nodes) == 1:
        return None
    o.random.shuffle(nodes)
    cut = o.random.randrange(1, len(nodes))
    time = o.leases(0.5, 4)
    o.cut([pair for node in nodes[:cut] for pair in both_ways(node, nodes[cut:])], time)
    return f"{[node.id for node in nodes[:cut]]} from {[node.id for node in nodes[cut:]]} for {time} us"


def one_way(o: Occasion) -> str | None:
    """One replica is not heard, or hears nothing."""
    if o.world.plan.replicas == 1:
        return None
    node = o.target()
    deaf = o.random.random() < 0.5
    time = o.leases(0.5, 4)
    o.cut([(other.id, node.id) if deaf else (node.id, other.id) for other in o.others(node)], time)
    return f"replica {node.id} {'hears nothing' if deaf else 'is not heard'} for {time} us"


def _pair(o: Occasion) -> tuple["Node", "Node"]:
    first = o.target()
    return first, o.random.choice(o.others(first))


def pair(o: Occasion) -> str | None:
    """Two replicas can't talk to each other."""
    if o.world.plan.replicas == 1:
        return None
    a, b = _pair(o)
    time = o.leases(0.5, 5)
    o.cut(both_ways(a, [b]), time)
    return f"{a.id} from {b.id} for {time} us"


def flap(o: Occasion) -> str | None:
    """A link goes away and comes back several times."""
    if o.world.plan.replicas == 1:
        return None
    a, b = _pair(o)
    period = o.leases(0.1, 1.5)
    for turn in range(4):
        o.world.after(2 * turn * period, o.cut, both_ways(a, [b]), period)
    return f"{a.id} and {b.id} each {period} us"


def partial(o: Occasion) -> str | None:
    """Links are cut so that some replicas reach others, but not all reach all: a chain, a star, or any of them."""
    if o.world.plan.replicas < 3:
        return None
    nodes = o.nodes()
    o.random.shuffle(nodes)
    links = [(a, b) for at, a in enumerate(nodes) for b in nodes[at + 1 :]]
    shape = o.random.choice(("chain", "star", "random"))
    if shape == "chain":
        links = [(a, b) for a, b in links if nodes.index(b) - nodes.index(a) > 1]
    elif shape == "star":
        links = [(a, b) for a, b in links if a is not nodes[0]]
    else:
        links = [link for link in links if o.random.random() < 0.5]
    time = o.leases(0.5, 6)
    o.cut([pair for a, b in links for pair in both_ways(a, [b])], time)
    return f"{shape} of {[node.id for node in nodes]}, cut {[(a.id, b.id) for a, b in links]} for {time} us"


def swizzle(o: Occasion) -> str | None:
    """All links are cut one after the other, and are back in another order."""
    links = [both_ways(a, [b]) for a in o.nodes() for b in o.nodes()[a.id :]]
    if not links:
        return None
    o.random.shuffle(links)
    step = o.leases(0.1, 1) // len(links)
    back = list(range(len(links)))
    o.random.shuffle(back)
    stay = o.leases(0, 2)
    for at, pairs in enumerate(links):
        o.world.after(at * step, o.cut, pairs, (len(links) - at + back[at]) * step + stay)
    return f"{len(links)} links, one each {step} us, all for {stay} us"


def slow_link(o: Occasion) -> str | None:
    """What one replica sends to another has little bandwidth: it queues."""
    if o.world.plan.replicas == 1:
        return None
    a, b = _pair(o)
    rate, time = o.random.choice(BANDWIDTHS), o.leases(1, 8)
    o.world.network.slow([(a.id, b.id)], rate)
    o.world.after(time, o.world.network.unslow, [(a.id, b.id)])
    return f"{a.id} to {b.id}: {rate} bytes a second for {time} us"


def reset(o: Occasion) -> str | None:
    """A connection breaks."""
    live = sorted(o.world.network.live.items())
    if not live:
        return None
    (low, high, channel), conn = o.random.choice(live)
    o.world.network.close(conn)
    return f"{low} and {high}, channel {channel}"


def relay(o: Occasion) -> str | None:
    """The master is cut off; as soon as another one serves, that one is cut off and the first is back."""
    return _relay(o, lambda o, first, second: second)


def exchange(o: Occasion) -> str | None:
    """As `relay`, but one that elected the new master is cut off: it needs the first one, and what that one has."""
    if o.world.plan.replicas == 2:
        return None
    return _relay(o, lambda o, first, second: next(node for node in o.nodes() if node not in (first, second)))


def _relay(o: Occasion, next_off: NextOff) -> str | None:
    master = o.master()
    if master is None or o.world.plan.replicas == 1 or o.world.network.blocked:
        return None
    pairs = both_ways(master, o.others(master))
    o.world.network.block(pairs)
    _hand_on(o, master, next_off, pairs, o.world.now + 6 * o.world.plan.lease_us)
    return f"master {master.id} first"


def _hand_on(o: Occasion, first: "Node", next_off: NextOff, pairs: list[tuple[int, int]], deadline: int) -> None:
    world = o.world
    second = next((node for node in world.nodes[1:] if node.serving and node is not first), None)
    if second is None and world.faulty and world.now < deadline:
        world.after(RELAY_US, _hand_on, o, first, next_off, pairs, deadline)
    elif second is None or not world.faulty:
        world.network.unblock(pairs)
    else:
        world.after(o.leases(0.0, 0.3), _swap, o, next_off(o, first, second), pairs)


def _swap(o: Occasion, off: "Node", pairs: list[tuple[int, int]]) -> None:
    o.world.network.unblock(pairs)
    if o.world.faulty:
        o.cut(both_ways(off, o.others(off)), o.leases(1.5, 4))


KINDS: tuple[Fault, ...] = (
    partition, one_way, pair, flap, partial, swizzle, slow_link, reset, relay, exchange,
)  # fmt: skip
