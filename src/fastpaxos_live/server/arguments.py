"""What handlers make of a request's arguments. All of it raises CommandError for what is wrong."""

from collections.abc import Callable

from .glob import PATTERN_BYTES_MAX, PatternTooLong, glob
from .reply import CommandError

INTEGER_BYTES_MAX = 20
NAME_BYTES = bytes(range(33, 127))
NAME_BYTES_MAX = 128  # of a client, of its library or its version: each is in every CLIENT LIST


def text(argument: bytes) -> str:
    """An argument as a string that gives the same bytes back."""
    return argument.decode("utf-8", "surrogateescape")


def c_text(argument: bytes) -> str:
    """`text` up to a NUL, as in the errors that Redis makes with strings of C."""
    return text(argument.partition(b"\0")[0])


def option(argument: bytes) -> bytes:
    """A word in upper case; as Redis compares options it ends at a NUL."""
    return argument.partition(b"\0")[0].upper()


def parse_integer(argument: bytes) -> int | None:
    """A 64-bit decimal as Redis reads it: no sign but "-", no spaces, no leading zeros."""
    if len(argument) > INTEGER_BYTES_MAX or not argument.removeprefix(b"-").isdigit():
        return None
    number = int(argument)
    return number if b"%d" % number == argument and -(1 << 63) <= number < 1 << 63 else None


def parse_name(argument: bytes, what: str) -> str:
    """A name without spaces or control characters. Raises CommandError."""
    if argument.translate(None, NAME_BYTES):
        raise CommandError(f"ERR {what} cannot contain spaces, newlines or special characters.")
    if len(argument) > NAME_BYTES_MAX:
        verb = "have" if what.endswith("names") else "has"
        raise CommandError(f"ERR {what} {verb} at most {NAME_BYTES_MAX} bytes")
    return argument.decode()


def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """`glob`. Raises CommandError."""
    try:
        return glob(pattern)
    except PatternTooLong:
        raise CommandError(f"ERR a pattern has at most {PATTERN_BYTES_MAX} bytes") from None
