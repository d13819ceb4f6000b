"""The production handshake, as the replicas of a cell have it, and as those who don't belong there try it.

Each life of a replica has its Greeter and numbers its calls. Nonces come from randomness of their own.
"""

from collections.abc import Mapping
from random import Random

from ..log.handshake import (
    CALLED_HELLO,
    CALLER_HELLO,
    CALLER_PROOF,
    COUNTER_SHIFT,
    NONCE_BYTES,
    SECRET_BYTES,
    Greeter,
    Handshake,
    Hello,
    Refused,
    Terms,
    handshake_key,
    hello_frame,
    mac_of,
    short_frame,
)
from ..reference.log_frame import CHALLENGE, PROOF
from .check import Violation
from .trace import frames_of

INCARNATION = 1  # of every replica: no disk is ever rebuilt yet

Heard = dict[int, list[bytes]]
"""What each of two said in a handshake that succeeded."""


def name_of(replica: int) -> str:
    """What the configuration calls it."""
    return f"r{replica}"


class Handshakes:
    """Of one cell: who may speak to whom."""

    def __init__(self, cell_id: int, replicas: int, settings: Mapping[str, str]) -> None:
        self._random = Random(f"{cell_id} handshakes")
        names = tuple(name_of(replica) for replica in range(1, replicas + 1))
        key = handshake_key(cell_id, self._random.randbytes(SECRET_BYTES))
        self.terms = Terms(cell_id, names, key, settings)
        self.greeters: dict[int, Greeter] = {}  # by replica, of its newest life
        self.counters: dict[int, int] = {}
        self.heard: dict[tuple[int, int, int], Heard] = {}  # by caller, called and channel: the newest

    def begin(self, replica: int, boots: int) -> None:
        """That life of `replica` begins: it remembers nothing, and its calls are newer than those before."""
        self.greeters[replica] = Greeter(self.terms, replica, INCARNATION)
        self.counters[replica] = boots << COUNTER_SHIFT

    def call(self, low: int, high: int, channel: int) -> Handshake:
        """`low` calls `high`."""
        self.counters[low] += 1
        return self.greeters[low].call(high, channel, self.counters[low], self._nonce())

    def answer(self, high: int) -> Handshake:
        """Somebody calls `high`."""
        return self.greeters[high].answer(self._nonce())

    def hello_of(self, replica: int) -> Hello:
        """What it says of itself."""
        return Hello(self.terms.cell_id, replica, name_of(replica), INCARNATION, self.terms.said())

    def impostor(self, hello: Hello, key: bytes | None = None) -> "Impostor":
        """Somebody who claims this; without a key he has the cell's."""
        return Impostor(hello, key or self.terms.key, self._nonce())

    def wrong_key(self, random: Random) -> bytes:
        """Of somebody who doesn't know the secret: he makes one up, or takes what the cell id alone gives."""
        return handshake_key(self.terms.cell_id, random.choice((None, random.randbytes(SECRET_BYTES))))

    def _nonce(self) -> bytes:
        return self._random.randbytes(NONCE_BYTES)


class Impostor:
    """Says what a member would say, and believes everything. Both sides are played by the same words."""

    def __init__(self, hello: Hello, key: bytes, nonce: bytes) -> None:
        self._hello = hello
        self._key = key
        self._nonce = nonce
        self._nonces = b""
        self._calls = False

    def begin(self) -> bytes:
        """Make a call."""
        self._calls = True
        return short_frame(CHALLENGE, self._nonce)

    def reply(self, said: bytes) -> bytes:
        """To what the other side said."""
        (kind,) = {fields[0] for _, _, fields in frames_of(said)}
        if kind == CHALLENGE:
            nonce = said[-NONCE_BYTES:]
            self._nonces = self._nonce + nonce if self._calls else nonce + self._nonce
        if self._calls and kind == CHALLENGE:
            return short_frame(PROOF, mac_of(self._key, CALLER_PROOF, self._nonces))
        if kind == CHALLENGE:
            return short_frame(CHALLENGE, self._nonce)
        return hello_frame(self._hello, self._key, CALLER_HELLO if self._calls else CALLED_HELLO, self._nonces)


class Recording:
    """Says again, piece by piece, what was heard."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = list(pieces)

    def begin(self) -> bytes:
        """Make a call."""
        return self.reply(b"")

    def reply(self, said: bytes) -> bytes:
        """Whatever the other side said."""
        return self._pieces.pop(0) if self._pieces else b""


def feed_whole(handshake: Handshake, data: bytes) -> bytes:
    """Feed what arrives in one piece, which may be more than the handshake wants at once: what it says.

    Raises Refused.
    """
    said = b""
    while data and handshake.wanted:
        piece, data = data[: handshake.wanted], data[handshake.wanted :]
        said += handshake.feed(piece)
    assert not data, "nothing is sent behind a handshake before it is over"
    return said


def says_nonce_only(said: bytes) -> bool:
    """Is there nothing in it but a nonce? So it must be, as long as the other side has proved nothing."""
    return said in (b"", short_frame(CHALLENGE, said[-NONCE_BYTES:]))


def judge(greeter: Greeter, handshake: Handshake, dialled: int | None) -> None:
    """Does the handshake lead to a member? Raises Refused."""
    if handshake.peer is None:
        raise Refused(handshake.end_text())
    greeter.accept(handshake.peer, dialled)


def try_call(greeter: Greeter, called: Handshake, other: Impostor | Recording) -> None:
    """Somebody makes a call. Raises Refused; or Violation if he learns something before he proved anything."""
    said = other.begin()
    while said and called.wanted:
        answer = feed_whole(called, said)
        if not called.proved and not says_nonce_only(answer):
            raise Violation(f"{answer!r} is said to somebody who proved nothing")
        said = other.reply(answer) if answer else b""
    judge(greeter, called, None)


def try_answer(greeter: Greeter, caller: Handshake, other: Impostor | Recording, dialled: int) -> None:
    """Somebody answers at the address of `dialled`. Raises Refused."""
    said = caller.begin()
    while said and caller.wanted:
        answer = other.reply(said)
        said = feed_whole(caller, answer) if answer else b""
    judge(greeter, caller, dialled)
