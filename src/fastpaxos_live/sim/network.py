"""The network between replicas: connections that break and stall, frames that get lost, partitions.

Two connections (channels) a pair, as in production; the lower id dials, and both ends have to prove who they are.
Usually a channel is a byte stream as TCP's: in order, cut at any byte, stalled while its direction is blocked, and
broken now and then. In a lossy run the protocol channel carries single frames that are lost, repeated, late and
overtaken, even across a reconnection; of the other channel only catch-up frames get lost, since forwarding relies on a
stream.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ..log.handshake import CHANNELS, Handshake, Hello, Refused
from ..reference.log_frame import FETCH, FETCHED, LEARN
from .check import Violation
from .handshake import Handshakes, Recording, feed_whole, judge, says_nonce_only, try_answer, try_call
from .trace import Fields, frames_of

if TYPE_CHECKING:
    from .world import World

PIECE_BYTES = 16 << 10  # of a slow link: so much arrives at once
DIAL_US = 20_000  # between two attempts to connect
HANDSHAKE_LEASES = 2  # after so long a handshake has failed

Piece = tuple[bytes, bool]
"""Bytes on their way, and whether they were damaged."""

Claim = tuple[Hello, bytes | None]
"""Who somebody says he is, and his key, or None for the cell's."""

Trap = Callable[[int, int, Fields, bytes], bool]
"""Sees each frame of a lossy network: sender, receiver, header, bytes. True: the frame is taken away."""


class Connection:
    """One connection of the pair `low` < `high`."""

    __slots__ = (
        "low", "high", "channel", "counter", "greeting", "said", "closed", "lost", "damaged", "arrival", "queued",
        "held", "unread", "full", "most",
    )  # fmt: skip

    def __init__(
        self, low: int, high: int, channel: int, counter: int, greeting: dict[int, Handshake], most: int
    ) -> None:
        self.low = low
        self.high = high
        self.channel = channel
        self.counter = counter  # of the caller's calls
        self.greeting = greeting  # by receiver, until its end is open
        self.said: dict[int, list[bytes]] = {low: [], high: []}  # in the handshake, by who said it
        self.closed = False
        self.lost = False  # closed so that what was under way never arrives
        self.damaged = False  # bytes were changed on the way
        self.arrival = {low: 0, high: 0}  # by receiver: nothing may arrive earlier
        self.queued: dict[int, deque[Piece]] = {low: deque(), high: deque()}  # by receiver: waits for bandwidth
        self.held: dict[int, list[Piece]] = {low: [], high: []}  # by receiver: stalled
        self.unread = {low: 0, high: 0}  # by receiver: bytes that were sent, and that it has not taken
        self.most = most  # with so many it takes no more, as a socket that is full
        self.full: set[int] = set()  # receivers for which the other end has more than it may send

    def takes(self, receiver: int) -> bool:
        """May more be sent? If not, the sender hears when there is room again."""
        if self.unread[receiver] < self.most:
            return True
        self.full.add(receiver)
        return False

    def other(self, replica: int) -> int:
        """The far end."""
        return self.low + self.high - replica


