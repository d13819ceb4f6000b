"""Clients that speak the Redis protocol, and write down what they asked, when, and what came back.

A client is at one replica at a time, sends a batch of requests, waits for all replies, thinks, goes on. When time is
over or the connection breaks, the outcome of what was not answered is unknown. Whoever can't serve it is left for the
next replica, where it may ask the same again, with other values: nearly every write can be told from all others, in the
log and in answers.

The n-th reply belongs to the n-th request, or the connection ends. Each client looks at that at once: a reply has the
form of an answer to its request, a value begins with the name of its key, and nothing follows an unknown outcome. The
clients of `eager.py` never wait, and lay stress on that.
"""

from bisect import bisect
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from .check import Violation
from .link import Error, Link, decode, encode
from .requests import Kind, Request, begin_value

if TYPE_CHECKING:
    from .world import World

ERRORS = (b"TRYAGAIN", b"CLUSTERDOWN", b"MOVED", b"UNKNOWN")  # all but the last: definitely not applied
DISK_FULL = b"ERR disk full, nothing was done"  # nor this one
MIX = {
    Kind.GET: 28, Kind.MGET: 5, Kind.EXISTS: 1, Kind.STRLEN: 1, Kind.PTTL: 2,
    Kind.SET: 20, Kind.SET_NX: 3, Kind.SET_XX: 2, Kind.SET_PX: 3, Kind.PSETEX: 2, Kind.SETNX: 2, Kind.GETSET: 3,
    Kind.MSET: 6, Kind.MSETNX: 2, Kind.APPEND: 5, Kind.INCR: 4, Kind.INCRBY: 8, Kind.DEL: 4, Kind.GETDEL: 3,
    Kind.GETEX: 1, Kind.PEXPIRE: 2, Kind.PERSIST: 1,
}  # fmt: skip
KINDS = list(MIX)
WEIGHTS = list(accumulate(MIX.values()))
SEVERAL = frozenset((Kind.MGET, Kind.EXISTS, Kind.MSET, Kind.MSETNX))
COUNTERS = frozenset((Kind.INCR, Kind.INCRBY))  # have keys of their own
ON_COUNTERS = (Kind.GET, Kind.GET, Kind.GET, Kind.PTTL, Kind.PEXPIRE, Kind.PERSIST)  # done to them now and then
VALUED = frozenset((
    Kind.SET, Kind.SET_NX, Kind.SET_XX, Kind.SET_PX, Kind.PSETEX, Kind.SETNX, Kind.GETSET, Kind.MSET, Kind.MSETNX,
    Kind.APPEND,
))  # fmt: skip
TIMED = frozenset((Kind.SET_PX, Kind.PSETEX, Kind.GETEX, Kind.PEXPIRE))
TTLS_MS = (5, 50, 300, 2000)
AGAIN = 0.3  # how often what was not answered is asked again
CONNECTIONS_MAX = 1_000_000  # of one client


