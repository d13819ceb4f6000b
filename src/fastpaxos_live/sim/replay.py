"""A replica during recovery."""

from collections.abc import Callable

from .._api import Replica

REPLAY_BYTES = 64 << 10


class Replay:
    """A replica during recovery, fed in pieces so that everything it applies is seen."""

    def __init__(self, core: Replica, applied: Callable[[list[tuple[int, int]]], None]) -> None:
        self.core = core
        self._applied = applied

    def feed_log(self, data: bytes) -> int:
        """As Replica.feed_log."""
        at, size = 0, REPLAY_BYTES
        while at < len(data):
            consumed = self.core.feed_log(data[at : at + size])
            self._applied(self.core.applied())
            if not consumed:
                if at + size >= len(data):
                    break
                size *= 2
            at += consumed
        return at
