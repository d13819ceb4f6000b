"""The figures of 2006 in "Paxos Made Live".

Chandra, Griesemer, Redstone: "Paxos Made Live - An Engineering Perspective", PODC 2007, section 8,
table 1: five servers, each worker creates a file, waits for the answer, creates the next. Chubby's
database on their Paxos held 100 MB, that on 3DB, its predecessor, was small.
"""

from dataclasses import dataclass

KB = 1024
DATABASE_BYTES = 100 << 20
NO_LATENCY = (
    "the paper prints no latencies: its mean is what follows from workers that wait for each answer, "
    "workers / throughput"
)
NO_SNAPSHOTS = "no snapshots yet: compared with the paper's figure between snapshots"


@dataclass(frozen=True)
class Line:
    """A row of the table; figures are in `unit`, "ops/s" or "KB/s"."""

    workers: int
    value_bytes: int
    unit: str
    paxos: float  # where the paper gives a range, its upper end: while no snapshot was taken
    three_db: float
    paxos_with_snapshots: float | None = None  # the lower end of the range

    def operations(self, figure: float) -> float:
        """Operations per second of a figure in the row's unit."""
        return figure if self.unit == "ops/s" else figure * KB / self.value_bytes

    def figure(self, operations: float) -> float:
        """Operations per second as a figure in the row's unit."""
        return operations if self.unit == "ops/s" else operations * self.value_bytes / KB

    @property
    def mean_ms(self) -> float:
        """Mean latency: each worker has one request under way, always."""
        return self.workers / self.operations(self.paxos) * 1000


TABLE_1 = (
    Line(1, 5, "ops/s", 91, 75),
    Line(10, 5, "ops/s", 490, 134),
    Line(20, 5, "ops/s", 640, 178),
    Line(1, 8 * KB, "KB/s", 345, 172),
    Line(4, 8 * KB, "KB/s", 949, 217, 777),
    Line(1, 32 * KB, "KB/s", 822, 338, 672),
)
