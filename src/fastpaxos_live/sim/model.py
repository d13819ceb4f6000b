"""The database, as plainly as it can be said: what a log of values makes of it, and what each write answers.

Written from docs/protocol.md ("Epoch", "Time") and the meaning of the commands, to be compared with the product.
"""

from collections.abc import Callable

from ..reference import db_ops as o
from ..reference.log_frame import EPOCH, OPERATIONS, VALUE_BYTES, Value
from .requests import FOREVER, OK

Entry = tuple[bytes, int]
"""Of a key that is there: its value and its deadline (ms, 0 none)."""

Items = list[tuple[bytes, bytes]]


class Model:
    """Keys, deadlines, the time in force and the epoch."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.next_deadline = FOREVER  # nothing expires before
        self.time_ms = 0
        self.epoch = 0

    def begin(self, header: Value) -> list[bytes]:
        """The next value of the log takes effect, but for its operations; returns the keys that expired."""
        self.time_ms = max(self.time_ms, header.time_ms)
        if header.kind == EPOCH:
            self.epoch += 1
        if self.next_deadline > self.time_ms:
            return []
        due = [key for key, (_, deadline) in self.entries.items() if 0 < deadline <= self.time_ms]
        for key in due:
            del self.entries[key]
        self.next_deadline = min([deadline for _, deadline in self.entries.values() if deadline], default=FOREVER)
        return due

    def operations(self, header: Value, value: bytes) -> list[bytes]:
        """Those of a value that have an effect: none if it was sealed in another epoch."""
        if header.kind != OPERATIONS or header.epoch != self.epoch:
            return []
        operations = []
        at = VALUE_BYTES
        for _ in range(header.operations):
            end = at + o.op_size(value, at)
            operations.append(value[at:end])
            at = end
        return operations

    def run(self, operation: bytes) -> tuple[object, Items]:
        """One write: its reply and its items."""
        opcode, flags, arg, items = o.op_decode(operation, 0)
        return _RUN[opcode](self, flags, arg, items), items

    # --- what the commands share
    def _value(self, key: bytes) -> bytes | None:
        entry = self.entries.get(key)
        return entry[0] if entry else None

    def _deadline(self, key: bytes) -> int:
        entry = self.entries.get(key)
        return entry[1] if entry else 0

    def _put(self, key: bytes, value: bytes, deadline: int) -> None:
        if not deadline:
            self.entries[key] = value, 0
        elif deadline > self.time_ms:
            self.entries[key] = value, deadline
            self.next_deadline = min(self.next_deadline, deadline)
        else:
            self.entries.pop(key, None)  # nothing is kept that is due already

    # --- the commands
    def _set(self, flags: int, arg: int, items: Items) -> object:
        [(key, value)] = items
        old = self._value(key)
        refused = flags & o.FLAG_NX and old is not None or flags & o.FLAG_XX and old is None
        if not refused:
            self._put(key, value, self.time_ms + arg if flags & o.FLAG_RELATIVE else 0)
        if flags & o.FLAG_GET:
            return old
        return None if refused else OK

    def _setnx(self, flags: int, arg: int, items: Items) -> object:
        if any(key in self.entries for key, _ in items):
            return 0
        self._mset(flags, arg, items)
        return 1

    def _mset(self, flags: int, arg: int, items: Items) -> object:
        for key, value in items:
            self._put(key, value, 0)
        return OK

    def _append(self, flags: int, arg: int, items: Items) -> object:
        [(key, tail)] = items
        text = (self._value(key) or b"") + tail
        self._put(key, text, self._deadline(key))
        return len(text)

    def _incrby(self, flags: int, arg: int, items: Items) -> object:
        [(key, _)] = items
        number = int(self._value(key) or b"0") + arg
        self._put(key, b"%d" % number, self._deadline(key))
        return number

    def _del(self, flags: int, arg: int, items: Items) -> object:
        return sum(self.entries.pop(key, None) is not None for key, _ in items)

    def _getdel(self, flags: int, arg: int, items: Items) -> object:
        old = self._value(items[0][0])
        self._del(flags, arg, items)
        return old

    def _getex(self, flags: int, arg: int, items: Items) -> object:
        old = self._value(items[0][0])
        self._expire(flags, arg, items)
        return old

    def _expire(self, flags: int, arg: int, items: Items) -> object:
        [(key, _)] = items
        value = self._value(key)
        if value is None:
            return 0
        self._put(key, value, self.time_ms + arg)
        return 1

    def _persist(self, flags: int, arg: int, items: Items) -> object:
        [(key, _)] = items
        value = self._value(key)
        if value is None or not self._deadline(key):
            return 0
        self._put(key, value, 0)
        return 1


_RUN: dict[int, Callable[[Model, int, int, Items], object]] = {
    o.OP_SET: Model._set,
    o.OP_SETNX: Model._setnx,
    o.OP_MSET: Model._mset,
    o.OP_MSETNX: Model._setnx,
    o.OP_APPEND: Model._append,
    o.OP_INCRBY: Model._incrby,
    o.OP_DEL: Model._del,
    o.OP_GETDEL: Model._getdel,
    o.OP_GETEX: Model._getex,
    o.OP_EXPIRE: Model._expire,
    o.OP_PERSIST: Model._persist,
}
"""What the simulated clients write (requests.py); another operation in a log is a KeyError."""
