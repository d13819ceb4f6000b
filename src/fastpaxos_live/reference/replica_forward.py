"""Forwarding: a replica that is not the master passes the requests of a connection on as one numbered stream.

The first request of a stream has number 0, gaps end it, repetitions are ignored, and replies are numbered, too. What
was sent is never sent again: if a stream ends with requests unanswered, their outcome is unknown, and the connection
ends with it. What still waited for room in the channel was not done.
"""

from typing import TYPE_CHECKING

from .limits import FORWARD_BYTES_MAX, OUTPUT_BYTES_MAX, REPLIES_BYTES_MAX, STREAMS_MAX
from .log_frame import FORWARD, HANGUP, HEADER_BYTES, REPLIES, TAKEN, Frame
from .log_machines import REIGN_IDLE
from .replica_client import Client
from .replica_replies import CHANGED, CUT_OFF, LATE

if TYPE_CHECKING:
    from .replica import Replica


class Forwarding:
    """The streams of one replica, in both directions."""

    def __init__(self, replica: "Replica") -> None:
        self.replica = replica
        self.streams: list[dict[int, Client]] = [{} for _ in range(replica.config["replicas"] + 1)]
        self.virtual: list[Client] = []  # streams with output
        self.posts: list[Client] = []  # clients with something to be sent that found the channel full
        self.leader = 0  # whom this replica followed last, itself included
        self.generation = 0  # numbers the streams that begin here

    def forward(self, client: Client, master: int) -> bool:
        """Takes the parsed request into the stream; False if it has to wait."""
        busy = client.forwarded or client.outbox_count
        if client.forward_peer != master:
            if busy:
                return False
            self.hang_up(client)
            self.generation += 1
            client.stream = self.generation << 32 | client.id
            client.forward_peer = master
            client.forward_seq = client.answered = client.received = client.reported = 0
            client.partial = False
        if busy and client.forward_bytes > FORWARD_BYTES_MAX:
            return False
        if not busy:
            client.forward_at = self.replica.now
        args = client.parser.args
        request = b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)
        client.outbox += request
        client.outbox_count += 1
        client.forward_bytes += len(request)
        return True

    def follow(self) -> None:
        """Ends the streams to a replica that is not followed any more: whatever it still says, another one is master,
        or is about to be.
        """
        log = self.replica.log
        leader = self.replica.me if log.reign.state != REIGN_IDLE else log.acceptor.master
        if leader == self.leader:
            return
        self.leader = leader
        for _, client in sorted(self.replica.clients.items()):
            if client.forward_peer not in (0, leader):
                self._end(client, CHANGED)

    def _end(self, client: Client, reason: int) -> None:
        # What was sent is unknown, what was not is not done.
        self.hang_up(client)
        unsent, client.outbox_count = client.outbox_count, 0
        client.outbox.clear()
        if client.forwarded:
            self.replica.replies.lose(client, reason)
        elif unsent:
            self.replica.replies.not_done(client, unsent, reason)

    def time_out(self, limit: int) -> None:
        """Ends the streams that have shown nothing for so long (us)."""
        for _, client in sorted(self.replica.clients.items()):
            if (client.forwarded or client.outbox_count) and self.replica.now - client.forward_at > limit:
                self._end(client, LATE)

    def send_requests(self, client: Client) -> None:
        """Sends what `forward` collected, as soon as the channel has room."""
        if client.outbox_count and not client.posted and not client.closing:
            self._post(client)

    def _post(self, client: Client) -> None:
        count = client.outbox_count
        if not self.replica.log.may_send(client.forward_peer, 1, HEADER_BYTES + len(client.outbox)):
            self._wait(client)
            return
        self.replica.log.send(client.forward_peer, 1, self.replica.log.frame(
            FORWARD, number=client.forward_seq, instance=count, flags=client.resp, extra=client.stream,
            payload=bytes(client.outbox)))
        if not client.forwarded:
            client.forward_at = self.replica.now
        client.outbox_count = 0
        client.outbox.clear()
        client.forward_seq += count
        client.forwarded += count

    def _wait(self, client: Client) -> None:
        if not client.posted:
            client.posted = True
            self.posts.append(client)

    def send(self) -> None:
        """What waits for room in the channels is tried once a turn: what the master is told, then replies."""
        posts, self.posts = self.posts, []
        for client in posts:
            client.posted = False
            if client.alive and not client.closing:
                self.report(client)
                if client.outbox_count:
                    self._post(client)
        virtual, self.virtual = self.virtual, []
        for client in virtual:
            client.touched = False
            if client.alive and not client.holding and not self._send_replies(client):
                self.replica.touch(client)
            self.replica.keeping.weigh(client)

    def must_report(self, client: Client) -> bool:
        """Is it time to tell the master what the client took? It sends OUTPUT_BYTES_MAX ahead of that, no more."""
        unreported = client.received - client.reported
        return bool(client.forward_peer and not client.output and unreported >= OUTPUT_BYTES_MAX // 4)

    def report(self, client: Client) -> None:
        """Tells the master how much its client has taken, now and then, as soon as the channel has room."""
        if not self.must_report(client):
            return
        if self.replica.log.send(client.forward_peer, 1, self.replica.log.frame(
                TAKEN, sent=client.received, extra=client.stream)):
            client.reported = client.received
        else:
            self._wait(client)

    def hang_up(self, client: Client) -> None:
        """Ends the client's stream, if it has one."""
        if client.forward_peer:
            self.replica.log.send(client.forward_peer, 1, self.replica.log.frame(HANGUP, extra=client.stream))
            client.forward_peer = 0

    def on_frame(self, peer: int, frame: Frame) -> bool:
        """A frame of forwarding. False: no replica sends such a one."""
        if frame.type == FORWARD:
            if frame.instance > len(frame.payload):  # a request takes more than a byte
                return False
            if frame.flags not in (2, 3) or frame.extra & 0xFFFFFFFF >= STREAMS_MAX:
                return False
            self._on_forward(peer, frame)
        elif frame.type == REPLIES:
            self._on_replies(peer, frame)
        elif frame.type == HANGUP:
            client = self.streams[peer].get(frame.extra & 0xFFFFFFFF)
            if client is not None and client.stream == frame.extra:
                self.replica.keeping.forget(client)  # its place stays taken: what comes late must not begin it again
        elif frame.type == TAKEN:
            client = self.streams[peer].get(frame.extra & 0xFFFFFFFF)
            if client is not None and client.stream == frame.extra:
                client.taken = max(client.taken, min(frame.sent, client.shipped))
                if client.full:
                    self.replica.queue(client)
        return True

    def _on_forward(self, peer: int, frame: Frame) -> None:
        # A stream begins with request 0 and has no gaps; what came twice is ignored.
        id = frame.extra & 0xFFFFFFFF
        client = self.streams[peer].get(id)
        if client is None or client.stream < frame.extra:
            if client is not None:
                self.replica.keeping.forget(client)
            client = self.replica.new_client(id, peer, frame.extra)
            self.streams[peer][id] = client
        if client.stream != frame.extra or not client.alive or client.closing or frame.number < client.expected:
            return
        if frame.number > client.expected:
            self.replica.replies.close(client, CUT_OFF)
            return
        client.expected += frame.instance
        client.resp = frame.flags
        client.input += frame.payload
        self.replica.keeping.weigh(client)
        if not client.blocked:
            self.replica.queue(client)  # never at once: a peer's clients shall not take what is meant for those here

    def _send_replies(self, client: Client) -> bool:
        # A reply may be long, a frame not: all but the last frame have only bytes. False: the channel is full.
        while client.alive and (client.output or client.closing):
            payload = bytes(client.output[:REPLIES_BYTES_MAX])
            last = len(payload) == len(client.output)
            count = client.replies if last else 0
            ends = last and client.closing
            flags = 1 + client.reason if ends else 0
            sent = self.replica.log.send(client.peer, 1, self.replica.log.frame(
                REPLIES, number=client.answered, instance=count, sent=client.shipped, flags=flags,
                extra=client.stream, payload=payload))
            if not sent:
                return False
            del client.output[: len(payload)]
            client.shipped += len(payload)
            client.answered += count
            client.replies -= count
            if ends:
                self.replica.keeping.forget(client)  # its place stays taken
        return True

    def _on_replies(self, peer: int, frame: Frame) -> None:
        client = self.replica.clients.get(frame.extra & 0xFFFFFFFF)
        if client is None or client.stream != frame.extra or client.forward_peer != peer or client.closing:
            return
        if frame.number < client.answered:
            return
        if frame.number > client.answered or frame.sent != client.received or frame.instance > client.forwarded:
            self._end(client, CUT_OFF)
            return
        client.relay(frame.payload, frame.instance)
        client.received += len(frame.payload)
        client.answered += frame.instance
        client.forwarded -= frame.instance
        client.forward_at = self.replica.now
        self.replica.touch(client)
        if frame.flags:
            client.forward_peer = 0  # it ended the stream: no need to tell it
            self._end(client, min(frame.flags - 1, CUT_OFF))
        self.replica.replies.settle(client)

    def on_channel_closed(self, peer: int) -> None:
        """Its streams end, in both directions; what was unanswered is unknown."""
        for client in self.streams[peer].values():
            self.replica.keeping.forget(client)
        self.streams[peer] = {}
        for _, client in sorted(self.replica.clients.items()):
            if client.forward_peer == peer:
                client.forward_peer = 0
                self._end(client, CUT_OFF)
