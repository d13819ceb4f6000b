"""Replay, and the verdict about the tail of a log."""

from struct import Struct

import pytest
from xxhash import xxh64_intdigest

from fastpaxos_live.log import recovery
from fastpaxos_live.log.recovery import LogCorrupt, group_header, recover
from fastpaxos_live.reference.log_frame import (
    GROUP_MAGIC,
    HEADER_BYTES,
    LEARN,
    BadFrame,
    frame_decode,
    frame_encode,
    frame_length,
)

CELL, REPLICA = 0xFEED, 2
GROUP = Struct("<QIBBBBIIQQQQQ")


def group(position, durable, *payloads, replica=REPLICA, cell=CELL):
    frames = b"".join(frame_encode(cell, LEARN, replica, 1, payload=p) for p in payloads)
    length = -(-(HEADER_BYTES + len(frames)) // 64) * 64
    body = GROUP.pack(
        0, GROUP_MAGIC, 1, 0, replica, 0, length, 1, position, len(frames), 0, durable, 0
    )[8:]
    header = xxh64_intdigest(body, cell).to_bytes(8, "little") + body
    return (header + frames).ljust(length, b"\0")


class Parser:
    """Consumes whole valid groups, as a replica does, and keeps the payloads."""

    def __init__(self):
        self.payloads = []
        self.position = 0

    def feed_log(self, data):
        at = 0
        while (size := self._group(data, at)) > 0:
            at += size
            self.position += size
        return at

    def _group(self, data, at):
        header = group_header(data, at, CELL)
        if header is None or header.position != self.position or at + header.length > len(data):
            return 0
        found, inside = [], at + HEADER_BYTES
        try:
            while inside < at + HEADER_BYTES + header.frames:
                length = frame_length(CELL, data, inside)
                found.append(frame_decode(CELL, data, inside, length).payload)
                inside += length
        except BadFrame:
            return 0
        self.payloads += found
        return header.length


def log(*groups):
    """Groups given as lists of payloads; each says that all before it was durable."""
    image = b""
    for payloads in groups:
        image += group(len(image), len(image), *payloads)
    return image


def run(image, end=None):
    image = bytes(image).ljust(end or len(image) + 64, b"\0")  # a log never reaches the end of its last file
    parser = Parser()
    reads = []

    def read(position, size):
        assert position + size <= len(image)
        reads.append(position)
        return image[position : position + size]

    return recover(parser, read, len(image), CELL, REPLICA), parser, reads


THREE = log([b"a" * 70, b"b"], [b"c" * 1000], [b"d" * 5000, b"e" * 300])
LAST = len(log([b"a" * 70, b"b"], [b"c" * 1000]))


def test_an_empty_log():
    assert run(b"", 1 << 16)[0] == (0, 0, "clean", 0)
    assert run(b"")[0] == (0, 0, "clean", 0)


def test_a_clean_log():
    found, parser, _ = run(THREE, len(THREE) + 12345)
    assert found == (len(THREE), len(THREE), "clean", LAST)
    assert [p[:1] for p in parser.payloads] == [b"a", b"b", b"c", b"d", b"e"]


@pytest.mark.parametrize("end", [len(THREE), LAST, LAST + 64, LAST + 1024])
def test_a_log_that_reaches_the_end_of_its_last_file_has_lost_one(end):
    with pytest.raises(LogCorrupt, match=f"lost state: replica 2 has the log up to position {end}, the next file is"):
        run(THREE[:end], end)


def test_a_torn_beginning_of_a_group_at_the_end_of_a_file_is_no_sign_of_a_lost_one():
    for cut in (1, 20, 40):
        found, _, _ = run(THREE[: LAST + cut], LAST + 64)
        assert (found.position, found.tail) == (LAST, "torn")


def test_groups_that_straddle_or_exceed_a_read(monkeypatch):
    monkeypatch.setattr(recovery, "CHUNK_BYTES", 128)
    found, parser, reads = run(THREE, len(THREE) + 4096)
    assert found == (len(THREE), len(THREE), "clean", LAST)
    assert len(parser.payloads) == 5
    assert len(reads) > 20


@pytest.mark.parametrize("cut", [*range(1, 200), *range(200, 5492, 97), 5491])
def test_a_torn_last_group_is_cut_at_its_start(cut):
    torn = THREE[: LAST + cut]  # the frames end at 5492
    found, parser, _ = run(torn, len(THREE) + 4096)
    if not any(torn[LAST:]):
        assert found.tail == "clean"
    else:
        assert found.position == LAST
        assert found.dirty == len(torn.rstrip(b"\0"))
        assert found.tail == "torn"
    assert len(parser.payloads) == 3


@pytest.mark.parametrize("at", [0, 20, 40, 64, 100, 160, 5200, 5400])
def test_other_bad_bytes_at_the_end_are_doubtful(at):
    image = bytearray(THREE)
    image[LAST + at] ^= 0x10
    found, _, _ = run(image, len(image) + 4096)
    assert found.position == LAST
    assert found.tail == "doubtful"
    assert found.dirty == len(bytes(image).rstrip(b"\0"))


def test_garbage_behind_a_clean_end_is_doubtful():
    image = THREE + bytes(1024) + b"garbage"
    found, _, _ = run(image, len(image) + 4096)
    assert found == (len(THREE), len(image), "doubtful", LAST)


@pytest.mark.parametrize("chunk", [128, 4 << 20])
@pytest.mark.parametrize("at", [0, 30, 70, 140, 200])
def test_a_later_group_that_calls_the_bad_bytes_durable_is_corruption(at, chunk, monkeypatch):
    monkeypatch.setattr(recovery, "CHUNK_BYTES", chunk)
    image = bytearray(THREE)
    image[at] ^= 1
    with pytest.raises(LogCorrupt) as error:
        run(image, len(image) + 4096)
    assert str(error.value).startswith("log corrupt at position 0 of replica 2: ")
    assert "a later group at" in str(error.value)
    assert "\n" not in str(error.value)


def test_zeros_in_the_middle_are_corruption():
    image = bytearray(THREE)
    first = len(log([b"a" * 70, b"b"]))
    image[first:LAST] = bytes(LAST - first)
    with pytest.raises(LogCorrupt, match=f"at position {first} "):
        run(image, len(image) + 4096)


def test_a_later_group_that_does_not_vouch_is_cut_with_the_rest():
    first = group(0, 0, b"a")
    bad = bytearray(group(len(first), len(first), b"b"))
    bad[70] ^= 1
    unsure = group(len(first) + len(bad), len(first), b"c")
    found, _, _ = run(first + bytes(bad) + unsure)
    assert found.position == len(first)
    assert found.tail == "doubtful"


@pytest.mark.parametrize("change", [{"replica": 3}, {"cell": 1}])
def test_a_group_of_somebody_else_is_no_witness(change):
    first = group(0, 0, b"a")
    stranger = group(len(first) + 64, len(first) + 64, b"b", **change)
    found, _, _ = run(first + b"x".ljust(64, b"\0") + stranger)
    assert found.position == len(first)
    assert found.tail == "doubtful"


def test_a_misplaced_group_is_no_witness():
    first = group(0, 0, b"a")
    elsewhere = group(len(first) + 640, len(first) + 640, b"b")
    found, _, _ = run(first + bytes(64) + elsewhere)
    assert found == (len(first), len(first) + 64 + len(elsewhere.rstrip(b"\0")), "doubtful", 0)


def test_progress_is_told():
    told = []
    parser = Parser()
    image = THREE + bytes(64)

    def read(at, size):
        return image[at : at + size]

    recover(parser, read, len(image), CELL, REPLICA, lambda *where: told.append(where))
    assert told[0] == (len(THREE), len(image))
