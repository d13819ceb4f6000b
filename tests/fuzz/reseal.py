"""Makes checksums right again, so that what is behind them is met."""

from random import Random
from struct import pack_into

from xxhash import xxh64_intdigest

from fastpaxos_live.reference.limits import GROUP_ALIGN
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ENTRY,
    FRAME_MAGIC,
    GROUP_MAGIC,
    HEADER_BYTES,
    LEARN,
    VALUE_BYTES,
    VERSION,
)


def value(data: bytearray, at: int, end: int, seed: int) -> None:
    """Of the value there, if it is one."""
    if end - at >= VALUE_BYTES:
        pack_into("<Q", data, at, xxh64_intdigest(data[at + 8 : end], seed))


def frames(random: Random, data: bytearray, at: int, end: int, seed: int) -> None:
    """Of one frame behind the other; lengths that don't fit are made to."""
    while end - at >= HEADER_BYTES:
        pack_into("<IB", data, at + 8, FRAME_MAGIC, VERSION)
        length = int.from_bytes(data[at + 16 : at + 20], "little")
        if not HEADER_BYTES <= length <= end - at:
            length = end - at
            pack_into("<I", data, at + 16, length)
        if data[at + 13] in (ACCEPT, LEARN, ENTRY) and random.random() < 0.9:
            value(data, at + HEADER_BYTES, at + length, seed)
        pack_into("<H", data, at + 22, 0)
        pack_into("<H", data, at + 22, xxh64_intdigest(data[at + 8 : at + HEADER_BYTES], seed) & 0xFFFF)
        pack_into("<Q", data, at, xxh64_intdigest(data[at + 8 : at + length], seed))
        at += length


def groups(random: Random, data: bytearray, seed: int, position: int = 0) -> None:
    """Of one write group behind the other, up to where none begins."""
    at = 0
    while len(data) - at >= HEADER_BYTES and int.from_bytes(data[at + 8 : at + 12], "little") == GROUP_MAGIC:
        length = int.from_bytes(data[at + 16 : at + 20], "little")
        size = int.from_bytes(data[at + 32 : at + 40], "little")
        if random.random() < 0.8:
            length = min(-(-max(length, HEADER_BYTES) // GROUP_ALIGN) * GROUP_ALIGN, len(data) - at)
            size = max(0, min(size, length - HEADER_BYTES))
            length = HEADER_BYTES + -(-size // GROUP_ALIGN) * GROUP_ALIGN
            data.extend(bytes(max(0, at + length - len(data))))
            pack_into("<I", data, at + 16, length)
            pack_into("<QQ", data, at + 24, position + at, size)
            frames(random, data, at + HEADER_BYTES, at + HEADER_BYTES + size, seed)
            data[at + HEADER_BYTES + size : at + length] = bytes(length - HEADER_BYTES - size)
        pack_into("<Q", data, at, xxh64_intdigest(data[at + 8 : at + HEADER_BYTES], seed))
        at += max(length, HEADER_BYTES)
