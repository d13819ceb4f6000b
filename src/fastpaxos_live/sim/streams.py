"""What becomes of requests that a replica passes on to the master, seen in the frames between replicas."""

from typing import TYPE_CHECKING

from ..reference.log_frame import FORWARD, HEADER_BYTES, REPLIES
from .check import Violation
from .trace import Fields

if TYPE_CHECKING:
    from .link import Link
    from .node import Node
    from .requests import Request
    from .world import World

REPLIES_BYTES_MAX = 1 << 20  # of replies in one frame: other clients share the channel
FOLLOW_LEASES = 2  # from a new master's first write until no request may be bound to an older one
LOOKS = 8  # one lease apart


class Streams:
    """The forwarded requests of a cell. Methods raise Violation."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def sent(self, node: "Node", peer: int, frames: list[Fields]) -> None:
        """`node` sends these over the second channel."""
        for kind, _, _, length, _, _, count, _, _, stream in frames:
            if kind == FORWARD:
                link = node.links.get(stream & 0xFFFFFFFF)
                if link is not None:
                    link.forwarded += count
                    link.forward_to = peer
                    link.forward_at = self.world.now
                continue
            if kind != REPLIES:
                continue
            link = self.world.nodes[peer].links.get(stream & 0xFFFFFFFF)
            if link is not None:
                link.replied += count
            if length > HEADER_BYTES + REPLIES_BYTES_MAX:
                raise Violation(f"replica {node.id} sends {length} bytes of replies to {peer} in one frame")

    def unknown(self, link: "Link", request: "Request") -> None:
        """The outcome of this request was called unknown: then somebody got it who may have done it, or it waited for
        room in a connection to him, which the replica can't tell from being on its way.
        """
        if link.unsent:
            return
        if link.forwarded <= link.successes and link.node.served_at < link.opened_at:
            raise Violation(f"{request} never left replica {link.node.id}, which calls its outcome unknown")

    def elected(self, master: int) -> None:
        """`master` begins to serve: its first write was chosen. Whoever follows it lets go of the ones before."""
        world = self.world
        lease = world.plan.lease_us
        served = [node.served_at for node in world.nodes[1:]]
        for look in range(LOOKS):
            world.after((FOLLOW_LEASES + look) * lease, self._look, world.now, master, len(world.elected), served)

    def _look(self, since: int, master: int, election: int, served: list[int]) -> None:
        world = self.world
        if len(world.elected) != election or not world.nodes[master].serving:
            return
        for node in world.nodes[1:]:
            held_up = max(node.paused_until, node.stalled_until) + world.plan.lease_us > world.now
            if node.core is None or held_up or node.core.status()["master"] != master:
                continue
            served_at = served[master - 1] if node.id == master else node.served_at
            for link in node.links.values():
                if served_at < link.forward_at < since:  # what it did itself is not passed on
                    self._bound(link, since, master)

    def _bound(self, link: "Link", since: int, master: int) -> None:
        asked = link.client.asked
        if link.client.link is not link or not asked or asked[0].asked > since or link.ended or not link.silent:
            return
        if link.forward_to != master and link.forwarded > max(link.successes, link.replied):
            raise Violation(
                f"{asked[0]} waits at replica {link.node.id} for replica {link.forward_to}, though it follows {master} "
                f"that serves since {since / 1e6:.6f}")
