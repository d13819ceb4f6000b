"""What a replica does for clients in one turn, held against what is enough: peers wait for it, and leases may end.

Each client's share is small, so only the sum shows that a turn has no end: the work that the replica counts for every
request that it executes, whatever it takes as a reason to stop.
"""

from ..reference.limits import WORK_TRY
from .check import Violation


class Effort:
    """Of one life of a replica."""

    def __init__(self, replica: int, most: int) -> None:
        """`most`: the setting work_max."""
        self._replica = replica
        self._most = most
        self._total = 0
        self._fed = 0

    def feed(self, size: int) -> None:
        """So many bytes of a client are fed; the replica can't help it."""
        self._fed += size + WORK_TRY

    def end_turn(self, total: int, heaviest: int) -> bool:
        """Takes what `Replica.effort` says; True when there may be more to do at once."""
        work, self._total = total - self._total, total
        fed, self._fed = self._fed, 0
        if work > fed + 2 * (self._most + heaviest + WORK_TRY):
            raise Violation(
                f"a turn of replica {self._replica} did {work} of work for requests, and twice {self._most} is enough")
        return work >= self._most
