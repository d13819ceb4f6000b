"""What the clients ask: each command, how it is spelled, how it stands in the log, and what came back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import Final, NamedTuple

from ..reference import db_ops as o

FOREVER: Final = 1 << 62
OK: Final = "OK"  # the only simple string; what else is text is bytes


class Kind(IntEnum):
    """Commands of the simulated clients, reads first."""

    GET = auto()
    MGET = auto()
    EXISTS = auto()
    STRLEN = auto()
    PTTL = auto()
    SET = auto()
    SET_NX = auto()
    SET_XX = auto()
    SET_PX = auto()
    PSETEX = auto()
    SETNX = auto()
    GETSET = auto()
    MSET = auto()
    MSETNX = auto()
    APPEND = auto()
    INCR = auto()
    INCRBY = auto()
    DEL = auto()
    GETDEL = auto()
    GETEX = auto()
    PEXPIRE = auto()
    PERSIST = auto()


class Command(NamedTuple):
    """A row of the table below. In `words` k is the key, v the value, n the number, kk all keys, kv all pairs; a read
    has no opcode.
    """

    words: list[str]
    opcode: int = 0
    flags: int = 0


def _row(words: str, opcode: int = 0, flags: int = 0) -> Command:
    return Command(words.split(), opcode, flags)


COMMANDS: Final = {
    Kind.GET: _row("GET k"),
    Kind.MGET: _row("MGET kk"),
    Kind.EXISTS: _row("EXISTS kk"),
    Kind.STRLEN: _row("STRLEN k"),
    Kind.PTTL: _row("PTTL k"),
    Kind.SET: _row("SET k v", o.OP_SET),
    Kind.SET_NX: _row("SET k v NX", o.OP_SET, o.FLAG_NX),
    Kind.SET_XX: _row("SET k v XX", o.OP_SET, o.FLAG_XX),
    Kind.SET_PX: _row("SET k v PX n", o.OP_SET, o.FLAG_RELATIVE),
    Kind.PSETEX: _row("PSETEX k n v", o.OP_SET, o.FLAG_RELATIVE),
    Kind.SETNX: _row("SETNX k v", o.OP_SETNX),
    Kind.GETSET: _row("GETSET k v", o.OP_SET, o.FLAG_GET),
    Kind.MSET: _row("MSET kv", o.OP_MSET),
    Kind.MSETNX: _row("MSETNX kv", o.OP_MSETNX),
    Kind.APPEND: _row("APPEND k v", o.OP_APPEND),
    Kind.INCR: _row("INCR k", o.OP_INCRBY),
    Kind.INCRBY: _row("INCRBY k n", o.OP_INCRBY),
    Kind.DEL: _row("DEL kk", o.OP_DEL),
    Kind.GETDEL: _row("GETDEL k", o.OP_GETDEL),
    Kind.GETEX: _row("GETEX k PX n", o.OP_GETEX, o.FLAG_RELATIVE),
    Kind.PEXPIRE: _row("PEXPIRE k n", o.OP_EXPIRE, o.FLAG_RELATIVE),
    Kind.PERSIST: _row("PERSIST k", o.OP_PERSIST),
}


@dataclass(slots=True, eq=False)
class Request:
    """One request, as its client saw it. Times in microseconds."""

    kind: Kind
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...] = ()  # one for each key, or none
    number: int = 0  # milliseconds to live, or an increment
    client: int = 0
    connection: int = 0  # no other one of the run has this number
    asked: int = 0
    answered: int = FOREVER  # FOREVER: the outcome is unknown
    failed: bool = False  # definitely not applied
    reply: object = None  # bytes, int, None, OK, or a list of those
    place: int = field(default=0, repr=False)  # the checks' own: where in the log it is explained,
    shown: int = field(default=0, repr=False)  # and the time (ms) by which it says how much is left, 0 if it does not

    def words(self) -> list[bytes]:
        """The request as it is sent."""
        words: list[bytes] = []
        for word in COMMANDS[self.kind].words:
            if word == "k":
                words.append(self.keys[0])
            elif word == "v":
                words.append(self.values[0])
            elif word == "n":
                words.append(b"%d" % self.number)
            elif word == "kk":
                words += self.keys
            elif word == "kv":
                words += [part for pair in zip(self.keys, self.values, strict=True) for part in pair]
            else:
                words.append(word.encode())
        return words

    def operation(self) -> bytes:
        """A write as it has to stand in the log; nothing for a read. docs/design.md, "Operation"."""
        words, opcode, flags = COMMANDS[self.kind]
        if not opcode:
            return b""
        values = self.values or (b"",) * len(self.keys)
        # What an APPEND says of how long a value may become is not in its words: replicas are set to it.
        arg = self.number if "n" in words or self.kind == Kind.APPEND else int(self.kind == Kind.INCR)
        return o.op_encode(opcode, flags, arg, list(zip(self.keys, values, strict=True)))

    def misfit(self, reply: object) -> bool:
        """Can this not be the answer, whatever is stored? It is another request's, then."""
        fits = FITS.get(self.kind)
        if fits is None:  # a number
            return not isinstance(reply, int)
        return not fits(self, reply)

    def __str__(self) -> str:
        """For an explanation."""
        text = b" ".join(word[:40] for word in self.words())
        end = "" if self.answered == FOREVER else f", answered {self.answered / 1e6:.6f} {self.reply!r:.200}"
        return f"{text.decode('latin-1')!r} of client {self.client}, asked {self.asked / 1e6:.6f}{end}"


# --- what may come back
def begin_value(key: bytes) -> bytes:
    """How the values of a key begin, so that one that is shown for another key is known as such."""
    return key + b"="


def is_counter(key: bytes) -> bool:
    """Does it hold a number, as INCR makes it?"""
    return key.startswith(b"c")


def _value(key: bytes, reply: object) -> bool:
    if reply is None:
        return True
    if not isinstance(reply, bytes):
        return False
    return reply.lstrip(b"-").isdigit() if is_counter(key) else reply.startswith(begin_value(key))


def _one_value(request: Request, reply: object) -> bool:
    return _value(request.keys[0], reply)


def _all_values(request: Request, reply: object) -> bool:
    return isinstance(reply, list) and len(reply) == len(request.keys) and all(map(_value, request.keys, reply))


def _ok(_: Request, reply: object) -> bool:
    return reply == OK


def _ok_or_none(_: Request, reply: object) -> bool:
    return reply is None or reply == OK


def _up_to_all_keys(request: Request, reply: object) -> bool:
    return isinstance(reply, int) and 0 <= reply <= len(request.keys)


def _yes_or_no(_: Request, reply: object) -> bool:
    return isinstance(reply, int) and 0 <= reply <= 1


def _length_with_it(request: Request, reply: object) -> bool:
    return isinstance(reply, int) and reply >= len(request.values[0])


FITS: Final[dict[Kind, Callable[[Request, object], bool]]] = {
    Kind.GET: _one_value, Kind.MGET: _all_values, Kind.EXISTS: _up_to_all_keys, Kind.SET: _ok,
    Kind.SET_NX: _ok_or_none, Kind.SET_XX: _ok_or_none, Kind.SET_PX: _ok, Kind.PSETEX: _ok, Kind.SETNX: _yes_or_no,
    Kind.GETSET: _one_value, Kind.MSET: _ok, Kind.MSETNX: _yes_or_no, Kind.APPEND: _length_with_it,
    Kind.DEL: _up_to_all_keys, Kind.GETDEL: _one_value, Kind.GETEX: _one_value, Kind.PEXPIRE: _yes_or_no,
    Kind.PERSIST: _yes_or_no,
}  # fmt: skip
