"""The named worlds that are explored. Each is a cell of three replicas, of which some stand as coordinators."""

from dataclasses import dataclass
from typing import Any

TIME = {"lease": 3, "master": 1, "skew": 1, "founded": 1, "beaters": 1, "until_lost": 1}


@dataclass(frozen=True, slots=True)
class Scope:
    """`limits` are the fields of Bounds in world.pxi; a bounded scope is too large to be explored to its end."""

    name: str
    text: str
    limits: dict[str, Any]
    bounded: bool = False


SCOPES = (
    Scope(
        "one instance", "two coordinators, one instance, three elections, two crashes",
        {"instances": 1, "rounds": 2, "coordinators": 2, "stands": 3, "crashes": 2},
    ),
    Scope(
        "three rounds", "two coordinators, one instance, three elections in up to three rounds, a crash",
        {"instances": 1, "rounds": 3, "coordinators": 2, "stands": 3, "crashes": 1},
    ),
    Scope(
        "two in flight", "a master with two instances in flight, an election, a crash, no leases",
        {"instances": 3, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 1, "submits": 2, "window": 2,
         "founded": 1},
    ),
    Scope(
        "two in flight, marks", "the same with a heartbeat, without a crash",
        {"instances": 3, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 0, "submits": 2, "window": 2,
         "founded": 1, "beats": 1},
    ),
    Scope(
        "two in flight, twice", "the same with two elections, without a crash",
        {"instances": 3, "rounds": 3, "coordinators": 2, "stands": 2, "crashes": 0, "submits": 2, "window": 2,
         "founded": 1},
    ),
    Scope(
        "boost", "a master that boosts, another that is elected, one instance in flight",
        {"instances": 3, "rounds": 3, "coordinators": 2, "stands": 1, "crashes": 0, "submits": 1, "founded": 1,
         "boosts": 1},
    ),
    Scope(
        "boost, two in flight", "the same with two in flight: what an older master left open is shown",
        {"instances": 3, "rounds": 3, "coordinators": 2, "stands": 1, "crashes": 0, "submits": 2, "window": 2,
         "founded": 1, "boosts": 1},
    ),
    Scope(
        "lease and reads", "six ticks of drifting clocks, heartbeats, a lease, an election, a restart",
        {"instances": 2, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 1, "beats": 9, "ticks": 6, **TIME},
    ),
    Scope(
        "lease and reads, other settings", "the same where replica 2 is set to shorter grants than the others",
        {"instances": 2, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 1, "beats": 9, "ticks": 6,
         "lease_2": 2, **TIME},
    ),
    Scope(
        "held reads", "four ticks, reads that wait for a heartbeat's confirmation, an election",
        {"instances": 2, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 0, "beats": 9, "ticks": 4,
         "reads": 1, "teach": 0, **TIME},
    ),
    Scope(
        "lease and writes", "four ticks, a write that is sent again, an election",
        {"instances": 3, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 0, "beats": 2, "ticks": 4,
         "submits": 1, "teach": 0, **TIME},
    ),
    Scope(
        "one instance, wide", "two coordinators, one instance, three elections in up to three rounds, two crashes",
        {"instances": 1, "rounds": 3, "coordinators": 2, "stands": 3, "crashes": 2}, bounded=True,
    ),
    Scope(
        "two in flight, wide", "two in flight with a heartbeat and a crash",
        {"instances": 3, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 1, "submits": 2, "window": 2,
         "founded": 1, "beats": 1}, bounded=True,
    ),
    Scope(
        "boost, wide", "a boost, two elections and a crash",
        {"instances": 3, "rounds": 3, "coordinators": 2, "stands": 2, "crashes": 1, "submits": 1, "founded": 1,
         "boosts": 1}, bounded=True,
    ),
    Scope(
        "held reads, wide", "six ticks, held reads, a restart",
        {"instances": 2, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 1, "beats": 9, "ticks": 6,
         "reads": 1, **TIME}, bounded=True,
    ),
)  # fmt: skip

# The clocks may drift further here than the leases allow for: the check must find the stale read.
BEYOND = Scope(
    "beyond the drift bound", "as lease and reads, with a master's lease that is too long",
    {"instances": 2, "rounds": 2, "coordinators": 2, "stands": 1, "crashes": 0, "beats": 9, "ticks": 6,
     **TIME, "master": 2},
)  # fmt: skip
