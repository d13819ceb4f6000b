"""Clients that never wait: up to 64 unanswered requests, on connections that only the server ends.

The n-th reply belongs to the n-th request, or the connection ends.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, cast

from tests.cell.pauses_history import NOT_DONE, Garbled, History, Reply, Request, parse, value

from fastpaxos_live.testing import HOST, request

OWED_MAX = 64
# What a connection takes as its own limit, and its share of writes: each has the next of these.
TASTES = ((OWED_MAX, 0.5), (OWED_MAX, 0.0), (1, 0.5), (OWED_MAX, 1.0), (4, 0.0), (OWED_MAX, 0.5), (1, 0.0))
BURST_MAX = 8
INTERVAL_S = 0.02  # between bursts, on the average
REGISTERS = 3  # of each connection
PADDING, PADDING_RARELY, RARELY = 100, 300_000, 0.003
RETRY_S = 0.05
CLOSE_S = 1.0  # in which a connection has to end after -UNKNOWN


class Kind(StrEnum):
    """Where a client sends its requests."""

    master = "at the master"
    forwarded = "forwarded"
    moved = "following MOVED"


class World(Protocol):
    """What clients know of the run."""

    history: History
    ports: dict[int, int]  # client ports by replica
    master: int  # 0: nobody knows
    open: set["Connection"]
    counts: Counter[str]

    def now(self) -> float:
        """Monotonic seconds."""


class Connection(asyncio.Protocol):
    """One connection; its keys are its own, so that what an earlier one left unanswered can't overwrite them."""

    def __init__(self, world: World, kind: Kind, replica: int, moved: Callable[[int], None]) -> None:
        number = world.counts["connections"] = world.counts["connections"] + 1
        self.name = b"c%d" % number
        self.kind, self.replica = kind, replica
        self.owed: deque[Request] = deque()
        self.is_off = False  # a reply was another's: the later ones are counted and not believed
        self.unknown_at = 0.0
        self._world, self._moved = world, moved
        self._count = 0
        self._limit, self._writes = TASTES[number % len(TASTES)]
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._registers = [b"%s.%d" % (self.name, n) for n in range(REGISTERS)]

    # --- its life
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._world.open.add(self)
        self._world.history.live.extend(self._registers)

    def connection_lost(self, error: Exception | None) -> None:
        """What is owed has an unknown outcome."""
        self._world.open.discard(self)
        unknown = sum(one.command == b"INCR" for one in self.owed)
        for one in self.owed:
            one.done = True
        self.owed.clear()
        most = OWED_MAX * 1_000_000 if self.is_off else self._count + unknown
        self._world.history.counted[self._counter] = (self._count, most)
        self._transport = None

    @property
    def _counter(self) -> bytes:
        return self.name + b".count"

    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def end(self) -> None:
        """Closes it at once, whatever it is owed."""
        if self._transport is not None:
            self._transport.abort()

    # --- requests
    def burst(self) -> None:
        """Sends some, as far as the limit allows."""
        room = self._limit - len(self.owed)
        if self._transport is None or self.unknown_at or room <= 0:
            return
        made = [self._make() for _ in range(min(room, random.randint(1, BURST_MAX)))]
        self._transport.write(b"".join(made))

    def slots(self) -> None:
        """Asks for the cluster, which tells the replica that this client knows MOVED."""
        assert self._transport is not None
        self._owe(b"CLUSTER", ())
        self._transport.write(request(b"CLUSTER", b"SLOTS"))

    def _owe(self, command: bytes, keys: tuple[bytes, ...], number: int = 0) -> None:
        history = self._world.history
        floors = tuple(history.floor.get(key, 0) for key in keys) if command in (b"GET", b"MGET") else ()
        self.owed.append(Request(command, keys, self._world.now(), number, floors))

    def _make(self) -> bytes:
        history = self._world.history
        draw = random.random()
        if random.random() < self._writes:
            if draw < 0.3:
                self._owe(b"INCR", (self._counter,))
                return request(b"INCR", self._counter)
            key = random.choice(self._registers)
            number = history.write(key)
            self._owe(b"SET", (key,), number)
            most = PADDING_RARELY if random.random() < RARELY else PADDING
            return request(b"SET", key, value(key, number, random.randint(0, most)))
        if draw < 0.2:
            token = b"%s-%d" % (self.name, random.getrandbits(40))
            self._owe(b"ECHO", (token,))
            return request(b"ECHO", token)
        if draw < 0.3:
            keys = tuple(random.choices(history.live, k=3))
            self._owe(b"MGET", keys)
            return request(b"MGET", *keys)
        key = random.choice(history.live)
        self._owe(b"GET", (key,))
        return request(b"GET", key)

    # --- replies
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        try:
            while at < len(self._buffer) and (found := parse(self._buffer, at)) is not None:
                at = found[1]
                self._take(found[0])
        except Garbled as error:
            self._wrong("wrong reply", f"no reply at all: {error}")
            self.end()
        del self._buffer[:at]

    def _take(self, reply: Reply) -> None:
        if self.unknown_at or not self.owed:
            self._wrong("reply too many", f"{str(reply)[:80]}")
            return
        one = self.owed.popleft()
        one.done = True
        self._world.counts["replies"] += 1
        if reply[0] == b"-":
            self._refused(one, bytes(reply[1]))  # type: ignore[call-overload]
        elif trouble := self._judge(one, reply):
            self._wrong(trouble, f"{one.command.decode()} {one.keys} from {one.floors}: {str(reply)[:80]}")

    def _refused(self, one: Request, text: bytes) -> None:
        word = text.split(b" ", 1)[0]
        if word == b"UNKNOWN":
            self.owed.appendleft(one)  # until the connection ends nothing is known of it
            self.unknown_at = self._world.now()
        elif word not in NOT_DONE or (word == b"MOVED" and self.kind is not Kind.moved):
            self._wrong("wrong reply", f"{one.command.decode()} {one.keys}: {text.decode(errors='replace')[:80]}")
        elif one.command == b"SET" and not self.is_off:
            self._world.history.not_done(one)
        if word == b"MOVED":
            port = int(text.rpartition(b":")[2])
            self._moved(next((i for i, at in self._world.ports.items() if at == port), 0))

    def _judge(self, one: Request, reply: Reply) -> str:
        """What kind of violation the reply is, or ""."""
        kind, found = reply
        history = self._world.history
        match one.command:
            case b"SET":
                if reply != (b"+", b"OK"):
                    return "wrong reply"
                if not self.is_off:
                    history.acknowledged(one)
                return ""
            case b"INCR":
                self._count += 1
                if kind != b":":
                    return "wrong reply"
                if found != self._count:
                    return "" if self.is_off else "lost write" if int(str(found)) < self._count else "written twice"
                return ""
            case b"ECHO":
                return "" if reply == (b"$", one.keys[0]) else "wrong reply"
            case b"GET":
                return history.read(one.keys[0], one.floors[0], found) if kind == b"$" else "wrong reply"
            case b"MGET":
                if kind != b"*" or not isinstance(found, list) or len(found) != len(one.keys):
                    return "wrong reply"
                parts = zip(one.keys, one.floors, found, strict=True)
                return next(filter(None, (history.read(key, floor, item[1]) for key, floor, item in parts)), "")
        return "" if kind == b"*" else "wrong reply"

    def _wrong(self, kind: str, text: str) -> None:
        if self.is_off:
            kind = "wrong reply"
        self._world.history.violation(kind, f"{self.name.decode()} {self.kind}, r{self.replica}: {text}")
        self.is_off |= kind in ("wrong reply", "reply too many")


