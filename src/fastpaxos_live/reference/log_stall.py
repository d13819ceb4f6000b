"""A disk that hangs without an error: heartbeats and echoes need none, so nobody else would notice.

A replica whose write group has been under way for too long promises nobody and does not stand. If it is master and the
disks of a majority went on meanwhile, its mastership ends: these can do without it.
"""

from typing import TYPE_CHECKING

from . import log_machines as M

if TYPE_CHECKING:
    from .log_paxos import PaxosLog

STALL_US_MIN = 1_000_000  # a write group under way for longer, and for STALL_LEASES, hangs
STALL_LEASES = 4


class Stall:
    """Of one replica's disk."""

    def __init__(self, log: "PaxosLog", lease_us: int) -> None:
        self.log = log
        self.limit = max(STALL_US_MIN, STALL_LEASES * lease_us)
        self.since = 0  # the group under way was handed to the disk then ...
        self.acked: list[int] = []  # ... and so far were the others

    def begin(self) -> None:
        """A group is handed to the disk."""
        self.since = self.log.now
        self.acked = self.log.reign.acked.copy()

    def lasts(self) -> bool:
        """Does the disk hang?"""
        return bool(self.log.disk.writing) and self.log.now > self.since + self.limit

    def watch(self) -> None:
        """Ends a mastership that others can do without."""
        if self.log.reign.state == M.REIGN_IDLE or not self.lasts():
            return
        acked = self.log.reign.acked
        moved = sum(acked[peer] > self.acked[peer] for peer in self.log.others)
        if moved >= self.log.machines.quorum:
            self.log.event(M.M_STALLED)
