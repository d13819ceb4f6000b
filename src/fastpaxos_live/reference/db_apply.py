"""What each operation does to the store, and its reply. Deterministic: the store, the operation and
the time in force decide everything."""

from binascii import crc_hqx
from collections.abc import Callable

from .db_ops import (
    DEADLINE_MAX,
    FLAG_ABSOLUTE,
    FLAG_GET,
    FLAG_GT,
    FLAG_KEEP,
    FLAG_LT,
    FLAG_NX,
    FLAG_RELATIVE,
    FLAG_XX,
    INTEGER_MAX,
    INTEGER_MIN,
    MISTAKE_INTEGER,
    OP_APPEND,
    OP_DBSIZE,
    OP_DEL,
    OP_EXISTS,
    OP_EXPIRE,
    OP_FLUSH,
    OP_GET,
    OP_GETDEL,
    OP_GETEX,
    OP_INCRBY,
    OP_MGET,
    OP_MSET,
    OP_MSETNX,
    OP_PERSIST,
    OP_SET,
    OP_SETNX,
    OP_STRLEN,
    OP_TTL,
    OP_TYPE,
    REPLY_BYTES_MAX,
    is_read,
    op_code,
    op_decode,
    parse_integer,
)
from .db_store import Store
from .limits import BULK_BYTES_MAX, VALUE_BYTES_MAX

SLOTS_OF_CLUSTER = 16384

OK = b"+OK\r\n"
ERR_INTEGER = b"-ERR value is not an integer or out of range\r\n"
ERR_OVERFLOW = b"-ERR increment or decrement would overflow\r\n"
ERR_TOO_LONG = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
ERR_REPLY = b"-ERR reply too large: at most %d bytes of values\r\n" % REPLY_BYTES_MAX
ERR_TIME = b"-ERR invalid expire time in 'getex' command\r\n"
ERR_OPERATION = b"-ERR unknown operation\r\n"

Items = list[tuple[bytes, bytes]]


class Call:
    """One operation under way."""

    __slots__ = ("store", "flags", "arg", "items", "time_ms", "null")

    def __init__(
        self, store: Store, flags: int, arg: int, items: Items, time_ms: int, resp: int
    ) -> None:
        self.store = store
        self.flags = flags
        self.arg = arg
        self.items = items
        self.time_ms = min(time_ms, DEADLINE_MAX)
        self.null = b"_\r\n" if resp == 3 else b"$-1\r\n"

    def bulk(self, value: bytes | None) -> bytes:
        """The value as a reply; None is a null."""
        return self.null if value is None else b"$%d\r\n%b\r\n" % (len(value), value)

    def deadline(self) -> int:
        """The deadline that flags and `arg` ask for; it may have passed already."""
        if self.flags & FLAG_RELATIVE:
            return min(self.time_ms + self.arg, DEADLINE_MAX)
        return self.arg


def integer(number: int) -> bytes:
    """An integer reply."""
    return b":%d\r\n" % number


def _get(call: Call) -> bytes:
    if call.arg and call.store.get(call.items[0][0]) is not None:
        return ERR_INTEGER if call.arg == MISTAKE_INTEGER else ERR_TIME
    return _value(call)


def _value(call: Call) -> bytes:
    return call.bulk(call.store.get(call.items[0][0]))


def _mget(call: Call) -> bytes:
    values = [call.store.get(key) for key, _ in call.items]
    if sum(len(value) for value in values if value is not None) > REPLY_BYTES_MAX:
        return ERR_REPLY
    return b"*%d\r\n" % len(values) + b"".join(map(call.bulk, values))


def _exists(call: Call) -> bytes:
    return integer(sum(call.store.get(key) is not None for key, _ in call.items))


def _strlen(call: Call) -> bytes:
    return integer(len(call.store.get(call.items[0][0]) or b""))


def _type(call: Call) -> bytes:
    return b"+none\r\n" if call.store.get(call.items[0][0]) is None else b"+string\r\n"


