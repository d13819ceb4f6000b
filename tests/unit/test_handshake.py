"""The handshake of two replicas."""

import pytest

from fastpaxos_live.log.handshake import (
    Greeter,
    Hello,
    Refused,
    decode_hello,
    encode_hello,
    hello_length,
)
from fastpaxos_live.reference.log_frame import BEAT, frame_encode

NAMES = ["r1", "r2", "r3"]
HELLO = Hello(cell_id=7, replica=1, name="r1", incarnation=3, channel=1, counter=(5 << 32) + 1)


def greeter(own=2):
    return Greeter(7, NAMES, own, 1)


def test_a_hello_survives_the_wire():
    data = encode_hello(HELLO)
    assert hello_length(data[:64]) == len(data)
    assert decode_hello(data) == HELLO


def test_own_hello_names_the_replica():
    assert greeter().own_hello(1, 9) == Hello(7, 2, "r2", 1, 1, 9)


@pytest.mark.parametrize("at", range(66))
def test_every_byte_of_a_hello_is_covered(at):
    data = bytearray(encode_hello(HELLO))
    data[at] ^= 0x40
    with pytest.raises(Refused):
        decode_hello(bytes(data))


def test_what_is_no_hello_is_refused():
    with pytest.raises(Refused, match="does not speak"):
        hello_length(b"GET / HTTP/1.1\r\n".ljust(64))
    with pytest.raises(Refused, match="not a HELLO"):
        hello_length(frame_encode(0, BEAT, 1, 1))
    with pytest.raises(Refused, match="not a HELLO"):
        hello_length(encode_hello(HELLO._replace(name="x" * 256))[:64])
    newer = bytearray(encode_hello(HELLO))
    newer[12] = 2
    with pytest.raises(Refused, match="protocol version 2, this program speaks 1"):
        hello_length(bytes(newer))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cell_id": 8}, "cell mismatch: got 8, want 7"),
        ({"name": "r5x"}, r"unknown replica 'r5x' \(id 1\), expected one of \[r1 \(id 1\), r2"),
        ({"replica": 9}, r"unknown replica 'r1' \(id 9\)"),
        ({"replica": 0}, "unknown replica"),
        ({"channel": 2}, "unknown channel 2"),
        ({"replica": 3, "name": "r3"}, "the lower id calls"),
        ({"replica": 2, "name": "r2"}, "it is r2, as this replica: two run"),
    ],
)
def test_a_caller_that_does_not_belong_here(change, text):
    with pytest.raises(Refused, match=text):
        greeter().accept(HELLO._replace(**change))


def test_reaching_another_replica_than_the_one_called():
    with pytest.raises(Refused, match="reached replica r1, want r3"):
        greeter().accept(HELLO, dialled=3)


def test_the_newest_connection_of_a_channel_wins():
    judge = greeter()
    judge.accept(HELLO)
    judge.accept(HELLO._replace(channel=0))
    with pytest.raises(Refused, match="not newer"):
        judge.accept(HELLO)
    with pytest.raises(Refused, match="not newer"):
        judge.accept(HELLO._replace(counter=1 << 32))
    judge.accept(HELLO._replace(counter=6 << 32))


def test_a_refused_hello_leaves_no_trace():
    judge = greeter()
    with pytest.raises(Refused):
        judge.accept(HELLO._replace(counter=9 << 32, cell_id=8))
    judge.accept(HELLO)


def test_an_older_incarnation_is_refused():
    judge = greeter()
    judge.accept(HELLO)
    with pytest.raises(Refused, match="wrong incarnation of r1: got 2, want 3"):
        judge.accept(HELLO._replace(incarnation=2, counter=9 << 32))
