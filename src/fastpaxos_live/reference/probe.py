"""The way of a request through the lower layers, without a replica: for tests and small
benchmarks."""

from xxhash import xxh64_intdigest

from .db_apply import Call, is_due, run, slot
from .db_check import value_is_sound
from .db_ops import op_size
from .db_store import Store
from .log_disk import LogDisk
from .log_frame import (
    ACCEPT,
    OPERATIONS,
    VALUE_BYTES,
    BadFrame,
    frame_decode,
    frame_encode,
    frame_length,
    value_encode,
    value_header,
)
from .log_machines import M_ACCEPT, Action, Machines, Message, acceptor_step
from .replica_client import operations as operations_of
from .resp_fast import CALL, REPLY, WRITE, encode
from .resp_parse import BROKEN, MORE, REQUEST, TOO_LARGE, Parser

MASK = (1 << 64) - 1


class Probe:
    """A parser and a store, whatever is fed is executed at once; and the steps of the log, one by one."""

    def __init__(self, seed: int, value_bytes_max: int, resp: int) -> None:
        """`seed`: u64; `value_bytes_max`: the largest argument; `resp`: RESP version, 2 or 3."""
        self._store = Store(seed)
        self._parser = Parser(value_bytes_max)
        self._seed = seed
        self._disk = LogDisk(seed, 1, 1)
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
                out += b"-ERR %b\r\n" % self._parser.error if self._parser.error else b""
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
        kind, data = encode(args, self._resp, self._parser.value_bytes_max)
        if kind == REPLY:
            out += data
        elif kind >= CALL:
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
        parser = Parser(len(request), len(request))
        parser.next(bytearray(request), 0)
        return encode(parser.args, self._resp, parser.value_bytes_max)

    def run(self, operations: bytes, time_ms: int) -> bytes:
        """The replies to whole operations."""
        out = bytearray()
        at = 0
        while at < len(operations):
            run(self._store, operations, at, time_ms, self._resp, out)
            at += op_size(operations, at)
        return bytes(out)

    def expire(self, time_ms: int) -> None:
        """A value takes effect at that time: every key whose deadline is at or before it is gone."""
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

    def work(self) -> tuple[int, int, int, int, int]:
        """(new keys, slots moved, slots of cleared tables swept, keys removed that were due, their bytes), by writes"""
        return self._store.work()

    def tidy(self) -> bool:
        """What a turn does of the work that needs no place in the log; is some left?"""
        self._store.tidy()
        return self._store.is_untidy()

    def check(self) -> None:
        """Ends the process if the store contradicts itself."""

    # --- the steps of a request, apart
    def parse(self, requests: bytes) -> int:
        """How many whole requests these are; each is made an operation."""
        parser = Parser(len(requests), len(requests))
        data = bytearray(requests)
        count = 0
        while parser.next(data, 0) == REQUEST:
            encode(parser.args, self._resp, parser.value_bytes_max)
            del data[: parser.consumed]
            count += 1
        return count

    def get(self, keys: list[bytes]) -> int:
        """Bytes of all values that the store has under these keys."""
        return sum(len(self._store.get(key) or b"") for key in keys)

    def put(self, keys: list[bytes], value: bytes) -> None:
        """Stores the value under each of the keys."""
        for key in keys:
            self._store.put(key, value, 0)

    def apply(self, value: bytes) -> int:
        """Applies a value as a follower does, without replies; how many operations it has."""
        header = value_header(value)
        self._store.expire(header.time_ms)
        for at in operations_of(value, VALUE_BYTES):
            run(self._store, value, at, header.time_ms, 2, None)
        return header.operations

    def is_sound(self, value: bytes) -> bool:
        """May this value, which a peer sent, be applied?"""
        return value_is_sound(self._seed, value)

    def reply(self, value: bytes, count: int) -> int:
        """Bytes of all replies with this value."""
        call = Call(self._store, 0, 0, [], 0, 2)
        total = 0
        for _ in range(count):
            out = bytearray()
            out += call.bulk(value)
            total += len(out)
        return total

    # --- the steps of the log
    def checksum(self, data: bytes, count: int) -> int:
        """Sum of the XXH64 with seeds from 0 on."""
        return sum(xxh64_intdigest(data, seed) for seed in range(count)) & MASK

    def encode_frames(self, payload: bytes, count: int) -> int:
        """Sum of the checksums of ACCEPT frames for instances from 1 on."""
        total = 0
        for instance in range(1, count + 1):
            frame = frame_encode(self._seed, ACCEPT, 1, 1, instance=instance, payload=payload)
            total += int.from_bytes(frame[:8], "little")
        return total & MASK

    def verify_frames(self, frames: bytes) -> int:
        """How many frames at the start are whole and valid."""
        at = count = 0
        try:
            while (n := frame_length(self._seed, frames, at)) and n <= len(frames) - at:
                frame_decode(self._seed, frames, at, n)
                at += n
                count += 1
        except BadFrame:
            pass
        return count

    def append(self, frame: bytes, count: int) -> int:
        """A group of that many frames; the log position behind it."""
        for _ in range(count):
            self._disk.append(frame)
        self._disk.drain(0, 0)
        self._disk.durable(self._disk.writing_end)
        return self._disk.base

    def accept(self, count: int) -> tuple[int, int, int]:
        """An acceptor takes ACCEPTs for instances from 1 on: (accepted up to, chosen up to, actions asked for)."""
        machines = Machines(
            None, 3, me=2, lease=0, silence=0, master=0, beat=0, term=0, resend=0, courtesy=0, patience=0, window=0,
            room=0,
        )
        actions = 0
        for i in range(1, count + 1):
            m = Message(M_ACCEPT, sender=1, now=i, number=1, instance=i, mark=i - 1, sent=i)
            out: list[Action] = []
            acceptor_step(machines, m, out)
            actions += len(out)
        return machines.acceptor.last, machines.acceptor.chosen, actions

    def seal(self, operations: bytes, count: int) -> int:
        """Sum of the checksums of values with these operations, sealed at times from 0 ms on."""
        total = 0
        for time_ms in range(count):
            value = value_encode(self._seed, time_ms, 0, 1, OPERATIONS, operations)
            total += value_header(value).checksum
        return total & MASK
