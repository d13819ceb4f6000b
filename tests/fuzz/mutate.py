"""Small changes of bytes, all from one source of randomness."""

from collections.abc import Callable, Sequence
from random import Random

SIZE_MAX = 1 << 16
BYTES = b"\0\1\n\r \"$*\x7f\x80\xff"
NUMBERS = (0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 24, (1 << 31) - 1, 1 << 31,
           (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
DIGITS = (b"0", b"-1", b"1", b"65536", b"2147483648", b"4294967296", b"9223372036854775807", b"9223372036854775808",
          b"18446744073709551616", b"9" * 40, b"1" * 5000)  # fmt: skip

Change = Callable[[Random, bytearray], None]


def _flip(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data))
    data[at] ^= 1 << random.randrange(8)


def _put(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] = random.choice((*BYTES, random.randrange(256)))


def _number(random: Random, data: bytearray) -> None:
    size = random.choice((1, 2, 4, 8))
    at = random.randrange(max(1, len(data) - size + 1))
    if random.random() < 0.7:
        at -= at % size
    number = random.choice(NUMBERS) if random.random() < 0.7 else int.from_bytes(data[at : at + size], "little")
    data[at : at + size] = ((number + random.randrange(-2, 3)) % (1 << 8 * size)).to_bytes(size, "little")


def _digits(random: Random, data: bytearray) -> None:
    found = [at for at, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
    if found:
        at = end = random.choice(found)
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        data[at:end] = random.choice(DIGITS)


def _span(random: Random, data: bytearray) -> tuple[int, int]:
    at = random.randrange(len(data))
    return at, min(len(data), at + random.choice((1, 2, 4, 8, 20, 64, 1 + random.randrange(len(data)))))


def _cut(random: Random, data: bytearray) -> None:
    at, end = _span(random, data)
    del data[at:end]


def _end(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data)) :]


def _repeat(random: Random, data: bytearray) -> None:
    at, end = _span(random, data)
    data[at:at] = data[at:end] * random.choice((1, 1, 2, 5))


def _move(random: Random, data: bytearray) -> None:
    at, end = _span(random, data)
    part = data[at:end]
    del data[at:end]
    at = random.randrange(len(data) + 1)
    data[at:at] = part


CHANGES: tuple[Change, ...] = (_flip, _put, _number, _number, _digits, _cut, _end, _repeat, _move)


def mutate(random: Random, data: bytes, other: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """A few changes, or a part of `other` in it; `tokens` are words that mean something there."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        kind = random.random()
        at = random.randrange(len(out) + 1)
        if tokens and kind < 0.2:
            end = at + random.choice((0, 0, 1, 4))
            out[at:end] = random.choice(tokens)
        elif other and kind < 0.3:
            start, end = _span(random, bytearray(other))
            out[at:at] = other[start:end]
        elif out:
            random.choice(CHANGES)(random, out)
    return bytes(out[:SIZE_MAX])
