"""How a connection between replicas begins: who speaks, and does it know the secret of this cell.

    the caller                       the one called
    CHALLENGE: its nonce     ->
                             <-      CHALLENGE: its nonce
    PROOF                    ->
                             <-      HELLO
    HELLO                    ->

Before the other side has proved that it knows the secret nobody says more than a nonce. A PROOF, and the end of each
HELLO, is an HMAC under a key made from the secret, over which of the three it is, both nonces, and what it says: none
of them can be sent back, or again in another handshake.

The side that dials numbers its connections; of two connections for the same channel the one with the higher number is
the living one.
"""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from struct import Struct
from typing import NamedTuple

from ..reference.log_frame import (
    CHALLENGE,
    FRAME_MAGIC,
    HEADER_BYTES,
    HELLO,
    PROOF,
    VERSION,
    BadFrame,
    frame_decode,
    frame_encode,
)

CHANNELS = 2
NONCE_BYTES = 32
SECRET_BYTES = 32
COUNTER_SHIFT = 32  # calls of one process are numbered below this bit, its starts above
COUNTER_END = 1 << 63  # no directory was started so often: such a number would only keep the true one out
TEXT_BYTES_MAX = 2048  # of a HELLO: its name and settings, of which the names of nine members are the longest

_MAC_BYTES = 32
_SHORT_BYTES = HEADER_BYTES + 32  # a CHALLENGE or a PROOF
_NAMES = {CHALLENGE: "CHALLENGE", PROOF: "PROOF", HELLO: "HELLO"}
CALLER_PROOF, CALLED_HELLO, CALLER_HELLO = b"\1", b"\2", b"\3"  # what an HMAC is for

_START = Struct("<QIBBBBI")  # the frame header up to its length


class Refused(Exception):
    """The other side is not who it should be; the text is one line that says why."""


def handshake_key(cell_id: int, secret: bytes | None) -> bytes:
    """Under which a cell proves. Without a secret whoever knows the id knows it: no protection then."""
    if secret is None:
        return sha256(b"cell %d" % cell_id).digest()
    return digest(secret, b"handshake", "sha256")


def table_hash_seed(cell_id: int, secret: bytes | None) -> int:
    """Seeds the hash of the table, equal at all replicas: clients who know the id can't choose keys that collide."""
    if secret is None:
        return cell_id
    return int.from_bytes(digest(secret, b"table hash", "sha256")[:8], "little")


class Terms(NamedTuple):
    """What the replicas of a cell must have in common to speak to each other."""

    cell_id: int
    names: tuple[str, ...]  # of the members, by id - 1
    key: bytes
    settings: Mapping[str, str]  # what else safety rests on

    def said(self) -> dict[str, str]:
        """What a HELLO says of them. Majorities of different lists of members need have nobody in common."""
        return {"members": ",".join(self.names), **self.settings}


class Hello(NamedTuple):
    """What a replica says of itself and of the connection."""

    cell_id: int
    replica: int
    name: str
    incarnation: int
    settings: Mapping[str, str]
    channel: int = 0  # these three are the caller's
    counter: int = 0  # grows with each connection it makes, over its restarts too
    called: int = 0  # whom it wants to reach


