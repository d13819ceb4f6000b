"""The master's clock: where it begins, and how it goes on. docs/protocol.md, "Time", has the argument."""

CLOCK_BOUND_MS = 1000  # clocks that differ by less agree


class MasterClock:
    """Log time as this replica would seal it."""

    __slots__ = ("base_ms", "base_us", "refused_ms")

    def __init__(self) -> None:
        self.base_ms = 0  # the clock showed that ...
        self.base_us = 0  # ... then, and goes on at the rate of boot time
        self.refused_ms = 0  # a clock of those that promised was so far ahead of it, and not believed

    def begin(self, in_force: int, wall: int, walls: list[int], quorum: int, now: int) -> None:
        """A mastership begins: `walls` are the clocks of those that promised, each once, the own one among them."""
        agreed = sorted(walls, reverse=True)[quorum - 1]  # a majority's clocks have come so far
        self.base_ms = max(in_force, wall if wall <= agreed else min(wall, agreed + CLOCK_BOUND_MS))
        self.base_us = now
        self.refused_ms = max(0, max(walls) - self.base_ms - CLOCK_BOUND_MS)

    def at(self, now: int) -> int:
        """What it shows at that boot time. Rounded up: the wall clock that it began with was cut to milliseconds, and
        whoever sets a deadline by that clock must not be told that more time is left than to that deadline.
        """
        return self.base_ms - (self.base_us - now) // 1000