def _ttl(call: Call) -> bytes:
    key = call.items[0][0]
    if call.store.get(key) is None:
        return integer(-2)
    deadline = call.store.deadline(key)
    if not deadline:
        return integer(-1)
    ms = deadline if call.flags & FLAG_ABSOLUTE else max(deadline - call.time_ms, 0)
    return integer((ms + call.arg // 2) // call.arg)  # arg is the unit in ms


def _dbsize(call: Call) -> bytes:
    return integer(call.store.size)


def _set(call: Call) -> bytes:
    (key, value), flags = call.items[0], call.flags
    old = call.store.get(key)
    reply = call.bulk(old) if flags & FLAG_GET else b""
    if (flags & FLAG_NX and old is not None) or (flags & FLAG_XX and old is None):
        return reply or call.null
    deadline = call.store.deadline(key) if flags & FLAG_KEEP else 0
    if flags & (FLAG_RELATIVE | FLAG_ABSOLUTE):
        deadline = call.deadline()
        if deadline <= call.time_ms:
            call.store.delete(key)
            return reply or OK
    call.store.put(key, value, deadline)
    return reply or OK


def _setnx(call: Call) -> bytes:
    key, value = call.items[0]
    if call.store.get(key) is not None:
        return integer(0)
    call.store.put(key, value, 0)
    return integer(1)


def _mset(call: Call) -> bytes:
    for key, value in call.items:
        call.store.put(key, value, 0)
    return OK


def _msetnx(call: Call) -> bytes:
    if any(call.store.get(key) is not None for key, _ in call.items):
        return integer(0)
    _mset(call)
    return integer(1)


def _del(call: Call) -> bytes:
    return integer(sum(call.store.delete(key) for key, _ in call.items))


def _incrby(call: Call) -> bytes:
    key = call.items[0][0]
    text = call.store.get(key)
    number = 0 if text is None else parse_integer(text)
    if number is None:
        return ERR_INTEGER
    number += call.arg
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        return ERR_OVERFLOW
    call.store.put(key, b"%d" % number, call.store.deadline(key))
    return integer(number)


def _append(call: Call) -> bytes:
    key, tail = call.items[0]
    value = (call.store.get(key) or b"") + tail
    if len(value) > (min(call.arg, BULK_BYTES_MAX) if call.arg > 0 else VALUE_BYTES_MAX):
        return ERR_TOO_LONG
    call.store.put(key, value, call.store.deadline(key))
    return integer(len(value))


def _expire(call: Call) -> bytes:
    key, flags, deadline = call.items[0][0], call.flags, call.deadline()
    if call.store.get(key) is None:
        return integer(0)
    old = call.store.deadline(key)  # none counts as infinitely late
    if (
        (flags & FLAG_NX and old)
        or (flags & FLAG_XX and not old)
        or (flags & FLAG_GT and (not old or deadline <= old))
        or (flags & FLAG_LT and old and deadline >= old)
    ):
        return integer(0)
    _move_deadline(call, key, deadline)
    return integer(1)


def _move_deadline(call: Call, key: bytes, deadline: int) -> None:
    if deadline <= call.time_ms:
        call.store.delete(key)
    else:
        call.store.set_deadline(key, deadline)


def _persist(call: Call) -> bytes:
    key = call.items[0][0]
    if not call.store.deadline(key):
        return integer(0)
    call.store.set_deadline(key, 0)
    return integer(1)


def _getdel(call: Call) -> bytes:
    reply = _value(call)
    call.store.delete(call.items[0][0])
    return reply


def _getex(call: Call) -> bytes:
    key = call.items[0][0]
    reply = _value(call)
    if call.store.get(key) is not None:
        if call.flags & (FLAG_RELATIVE | FLAG_ABSOLUTE):
            _move_deadline(call, key, call.deadline())
        else:
            call.store.set_deadline(key, 0)
    return reply


def _flush(call: Call) -> bytes:
    call.store.clear()
    return OK


def _unknown(_: Call) -> bytes:
    return ERR_OPERATION


_RUN: dict[int, Callable[[Call], bytes]] = {
    OP_GET: _get,
    OP_MGET: _mget,
    OP_EXISTS: _exists,
    OP_STRLEN: _strlen,
    OP_TYPE: _type,
    OP_TTL: _ttl,
    OP_DBSIZE: _dbsize,
    OP_SET: _set,
    OP_SETNX: _setnx,
    OP_MSET: _mset,
    OP_MSETNX: _msetnx,
    OP_DEL: _del,
    OP_INCRBY: _incrby,
    OP_APPEND: _append,
    OP_EXPIRE: _expire,
    OP_PERSIST: _persist,
    OP_GETDEL: _getdel,
    OP_GETEX: _getex,
    OP_FLUSH: _flush,
}


def run(
    store: Store, data: bytes | memoryview, at: int, time_ms: int, resp: int, out: bytearray | None
) -> None:
    """Execute the operation at `data[at:]` at the time in force `time_ms`, and append its reply in
    RESP version `resp` (2 or 3) to `out`, if there is one. Before a write the caller has expired
    the store up to `time_ms`; of reads it decides only how much time is left."""
    opcode, flags, arg, items = op_decode(data, at)
    if not is_read(opcode):
        store.step()
    reply = _RUN.get(opcode, _unknown)(Call(store, flags, arg, items, time_ms, resp))
    if out is not None:
        out += reply


def asks_time(data: bytes | memoryview, at: int) -> bool:
    """Does this read answer how much time is left?"""
    opcode, flags, _, _ = op_decode(data, at)
    return opcode == OP_TTL and not flags & FLAG_ABSOLUTE


def is_left_time(store: Store, data: bytes | memoryview, at: int) -> bool:
    """The same, of a key that has a deadline."""
    return asks_time(data, at) and store.deadline(op_decode(data, at)[3][0][0]) > 0


def is_due(store: Store, data: bytes | memoryview, at: int, clock_ms: int) -> bool:
    """Would this read touch a key that is not hidden yet, but whose deadline the clock has reached?"""
    if not 0 < store.next_deadline <= clock_ms:
        return False
    if op_code(data, at) == OP_DBSIZE:
        return store.due(clock_ms) > 0
    return any(0 < store.deadline(key) <= clock_ms for key, _ in op_decode(data, at)[3])


def slot(data: bytes | memoryview, at: int) -> int:
    """The cluster slot of the operation's first key, by the rules of Redis Cluster; 0 without
    keys."""
    items = op_decode(data, at)[3]
    if not items:
        return 0
    key = items[0][0]
    opening = key.find(b"{")
    closing = key.find(b"}", opening + 1)
    if opening >= 0 and closing > opening + 1:
        key = key[opening + 1 : closing]
    return crc_hqx(key, 0) % SLOTS_OF_CLUSTER
