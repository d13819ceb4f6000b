"""The store: keys, values and deadlines, with a checksum over all of them that is kept up to date with each write.

A replica stands still while it applies a value, so no step of that may take long, however many keys there are:

* The table grows to twice its slots when two thirds are in use. What was in it is moved by and by, `MOVED_SLOTS` with
  each new key, so that all is moved before it grows again.
* A table that is cleared is freed by and by, too: `SWEPT_SLOTS` with each new key, `FLUSHED_SLOTS` with each FLUSHALL.
  A new key brings four and a half slots at most, just after growth, so they never get more and more.
* What is due at the time in force is *hidden* at once: nobody finds it any more, and it is not counted. It is removed
  by parts, in the order of deadlines, hashes and serial numbers, a part with each value and some with each write. The
  checksum tells which keys were removed, so that has to happen at the same places of the log at every replica.

The first two nobody can tell but by the time that they take; so they go on between values as well (`tidy`). Here a
dictionary stands for the tables, and what would be to do is counted; only the compiled core does it.
"""

from typing import NamedTuple

from xxhash import xxh64_intdigest

from .db_due import Deadlines, Mark
from .limits import (
    FLUSHED_SLOTS,
    MOVED_SLOTS,
    REMOVED_BYTES,
    REMOVED_KEYS,
    REMOVED_KEYS_EACH,
    SLOTS_OF_STORE_MIN,
    SWEPT_SLOTS,
    TIDIED_SLOTS,
)

_MASK = (1 << 64) - 1


class _Entry(NamedTuple):
    value: bytes
    digest: int  # XXH64 of the value, seeded with that of the key
    deadline: int  # ms, 0 none
    serial: int  # no two entries ever have the same


def _sum(entry: _Entry) -> int:
    if not entry.deadline:
        return entry.digest
    return xxh64_intdigest(entry.deadline.to_bytes(8, "little"), entry.digest)


class Store:
    """Keys and values are bytes, deadlines wall clock ms. Nothing comes due but in `expire`."""

    def __init__(self, seed: int) -> None:
        """`seed`: u64, the same at all replicas and known to nobody else: equal seeds and entries give equal sums."""
        self._seed = seed
        self.time_ms = 0  # what is due by then is hidden
        self._junk = 0  # slots of cleared tables
        self.added = 0  # keys, ever
        self.moved = self.swept = self.removed = self.bytes = 0  # slots, slots, keys and their bytes: by writes, ever
        self._begin()

    def _begin(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._dues = Deadlines()
        self._slots = SLOTS_OF_STORE_MIN
        self._old = 0  # slots of the table before that are still to be moved
        self.state_sum = 0  # sum mod 2^64 over all entries, hidden ones included, whatever their order

    @property
    def size(self) -> int:
        """How many keys there are."""
        return len(self._entries) - self._dues.count(self.time_ms)

    @property
    def expiring(self) -> int:
        """How many of them have a deadline."""
        return len(self._dues) - self._dues.count(self.time_ms)

    @property
    def next_deadline(self) -> int:
        """The earliest deadline, 0 if there is none; not above `time_ms` while there are hidden keys."""
        first = self._dues.first()
        return first[0] if first else 0

    def due(self, time_ms: int) -> int:
        """How many of the keys are due at that time."""
        return self._dues.count(max(time_ms, self.time_ms)) - self._dues.count(self.time_ms)

    def _find(self, key: bytes) -> _Entry | None:
        # What whoever asks finds.
        entry = self._entries.get(key)
        return None if entry is None or 0 < entry.deadline <= self.time_ms else entry

    def get(self, key: bytes) -> bytes | None:
        """The value, or None without the key."""
        entry = self._find(key)
        return None if entry is None else entry.value

    def deadline(self, key: bytes) -> int:
        """The key's deadline, 0 if it has none or is not there."""
        entry = self._find(key)
        return 0 if entry is None else entry.deadline

    def put(self, key: bytes, value: bytes, deadline_ms: int) -> None:
        """Insert or replace, also what is hidden; `deadline_ms` 0 means none."""
        digest = xxh64_intdigest(value, self._hash(key))
        old = self._entries.get(key)
        if old is None:
            self._insert()
        else:
            self._remove(key, old)
        self._add(key, _Entry(value, digest, deadline_ms, old.serial if old else self.added))

    def set_deadline(self, key: bytes, deadline_ms: int) -> None:
        """Change the deadline of a present key; 0 takes it away."""
        old = self._entries[key]
        self._remove(key, old)
        self._add(key, old._replace(deadline=deadline_ms))

    def delete(self, key: bytes) -> bool:
        """Remove the key; False if it was not there. What is hidden stays until its turn comes."""
        entry = self._find(key)
        if entry is None:
            return False
        self._remove(key, entry)
        return True

    def _hash(self, key: bytes) -> int:
        return xxh64_intdigest(key, self._seed)

    def _mark(self, key: bytes, entry: _Entry) -> Mark:
        return entry.deadline, self._hash(key), entry.serial, key

    def _add(self, key: bytes, entry: _Entry) -> None:
        self._entries[key] = entry
        self.state_sum = (self.state_sum + _sum(entry)) & _MASK
        if entry.deadline:
            self._dues.add(self._mark(key, entry))

    def _remove(self, key: bytes, entry: _Entry) -> None:
        del self._entries[key]
        self.state_sum = (self.state_sum - _sum(entry)) & _MASK
        if entry.deadline:
            self._dues.remove(self._mark(key, entry))

    # --- work by and by
    def _insert(self) -> None:
        # Room for one more.
        self.added += 1
        self.swept += self._sweep(SWEPT_SLOTS)
        if 3 * (len(self._entries) + 1) > 2 * self._slots:
            assert not self._old
            self._old = self._slots
            self._slots *= 2
        self.moved += self._move(MOVED_SLOTS)

    def _move(self, count: int) -> int:
        moved = min(count, self._old)
        self._old -= moved
        return moved

    def _sweep(self, count: int) -> int:
        swept = min(count, self._junk)
        self._junk -= swept
        return swept

    def clear(self) -> None:
        """Remove everything."""
        self.swept += self._sweep(FLUSHED_SLOTS)
        if self._entries or self._old or self._slots > SLOTS_OF_STORE_MIN:
            self._junk += self._slots + self._old
            self._begin()

    def expire(self, time_ms: int) -> None:
        """A value takes effect at that time: what is due is hidden, and the first part of it removed."""
        self.time_ms = max(self.time_ms, time_ms)
        self._remove_due(REMOVED_KEYS)

    def step(self) -> None:
        """With each write."""
        self._remove_due(REMOVED_KEYS_EACH)

    def _remove_due(self, count: int) -> None:
        size = 0
        while count and size < REMOVED_BYTES and 0 < self.next_deadline <= self.time_ms:
            first = self._dues.first()
            assert first is not None
            key = first[3]
            entry = self._entries[key]
            self._remove(key, entry)
            size += len(key) + len(entry.value)
            count -= 1
            self.removed += 1
        self.bytes += size

    def is_untidy(self) -> bool:
        """Is something left that needs no place in the log?"""
        return self._old > 0 or self._junk > 0

    def tidy(self) -> None:
        """Some of that, in a turn: so it is done soon, and also where nobody writes."""
        self._sweep(TIDIED_SLOTS)
        self._move(TIDIED_SLOTS)

    def work(self) -> tuple[int, int, int, int, int]:
        """New keys; and slots moved, slots of cleared tables swept, keys removed that were due, and their bytes: all
        that values did beside what their operations ask for.
        """
        return self.added, self.moved, self.swept, self.removed, self.bytes
