"""One fault that is about to happen, and the choices that those who make one share."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..node import Node
    from ..world import World


class Occasion:
    """A fault of the world, now. It has randomness of its own: leaving one out changes no choice of another."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name  # kind#number, the number counting those of its kind
        self.random = Random(f"{world.seed} {name}")

    # --- choices
    def nodes(self) -> list["Node"]:
        """All replicas."""
        return self.world.nodes[1:]

    def master(self) -> "Node | None":
        """A replica that serves, by its own account."""
        return next((node for node in self.nodes() if node.serving), None)

    def target(self) -> "Node":
        """A replica: the master in half of the cases, since there faults have the most to spoil."""
        master = self.master()
        if master is not None and self.random.random() < 0.5:
            return master
        return self.random.choice(self.nodes())

    def leases(self, low: float, high: float) -> int:
        """A time of so many leases (us)."""
        return int(self.world.plan.lease_us * self.random.uniform(low, high))

    def others(self, node: "Node") -> list["Node"]:
        """All replicas but that one."""
        return [other for other in self.nodes() if other is not node]

    # --- what several faults do
    def soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls that within 2 ms, if the faults don't end before."""
        self.world.after(int(self.random.random() * 2000), self._while_faulty, call, *arguments)

    def _while_faulty(self, call: Callable[..., None], *arguments: object) -> None:
        if self.world.faulty:
            call(*arguments)

    def restart_later(self, node: "Node") -> None:
        """The node died: it starts again soon, or not so soon."""
        low, high = self.random.choice(((0.01, 0.1), (0.1, 1.0), (2.0, 5.0)))
        self.world.after(self.leases(low, high), node.start)

    def cut(self, pairs: list[tuple[int, int]], time: int) -> None:
        """Nothing gets from the first to the second of each pair for that time (us)."""
        if not self.world.faulty:
            return  # arranged before the faults ended
        self.world.network.block(pairs)
        self.world.after(time, self.world.network.unblock, pairs)


Fault = Callable[[Occasion], str | None]
"""Makes a fault, and says what it did; None when there was nothing to spoil."""


def both_ways(node: "Node", others: list["Node"]) -> list[tuple[int, int]]:
    """The pairs that keep a replica from these others."""
    return [pair for other in others for pair in ((other.id, node.id), (node.id, other.id))]
