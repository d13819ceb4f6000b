"""Clients that speak the Redis protocol, and write down what they asked, when, and what came back.

A client is at one replica at a time, sends a batch of requests, waits for all replies, thinks, goes on. When time is
over or the connection breaks, the outcome of what was not answered is unknown. Whoever can't serve it is left for the
next replica.
"""

from typing import TYPE_CHECKING, Any

from .check import Violation
from .linear import Kind, Operation

if TYPE_CHECKING:
    from .node import Node
    from .world import World

ERRORS = (b"TRYAGAIN", b"CLUSTERDOWN", b"MOVED", b"UNKNOWN")  # all but the last: definitely not applied
MIX = (
    ("get", 30), ("set", 18), ("nx", 7), ("px", 5), ("incr", 16), ("mget", 5), ("mset", 5), ("del", 4), ("append", 6),
    ("getdel", 4),
)
COMMANDS = [name for name, _ in MIX]
WEIGHTS = [weight for _, weight in MIX]


class Error(bytes):
    """An error reply, without the minus sign."""


def encode(*words: bytes) -> bytes:
    """A request."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def decode(data: bytes | bytearray, at: int) -> tuple[object, int] | None:
    """The RESP2 reply at `at` and where the next begins; None when it is not complete. Raises Violation."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, text, at = data[at], bytes(data[at + 1 : end]), end + 2
    if kind == 0x2B:  # +
        return (True if text == b"OK" else text), at
    if kind == 0x2D:  # -
        return Error(text), at
    if kind == 0x3A:  # :
        return int(text), at
    size = int(text)
    if kind == 0x24:  # $
        if size < 0:
            return None, at
        return (bytes(data[at : at + size]), at + size + 2) if len(data) >= at + size + 2 else None
    if kind != 0x2A:
        raise Violation(f"a reply begins with {bytes([kind])!r}")
    items = []
    for _ in range(size):
        item = decode(data, at)
        if item is None:
            return None
        items.append(item[0])
        at = item[1]
    return items, at


class Link:
    """A client's connection to a node: two ordered streams."""

    def __init__(self, client: "Client", node: "Node") -> None:
        self.client = client
        self.node = node
        self.boots = node.boots if node.core is not None else 0  # of the life it belongs to
        self.id = -1  # at the replica, once it is open there
        self.arrival_up = 0  # nothing arrives before these times
        self.arrival_down = 0

    def _up(self, item: tuple) -> None:
        if self.boots == self.node.boots:
            self.node.post(item)

    def post(self, *item: object) -> None:
        """Towards the replica."""
        world = self.client.world
        self.arrival_up = max(self.arrival_up, world.now + world.network.delay())
        world.at(self.arrival_up, self._up, item)

    def send(self, data: bytes) -> None:
        """Bytes towards the replica, sometimes in two pieces."""
        world = self.client.world
        if world.plan.split and world.random.random() < world.plan.split:
            cut = world.random.randrange(len(data) + 1)
            self.post("feed_client", self, data[:cut])
            data = data[cut:]
        if data:
            self.post("feed_client", self, data)

    def deliver(self, data: bytes) -> None:
        """Bytes towards the client."""
        world = self.client.world
        self.arrival_down = max(self.arrival_down, world.now + world.network.delay())
        world.at(self.arrival_down, self.client.on_data, self, data)

    def hang_up(self) -> None:
        """The replica closes, behind all it said."""
        world = self.client.world
        self.arrival_down = max(self.arrival_down, world.now + world.network.delay())
        world.at(self.arrival_down, self.client.on_closed, self)


