"""Random requests for the tests of the database and RESP layers."""

from random import Random

INTEGERS = [
    b"0",
    b"1",
    b"-1",
    b"7",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"9223372036854775",
    b"9223372036854776",
    b"-9223372036854775",
    b"-9223372036854776",
    b"",
    b"01",
    b"+1",
    b"-0",
    b"1.5",
    b" 1",
    b"1 ",
    b"abc",
    b"1\0",
]
VALUES = [b"", b"v", b"10", b"\r\n", b"\0", b"x" * 40, b"y" * 1500, b"z" * 5000]
KEYS = [b"a", b"b", b"c", b"", b"k\r\n", b"{a}1", b"key:000000000042", b"l" * 70]
OPTIONS = [
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"GET",
    b"KEEPTTL",
    b"PERSIST",
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"ASYNC",
    b"SYNC",
    b"BAD",
    b"bad\r\noption\n",
]
NAMES = [
    b"GET",
    b"MGET",
    b"EXISTS",
    b"TOUCH",
    b"STRLEN",
    b"TYPE",
    b"TTL",
    b"PTTL",
    b"EXPIRETIME",
    b"PEXPIRETIME",
    b"DBSIZE",
    b"SET",
    b"SETEX",
    b"PSETEX",
    b"GETSET",
    b"SETNX",
    b"MSET",
    b"MSETNX",
    b"APPEND",
    b"DEL",
    b"UNLINK",
    b"GETDEL",
    b"GETEX",
    b"INCR",
    b"DECR",
    b"INCRBY",
    b"DECRBY",
    b"EXPIRE",
    b"PEXPIRE",
    b"EXPIREAT",
    b"PEXPIREAT",
    b"PERSIST",
    b"PING",
    b"ECHO",
    b"FLUSHALL",
    b"FLUSHDB",
]


def request(*args: bytes) -> bytes:
    """A request as a RESP array."""
    head = b"*%d\r\n" % len(args)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def wild(random: Random) -> list[bytes]:
    """Arguments that make sense now and then."""
    name = random.choice([*NAMES, b"HELLO", b"FPL.CELL", b"nosuch", b"get\0", b"N" * 200])
    if name in (b"FLUSHALL", b"FLUSHDB") and random.random() < 0.8:
        name = b"SET"
    args = [name.lower() if random.random() < 0.3 else name]
    for i in range(random.choice([0, 1, 1, 2, 2, 2, 3, 4, 5, 6])):
        pool = (
            KEYS if i == 0 else random.choice([KEYS, VALUES, INTEGERS, INTEGERS, OPTIONS, OPTIONS])
        )
        args.append(random.choice(pool))
    return args


class Sensible:
    """Requests whose replies don't depend on the moment at which they are executed, but for
    `is_time`. Each time to live is one of its own and far away, or over already."""

    def __init__(self, random: Random, now_ms: int) -> None:
        self._random = random
        self._now_ms = now_ms
        self._used = 0

    @staticmethod
    def is_time(args: list[bytes]) -> bool:
        """Does the request ask how long a key lives?"""
        return args[0] in (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME")

    def args(self) -> list[bytes]:
        """The next request."""
        random = self._random
        name = random.choice(NAMES[:-2] if random.random() < 0.99 else NAMES)
        if name == b"SET":
            return [name, self._key(), self._value(), *self._options_of_set()]
        if name in (b"SETEX", b"PSETEX"):
            return [name, self._key(), self._time(name == b"SETEX", True), self._value()]
        if name == b"GETEX":
            return [name, self._key(), *random.choice([[], [b"PERSIST"], self._future()])]
        if name.startswith((b"EXPIRE", b"PEXPIRE")) and not name.endswith(b"TIME"):
            time = self._time(
                not name.startswith(b"P"), not name.endswith(b"AT"), random.random() < 0.2
            )
            return [
                name,
                self._key(),
                time,
                *random.choices(OPTIONS[:4], k=random.choice([0, 0, 1, 1, 2])),
            ]
        return [name, *self._plain(name)]

    def _plain(self, name: bytes) -> list[bytes]:
        random = self._random
        if random.random() < 0.05:  # a wrong number of arguments, more often than not
            return random.choices(KEYS, k=random.randrange(5))
        if name in (b"DBSIZE", b"FLUSHALL", b"FLUSHDB"):
            return random.choice([[], [], [b"sync"], [b"ASYNC"], [b"BAD"], [b"SYNC", b"SYNC"]])
        if name in (b"MSET", b"MSETNX"):
            return [x for _ in range(random.randrange(1, 4)) for x in (self._key(), self._value())]
        if name in (b"MGET", b"EXISTS", b"TOUCH", b"DEL", b"UNLINK"):
            return random.choices(KEYS, k=random.randrange(1, 4))
        if name in (b"INCRBY", b"DECRBY"):
            return [self._key(), random.choice(INTEGERS)]
        if name in (b"APPEND", b"SETNX", b"GETSET"):
            return [self._key(), self._value()]
        if name == b"PING":
            return random.choice([[], [b"hello"], [b"too", b"many"]])
        return [self._key()]

    def _key(self) -> bytes:
        return self._random.choice(KEYS)

    def _value(self) -> bytes:
        return self._random.choice(INTEGERS + VALUES)

    def _options_of_set(self) -> list[bytes]:
        random = self._random
        options = [
            [o]
            for o in (b"NX", b"XX", b"GET", b"KEEPTTL", b"nosuch", b"EX")
            if random.random() < 0.12
        ]
        if random.random() < 0.4:
            options.append(
                self._future() if random.random() < 0.8 else [b"PX", self._time(False, True, True)]
            )
        random.shuffle(options)
        return [word for option in options for word in option]

    def _future(self) -> list[bytes]:
        option = self._random.choice([b"EX", b"PX", b"EXAT", b"PXAT", b"ex"])
        return [option, self._time(option.upper().startswith(b"E"), not option.endswith(b"AT"))]

    def _time(self, seconds: bool, relative: bool, bad: bool = False) -> bytes:
        if bad:
            return self._random.choice([*INTEGERS[2:3], *INTEGERS[4:], b"-5", b"0"])
        self._used += 1
        ms = 100_000 * self._random.randrange(1, 100_000) * 1000 + self._used * 100_000
        ms += 0 if relative else self._now_ms
        return b"%d" % (ms // 1000 if seconds else ms)
