"""Faults at random times by the plan's rates, until the world heals."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from .. import trace as t
from . import KINDS
from .occasion import Occasion

if TYPE_CHECKING:
    from ..world import World


class Happened(NamedTuple):
    """A fault that was made."""

    time: int  # true time (us)
    name: str  # kind#number
    what: str  # to whom, for how long


class Schedule:
    """The faults of one world. Each kind has times of its own, each fault choices of its own."""

    def __init__(self, world: "World", takes: Callable[[str], bool] | None = None) -> None:
        """`takes` says by its name whether a fault happens; all do without it."""
        self.world = world
        self.happened: list[Happened] = []
        self.takes = takes if takes is not None else lambda name: True
        self._numbers = dict.fromkeys(world.plan.faults, 0)
        self._times = {kind: Random(f"{world.seed} {kind}") for kind in world.plan.faults}

    def start(self) -> None:
        """Arranges the first of each kind."""
        for kind in self.world.plan.faults:
            self._arrange(kind)

    def _arrange(self, kind: str) -> None:
        mean = self.world.plan.faults[kind]
        self.world.after(int(self._times[kind].expovariate(1 / mean)), self._fire, kind)

    def _fire(self, kind: str) -> None:
        world = self.world
        if not world.faulty:
            return
        name = f"{kind}#{self._numbers[kind]}"
        self._numbers[kind] += 1
        self._arrange(kind)
        if not self.takes(name):
            return
        what = KINDS[kind](Occasion(world, name))
        if what is not None:
            world.count(kind)
            self.note(name, what)

    def note(self, name: str, what: str) -> None:
        """This fault was made now."""
        now = self.world.now
        self.happened.append(Happened(now, name, what))
        self.world.trace.event(now, 0, t.FAULT, 0, 0, f"{name} {what}".encode())
