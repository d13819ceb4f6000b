"""A client's connection: what travels on it, and how a client reads it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .check import Violation

if TYPE_CHECKING:
    from .clients import Client
    from .node import Node


class Error(bytes):
    """An error reply, without the minus sign."""


def encode(*words: bytes) -> bytes:
    """A request."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def decode(data: bytes | bytearray, at: int) -> tuple[object, int] | None:
    """The reply at `at` and where the next begins; None when it is not complete. Raises Violation."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, text, at = data[at], bytes(data[at + 1 : end]), end + 2
    if kind == 0x2B:  # +
        return text.decode(), at
    if kind == 0x2D:  # -
        return Error(text), at
    if kind == 0x3A:  # :
        return int(text), at
    if kind == 0x5F:  # _, which is RESP3
        return None, at
    if kind not in b"$*":
        raise Violation(f"a reply begins with {bytes([kind])!r}")
    size = int(text)
    if kind == 0x24:  # $
        if size < 0:
            return None, at
        return (bytes(data[at : at + size]), at + size + 2) if len(data) >= at + size + 2 else None
    items = []
    for _ in range(size):
        item = decode(data, at)
        if item is None:
            return None
        items.append(item[0])
        at = item[1]
    return items, at


class Link:
    """A client's connection to a node: two ordered streams.

    With a `window` the client takes what arrived only now and then, at intervals of `nap_us` in the mean; more than the
    window can not be on its way or unread. The rest stays at the node, which takes nothing more from its replica.
    """

    def __init__(
        self, client: "Client", node: "Node", *, resp: int = 2, redirect: bool = False, window: int = 0, nap_us: int = 0
    ) -> None:
        self.client = client
        self.node = node
        self.boots = node.boots if node.core is not None else 0  # of the life it belongs to
        self.id = -1  # at the replica, once it is open there
        self.resp = resp
        self.redirect = redirect
        self.opened_at = client.world.now
        self.arrival_up = 0  # nothing arrives before these times
        self.arrival_down = 0
        self.lost = False  # an outcome was called unknown: nothing may follow but the end
        self.ended = False  # the replica wants to close it ...
        self.unsent = False  # what counts as forwarded may never have left: the connection broke, and was full
        # Slow readers
        self.window = window
        self.nap_us = nap_us
        self.kept = bytearray()  # said by the replica, and not under way yet
        self.unread = 0  # bytes under way, or arrived and not read
        self._arrived = bytearray()
        self.read_at = 0
        # What the frames between replicas show of it (`streams.py`)
        self.forwarded = 0  # requests
        self.forward_to = 0  # the last of them, to that replica ...
        self.forward_at = 0  # ... at that time
        self.replied = 0  # of them, those that the master sent replies to
        self.successes = 0  # requests answered, and not by an error

    @property
    def full(self) -> bool:
        """Does the node still have what the client has no room for?"""
        return bool(self.kept)

    @property
    def dead(self) -> bool:
        """Is the process gone that it belongs to?"""
        return self.node.core is None or self.boots != self.node.boots

    @property
    def silent(self) -> bool:
        """Has the client read all that was said?"""
        return not self.unread and not self.kept and self.arrival_down < self.client.world.now

    # --- towards the replica
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

    # --- towards the client
    def deliver(self, data: bytes) -> None:
        """Bytes towards the client."""
        if self.window:
            self.kept += data
            self._push()
        else:
            self._down(self.client.on_data, self, data)

    def hang_up(self) -> None:
        """The node closes, behind all that the replica said."""
        if not self.window:
            self._down(self.client.on_closed, self)
        else:
            self._end_read()

    def _down(self, call: Callable, *arguments: object) -> None:
        world = self.client.world
        self.arrival_down = max(self.arrival_down, world.now + world.network.delay())
        world.at(self.arrival_down, call, *arguments)

    def _push(self) -> None:
        # When the faults have ended nobody is slow any more.
        room = self.window - self.unread if self.client.world.faulty else len(self.kept)
        if self.kept and room > 0:
            data = bytes(self.kept[:room])
            del self.kept[:room]
            self.unread += len(data)
            self._down(self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if not self._arrived:
            nap_us = self.nap_us if self.client.world.faulty else 1000  # it wakes up when the faults end
            self.client.world.after(int(self.client.world.random.expovariate(1 / nap_us)), self._read)
        self._arrived += data

    def _read(self) -> None:
        data = bytes(self._arrived)
        self._arrived.clear()
        self.unread -= len(data)
        self.read_at = self.client.world.now
        self.client.on_data(self, data)
        if self.dead:
            self.kept.clear()
        was_full = self.full
        self._push()
        if was_full and not self.full:
            self._up(("client_reads", self))
        self._end_read()

    def _end_read(self) -> None:
        if self.ended and not self.kept and not self.unread:
            self._down(self.client.on_closed, self)