class Client:
    """One client; its random decisions come from the world's generator."""

    def __init__(self, world: "World", id: int) -> None:
        self.world = world
        self.id = id
        self.link: Any = None  # a Link while connected
        self.buffer = bytearray()
        self.asked: deque[Request] = deque()  # not answered yet
        self.again: list[Request] = []  # were asked before in vain, perhaps
        self.connection = id * CONNECTIONS_MAX  # number of the present one
        self.batch = 0  # counts batches, so that an old time-out is known as such
        self.writes = 0
        self.at_node = world.random.randrange(world.plan.replicas)
        self.leaving = False  # when all is answered: this replica does not serve
        self.last = False  # the batch under way reads every key, to end with
        self.done = False  # that was answered
        plan, random = world.plan, world.random
        self.resp = 3 if plan.resp3 and random.random() < plan.resp3 else 2
        self.redirect = False  # it asks for redirects
        self.slow = bool(plan.slow_readers) and random.random() < plan.slow_readers

    def start(self) -> None:
        """Begin, or go on after a pause."""
        world = self.world
        if self.link is None:
            self._connect()
        self.batch += 1
        self.last = world.now >= world.load_until
        self._ask(self._all_keys() if self.last else self._requests())
        patience = world.plan.lease_us * 4 + int(world.random.random() * 1_000_000)
        world.after(patience if world.faulty else 2 * patience, self._on_timeout, self.batch)

    def _connect(self) -> None:
        world = self.world
        node = world.nodes[self.at_node + 1]
        plan = world.plan
        self.link = Link(
            self, node, resp=self.resp, redirect=self.redirect, window=plan.window_bytes if self.slow else 0,
            nap_us=plan.nap_us,
        )  # fmt: skip
        self.connection += 1
        self.buffer.clear()
        if node.core is None:
            world.after(world.network.delay(), self._on_refused, self.link)
        else:
            self.link.post("open_client", self.link)

    # --- requests
    def _ask(self, requests: list[Request]) -> None:
        self.asked.extend(requests)
        self.world.history += requests
        self.link.send(b"".join([encode(*request.words()) for request in requests]))

    def _text(self, key: bytes) -> bytes:
        self.writes += 1
        text = b"%b%d.%d," % (begin_value(key), self.id, self.writes)
        size = self.world.plan.value_bytes
        return text + b"x" * self.world.random.randint(0, size) if size else text

    def _request(self, kind: Kind, keys: tuple[bytes, ...]) -> Request:
        # With values that no other request has, and an increment that none has on these keys.
        number = 0
        values: tuple[bytes, ...] = ()
        if kind in VALUED:
            values = tuple([self._text(key) for key in keys])
        if kind in TIMED:
            number = self.world.random.choice(TTLS_MS) + int(self.world.random.random() * 20)
        elif kind == Kind.INCRBY:
            self.writes += 1
            number = self.writes * self.world.plan.clients + self.id
        elif kind == Kind.APPEND:
            number = self.world.plan.value_bytes_max
        elif kind == Kind.DEL:
            keys = keys[0], self._text(b"~")
        return Request(kind, keys, values, number, self.id, self.connection, self.world.now)

    def _requests(self) -> list[Request]:
        if self.again:
            again, self.again = self.again, []
            return [self._request(request.kind, request.keys) for request in again]
        return [self._draw() for _ in range(self.world.random.randint(1, self.world.plan.pipeline))]

    def _all_keys(self) -> list[Request]:
        numbers = range(self.world.plan.keys)
        return [self._request(Kind.MGET, tuple([b"%b%d" % (letter, i) for i in numbers])) for letter in (b"r", b"c")]

    def _draw(self) -> Request:
        random, keys = self.world.random, self.world.plan.keys
        reader = self.id <= self.world.plan.readers
        kind = Kind.MGET if reader else KINDS[bisect(WEIGHTS, int(random.random() * WEIGHTS[-1]))]
        if kind in SEVERAL:
            return self._request(kind, tuple([b"r%d" % number for number in self._several()]))
        number = int(random.random() * keys)
        if kind in COUNTERS:
            if random.random() < 0.25:
                kind = random.choice(ON_COUNTERS)
            return self._request(kind, (b"c%d" % number,))
        return self._request(kind, (b"r%d" % number,))

    def _several(self) -> list[int]:
        random, keys = self.world.random, self.world.plan.keys
        return sorted({int(random.random() * keys) for _ in range(3)})

    # --- replies
    def on_data(self, link: Link, data: bytes) -> None:
        """Bytes from the replica."""
        if link is not self.link:
            return
        if link.lost:
            raise Violation(f"client {self.id} got {data[:60]!r} after an unknown outcome, on the same connection")
        self.buffer += data
        at = 0
        while not link.lost and (reply := decode(self.buffer, at)) is not None:
            value, at = reply
            if not self.asked:
                raise Violation(f"client {self.id} got a reply that it did not ask for: {value!r:.200}")
            self._answered(self.asked.popleft(), value)
        del self.buffer[:at]
        if link.lost and self.buffer:
            raise Violation(f"client {self.id} got {bytes(self.buffer[:60])!r} together with an unknown outcome")
        self._replies_taken()

    def _replies_taken(self) -> None:
        if self.asked:
            return
        if self.leaving:
            self._leave()
        elif self.last:
            self.done = True
        else:
            self.world.after(self._think(), self.start)

    def _think(self) -> int:
        return int(self.world.random.expovariate(1 / self.world.plan.think_us))

    def _answered(self, request: Request, reply: object) -> None:
        world = self.world
        if isinstance(reply, Error):
            word = bytes(reply).split(b" ", 1)[0]
            world.count_reply(word.decode("ascii", "replace"))
            if word not in ERRORS and bytes(reply) != DISK_FULL:
                raise Violation(f"{request} was answered {bytes(reply)!r:.200}")
            if word == b"UNKNOWN":
                self.link.lost = True
                world.streams.unknown(self.link, request)
            else:
                request.failed = True
            self._refused(word, reply)
            return
        if request.misfit(reply):
            raise Violation(f"{request} was answered {reply!r:.200}, which is the reply to another request")
        self.link.successes += 1
        world.completed += 1
        request.answered = world.now
        request.reply = reply

    def _refused(self, word: bytes, reply: Error) -> None:
        if word == b"MOVED":
            self._moved(reply)
        elif not self.leaving:
            self._next_node()
        self.leaving = True

    def _moved(self, reply: Error) -> None:
        self.at_node = int(reply.rsplit(b":", 1)[1]) - 7001

    # --- trouble
    def _on_refused(self, link: Link) -> None:
        # Nobody listens: what was asked was never sent. What is asked now may be on another connection.
        if link is self.link:
            for request in self.asked:
                request.failed = True
            self.on_closed(link)

    def on_closed(self, link: Link) -> None:
        """The replica closed, died or was not there."""
        if link is self.link:
            self._next_node()
            self._leave(closed=True)

    def _on_timeout(self, batch: int) -> None:
        if batch == self.batch and self.asked:
            self.world.count_reply("time-out")
            self._next_node()
            self._leave()

    def _next_node(self) -> None:
        self.at_node = (self.at_node + 1) % self.world.plan.replicas

    def _leave(self, closed: bool = False) -> None:
        # What was asked and not answered stays as it is in the history: its outcome is unknown.
        link, self.link = self.link, None
        if not closed:
            link.post("close_client", link)
        self.again = list(self.asked) if not self.last and self.world.random.random() < AGAIN else []
        self.asked.clear()
        self.leaving = False
        self.batch += 1
        self.world.after(self._think() + 1000, self.start)
