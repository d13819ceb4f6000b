"""What arrives while two replicas meet."""

from collections.abc import Hashable
from random import Random

from tests.fuzz.reseal import frames as reseal_frames
from tests.fuzz.target import Target, one_line
from xxhash import xxh64_intdigest

from fastpaxos_live.log.handshake import (
    CALLED_HELLO,
    CALLER_HELLO,
    CALLER_PROOF,
    Greeter,
    Hello,
    Refused,
    Terms,
    handshake_key,
    hello_frame,
    mac_of,
    short_frame,
)
from fastpaxos_live.reference.log_frame import CHALLENGE, HEADER_BYTES, PROOF

CELL = 4711
TERMS = Terms(CELL, ("a", "b", "c"), handshake_key(CELL, bytes(32)), {"fsync": "always", "slots": "128"})
NONCES = bytes([1]) * 32, bytes([2]) * 32
CALLER, CALLED = 1, 2


def hello(replica: int) -> Hello:
    return Hello(CELL, replica, TERMS.names[replica - 1], 1, TERMS.said(), 0, (1 << 32) + 1, CALLED)


class Handshakes(Target):
    """One side, told anything in any pieces: it comes to know a peer, or refuses it with a line.

    The first byte of an input says which side; then come the bytes of the other one.
    """

    name = "handshake"
    tokens = (b"\nname=a", b"name=", b"members=a,b,c", b"fsync=always", b"\n", b"=", b"\x80", b"\r\x1b[2J")

    def seeds(self) -> list[bytes]:
        nonces = b"".join(NONCES)
        proof = short_frame(PROOF, mac_of(TERMS.key, CALLER_PROOF, nonces))
        says = hello_frame(hello(CALLER), TERMS.key, CALLER_HELLO, nonces)
        answers = hello_frame(hello(CALLED), TERMS.key, CALLED_HELLO, nonces)
        to_called = short_frame(CHALLENGE, NONCES[0]) + proof + says
        to_caller = short_frame(CHALLENGE, NONCES[1]) + answers
        return [b"\0" + to_called, b"\1" + to_caller]

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        out = bytearray(super().change(random, data, other))
        if not out:
            return b""
        if random.random() < 0.8:
            self._reseal(random, out)
        return bytes(out)

    @staticmethod
    def _reseal(random: Random, out: bytearray) -> None:
        # A HELLO that was proved, whatever it says: what is wrong with it is judged later.
        short = HEADER_BYTES + 32
        start = 1 + (short if out[0] % 2 else 2 * short)
        if len(out) > start + short:
            use = CALLED_HELLO if out[0] % 2 else CALLER_HELLO
            reseal_frames(random, out, start, len(out), 0)
            out[-32:] = mac_of(TERMS.key, use, b"".join(NONCES), bytes(out[start + 8 : -32]))
            out[start : start + 8] = xxh64_intdigest(bytes(out[start + 8 :])).to_bytes(8, "little")

    def check(self, data: bytes) -> Hashable:
        calls = bool(data and data[0] % 2)
        greeter = Greeter(TERMS, CALLER if calls else CALLED, 1)
        side = greeter.call(CALLED, 0, (1 << 32) + 1, NONCES[0]) if calls else greeter.answer(NONCES[1])
        said = [side.begin()]
        at, size = 1, 1 + len(data) % 97
        try:
            while at < len(data) and side.wanted:
                part = data[at : at + min(size, side.wanted)]
                said.append(side.feed(part))
                at += len(part)
                assert side.wanted <= 4096
            if side.peer is not None:
                greeter.accept(side.peer, CALLED if calls else None)
                assert side.peer.replica != (CALLER if calls else CALLED)
        except Refused as error:
            one_line(error, 4096)
            assert str(error).isprintable(), f"a line with control characters: {str(error)!r}"
            return calls, side.proved, str(error)[:16], len(said)
        return calls, side.proved, side.peer is not None, len(b"".join(said))

