"""What `peers` knows of a system that it measures."""

from collections.abc import Callable
from dataclasses import dataclass

from .load import Shape


@dataclass(frozen=True)
class Workload:
    """SET or GET, how many connections and requests under way on each, how large the values."""

    command: str
    shape: Shape
    value_bytes: int

    def __str__(self) -> str:
        return f"{self.command} {self.shape.clients} x {self.shape.depth}, {self.value_bytes} B"


@dataclass(frozen=True)
class Peer:
    """A running system.

    `measure` loads it for some seconds, and returns rps, p50_ms and p99_ms, or raises LoadError.
    """

    name: str
    measure: Callable[[Workload, float], dict[str, float]]
    write_means: str  # what holds when a write has been answered
    read_means: str  # what a read says; "": reads are not measured
    load: str  # what makes the requests

    def guarantee(self) -> str:
        """What its answers mean, in a line."""
        return f"SET: {self.write_means}" + (f"; GET: {self.read_means}" if self.read_means else "")