class Handshake:
    """One side of it, on one connection: fed with what arrives, it says what to send.

    `key` is made by `handshake_key`; `nonce` is random, and never used again.
    """

    def __init__(self, key: bytes, own: Hello, nonce: bytes, *, calls: bool) -> None:
        self.peer: Hello | None = None  # at the end; who that is the Greeter judges
        self.pending = bytearray()  # of a frame that is not complete
        self._key = key
        self._own = own
        self._nonce = nonce
        self._nonces = b""  # the caller's and the other one, when both are known
        self._calls = calls
        self._expected = [CHALLENGE, HELLO] if calls else [CHALLENGE, PROOF, HELLO]
        self._length = HEADER_BYTES  # of the frame that comes next, as far as that is known

    @property
    def wanted(self) -> int:
        """How many bytes may be fed now; 0: the handshake is over, and what follows is not its."""
        return self._length - len(self.pending) if self._expected else 0

    @property
    def proved(self) -> bool:
        """Has the other side shown that it knows the secret?"""
        return len(self._expected) <= (0 if self._calls else 1)

    def begin(self) -> bytes:
        """What to send first, if anything."""
        return short_frame(CHALLENGE, self._nonce) if self._calls else b""

    def feed(self, data: bytes) -> bytes:
        """At most `wanted` bytes have arrived: what to send now, if anything. Raises Refused."""
        assert len(data) <= self.wanted
        self.pending += data
        if len(self.pending) < self._length:
            return b""
        if self._length == HEADER_BYTES:
            self._length = self._frame_length()
            return b""
        take = {CHALLENGE: self._on_challenge, PROOF: self._on_proof, HELLO: self._on_hello}[self._expected[0]]
        answer = take(bytes(self.pending))
        self.pending, self._length = bytearray(), HEADER_BYTES
        del self._expected[0]
        return answer

    def end_text(self) -> str:
        """What it probably means that the other side closed the connection now."""
        if not self._calls:
            return "the connection was closed in the handshake"
        if self._expected[:1] == [CHALLENGE]:
            return "it closed the connection unasked: it is busy, or an older version of this program"
        return "it does not accept this replica's proof (it is of another cell, or has another secret file)"

    def _frame_length(self) -> int:
        # Of the frame whose header is there: judged before any more of it is read.
        _, magic, version, kind, _, _, length = _START.unpack_from(self.pending)
        expected = self._expected[0]
        if magic != FRAME_MAGIC:
            raise Refused("it does not speak the protocol of replicas")
        if version != VERSION:
            raise Refused(f"protocol version {version}, this program speaks {VERSION}")
        if kind == HELLO and expected == CHALLENGE:
            raise Refused("it speaks as an older version of this program does: update it")
        longest = _SHORT_BYTES + (TEXT_BYTES_MAX if expected == HELLO else 0)
        if kind != expected or not _SHORT_BYTES <= length <= longest:
            raise Refused(f"it sent something else than a {_NAMES[expected]}")
        return int(length)

    def _on_challenge(self, frame: bytes) -> bytes:
        nonce = _short_payload(CHALLENGE, frame)
        self._nonces = self._nonce + nonce if self._calls else nonce + self._nonce
        if self._calls:
            return short_frame(PROOF, mac_of(self._key, CALLER_PROOF, self._nonces))
        return short_frame(CHALLENGE, self._nonce)

    def _on_proof(self, frame: bytes) -> bytes:
        self._verify(_short_payload(PROOF, frame), CALLER_PROOF)
        return self._own_hello(CALLED_HELLO)

    def _on_hello(self, frame: bytes) -> bytes:
        # The caller answers before anybody judges what the other one is, so that both sides can name what is wrong.
        text = _text_of(frame)
        self._verify(frame[-_MAC_BYTES:], CALLED_HELLO if self._calls else CALLER_HELLO, frame[8:-_MAC_BYTES])
        self.peer = _hello_of(frame, text)
        return self._own_hello(CALLER_HELLO) if self._calls else b""

    def _own_hello(self, use: bytes) -> bytes:
        return hello_frame(self._own, self._key, use, self._nonces)

    def _verify(self, mac: bytes, use: bytes, said: bytes = b"") -> None:
        if not compare_digest(mac, mac_of(self._key, use, self._nonces, said)):
            raise Refused("it does not know this cell's secret (it is of another cell, or has another secret file)")


def mac_of(key: bytes, use: bytes, nonces: bytes, said: bytes = b"") -> bytes:
    """What shows that its sender knows the key; `use` is what it is for."""
    return digest(key, use + nonces + said, "sha256")


def short_frame(kind: int, payload: bytes) -> bytes:
    """A CHALLENGE or a PROOF. All frames of the handshake are sealed with seed 0: the cell id shows in none of them but
    HELLO, and is not needed to read them.
    """
    return frame_encode(0, kind, 0, 0, payload=payload)


def _short_payload(kind: int, frame: bytes) -> bytes:
    payload = frame[HEADER_BYTES:]
    if frame != short_frame(kind, payload):
        raise Refused(f"its {_NAMES[kind]} is damaged")
    return payload


def hello_frame(hello: Hello, key: bytes, use: bytes, nonces: bytes) -> bytes:
    """A HELLO, proof included."""
    lines = [f"name={hello.name}", *(f"{name}={value}" for name, value in hello.settings.items())]
    text = "\n".join(lines).encode()
    assert len(text) <= TEXT_BYTES_MAX

    def frame(mac: bytes) -> bytes:
        return frame_encode(
            0, HELLO, hello.replica, hello.incarnation, number=hello.called, instance=hello.counter,
            extra=hello.cell_id, flags=hello.channel, payload=text + mac,
        )  # fmt: skip

    return frame(mac_of(key, use, nonces, frame(bytes(_MAC_BYTES))[8:-_MAC_BYTES]))


