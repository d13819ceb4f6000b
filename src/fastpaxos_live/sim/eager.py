"""Clients that never wait: their requests come at times of their own, whatever is not answered yet.

An eager client stays with a connection that owes it a reply, through elections, pauses and time-outs, until the replica
ends it or, while faults happen, the client's patience does. Each such connection is watched: a replica that runs gives
a reply, or ends the connection, within `Plan.answer_us` of the request and of the reply before.

Some choose their place: at the master, or at a replica that forwards, where they stay, or as they are told by MOVED.
"""

from typing import TYPE_CHECKING, Any

from .check import Violation
from .clients import Client
from .link import Error, Link
from .plan import ALWAYS_MOVED
from .requests import Kind, Request

if TYPE_CHECKING:
    from .world import World

ALL_KEYS = 0.3  # share of what asks for several keys

ANYWHERE, AT_MASTER, ELSEWHERE, AS_TOLD = range(4)  # the place of an eager client


class EagerClient(Client):
    """One of them."""

    def __init__(self, world: "World", id: int) -> None:
        super().__init__(world, id)
        random, plan = world.random, world.plan
        self.place = ANYWHERE
        if random.random() < plan.seated:
            self.place = random.choice((AT_MASTER, ELSEWHERE, ELSEWHERE, AS_TOLD))
        if self.place == ELSEWHERE and plan.redirect == ALWAYS_MOVED:
            self.place = AT_MASTER  # nobody forwards
        self.redirect = self.place == AS_TOLD
        self.long_key = b"~" * plan.value_bytes_max if plan.long_keys else b""
        self.moved = False  # to the address that it was told
        self.progress = 0  # when the last reply came
        self.watched: Any = None  # a Link: somebody looks after it

    def start(self) -> None:
        """Connect, and go on."""
        world = self.world
        if self.place in (AT_MASTER, ELSEWHERE) and world.faulty and not any(node.serving for node in world.nodes[1:]):
            world.after(world.plan.lease_us, self.start)
            return
        self._choose_node()
        self._connect()
        self.batch += 1
        self.last = False
        self.progress = world.now
        self._come(self.batch)

    def _choose_node(self) -> None:
        world = self.world
        serving = [node.id - 1 for node in world.nodes[1:] if node.serving]
        if not serving or not world.faulty:  # in the end all find what works by themselves
            return
        if self.place == AT_MASTER and not self.moved:
            self.at_node = serving[-1]
        elif self.place == ELSEWHERE and self.at_node in serving:
            self._next_node()
        self.moved = False

    # --- requests
    def _come(self, batch: int) -> None:
        # The next bunch.
        world = self.world
        if batch != self.batch:
            return  # of an earlier connection
        if world.now >= world.load_until:
            if not self.asked:
                self._finish()
            return  # else when all is answered
        if not self.leaving and len(self.asked) < world.plan.unanswered:
            self._ask(self._requests()[: world.plan.unanswered - len(self.asked)])
            self._watch()
        world.after(int(world.random.expovariate(1 / world.plan.arrival_us)), self._come, batch)

    def _finish(self) -> None:
        self.last = True
        self._ask(self._all_keys())
        self._watch()

    def _draw(self) -> Request:
        # Long requests only where others pile up: those are to meet, and they cost much.
        world = self.world
        if self.long_key and self.asked and world.now > self.asked[0].asked + world.plan.lease_us // 2:
            if world.random.random() < world.plan.long_keys:
                return self._request(Kind.EXISTS, (self.long_key,))
        return super()._draw()

    def _several(self) -> list[int]:
        # Now and then all keys: a long reply.
        keys = self.world.plan.keys
        return list(range(keys)) if self.world.random.random() < ALL_KEYS else super()._several()

    # --- replies
    def _replies_taken(self) -> None:
        self.progress = self.world.now
        if self.asked or self.link.lost:
            return
        if self.leaving:
            self._leave()
        elif self.last:
            self.done = True
        elif self.world.now >= self.world.load_until:
            self._finish()

    def _refused(self, word: bytes, reply: Error) -> None:
        if word == b"MOVED":
            self._moved(reply)
            self.moved = self.leaving = True
        elif word == b"UNKNOWN":
            self.leaving = True  # as soon as the replica hangs up
        elif self.last or word == b"CLUSTERDOWN" and (self.place != ELSEWHERE or not self.world.faulty):
            if not self.leaving:
                self._next_node()
            self.leaving = True

    # --- trouble
    def _next_node(self) -> None:
        if self.place != ELSEWHERE or not self.world.faulty or self.world.nodes[self.at_node + 1].serving:
            super()._next_node()

    def _watch(self) -> None:
        if self.watched is not self.link:
            self.watched = self.link
            self.world.after(self.world.plan.lease_us, self._look, self.link)

    def _look(self, link: Link) -> None:
        world, node = self.world, link.node
        if link is not self.link:
            return
        if not self.asked and not link.lost:
            self.watched = None
            return
        asked = self.asked[0].asked if self.asked else self.progress
        if link.dead:  # the client notices by its own means
            self.on_closed(link)
            return
        if world.faulty and world.now >= asked + world.plan.patience_us:
            world.count_reply("time-out")
            self._next_node()
            self._leave()
            return
        if link.silent and not link.ended:
            since = max(asked, self.progress, node.paused_until, node.stalled_until, link.read_at)
            if world.now > since + world.plan.answer_us:
                what = f"{self.asked[0]} gets no answer" if self.asked else f"client {self.id} gets no end"
                raise Violation(f"{what} from replica {node.id} within {(world.now - since) / 1e6:.3f} s")
        world.after(world.plan.lease_us, self._look, link)


def new_client(world: "World", id: int) -> Client:
    """Client number `id` of the world, as its plan draws them."""
    eager = world.plan.eager and world.random.random() < world.plan.eager
    return EagerClient(world, id) if eager else Client(world, id)
