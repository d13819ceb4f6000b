"""Faults, at random times by the plan's rates, until the world heals."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import trace as t
from .node import Node

if TYPE_CHECKING:
    from .world import World

RELAY_US = 1000  # between two looks whether another master serves
WALL_JUMPS_MS = (-3_600_000, -5_000, -100, 100, 5_000, 3_600_000)


class Faults:
    """Makes the faults of one world. A method with the name of a kind makes one of that kind."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def start(self) -> None:
        """Arranges the first of each kind."""
        for kind in self.world.plan.faults:
            self._arrange(kind)

    def _arrange(self, kind: str) -> None:
        mean = self.world.plan.faults[kind]
        self.world.after(int(self.world.random.expovariate(1 / mean)), self._fire, kind)

    def _fire(self, kind: str) -> None:
        if self.world.faulty:
            self.make(kind)
            self._arrange(kind)

    def make(self, kind: str) -> None:
        """One fault now."""
        world = self.world
        world.trace.event(world.now, 0, t.FAULT, 0, 0, kind.encode())
        if getattr(self, kind)():
            world.count(kind)

    # --- choices
    def master(self) -> Node | None:
        """A replica that serves, by its own account."""
        return next((node for node in self.world.nodes[1:] if node.serving), None)

    def _target(self) -> Node:
        # The master in half of the cases: there faults have the most to spoil.
        master = self.master()
        if master is not None and self.world.random.random() < 0.5:
            return master
        return self.world.random.choice(self.world.nodes[1:])

    def _leases(self, low: float, high: float) -> int:
        return int(self.world.plan.lease_us * self.world.random.uniform(low, high))

    def _pair(self) -> tuple[int, int]:
        first = self._target().id
        others = [node.id for node in self.world.nodes[1:] if node.id != first]
        return first, self.world.random.choice(others)

    def _cut(self, pairs: list[tuple[int, int]], time: int) -> None:
        self.world.network.block(pairs)
        self.world.after(time, self.world.network.unblock, pairs)

    # --- crashes
    def restart_later(self, node: Node) -> None:
        """The node died: it starts again soon, or not so soon."""
        random = self.world.random
        low, high = random.choice(((0.01, 0.1), (0.1, 1.0), (2.0, 5.0)))
        self.world.after(self._leases(low, high), node.start)

    def _kill(self, node: Node) -> bool:
        if node.core is None:
            return False
        node.crash()
        self.restart_later(node)
        return True

    def crash(self) -> bool:
        """A replica dies between two turns."""
        return self._kill(self._target())

    def crash_sending(self) -> bool:
        """A replica will die when it has handed out only some of a turn's output; counted when it does."""
        self._target().crash_after = self.world.random.randrange(6)
        return False

    def crash_all(self) -> bool:
        """All die within a moment."""
        for node in self.world.nodes[1:]:
            self.world.after(int(self.world.random.random() * 2000), self._kill, node)
        return True

    def quick_restart(self) -> bool:
        """Half of the replicas lose the master, and while its lease still lasts the others die and are back at once."""
        master = self.master()
        if master is None or self.world.plan.replicas == 1:
            return False
        random = self.world.random
        others = [node for node in self.world.nodes[1:] if node is not master]
        random.shuffle(others)
        half = len(others) // 2
        pairs = [pair for x in others[:half] for pair in ((x.id, master.id), (master.id, x.id))]
        self._cut(pairs, self._leases(2, 4))
        time = self._leases(1.1, 1.8)
        for node in others[half:]:
            self.world.after(time, self._bounce, node)
        return True

    def _bounce(self, node: Node) -> None:
        if node.core is not None and self.world.faulty:
            node.crash()
            self.world.after(int(1000 + 2000 * self.world.random.random()), node.start)

    # --- time
    def pause(self) -> bool:
        """A process stands still between two turns."""
        node = self._target()
        node.paused_until = max(node.paused_until, self.world.now + self._leases(0.2, 2.5))
        return node.core is not None

    def stall(self) -> bool:
        """A process stands still inside a turn: after it took the time, or after it was fed."""
        node = self._target()
        node.stall = self._leases(0.2, 2.5), self.world.random.choice(("feed", "turn"))
        return node.core is not None

    def slow_disk(self) -> bool:
        """Writes of one replica take up to a second."""
        node = self._target()
        node.disk_slow_until = self.world.now + self._leases(1, 4)
        return True

    def wall_jump(self) -> bool:
        """Somebody sets a clock."""
        jump = self.world.random.choice(WALL_JUMPS_MS)
        self._target().wall_offset_ms += jump
        self.world.wall_error_ms += abs(jump)
        return True

    # --- network
    def partition(self) -> bool:
        """Two groups that can't talk to each other."""
        ids = [node.id for node in self.world.nodes[1:]]
        if len(ids) == 1:
            return False
        self.world.random.shuffle(ids)
        cut = self.world.random.randrange(1, len(ids))
        pairs = [pair for a in ids[:cut] for b in ids[cut:] for pair in ((a, b), (b, a))]
        self._cut(pairs, self._leases(0.5, 4))
        return True

    def one_way(self) -> bool:
        """One replica is not heard, or hears nothing."""
        if self.world.plan.replicas == 1:
            return False
        node = self._target()
        others = [other.id for other in self.world.nodes[1:] if other is not node]
        deaf = self.world.random.random() < 0.5
        self._cut([(other, node.id) if deaf else (node.id, other) for other in others], self._leases(0.5, 4))
        return True

    def pair(self) -> bool:
        """Two replicas can't talk to each other."""
        if self.world.plan.replicas == 1:
            return False
        a, b = self._pair()
        self._cut([(a, b), (b, a)], self._leases(0.5, 5))
        return True

    def relay(self) -> bool:
        """The master is cut off; as soon as another one serves, that one is cut off and the first is back."""
        return self._relay(lambda first, second: second)

    def exchange(self) -> bool:
        """As `relay`, but one that elected the new master is cut off: it needs the first one, and what that one has."""
        nodes = self.world.nodes[1:]
        return self._relay(lambda first, second: next(node for node in nodes if node not in (first, second)))

    def _relay(self, next_off: Callable[[Node, Node], Node]) -> bool:
        master = self.master()
        if master is None or self.world.plan.replicas == 1 or self.world.network.blocked:
            return False
        pairs = self._around(master)
        self.world.network.block(pairs)
        self._hand_on(master, next_off, pairs, self.world.now + 6 * self.world.plan.lease_us)
        return True

    def _around(self, node: Node) -> list[tuple[int, int]]:
        others = [other.id for other in self.world.nodes[1:] if other is not node]
        return [pair for id in others for pair in ((id, node.id), (node.id, id))]

    def _hand_on(
        self, first: Node, next_off: Callable[[Node, Node], Node], pairs: list[tuple[int, int]], deadline: int
    ) -> None:
        world = self.world
        second = next((node for node in world.nodes[1:] if node.serving and node is not first), None)
        if second is None and world.faulty and world.now < deadline:
            world.after(RELAY_US, self._hand_on, first, next_off, pairs, deadline)
        elif second is None or not world.faulty:
            world.network.unblock(pairs)
        else:
            world.after(self._leases(0.0, 0.3), self._swap, next_off(first, second), pairs)

    def _swap(self, off: Node, pairs: list[tuple[int, int]]) -> None:
        self.world.network.unblock(pairs)
        if self.world.faulty:
            self._cut(self._around(off), self._leases(1.5, 4))

    def flap(self) -> bool:
        """A link goes away and comes back several times."""
        if self.world.plan.replicas == 1:
            return False
        a, b = self._pair()
        period = self._leases(0.1, 1.5)
        for turn in range(4):
            self.world.after(2 * turn * period, self._cut, [(a, b), (b, a)], period)
        return True

    def reset(self) -> bool:
        """A connection breaks."""
        live = sorted(self.world.network.live.items())
        if not live:
            return False
        self.world.network.close(self.world.random.choice(live)[1])
        return True
