"""Keys by deadline.

Whatever the time in force does, no step may take long: it may jump, and millions of keys be due at once. So what is
due is known by its number at once, and taken away by parts, the earliest first, of equal deadlines the one with the
lowest hash, of equal hashes the one that came first: whoever chooses keys can make their hashes equal, whatever the
seed. So the order is the same at every replica.
"""

from bisect import bisect_left, bisect_right, insort
from math import inf

Mark = tuple[int, int, int, bytes]
"""Deadline (ms), hash, serial number of the entry, key."""


class Deadlines:
    """A set of marks, in order. (A sorted list does here; the compiled core has a tree.)"""

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: Mark) -> None:
        """Puts in one that is not there."""
        insort(self._marks, mark)

    def remove(self, mark: Mark) -> None:
        """Takes out one that is there."""
        del self._marks[bisect_left(self._marks, mark)]

    def first(self) -> Mark | None:
        """The earliest."""
        return self._marks[0] if self._marks else None

    def count(self, time_ms: int) -> int:
        """How many are due at that time."""
        return bisect_right(self._marks, (time_ms, inf, 0, b""))
