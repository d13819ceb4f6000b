"""What stays broken for ever when all other faults end: in some runs, a minority of the replicas."""

from random import Random

SHARE = 0.35  # of the runs
KINDS = ("down", "cut_off", "deaf", "mute", "half_cut")


def draw_broken(random: Random, replicas: int, room: int) -> dict[int, str]:
    """Replica -> one of KINDS; at most `room` of them."""
    if room < 1 or random.random() >= SHARE:
        return {}
    broken = sorted(random.sample(range(1, replicas + 1), random.randint(1, room)))
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
