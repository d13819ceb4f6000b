"""The first frame on a connection between replicas: who speaks, and is it one of us.

Both sides send a HELLO and check the other's before any other byte is read. The side that dials
numbers its connections; of two connections for the same channel the one with the higher number is
the living one.
"""

from struct import Struct
from typing import NamedTuple

from ..reference.log_frame import (
    FRAME_MAGIC,
    HEADER_BYTES,
    HELLO,
    VERSION,
    BadFrame,
    frame_decode,
    frame_encode,
)

CHANNELS = 2
NAME_BYTES_MAX = 255
COUNTER_SHIFT = 32  # calls of one process are numbered below this bit, its starts above

_START = Struct("<QIBBBBI")  # the frame header up to its length


class Refused(Exception):
    """The other side is not who it should be; the text is one line that says why."""


class Hello(NamedTuple):
    """What a replica says of itself and of the connection."""

    cell_id: int
    replica: int
    name: str
    incarnation: int
    channel: int
    counter: int  # grows with each connection the dialling side makes, over its restarts too


def encode_hello(hello: Hello) -> bytes:
    """The frame to send, sealed with seed 0: a stranger must be able to read whom it reached."""
    return frame_encode(
        0, HELLO, hello.replica, hello.incarnation, instance=hello.counter, extra=hello.cell_id,
        flags=hello.channel, payload=hello.name.encode(),
    )


def hello_length(header: bytes | bytearray) -> int:
    """Length of the frame that begins with these 64 bytes. Raises Refused: it is no HELLO."""
    _, magic, version, kind, _, _, length = _START.unpack_from(header)
    if magic != FRAME_MAGIC:
        raise Refused("it does not speak the protocol of replicas")
    if version != VERSION:
        raise Refused(f"protocol version {version}, this program speaks {VERSION}")
    if kind != HELLO or not HEADER_BYTES < length <= HEADER_BYTES + NAME_BYTES_MAX:
        raise Refused("its first frame is not a HELLO")
    return length


def decode_hello(data: bytes) -> Hello:
    """The HELLO in a whole frame. Raises Refused when it is damaged."""
    try:
        frame = frame_decode(0, data, 0, hello_length(data))
        name = frame.payload.decode()
    except (BadFrame, UnicodeDecodeError):
        raise Refused("its HELLO is damaged") from None
    return Hello(frame.extra, frame.sender, name, frame.incarnation, frame.flags, frame.instance)


class Greeter:
    """Judges the HELLOs a replica receives; remembers the newest connection of each channel."""

    def __init__(self, cell_id: int, names: list[str], own: int, incarnation: int) -> None:
        """`names` of the members by id - 1; `own` is the id of this replica."""
        self._cell_id = cell_id
        self._names = names
        self._own = own
        self._incarnation = incarnation
        self._incarnations: dict[int, int] = {}
        self._counters: dict[tuple[int, int], int] = {}

    def own_hello(self, channel: int, counter: int) -> Hello:
        """What this replica says of itself."""
        name = self._names[self._own - 1]
        return Hello(self._cell_id, self._own, name, self._incarnation, channel, counter)

    def check(self, hello: Hello, dialled: int | None = None) -> None:
        """Raise Refused unless `hello` comes from a member that may hold this connection.

        `dialled` is the replica that was called; None when the other side called.
        """
        if hello.cell_id != self._cell_id:
            raise Refused(f"cell mismatch: got {hello.cell_id}, want {self._cell_id}")
        known = 1 <= hello.replica <= len(self._names)
        if not known or self._names[hello.replica - 1] != hello.name:
            members = ", ".join(f"{name} (id {at})" for at, name in enumerate(self._names, 1))
            raise Refused(
                f"unknown replica {hello.name!r} (id {hello.replica}), expected one of [{members}]"
            )
        if hello.replica == self._own:
            raise Refused(f"it is {hello.name}, as this replica: two run, or an address is wrong")
        if dialled is not None and hello.replica != dialled:
            raise Refused(f"reached replica {hello.name}, want {self._names[dialled - 1]}")
        if dialled is None and hello.replica > self._own:
            raise Refused(f"replica {hello.name} must wait to be called: the lower id calls")
        if hello.channel >= CHANNELS:
            raise Refused(f"unknown channel {hello.channel}")
        newest = self._incarnations.get(hello.replica, hello.incarnation)
        if hello.incarnation < newest:
            raise Refused(
                f"wrong incarnation of {hello.name}: got {hello.incarnation}, want {newest}"
            )
        counter = self._counters.get((hello.replica, hello.channel), 0)
        if dialled is None and hello.counter <= counter:
            raise Refused(
                f"connection {hello.counter} of {hello.name} is not newer than {counter}: "
                "a late one, or a copied or rolled-back data directory"
            )

    def accept(self, hello: Hello, dialled: int | None = None) -> None:
        """`check`, then take this connection for the newest of its channel. Raises Refused."""
        self.check(hello, dialled)
        self._incarnations[hello.replica] = hello.incarnation
        if dialled is None:
            self._counters[hello.replica, hello.channel] = hello.counter
