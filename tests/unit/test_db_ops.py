"""The form of an operation."""

import pytest

from fastpaxos_live.reference.db_ops import (
    OP_DBSIZE,
    OP_FLUSH,
    OP_MSET,
    OP_SET,
    is_read,
    op_code,
    op_decode,
    op_encode,
    op_size,
    parse_integer,
)


def test_layout() -> None:
    operation = op_encode(OP_SET, 0x81, -2, [(b"key", b"value")])
    assert operation == (
        (36).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + (-2).to_bytes(8, "little", signed=True)
        + bytes([OP_SET, 0x81, 0, 0])
        + (3).to_bytes(4, "little")
        + (5).to_bytes(4, "little")
        + b"keyvalue"
    )


@pytest.mark.parametrize("items", [[], [(b"", b"")], [(b"a", b"1"), (b"", b"2"), (b"a", b"")]])
def test_decode(items: list[tuple[bytes, bytes]]) -> None:
    data = b"before" + op_encode(OP_MSET, 3, 2**63 - 1, items) + b"behind"
    assert op_decode(data, 6) == (OP_MSET, 3, 2**63 - 1, items)
    assert op_decode(memoryview(data), 6) == (OP_MSET, 3, 2**63 - 1, items)
    assert op_size(data, 6) == len(data) - 12
    assert op_code(data, 6) == OP_MSET


def test_reads_and_writes() -> None:
    assert is_read(OP_DBSIZE)
    assert not is_read(OP_SET)
    assert not is_read(OP_FLUSH)


@pytest.mark.parametrize("number", [0, 1, -1, 10, 2**63 - 1, -(2**63)])
def test_integers(number: int) -> None:
    assert parse_integer(b"%d" % number) == number


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-",
        b"+1",
        b"01",
        b"-0",
        b"00",
        b" 1",
        b"1 ",
        b"1\n",
        b"1.0",
        b"1e3",
        b"0x1",
        b"%d" % 2**63,
        b"-9223372036854775809",
        b"1" * 20,
        "\N{ARABIC-INDIC DIGIT ONE}".encode(),
    ],
)
def test_not_integers(text: bytes) -> None:
    assert parse_integer(text) is None
