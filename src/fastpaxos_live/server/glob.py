"""Redis's patterns for names: * ? [a-z] [^a] and a backslash; upper and lower case alike.

A matcher goes back to the last star only, never to one before it, so what it costs is bounded by the product of the two
lengths; and a pattern that asks for more bytes than a name has is refused by the name at once.
"""

from collections.abc import Callable

PATTERN_BYTES_MAX = 256

# What stands for one byte of a name: which bytes fit. None stands for a star.
Token = bytes | bytearray | None

_NONE = bytes(256)
_ANY = b"\1" * 256


class PatternTooLong(Exception):
    """A pattern of more than PATTERN_BYTES_MAX bytes."""


def glob(pattern: bytes) -> Callable[[bytes], bool]:
    """Whether a name in lower case matches the pattern. Raises PatternTooLong."""
    tokens = _tokens(pattern)
    fixed = sum(token is not None for token in tokens)
    return lambda name: fixed <= len(name) and _matches(tokens, name)


def _matches(tokens: list[Token], name: bytes) -> bool:
    at = token = 0
    star, retry = -1, 0  # the last star passed, and where what follows it is tried next
    while at < len(name):
        if token < len(tokens):
            wanted = tokens[token]
            if wanted is None:
                star, retry = token, at
                token += 1
                continue
            if wanted[name[at]]:
                token += 1
                at += 1
                continue
        if star < 0:
            return False
        retry += 1
        token, at = star + 1, retry
    return all(rest is None for rest in tokens[token:])


def _tokens(pattern: bytes) -> list[Token]:
    if len(pattern) > PATTERN_BYTES_MAX:
        raise PatternTooLong
    pattern = pattern.lower()
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte == b"*":
            if not tokens or tokens[-1] is not None:
                tokens.append(None)
        elif byte == b"?":
            tokens.append(_ANY)
        elif byte == b"[":
            at, members = _members(pattern, at)
            tokens.append(members)
        else:
            if byte == b"\\" and at < len(pattern):
                byte = pattern[at : at + 1]
                at += 1
            tokens.append(_range(bytearray(_NONE), byte[0], byte[0]))
    return tokens


def _members(pattern: bytes, at: int) -> tuple[int, bytearray]:
    # The class that begins behind the bracket at `at`; the end of the pattern closes it, too. A range takes whatever
    # stands behind its dash, a bracket as well, and may run backwards.
    negated = pattern[at : at + 1] == b"^"
    at += negated
    found = bytearray(_NONE)
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            _range(found, pattern[at + 1], pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            _range(found, min(pattern[at], pattern[at + 2]), max(pattern[at], pattern[at + 2]))
            at += 3
        else:
            _range(found, pattern[at], pattern[at])
            at += 1
    if negated:
        found = found.translate(b"\1\0" + _NONE[2:])
    return at + 1, found


def _range(members: bytearray, low: int, high: int) -> bytearray:
    members[low : high + 1] = _ANY[: high + 1 - low]
    return members
