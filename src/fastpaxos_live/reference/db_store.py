"""The store: keys, values and deadlines, with a checksum over all of them that is kept up to date
with each write."""

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from xxhash import xxh64_intdigest

HEAP_SLACK = 1024  # stale heap items that are tolerated on top of one for each live deadline
_MASK = (1 << 64) - 1


class _Entry(NamedTuple):
    value: bytes
    digest: int  # XXH64 of the value, seeded with that of the key
    deadline: int  # ms, 0 none


def _sum(entry: _Entry) -> int:
    if not entry.deadline:
        return entry.digest
    return xxh64_intdigest(entry.deadline.to_bytes(8, "little"), entry.digest)


class Store:
    """Keys and values are bytes, deadlines wall clock ms. Nothing expires but in `expire`."""

    def __init__(self, seed: int) -> None:
        """`seed`: u64, the same at all replicas and known to nobody else: equal seeds and entries give equal sums."""
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Remove everything."""
        self._entries: dict[bytes, _Entry] = {}
        self._heap: list[tuple[int, bytes]] = []  # (deadline, key); holds stale ones, too
        self.expiring = 0  # keys with a deadline
        self.state_sum = 0  # sum mod 2^64 over all entries, whatever their order

    @property
    def size(self) -> int:
        """How many keys there are."""
        return len(self._entries)

    @property
    def next_deadline(self) -> int:
        """The earliest deadline of all keys, 0 if there is none."""
        heap = self._heap
        while heap and self.deadline(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else 0

    def get(self, key: bytes) -> bytes | None:
        """The value, or None without the key."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def deadline(self, key: bytes) -> int:
        """The key's deadline, 0 if it has none or is not there."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.deadline

    def put(self, key: bytes, value: bytes, deadline_ms: int) -> None:
        """Insert or replace; `deadline_ms` 0 means none."""
        digest = xxh64_intdigest(value, xxh64_intdigest(key, self._seed))
        self._replace(key, _Entry(value, digest, deadline_ms))

    def set_deadline(self, key: bytes, deadline_ms: int) -> None:
        """Change the deadline of a present key; 0 takes it away."""
        self._replace(key, self._entries[key]._replace(deadline=deadline_ms))

    def delete(self, key: bytes) -> bool:
        """Remove the key; False if it was not there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.state_sum = (self.state_sum - _sum(entry)) & _MASK
        self.expiring -= entry.deadline != 0
        return True

    def expire(self, time_ms: int) -> int:
        """Remove every key whose deadline is at or before `time_ms`; returns how many."""
        removed = 0
        while 0 < self.next_deadline <= time_ms:
            self.delete(heappop(self._heap)[1])
            removed += 1
        return removed

    def _replace(self, key: bytes, entry: _Entry) -> None:
        old = self._entries.get(key)
        self.delete(key)
        self._entries[key] = entry
        self.state_sum = (self.state_sum + _sum(entry)) & _MASK
        if not entry.deadline:
            return
        self.expiring += 1
        if old is None or old.deadline != entry.deadline:
            heappush(self._heap, (entry.deadline, key))
        if len(self._heap) > 2 * self.expiring + HEAP_SLACK:
            self._heap = [(e.deadline, k) for k, e in self._entries.items() if e.deadline]
            heapify(self._heap)
