"""Processes that die, stand still or have a wrong clock."""

from random import Random
from typing import TYPE_CHECKING

from .occasion import Fault, Occasion, both_ways

if TYPE_CHECKING:
    from ..node import Node

WALL_JUMPS_MS = (-3_600_000, -5_000, -100, 100, 5_000, 3_600_000)
DAY_MS = 86_400_000
WRONG_MS = (DAY_MS, 400 * DAY_MS, 19_600 * DAY_MS)  # somebody mistakes the day, the year, or it begins at 1970 again
MAJORITY_WRONG = 0.1  # of the runs in which wall clocks are set wrong by days: any of them may be


def _kill(o: Occasion, node: "Node") -> None:
    if node.core is not None:
        node.crash()
        o.restart_later(node)


def crash(o: Occasion) -> str | None:
    """A replica dies between two turns, and starts again sooner or later."""
    node = o.target()
    if node.core is None:
        return None
    _kill(o, node)
    return f"replica {node.id}"


def crash_sending(o: Occasion) -> str | None:
    """A replica dies when only some of a turn's output has left."""
    node = o.target()
    if node.core is None:
        return None
    outputs = o.random.randrange(6)
    node.die_sending(outputs, o.restart_later)
    return f"replica {node.id} after {outputs} outputs"


def crash_all(o: Occasion) -> str:
    """All replicas die within a moment."""
    for node in o.nodes():
        o.soon(_kill, o, node)
    return "within 2 ms"


def quick_restart(o: Occasion) -> str | None:
    """Half of the replicas lose the master, and while its lease still lasts the others die and are back at once."""
    master = o.master()
    if master is None or o.world.plan.replicas == 1:
        return None
    others = o.others(master)
    o.random.shuffle(others)
    half = len(others) // 2
    o.cut(both_ways(master, others[:half]), o.leases(2, 4))
    time = o.leases(1.1, 1.8)
    for node in others[half:]:
        o.world.after(time, _bounce, o, node)
    return f"{[node.id for node in others[:half]]} lose {master.id}, then {[node.id for node in others[half:]]} restart"


def _bounce(o: Occasion, node: "Node") -> None:
    if node.core is not None and o.world.faulty:
        node.crash()
        o.world.after(int(1000 + 2000 * o.random.random()), node.start)


def pause(o: Occasion) -> str | None:
    """A process stands still between two turns."""
    node = o.target()
    if node.core is None:
        return None
    time = o.leases(0.2, 2.5)
    node.paused_until = max(node.paused_until, o.world.now + time)
    return f"replica {node.id} for {time} us"


def stall(o: Occasion) -> str | None:
    """A process stands still inside a turn: after it took the time, or after it was fed."""
    node = o.target()
    if node.core is None:
        return None
    node.stall = time, before = o.leases(0.2, 2.5), o.random.choice(("feed", "turn"))
    return f"replica {node.id} for {time} us before its {before}"


def slow_disk(o: Occasion) -> str:
    """Writes of one replica take up to a second."""
    node = o.target()
    time = o.leases(1, 4)
    node.disk_slow_until = o.world.now + time
    return f"replica {node.id} for {time} us"


def wall_jump(o: Occasion) -> str:
    """Somebody sets a wall clock."""
    node, jump = o.target(), o.random.choice(WALL_JUMPS_MS)
    node.set_wall(node.wall_offset_ms + jump)
    return f"replica {node.id} by {jump} ms"


def wall_wrong(o: Occasion) -> str | None:
    """Somebody mistakes the day or the year, mostly at one of a minority that stays the same."""
    world = o.world
    shared = Random(f"{world.seed} wall_wrong")  # of all such faults of the run
    replicas = world.plan.replicas
    any_of_them = shared.random() < MAJORITY_WRONG
    victims = shared.sample(range(1, replicas + 1), replicas if any_of_them else (replicas - 1) // 2)
    if not victims:
        return None
    node = world.nodes[o.random.choice(victims)]
    offset = o.random.choice((-1, 0, 1)) * o.random.choice(WRONG_MS)
    node.set_wall(world.plan.wall_offset_ms[node.id - 1] + offset)
    return f"replica {node.id} is {offset} ms off"


def drift(o: Occasion) -> str:
    """A clock goes at another rate from now on, as wrong as the leases allow or less."""
    node, bound = o.target(), o.world.plan.drift_bound_ppm
    ppm = o.random.choice((-bound, bound, o.random.randint(-bound, bound)))
    node.set_drift(ppm)
    return f"replica {node.id} by {ppm} ppm"


KINDS: tuple[Fault, ...] = (
    crash, crash_sending, crash_all, quick_restart, pause, stall, slow_disk, wall_jump, wall_wrong, drift,
)  # fmt: skip