def _text_of(frame: bytes) -> str:
    # Lines of it are shown to operators: they hold nothing that would move a terminal's cursor, or end a line.
    try:
        text = frame_decode(0, frame, 0, len(frame)).payload[:-_MAC_BYTES].decode()
    except (BadFrame, UnicodeDecodeError):
        raise Refused("its HELLO is damaged") from None
    if not all(line.isprintable() for line in text.split("\n")):
        raise Refused("its HELLO is damaged")
    return text


def _hello_of(data: bytes, text: str) -> Hello:
    frame = frame_decode(0, data, 0, len(data))
    settings = {key: value for key, _, value in (line.partition("=") for line in text.split("\n"))}
    name = settings.pop("name", "")
    return Hello(
        frame.extra, frame.sender, name, frame.incarnation, settings, frame.flags, frame.instance, frame.number
    )


class Greeter:
    """Makes a replica's handshakes, and judges whom they lead to; remembers the newest connection of each channel."""

    def __init__(self, terms: Terms, own: int, incarnation: int) -> None:
        """`own` is the id of this replica."""
        self._terms = terms
        self._own = own
        self._incarnation = incarnation
        self._incarnations: dict[int, int] = {}
        self._counters: dict[tuple[int, int], int] = {}

    def call(self, peer: int, channel: int, counter: int, nonce: bytes) -> Handshake:
        """The handshake of a connection that this replica makes."""
        own = self._own_hello()._replace(channel=channel, counter=counter, called=peer)
        return Handshake(self._terms.key, own, nonce, calls=True)

    def answer(self, nonce: bytes) -> Handshake:
        """The handshake of a connection that somebody else made."""
        return Handshake(self._terms.key, self._own_hello(), nonce, calls=False)

    def _own_hello(self) -> Hello:
        terms = self._terms
        name = terms.names[self._own - 1]
        return Hello(terms.cell_id, self._own, name, self._incarnation, terms.said())

    def accept(self, hello: Hello, dialled: int | None = None) -> None:
        """Take this connection for the newest of its channel. `dialled` is the replica that was called; None when the
        other side called. Raises Refused, and remembers nothing, when that one may not hold it.
        """
        self._check_identity(hello)
        self._check_settings(hello)
        if dialled is None:
            self._check_call(hello)
        elif hello.replica != dialled:
            raise Refused(f"reached replica {hello.name}, want {self._terms.names[dialled - 1]}")
        self._incarnations[hello.replica] = hello.incarnation
        if dialled is None:
            self._counters[hello.replica, hello.channel] = hello.counter

    def _check_identity(self, hello: Hello) -> None:
        terms = self._terms
        if hello.cell_id != terms.cell_id:
            raise Refused(f"cell mismatch: got {hello.cell_id}, want {terms.cell_id}")
        known = 1 <= hello.replica <= len(terms.names)
        if not known or terms.names[hello.replica - 1] != hello.name:
            members = ", ".join(f"{name} (id {at})" for at, name in enumerate(terms.names, 1))
            raise Refused(f"unknown replica {hello.name!r} (id {hello.replica}), expected one of [{members}]")
        if hello.replica == self._own:
            raise Refused(f"it is {hello.name}, as this replica: two run, or an address is wrong")
        newest = self._incarnations.get(hello.replica, hello.incarnation)
        if hello.incarnation < newest:
            raise Refused(f"wrong incarnation of {hello.name}: got {hello.incarnation}, want {newest}")

    def _check_settings(self, hello: Hello) -> None:
        # What the other one says beyond these is a later version's affair.
        for key, want in self._terms.said().items():
            got = hello.settings.get(key)
            if got is None:
                raise Refused(f"{hello.name} does not say what it has for {key} (here it is {want})")
            if got != want:
                raise Refused(f"{key} mismatch: {hello.name} has {got}, this replica has {want}")

    def _check_call(self, hello: Hello) -> None:
        if hello.replica > self._own:
            raise Refused(f"replica {hello.name} must wait to be called: the lower id calls")
        if hello.called != self._own:  # or who answers at a dead replica's address could pass the call on to this one
            raise Refused(f"{hello.name} called replica {hello.called}, this is {self._own}: an address is wrong")
        if hello.channel >= CHANNELS:
            raise Refused(f"unknown channel {hello.channel}")
        newest = self._counters.get((hello.replica, hello.channel), 0)
        if hello.counter >= COUNTER_END:
            raise Refused(f"connection {hello.counter} of {hello.name}: no directory was started so often")
        if hello.counter <= newest:
            raise Refused(
                f"connection {hello.counter} of {hello.name} is not newer than {newest}: "
                "a late one, or a copied or rolled-back data directory"
            )
