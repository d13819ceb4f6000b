"""Is a value that came from a peer one that can be applied? Asked once, when it arrives: apply looks no more."""

from struct import Struct

from xxhash import xxh64_intdigest

from .db_ops import ITEM_BYTES, OP_BYTES, OP_DEL, OP_FLUSH, OP_MSET, OP_MSETNX, OP_SET
from .limits import TIME_MS_MAX
from .log_frame import EPOCH, NOOP, OPERATIONS, VALUE_BYTES, value_header

EPOCH_BYTES = 8  # behind the header of a value that opens an epoch
SEVERAL = {OP_MSET, OP_MSETNX, OP_DEL}  # operations of any number of items; FLUSH has none, all others one

_HEADER = Struct("<IIqBBH")
_ITEM = Struct("<II")


def value_is_sound(seed: int, value: bytes) -> bool:
    """Its own checksum is right, its kind is known, and it consists of so many whole writes."""
    if len(value) < VALUE_BYTES:
        return False
    header = value_header(value)
    if header.time_ms > TIME_MS_MAX or xxh64_intdigest(memoryview(value)[8:], seed) != header.checksum:
        return False
    if header.kind == OPERATIONS:
        return _operations_are_sound(value, header.operations)
    return header.operations == 0 and (
        header.kind == EPOCH and len(value) == VALUE_BYTES + EPOCH_BYTES
        or header.kind == NOOP and len(value) == VALUE_BYTES
    )


def _operations_are_sound(value: bytes, count: int) -> bool:
    at = VALUE_BYTES
    while at < len(value):
        size = _operation_size(value, at)
        if not size or not count:
            return False
        at += size
        count -= 1
    return not count


def _operation_size(value: bytes, at: int) -> int:
    """Of the write at `at`; 0 if it is none, or its items do not fill it."""
    if len(value) - at < OP_BYTES:
        return 0
    size, count, _, opcode, _, zero = _HEADER.unpack_from(value, at)
    if zero or not OP_SET <= opcode <= OP_FLUSH or not OP_BYTES <= size <= len(value) - at:
        return 0
    if not count if opcode in SEVERAL else count != (opcode != OP_FLUSH):
        return 0
    left = size - OP_BYTES
    for _ in range(count):
        if left < ITEM_BYTES:
            return 0
        left -= ITEM_BYTES + sum(_ITEM.unpack_from(value, at + size - left))
        if left < 0:
            return 0
    return 0 if left else size
