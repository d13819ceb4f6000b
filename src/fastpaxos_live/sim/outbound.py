"""What a replica has for the others: what leaves, and what waits because a connection is full."""

from typing import TYPE_CHECKING

from . import trace as t
from .trace import Fields, headers_of

if TYPE_CHECKING:
    from .node import Node


class Outbound:
    """Of one life of a node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._waits: dict[tuple[int, int], int] = {}
        """Connections that are full, and the highest number that the replica had answered when they were."""

    def drain(self, boot: int) -> list[tuple]:
        """At the end of a turn, at `boot` of the own clock: what leaves, as calls to be made."""
        node, keys = self._node, []
        for key in node.core.drain_peers():
            conn = node.peers.get(key)
            if conn is None:
                continue
            if conn.unread[key[0]] < conn.most or conn.takes(key[0]):
                keys.append(key)
            else:
                self._waits.setdefault(key, node.world.check.views[node.id].told)
        return self._take(keys, boot) if keys else []

    def ends(self) -> list[tuple]:
        """A client's connection ends. What waits counts as sent, as the replica can't tell: it leaves, room or not."""
        keys = [key for key in self._node.core.drain_peers() if key[1] and key in self._node.peers]
        return self._take(keys, self._node.boot_us())

    def _take(self, keys: list[tuple[int, int]], boot: int) -> list[tuple]:
        node, world = self._node, self._node.world
        core, send, calls = node.core, world.network.send, []
        sent: list[Fields] = []
        late: list[tuple[int, list[Fields]]] = []
        for key in keys:
            peer, channel = key
            data = core.drain_peer(peer, channel)
            node.note(world.now, node.id, t.TO_PEER, peer, channel, data)
            frames = headers_of(data)
            if channel:
                world.streams.sent(node, peer, frames)
            if self._waits and key in self._waits:
                late.append((self._waits.pop(key), frames))
            else:
                sent += frames
            calls.append((send, node.peers[key], node.id, data))
        if sent:
            world.check.sent(node.id, sent, boot)
        for before, frames in late:
            world.check.sent(node.id, frames, boot, before)
        return calls

    def breaks(self, peer: int, channel: int) -> None:
        """A connection is gone: what waits for it will not leave."""
        self._waits.pop((peer, channel), None)
        if channel and (peer, 1) in self._node.core.drain_peers():
            for link in self._node.links.values():
                link.unsent = True
