"""Positions and files: the arithmetic, and the headers of segment files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpaxos_live.log.segments import (
    SEGMENT_HEADER_BYTES,
    BadSegment,
    SegmentHeader,
    check_header,
    encode_header,
    file_name,
    file_number,
    pieces,
)

HEADER = SegmentHeader(cell_id=7, replica=2, disk_id=99, number=3, segment_bytes=8192)


@given(position=st.integers(0, 1 << 20), size=st.integers(0, 1 << 18), pages=st.integers(1, 9))
def test_pieces_cover_a_range_once_and_in_order(position, size, pages):
    segment = pages * 4096
    at = position
    for piece in pieces(position, size, segment):
        assert piece.number * segment + piece.offset - SEGMENT_HEADER_BYTES == at
        assert 0 < piece.size <= segment - (piece.offset - SEGMENT_HEADER_BYTES)
        at += piece.size
    assert at == position + size


def test_pieces_at_a_border():
    assert [tuple(p) for p in pieces(8128, 128, 8192)] == [(0, 12224, 64), (1, 4096, 64)]
    assert [tuple(p) for p in pieces(8192, 64, 8192)] == [(1, 4096, 64)]


@given(st.integers(0, (1 << 40)))
def test_names_and_numbers_are_inverse(number):
    assert file_number(file_name(number)) == number


@pytest.mark.parametrize(
    "name", ["log.0", "log.0000000G", "log.0000000A", "log.00000000.new", "00000000", "log.+000001"]
)
def test_other_names_have_no_number(name):
    assert file_number(name) is None


def test_a_header_is_one_page_and_checks():
    data = encode_header(HEADER)
    assert len(data) == SEGMENT_HEADER_BYTES
    check_header(data, HEADER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("cell_id", 8), ("replica", 1), ("disk_id", 1), ("number", 4), ("segment_bytes", 4096)],
)
def test_a_stranger_is_named(field, value):
    data = encode_header(HEADER._replace(**{field: value}))
    want = getattr(HEADER, field)
    with pytest.raises(BadSegment, match=f"{field} mismatch: got {value}, want {want}"):
        check_header(data, HEADER)


@pytest.mark.parametrize("at", [8, 9, 10, 11, 12, 14, 16, 23, 24, 32, 40, 47, 48, 4095, 0, 7])
def test_every_byte_is_covered(at):
    data = bytearray(encode_header(HEADER))
    data[at] ^= 1
    with pytest.raises(BadSegment):
        check_header(bytes(data), HEADER)


def test_a_short_or_newer_header_is_refused():
    data = bytearray(encode_header(HEADER))
    with pytest.raises(BadSegment, match="cut short"):
        check_header(bytes(data[:100]), HEADER)
    data[12] = 2
    with pytest.raises(BadSegment, match="format version 2, this program reads 1"):
        check_header(bytes(data), HEADER)