class Client:
    """One client; its random decisions come from the world's generator."""

    def __init__(self, world: "World", id: int) -> None:
        self.world = world
        self.id = id
        self.link: Any = None  # a Link while connected
        self.buffer = bytearray()
        self.asked: list[list[Operation]] = []  # requests not answered yet, each with its operations
        self.batch = 0  # counts batches, so that an old time-out is known as such
        self.writes = 0
        self.at_node = world.random.randrange(world.plan.replicas)
        self.leaving = False  # when all is answered: this replica does not serve
        self.last = False  # the batch under way reads every key, to end with
        self.done = False  # that was answered

    def start(self) -> None:
        """Begin, or go on after a pause."""
        world = self.world
        if self.link is None:
            self._connect()
        self.batch += 1
        self.last = world.now >= world.load_until
        last: dict[bytes, Operation] = {}
        data = []
        for request, operations in self._all_keys() if self.last else self._requests():
            data.append(request)
            self.asked.append(operations)
            for op in operations:
                op.before = last.get(op.key)
                last[op.key] = op
            world.history += operations
        self.link.send(b"".join(data))
        patience = world.plan.lease_us * 4 + int(world.random.random() * 1_000_000)
        world.after(patience if world.faulty else 2 * patience, self._on_timeout, self.batch)

    def _connect(self) -> None:
        world = self.world
        node = world.nodes[self.at_node + 1]
        self.link = Link(self, node)
        self.buffer.clear()
        if node.core is None:
            world.after(world.network.delay(), self._on_refused, self.link)
        else:
            self.link.post("open_client", self.link)

    # --- requests
    def _text(self) -> bytes:
        self.writes += 1
        text = b"%d.%d," % (self.id, self.writes)
        size = self.world.plan.value_bytes
        return text + b"x" * self.world.random.randint(0, size) if size else text

    def _key(self, letter: bytes = b"r") -> bytes:
        return b"%b%d" % (letter, self.world.random.randrange(self.world.plan.keys))

    def _operation(self, kind: Kind, key: bytes, value: bytes = b"", ttl_ms: int = 0) -> Operation:
        return Operation(kind, key, self.world.now, value, ttl_ms * 1000, self.id)

    def _requests(self) -> list[tuple[bytes, list[Operation]]]:
        return [self._request() for _ in range(self.world.random.randint(1, self.world.plan.pipeline))]

    def _all_keys(self) -> list[tuple[bytes, list[Operation]]]:
        batch = []
        for letter in (b"r", b"c"):
            keys = [b"%b%d" % (letter, number) for number in range(self.world.plan.keys)]
            batch.append((encode(b"MGET", *keys), [self._operation(Kind.GET, key) for key in keys]))
        return batch

    def _request(self) -> tuple[bytes, list[Operation]]:
        random = self.world.random
        name = random.choices(COMMANDS, WEIGHTS)[0]
        if self.id <= self.world.plan.readers:
            name = "mget"
        if name == "incr":
            key = self._key(b"c")
            if random.random() < 0.2:
                return encode(b"GET", key), [self._operation(Kind.GET, key)]
            return encode(b"INCR", key), [self._operation(Kind.INCR, key)]
        if name in ("mget", "mset"):
            keys = sorted({self._key() for _ in range(3)})
            if name == "mget":
                return encode(b"MGET", *keys), [self._operation(Kind.GET, key) for key in keys]
            pairs = [(key, self._text()) for key in keys]
            words = [word for pair in pairs for word in pair]
            return encode(b"MSET", *words), [self._operation(Kind.SET, *pair) for pair in pairs]
        return self._single(name, self._key())

    def _single(self, name: str, key: bytes) -> tuple[bytes, list[Operation]]:
        if name == "get":
            return encode(b"GET", key), [self._operation(Kind.GET, key)]
        if name == "del":
            return encode(b"DEL", key), [self._operation(Kind.DEL, key)]
        if name == "getdel":
            return encode(b"GETDEL", key), [self._operation(Kind.GETDEL, key)]
        value = self._text()
        if name == "append":
            return encode(b"APPEND", key, value), [self._operation(Kind.APPEND, key, value)]
        if name == "nx":
            return encode(b"SET", key, value, b"NX"), [self._operation(Kind.SET_NX, key, value)]
        if name == "px":
            ttl = self.world.random.choice((5, 50, 300, 2000))
            op = self._operation(Kind.SET_PX, key, value, ttl)
            return encode(b"SET", key, value, b"PX", b"%d" % ttl), [op]
        return encode(b"SET", key, value), [self._operation(Kind.SET, key, value)]

    # --- replies
    def on_data(self, link: Link, data: bytes) -> None:
        """Bytes from the replica."""
        if link is not self.link:
            return
        self.buffer += data
        at = 0
        while (reply := decode(self.buffer, at)) is not None:
            value, at = reply
            if not self.asked:
                raise Violation(f"client {self.id} got a reply that it did not ask for: {value!r}")
            self._answered(self.asked.pop(0), value)
        del self.buffer[:at]
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

    def _answered(self, operations: list[Operation], value: object) -> None:
        world = self.world
        if isinstance(value, Error):
            word = bytes(value).split(b" ", 1)[0]
            world.count_reply(word.decode("ascii", "replace"))
            if word not in ERRORS:
                raise Violation(f"client {self.id} asked {operations} and was answered {bytes(value)!r}")
            for op in operations:
                op.failed = word != b"UNKNOWN"
            if word == b"MOVED":
                self.at_node = int(value.rsplit(b":", 1)[1]) - 7001
            elif not self.leaving:
                self._next_node()
            self.leaving = True
            return
        world.completed += 1
        values = value if isinstance(value, list) else [value] * len(operations)
        if len(values) != len(operations):
            raise Violation(f"client {self.id} asked for {len(operations)} values and got {len(values)}")
        for op, result in zip(operations, values, strict=True):
            op.answered = world.now
            op.result = result

    # --- trouble
    def _on_refused(self, link: Link) -> None:
        # Nobody listens: what was asked was never sent.
        for operations in self.asked:
            for op in operations:
                op.failed = True
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
        self.asked.clear()
        self.leaving = False
        self.batch += 1
        self.world.after(self._think() + 1000, self.start)