class Client:
    """Goes on for ever: one connection after the other, or, following MOVED, several side by side."""

    def __init__(self, world: World, kind: Kind, home: int) -> None:
        self._world, self._kind, self._home = world, kind, home
        self._at = home
        self._all: dict[int, Connection] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / INTERVAL_S))
            self._turn_to_master()
            connection = self._all.get(self._at)
            if connection is None or not connection.is_open():
                connection = await self._connect()
            if connection is not None:
                connection.burst()

    def _turn_to_master(self) -> None:
        if self._kind is not Kind.master or self._world.master in (0, self._at):
            return
        # It stays where it is owed something.
        connection = self._all.get(self._at)
        if connection is None or not connection.owed or not connection.is_open():
            if connection is not None:
                connection.end()
            self._at = self._world.master

    def _moved(self, replica: int) -> None:
        if replica:
            self._at = replica
        else:
            self._world.history.violation("wrong reply", "MOVED to nobody")

    async def _connect(self) -> Connection | None:
        at = self._at
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_connection(
                lambda: Connection(self._world, self._kind, at, self._moved), HOST, self._world.ports[at]
            )
        except OSError:
            if self._kind is Kind.moved:  # as cluster clients do: ask another one
                self._at = random.choice([*self._world.ports])
            await asyncio.sleep(RETRY_S)
            return None
        self._all[at] = made
        if self._kind is Kind.moved and made.is_open():
            made.slots()
        return made
