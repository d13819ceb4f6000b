"""Where a log position lies: arithmetic of the segment files, and the header of each of them.

File number k holds the positions k * segment_bytes .. (k + 1) * segment_bytes, behind its header of
4096 bytes:

| offset | type | field |
|---|---|---|
| 0 | u64 | checksum: XXH64 of bytes 8..4096, seed 0 (a stranger's file can be named) |
| 8 | u32 | magic 0x534C5046 ("FPLS") |
| 12 | u8 x4 | version 1, zero, replica, zero |
| 16 | u64 | cell id |
| 24 | u64 | disk id |
| 32 | u64 | file number |
| 40 | u64 | segment bytes |
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from xxhash import xxh64_intdigest

SEGMENT_BYTES = 64 << 20
SEGMENT_BYTES_MIN = 4096
SEGMENT_HEADER_BYTES = 4096
SEGMENT_MAGIC = 0x534C5046
SEGMENT_VERSION = 1

RESERVE_BYTES_MAX = 1 << 20

_HEADER = Struct("<QIBBBBQQQQ")
_PREFIX = "log."


class BadSegment(Exception):
    """A segment file that can't be used; the text says why."""


class SegmentHeader(NamedTuple):
    """Whom a segment file belongs to, and which part of the log it holds."""

    cell_id: int
    replica: int
    disk_id: int
    number: int
    segment_bytes: int


def reserve_bytes(segment_bytes: int) -> int:
    """What is kept, where no file can be made, for what must be written in any case: promises and epochs."""
    return min(RESERVE_BYTES_MAX, segment_bytes // 4)


class Piece(NamedTuple):
    """The part of a range that lies in one file; `offset` counts from the start of the file."""

    number: int
    offset: int
    size: int


def file_name(number: int) -> str:
    """Name of file `number`."""
    return f"{_PREFIX}{number:08x}"


def file_number(name: str) -> int | None:
    """The number in a segment file's name; None when it is not such a name."""
    digits = name.removeprefix(_PREFIX)
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return number if name == file_name(number) else None


def pieces(position: int, size: int, segment_bytes: int) -> Iterator[Piece]:
    """Split `size` bytes from `position` on over the files they lie in, in order."""
    while size > 0:
        number, inside = divmod(position, segment_bytes)
        part = min(size, segment_bytes - inside)
        yield Piece(number, SEGMENT_HEADER_BYTES + inside, part)
        position += part
        size -= part


def encode_header(header: SegmentHeader) -> bytes:
    """The first 4096 bytes of a segment file."""
    fields = _HEADER.pack(
        0, SEGMENT_MAGIC, SEGMENT_VERSION, 0, header.replica, 0,
        header.cell_id, header.disk_id, header.number, header.segment_bytes,
    )
    body = fields[8:].ljust(SEGMENT_HEADER_BYTES - 8, b"\0")
    return xxh64_intdigest(body).to_bytes(8, "little") + body


def check_header(data: bytes, expected: SegmentHeader) -> None:
    """Raise BadSegment unless `data` is the header `expected`: it names the first difference."""
    if len(data) < SEGMENT_HEADER_BYTES:
        raise BadSegment("its header is cut short")
    checksum, magic, version, _, replica, _, *rest = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise BadSegment("it is not a log file")
    if version != SEGMENT_VERSION:
        raise BadSegment(f"format version {version}, this program reads {SEGMENT_VERSION}")
    if xxh64_intdigest(data[8:SEGMENT_HEADER_BYTES]) != checksum:
        raise BadSegment("the checksum of its header is wrong")
    found = SegmentHeader(rest[0], replica, *rest[1:])
    for field, got, want in zip(SegmentHeader._fields, found, expected, strict=True):
        if got != want:
            raise BadSegment(f"{field} mismatch: got {got}, want {want}")
