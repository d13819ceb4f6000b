"""The way of a request through the lower layers, without a replica: for tests and small
benchmarks."""

from .db_apply import is_due, run, slot
from .db_ops import op_size
from .db_store import Store
from .resp_fast import CALL, REPLY, WRITE, encode
from .resp_parse import BROKEN, MORE, TOO_LARGE, Parser


class Probe:
    """A parser and a store; whatever is fed is executed at once."""

    def __init__(self, seed: int, value_bytes_max: int, resp: int) -> None:
        """`seed`: u64; `value_bytes_max`: the largest argument; `resp`: RESP version, 2 or 3."""
        self._store = Store(seed)
        self._parser = Parser(value_bytes_max)
        self._resp = resp
        self._data = bytearray()
        self._broken = False

    def feed(self, data: bytes, time_ms: int) -> bytes:
        """The replies to all requests that `data` completes, at the time in force `time_ms`."""
        out = bytearray()
        self._data += data
        while not self._broken:
            state = self._parser.next(self._data, 0)
            if state == BROKEN:
                self._broken = True
                out += b"-ERR %b\r\n" % self._parser.error
                break
            del self._data[: self._parser.consumed]
            if state == MORE:
                break
            if state == TOO_LARGE:
                out += b"-TOO_LARGE\r\n"
            else:
                self._execute(self._parser.args, time_ms, out)
        return bytes(out)

    def _execute(self, args: list[bytes], time_ms: int, out: bytearray) -> None:
        kind, data = encode(args, self._resp)
        if kind == REPLY:
            out += data
        elif kind == CALL:
            out += b"-CALL\r\n"
        else:
            if kind == WRITE:
                self._store.expire(time_ms)
            run(self._store, data, 0, time_ms, self._resp, out)

    def waiting(self) -> int:
        """Bytes that are kept for a request which is not complete."""
        return len(self._data)

    def encode(self, request: bytes) -> tuple[int, bytes]:
        """Kind and bytes of one whole request."""
        parser = Parser(len(request))
        parser.next(bytearray(request), 0)
        return encode(parser.args, self._resp)

    def run(self, operations: bytes, time_ms: int) -> bytes:
        """The replies to whole operations."""
        out = bytearray()
        at = 0
        while at < len(operations):
            run(self._store, operations, at, time_ms, self._resp, out)
            at += op_size(operations, at)
        return bytes(out)

    def expire(self, time_ms: int) -> None:
        """Remove every key whose deadline is at or before `time_ms`."""
        self._store.expire(time_ms)

    def is_due(self, operation: bytes, clock_ms: int) -> bool:
        """Would this read touch a key whose deadline the clock has reached?"""
        return is_due(self._store, operation, 0, clock_ms)

    def slot(self, operation: bytes) -> int:
        """Cluster slot of the operation's first key."""
        return slot(operation, 0)

    def state(self) -> tuple[int, int, int, int]:
        """(keys, keys with a deadline, sum over the state, next deadline)"""
        store = self._store
        return store.size, store.expiring, store.state_sum, store.next_deadline
