"""Operations: what a request asks of the store, in the form in which it is agreed on.
docs/design.md has the layout."""

import re
from struct import Struct

# Reads; they never enter a value.
OP_GET, OP_MGET, OP_EXISTS, OP_STRLEN, OP_TYPE, OP_TTL, OP_DBSIZE = range(1, 8)
# Writes.
OP_SET, OP_SETNX, OP_MSET, OP_MSETNX, OP_DEL, OP_INCRBY, OP_APPEND = range(16, 23)
OP_EXPIRE, OP_PERSIST, OP_GETDEL, OP_GETEX, OP_FLUSH = range(23, 28)

# The `arg` of OP_GET: what is wrong with the time in a GETEX, which is said if the key is there.
MISTAKE_INTEGER, MISTAKE_TIME = 1, 2

FLAG_NX = 1  # SET: only if the key is missing. EXPIRE: only if it has no deadline
FLAG_XX = 2  # SET: only if the key is present. EXPIRE: only if it has a deadline
FLAG_GT = 4  # EXPIRE: only to a later deadline
FLAG_LT = 8  # EXPIRE: only to an earlier deadline
FLAG_GET = 16  # SET: reply with the old value
FLAG_KEEP = 32  # SET: keep the deadline
FLAG_RELATIVE = 64  # `arg` is a time to live in ms from the time in force when it is applied
FLAG_ABSOLUTE = (
    128  # `arg` is a deadline in wall clock ms. TTL: the reply is the deadline, not the time left
)

OP_BYTES = 20  # header of an operation
ITEM_BYTES = 8  # header of an item
DEADLINE_MAX = (1 << 63) - 1  # a later one is cut to this, so that a reply can show it
REPLY_BYTES_MAX = 64 << 20  # of values in one reply: it is made in one go, in which nothing else happens

INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1

_HEADER = Struct("<IIqBBH")
_ITEM = Struct("<II")
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
assert _HEADER.size == OP_BYTES
assert _ITEM.size == ITEM_BYTES


def op_encode(opcode: int, flags: int, arg: int, items: list[tuple[bytes, bytes]]) -> bytes:
    """A whole operation; each item is (key, value)."""
    parts = [b""]
    for key, value in items:
        parts += _ITEM.pack(len(key), len(value)), key, value
    size = OP_BYTES + sum(map(len, parts))
    parts[0] = _HEADER.pack(size, len(items), arg, opcode, flags, 0)
    return b"".join(parts)


def op_decode(data: bytes | memoryview, at: int) -> tuple[int, int, int, list[tuple[bytes, bytes]]]:
    """(opcode, flags, arg, items) of the operation at `at`."""
    _, count, arg, opcode, flags, _ = _HEADER.unpack_from(data, at)
    items = []
    at += OP_BYTES
    for _ in range(count):
        key_size, value_size = _ITEM.unpack_from(data, at)
        middle = at + ITEM_BYTES + key_size
        items.append(
            (bytes(data[at + ITEM_BYTES : middle]), bytes(data[middle : middle + value_size]))
        )
        at = middle + value_size
    return opcode, flags, arg, items


def op_size(data: bytes | memoryview, at: int) -> int:
    """Bytes of the whole operation at `at`."""
    return int.from_bytes(data[at : at + 4], "little")


def op_code(data: bytes | memoryview, at: int) -> int:
    """Opcode of the operation at `at`."""
    return data[at + 16]


def is_read(opcode: int) -> bool:
    """Does an operation of this kind leave the store as it is?"""
    return opcode < OP_SET


def parse_integer(text: bytes | bytearray) -> int | None:
    """A signed 64-bit integer in its one decimal spelling (no sign +, no leading zeros or blanks),
    else None."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if INTEGER_MIN <= number <= INTEGER_MAX else None
