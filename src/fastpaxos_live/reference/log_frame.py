"""Frames, values and write-group headers: fixed layouts, each covered by an XXH64. docs/design.md has the tables."""

from struct import Struct
from typing import NamedTuple

from xxhash import xxh64_intdigest

from .limits import FRAME_BYTES_MAX

ACCEPT, ACK, BEAT, ECHO, WHERE, ASK, ANSWER, PROPOSE, ENTRY, PROMISE, REFUSE = range(1, 12)
FETCH, LEARN, FETCHED, FORWARD, REPLIES, HANGUP, HELLO, TAKEN = range(12, 20)
CHALLENGE, PROOF = 20, 21
PROMISED = 32

FRAME_MAGIC = 0x4C505846
GROUP_MAGIC = 0x474C5046
VERSION = 1
HEADER_BYTES = 64
VALUE_BYTES = 32

OPERATIONS, EPOCH, NOOP = range(3)  # kinds of values

_FRAME = Struct("<QIBBBBIHHQQQQQ")
_VALUE = Struct("<QQQII")
_GROUP = Struct("<QIBBBBIIQQQQQ")
assert _FRAME.size == _GROUP.size == HEADER_BYTES
assert _VALUE.size == VALUE_BYTES


class Frame(NamedTuple):
    """One frame; `payload` is bytes, the integers as in the header."""

    type: int
    sender: int
    flags: int
    incarnation: int
    number: int
    instance: int
    mark: int
    sent: int
    extra: int
    payload: bytes


class Value(NamedTuple):
    """Header of a value; `checksum` identifies the whole of it."""

    checksum: int
    time_ms: int
    epoch: int
    operations: int  # how many
    kind: int


class BadFrame(Exception):
    """The bytes are not a frame: the connection they came over can't be trusted any more."""


def frame_encode(
    seed: int, type: int, sender: int, incarnation: int, number: int = 0, instance: int = 0, mark: int = 0,
    sent: int = 0, extra: int = 0, flags: int = 0, payload: bytes = b"",
) -> bytes:
    """A whole frame with its checksum."""
    length = HEADER_BYTES + len(payload)
    assert length <= FRAME_BYTES_MAX
    header = _FRAME.pack(
        0, FRAME_MAGIC, VERSION, type, sender, flags, length, incarnation, 0, number, instance, mark, sent, extra
    )[8:]
    body = header[:14] + _header_check(seed, header).to_bytes(2, "little") + header[16:] + payload
    return xxh64_intdigest(body, seed).to_bytes(8, "little") + body


def _header_check(seed: int, header: bytes) -> int:
    # So that a damaged length is seen before the reader waits for that many bytes. `header` is bytes 8..64, check 0.
    return xxh64_intdigest(header, seed) & 0xFFFF


def frame_length(seed: int, data: bytes | bytearray | memoryview, at: int) -> int:
    """Length of the frame that starts at `at`, 0 if its header is not complete. Raises BadFrame."""
    if len(data) - at < HEADER_BYTES:
        return 0
    header = bytes(data[at + 8 : at + HEADER_BYTES])
    if _header_check(seed, header[:14] + b"\0\0" + header[16:]) != int.from_bytes(header[14:16], "little"):
        raise BadFrame
    _, magic, version, _, _, _, length = _FRAME.unpack_from(data, at)[:7]
    if magic != FRAME_MAGIC or version != VERSION or not HEADER_BYTES <= length <= FRAME_BYTES_MAX:
        raise BadFrame
    return length


def frame_decode(seed: int, data: bytes | bytearray | memoryview, at: int, length: int) -> Frame:
    """The frame of `length` bytes at `at`, its checksum verified. Raises BadFrame."""
    fields = _FRAME.unpack_from(data, at)
    if xxh64_intdigest(data[at + 8 : at + length], seed) != fields[0]:
        raise BadFrame
    return Frame(
        fields[3], fields[4], fields[5], fields[7], fields[9], fields[10], fields[11], fields[12], fields[13],
        bytes(data[at + HEADER_BYTES : at + length]),
    )


def value_encode(seed: int, time_ms: int, epoch: int, count: int, kind: int, body: bytes) -> bytes:
    """A value: what is agreed on."""
    rest = _VALUE.pack(0, time_ms, epoch, count, kind)[8:] + body
    return xxh64_intdigest(rest, seed).to_bytes(8, "little") + rest


def value_header(value: bytes) -> Value:
    """The header of a value of at least VALUE_BYTES; its frame's checksum was verified when it came in."""
    return Value(*_VALUE.unpack_from(value))
