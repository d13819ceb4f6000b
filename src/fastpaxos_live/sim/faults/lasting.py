"""What stays broken for ever when all other faults end: in some runs, a minority of the replicas."""

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..world import World

LASTING = "stays"  # as a kind of fault, numbered by the replica
SHARE = 0.35  # of the runs
KINDS = ("down", "cut_off", "deaf", "mute", "half_cut", "flapping")
PERIODS = (0.2, 5.0)  # of a flapping replica, in leases


def draw_broken(random: Random, sound: list[int], room: int) -> dict[int, str]:
    """Of those that are `sound`: replica -> one of KINDS; at most `room` of them."""
    if room < 1 or random.random() >= SHARE:
        return {}
    broken = sorted(random.sample(sound, random.randint(1, room)))
    return {replica: random.choice(KINDS) for replica in broken}


def pairs_cut(random: Random, broken: dict[int, str], replicas: int) -> list[tuple[int, int]]:
    """The (sender, receiver) between which nothing ever arrives again."""
    pairs: set[tuple[int, int]] = set()
    for replica, kind in broken.items():
        others = [other for other in range(1, replicas + 1) if other != replica]
        if kind == "half_cut":
            others = random.sample(others, len(others) // 2)
        if kind in ("cut_off", "deaf", "half_cut"):
            pairs.update((other, replica) for other in others)
        if kind in ("cut_off", "mute", "half_cut"):
            pairs.update((replica, other) for other in others)
    return sorted(pairs)


def start_flapping(world: "World", random: Random, replica: int) -> None:
    """From now on that replica is cut off and back again, for equal times."""
    others = [other for other in range(1, world.plan.replicas + 1) if other != replica]
    pairs = [pair for other in others for pair in ((other, replica), (replica, other))]
    _flap(world, pairs, int(world.plan.lease_us * random.uniform(*PERIODS)) // 2)


def _flap(world: "World", pairs: list[tuple[int, int]], time: int) -> None:
    world.network.block(pairs)
    world.after(time, world.network.unblock, pairs)
    world.after(2 * time, _flap, world, pairs, time)