class Network:
    """All links of a cell."""

    def __init__(self, world: "World", replicas: int) -> None:
        self.world = world
        self.replicas = replicas
        self.handshakes = Handshakes(world.cell_id, replicas, {"fsync": world.plan.fsync})
        self.blocked: set[tuple[int, int]] = set()  # (sender, receiver)
        self.cut_for_good: set[tuple[int, int]] = set()  # of them, those that nothing unblocks
        self.standing = world.plan.bandwidth  # bytes a second that each connection has for ever; 0: enough
        self.bandwidth: dict[tuple[int, int], int] = {}  # of those that have less for a while
        self.strangers: dict[int, Claim] = {}  # replica -> who answers at its address, though it is not that replica
        self.live: dict[tuple[int, int, int], Connection] = {}
        self.redials: set[tuple[int, int, int]] = set()  # arranged
        self.lossy = world.plan.lossy
        self.split = 0.0 if self.lossy else world.plan.split  # late single frames must not fall between two pieces
        self.corrupt = world.plan.corrupt
        self.trap: Trap | None = None
        self._random = world.random.random
        self._delay_low, high = world.plan.delay_us
        self._delay_span = high - self._delay_low
        self._delay_tail = world.plan.delay_tail

    def delay(self) -> int:
        """A message's time on the way (us)."""
        delay = self._delay_low + int(self._random() * self._delay_span)
        if self._delay_tail and self.world.faulty and self._random() < self._delay_tail:
            delay += int(self._random() * 2 * self.world.plan.lease_us)
        return delay

    # --- connections
    def start(self, replica: int) -> None:
        """`replica` runs (again): connections are made."""
        self.handshakes.begin(replica, self.world.nodes[replica].starts)
        for peer in range(1, self.replicas + 1):
            if peer != replica:
                for channel in range(CHANNELS):
                    self._dial(min(peer, replica), max(peer, replica), channel)

    def stop(self, replica: int) -> None:
        """`replica` died. What it had sent may still arrive, then its peers see the end, some of them late."""
        for key, conn in sorted(self.live.items()):
            if replica in key[:2]:
                self.close(conn, replica)

    def _dial(self, low: int, high: int, channel: int) -> None:
        world = self.world
        if (low, high, channel) in self.live or not (world.nodes[low].core and world.nodes[high].core):
            return  # connected, or the one that is down dials when it starts
        if (low, high) in self.blocked or (high, low) in self.blocked:
            self._redial(low, high, channel)
            return
        call = self.handshakes.call(low, high, channel)
        if high in self.strangers:
            world.after(4 * self.delay(), self._answer_as_stranger, call, low, high, world.nodes[low].boots)
            self._redial(low, high, channel)
            return
        greeting = {low: call, high: self.handshakes.answer(high)}
        conn = Connection(low, high, channel, self.handshakes.counters[low], greeting, world.plan.send_bytes)
        self.live[low, high, channel] = conn
        conn.arrival[high] = world.now + 2 * self.delay() + self.delay()  # connected, then the first frame
        self._say(conn, low, call.begin())
        world.after(HANDSHAKE_LEASES * world.plan.lease_us, self._give_up, conn)

    def _say(self, conn: Connection, sender: int, data: bytes) -> None:
        conn.said[sender].append(data)
        self._send_bytes(conn, conn.other(sender), data)

    def _redial(self, low: int, high: int, channel: int) -> None:
        key = low, high, channel
        if key not in self.redials:
            self.redials.add(key)
            self.world.after(DIAL_US + self.delay(), self._dial_again, key)

    def _dial_again(self, key: tuple[int, int, int]) -> None:
        self.redials.remove(key)
        self._dial(*key)

    def _give_up(self, conn: Connection) -> None:
        if conn.greeting:
            self.close(conn)

    def _greet(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        # Of the handshake: its last frame opens this end of the connection, and what is wrong ends it.
        if conn.closed:
            return
        handshake, other = conn.greeting[receiver], conn.other(receiver)
        try:
            answer = feed_whole(handshake, data)
            if damaged and not handshake.pending:
                raise Violation(f"replica {receiver} took a damaged frame of {other} for a good one")
            if not handshake.proved and receiver == conn.high and not says_nonce_only(answer):
                raise Violation(f"replica {receiver} says {answer!r} to {other}, who has proved nothing")
            if answer:
                self._say(conn, receiver, answer)
            if handshake.wanted:
                return
            judge(self.handshakes.greeters[receiver], handshake, other if receiver == conn.low else None)
        except Refused as error:
            if not conn.damaged:
                raise Violation(f"replica {receiver} refuses replica {other}: {error}") from None
            self.close(conn)
            return
        del conn.greeting[receiver]
        if not conn.greeting:
            self.handshakes.heard[conn.low, conn.high, conn.channel] = conn.said
        self.world.nodes[receiver].post(("open_peer", conn))

    def _tells_apart(self, called: int, hello: Hello, key: bytes | None) -> bool:
        # The call of somebody with a member's identity is known by its number alone, where there was a newer one.
        if key is not None or hello.replica >= called or hello != self._as_member(hello):
            return True
        conn = self.live.get((hello.replica, called, hello.channel))
        return conn is not None and called not in conn.greeting and conn.counter >= hello.counter

    def _as_member(self, hello: Hello) -> Hello:
        own = self.handshakes.hello_of(hello.replica)
        return own._replace(channel=hello.channel, counter=hello.counter, called=hello.called)

    def _answer_as_stranger(self, call: Handshake, low: int, dialled: int, boots: int) -> None:
        claim = self.strangers.get(dialled)
        node = self.world.nodes[low]
        if claim is None or node.core is None or node.boots != boots:
            return
        try:
            try_answer(self.handshakes.greeters[low], call, self.handshakes.impostor(*claim), dialled)
        except Refused:
            self.world.count("refused_answer")
        else:
            raise Violation(f"replica {low} takes {claim} for replica {dialled}")

    def call_as_stranger(self, called: int, hello: Hello, key: bytes | None = None) -> None:
        """Somebody who is no member, or not that one, calls replica `called`, which must refuse it."""
        if self.world.nodes[called].core is None or not self._tells_apart(called, hello, key):
            return
        try:
            answer = self.handshakes.answer(called)
            try_call(self.handshakes.greeters[called], answer, self.handshakes.impostor(hello, key))
        except Refused:
            self.world.count("refused_call")
        else:
            raise Violation(f"replica {called} accepts the call of {hello}")

    def replay(self, low: int, high: int, channel: int) -> None:
        """Somebody who listened to the last handshake of a channel says the same again, to one and to the other."""
        heard, greeters = self.handshakes.heard.get((low, high, channel)), self.handshakes.greeters
        if heard is None:
            return
        if self.world.nodes[high].core is not None:
            try:
                try_call(greeters[high], self.handshakes.answer(high), Recording(heard[low]))
            except Refused:
                self.world.count("refused_call")
            else:
                raise Violation(f"replica {high} accepts a call of {low} that was recorded")
        if self.world.nodes[low].core is not None:
            try:
                try_answer(greeters[low], self.handshakes.call(low, high, channel), Recording(heard[high]), high)
            except Refused:
                self.world.count("refused_answer")
            else:
                raise Violation(f"replica {low} accepts an answer of {high} that was recorded")

    def close(self, conn: Connection, gone: int = 0) -> None:
        """The connection breaks; `gone` is the end that died. Without one, what is under way is lost."""
        world = self.world
        if conn.closed:
            return
        conn.closed = True
        waits = any(conn.held.values()) or any(conn.queued.values())
        conn.lost = not gone or waits  # nothing arrives behind what was lost
        del self.live[conn.low, conn.high, conn.channel]
        for end in (conn.low, conn.high):
            conn.held[end].clear()
            conn.queued[end].clear()
            if end != gone:
                notice = world.now + self.delay()
                if world.faulty and world.random.random() < 0.1:
                    notice += world.plan.lease_us
                world.at(max(notice, conn.arrival[end]), world.nodes[end].post, ("close_peer", conn))
        self._redial(conn.low, conn.high, conn.channel)

    # --- data
    def send(self, conn: Connection, sender: int, data: bytes) -> None:
        """The end `sender` wrote these whole frames."""
        if self.lossy:
            self._send_lossy(conn, sender, conn.other(sender), data)
        else:
            self._send_bytes(conn, conn.other(sender), data)

    def _send_bytes(self, conn: Connection, receiver: int, data: bytes) -> None:
        if self.corrupt and self.world.faulty and not conn.damaged and self._random() < self.corrupt:
            self._send_damaged(conn, receiver, data)
        elif self.split and self._random() < self.split:
            cut = self.world.random.randrange(len(data) + 1)
            for piece in filter(None, (data[:cut], data[cut:])):
                self._send_stream(conn, receiver, piece, False)
        else:
            self._send_stream(conn, receiver, data, False)

    def _send_stream(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        if conn.closed:
            return
        conn.unread[receiver] += len(data)
        if self.standing or self.bandwidth and (conn.other(receiver), receiver) in self.bandwidth:
            queue = conn.queued[receiver]
            idle = not queue
            if damaged:  # what refuses it must be able to see it whole
                queue.append((data, damaged))
            else:
                queue.extend((data[at : at + PIECE_BYTES], False) for at in range(0, len(data), PIECE_BYTES))
            if idle:
                self._transmit(conn, receiver, queue)
            return
        self._travel(conn, receiver, data, damaged)

    def _travel(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        time = self.world.now + self.delay()
        if time < conn.arrival[receiver]:
            time = conn.arrival[receiver]
        conn.arrival[receiver] = time
        self.world.at(time, self._arrive, conn, receiver, data, damaged)

    def _transmit(self, conn: Connection, receiver: int, queue: deque[Piece]) -> None:
        # The first of the queue takes its time to leave.
        rate = self.bandwidth.get((conn.other(receiver), receiver), self.standing)
        self.world.after(len(queue[0][0]) * 1_000_000 // rate, self._transmitted, conn, receiver, queue)

    def _transmitted(self, conn: Connection, receiver: int, queue: deque[Piece]) -> None:
        if conn.closed or queue is not conn.queued[receiver]:
            return  # broken, or there is enough bandwidth again
        self._travel(conn, receiver, *queue.popleft())
        if queue:
            self._transmit(conn, receiver, queue)

    def _arrive(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        if conn.lost:
            return
        sender = conn.other(receiver)
        if (conn.held[receiver] or self.blocked and (sender, receiver) in self.blocked) and not conn.closed:
            conn.held[receiver].append((data, damaged))
            return
        if receiver in conn.greeting:
            self.taken(conn, receiver, len(data))
            self._greet(conn, receiver, data, damaged)
        else:
            self.world.nodes[receiver].post(("feed_peer", conn, data, damaged))

    def taken(self, conn: Connection, receiver: int, size: int) -> None:
        """`receiver` has read so many bytes: what waits in a process that stands still leaves no room behind."""
        conn.unread[receiver] -= size
        if conn.full and receiver in conn.full and conn.unread[receiver] < conn.most:
            conn.full.remove(receiver)
            self.world.nodes[conn.other(receiver)].has_room()

    def inject(self, conn: Connection, receiver: int, frame: bytes) -> None:
        """This frame arrives behind what the other end wrote, who did not write it: it must be refused."""
        conn.damaged = True
        self._send_stream(conn, receiver, frame, True)

    def _send_damaged(self, conn: Connection, receiver: int, data: bytes) -> None:
        random = self.world.random
        start, end, _ = random.choice(frames_of(data))
        at = random.randrange(start, end)
        damaged = bytearray(data)
        damaged[at] ^= 1 << random.randrange(8)
        conn.damaged = True
        self.world.count("corrupt")
        self._send_stream(conn, receiver, bytes(damaged), True)

    def _send_lossy(self, conn: Connection, sender: int, receiver: int, data: bytes) -> None:
        world, plan, random = self.world, self.world.plan, self.world.random
        for start, end, fields in frames_of(data):
            frame = data[start:end]
            if self.trap is not None and self.trap(sender, receiver, fields, frame):
                continue
            droppable = conn.channel == 0 or fields[0] in (FETCH, LEARN, FETCHED)
            if droppable and plan.loss and random.random() < plan.loss:
                world.count("loss")
            elif conn.channel:
                self._send_stream(conn, receiver, frame, False)
            else:
                world.after(self.delay(), self._arrive_lossy, sender, receiver, frame)
                if plan.repeat and random.random() < plan.repeat:
                    world.count("repeat")
                    world.after(2 * self.delay(), self._arrive_lossy, sender, receiver, frame)

    def repeat(self, sender: int, receiver: int, frame: bytes) -> None:
        """A frame that was sent before in a lossy network arrives (again), whatever is cut by now."""
        if frame[13] not in (FETCH, LEARN):
            self.world.after(self.delay(), self.world.nodes[receiver].post, ("feed_frame", sender, frame))
        elif (conn := self.live.get((min(sender, receiver), max(sender, receiver), 1))) and not conn.greeting:
            self._send_stream(conn, receiver, frame, False)

    def _arrive_lossy(self, sender: int, receiver: int, frame: bytes) -> None:
        if (sender, receiver) not in self.blocked:
            self.world.nodes[receiver].post(("feed_frame", sender, frame))

    # --- faults
    def block(self, pairs: list[tuple[int, int]]) -> None:
        """Nothing gets from the first to the second of each pair; half of the connections break over it."""
        self.blocked.update(pairs)
        random = self.world.random
        for (low, high, _), conn in sorted(self.live.items()):
            if ((low, high) in self.blocked or (high, low) in self.blocked) and random.random() < 0.5:
                self.world.after(int(random.random() * self.world.plan.lease_us), self._break, conn)

    def _break(self, conn: Connection) -> None:
        if (conn.low, conn.high) in self.blocked or (conn.high, conn.low) in self.blocked:
            self.close(conn)

    def unblock(self, pairs: Collection[tuple[int, int]]) -> None:
        """The pairs can talk again, but those that are cut for good; what was stalled arrives."""
        self.blocked.difference_update(pairs)
        self.blocked |= self.cut_for_good
        for _, conn in sorted(self.live.items()):
            for receiver in (conn.low, conn.high):
                if (conn.other(receiver), receiver) not in self.blocked:
                    held, conn.held[receiver] = conn.held[receiver], []
                    for data, damaged in held:  # at once: nothing sent later may overtake it
                        self._arrive(conn, receiver, data, damaged)

    def slow(self, pairs: Collection[tuple[int, int]], rate: int) -> None:
        """From the first to the second of each pair each connection has `rate` bytes a second."""
        self.bandwidth.update(dict.fromkeys(pairs, min(rate, self.standing or rate)))

    def unslow(self, pairs: Collection[tuple[int, int]]) -> None:
        """The pairs have as much bandwidth again as before; where that is enough, what waited is on its way."""
        for pair in pairs:
            self.bandwidth.pop(pair, None)
        if self.standing:
            return  # what leaves next does so at that rate
        for _, conn in sorted(self.live.items()):
            for receiver in (conn.low, conn.high):
                if (conn.other(receiver), receiver) not in self.bandwidth:
                    queue, conn.queued[receiver] = conn.queued[receiver], deque()
                    for data, damaged in queue:
                        self._travel(conn, receiver, data, damaged)

    def heal(self, cut_for_good: Collection[tuple[int, int]] = ()) -> None:
        """From now on the network is reliable, but between those pairs: there nothing ever arrives."""
        self.lossy = False
        self.cut_for_good.update(cut_for_good)
        self.block(list(cut_for_good))
        self.unblock(sorted(self.blocked))
        self.unslow(sorted(self.bandwidth))
        self.strangers.clear()
