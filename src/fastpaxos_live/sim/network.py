"""The network between replicas: connections that break and stall, frames that get lost, partitions.

Two connections (channels) a pair, as in production; the lower id dials. Usually a channel is a byte stream as TCP's: in
order, cut at any byte, stalled while its direction is blocked, and broken now and then. In a lossy run the protocol
channel carries single frames that are lost, repeated, late and overtaken, even across a reconnection; of the other
channel only catch-up frames get lost, since forwarding relies on a stream.
"""

from typing import TYPE_CHECKING

from ..reference.log_frame import FETCH, FETCHED, LEARN
from .trace import frames_of

if TYPE_CHECKING:
    from .world import World

CHANNELS = (0, 1)
DIAL_US = 20_000  # between two attempts to connect


class Connection:
    """One connection of the pair `low` < `high`."""

    __slots__ = ("low", "high", "channel", "closed", "lost", "damaged", "arrival", "held")

    def __init__(self, low: int, high: int, channel: int) -> None:
        self.low = low
        self.high = high
        self.channel = channel
        self.closed = False
        self.lost = False  # closed so that what was under way never arrives
        self.damaged = False  # bytes were changed on the way
        self.arrival = {low: 0, high: 0}  # by receiver: nothing may arrive earlier
        self.held: dict[int, list[tuple[bytes, bool]]] = {low: [], high: []}  # by receiver: stalled

    def other(self, replica: int) -> int:
        """The far end."""
        return self.low + self.high - replica


class Network:
    """All links of a cell."""

    def __init__(self, world: "World", replicas: int) -> None:
        self.world = world
        self.replicas = replicas
        self.blocked: set[tuple[int, int]] = set()  # (sender, receiver)
        self.live: dict[tuple[int, int, int], Connection] = {}
        self.lossy = world.plan.lossy
        self.split = 0.0 if self.lossy else world.plan.split  # late single frames must not fall between two pieces
        self.corrupt = world.plan.corrupt

    def delay(self) -> int:
        """A message's time on the way (us)."""
        plan, random = self.world.plan, self.world.random
        low, high = plan.delay_us
        delay = low + int(random.random() * (high - low))
        if plan.delay_tail and self.world.faulty and random.random() < plan.delay_tail:
            delay += int(random.random() * 2 * plan.lease_us)
        return delay

    # --- connections
    def start(self, replica: int) -> None:
        """`replica` runs (again): connections are made."""
        for peer in range(1, self.replicas + 1):
            if peer != replica:
                for channel in CHANNELS:
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
            world.after(DIAL_US + self.delay(), self._dial, low, high, channel)
            return
        conn = self.live[low, high, channel] = Connection(low, high, channel)
        conn.arrival[high] = world.now + self.delay()
        conn.arrival[low] = conn.arrival[high] + self.delay()
        world.at(conn.arrival[high], self._open, conn, high)
        world.at(conn.arrival[low], self._open, conn, low)

    def _open(self, conn: Connection, replica: int) -> None:
        if not conn.closed:
            self.world.nodes[replica].post(("open_peer", conn))

    def close(self, conn: Connection, gone: int = 0) -> None:
        """The connection breaks; `gone` is the end that died. Without one, what is under way is lost."""
        world = self.world
        if conn.closed:
            return
        conn.closed = True
        conn.lost = not gone or any(conn.held.values())  # nothing arrives behind what was lost
        del self.live[conn.low, conn.high, conn.channel]
        for end in (conn.low, conn.high):
            conn.held[end].clear()
            if end != gone:
                notice = world.now + self.delay()
                if world.faulty and world.random.random() < 0.1:
                    notice += world.plan.lease_us
                world.at(max(notice, conn.arrival[end]), world.nodes[end].post, ("close_peer", conn))
        world.after(DIAL_US + self.delay(), self._dial, conn.low, conn.high, conn.channel)

    # --- data
    def send(self, conn: Connection, sender: int, data: bytes) -> None:
        """The end `sender` wrote these whole frames."""
        receiver = conn.other(sender)
        random = self.world.random
        if self.lossy:
            self._send_lossy(conn, sender, receiver, data)
        elif (
            self.corrupt and self.world.faulty and not conn.damaged and random.random() < self.corrupt
        ):
            self._send_damaged(conn, receiver, data)
        elif self.split and random.random() < self.split:
            cut = random.randrange(len(data) + 1)
            for piece in filter(None, (data[:cut], data[cut:])):
                self._send_stream(conn, receiver, piece, False)
        else:
            self._send_stream(conn, receiver, data, False)

    def _send_stream(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        if conn.closed:
            return
        time = max(conn.arrival[receiver], self.world.now + self.delay())
        conn.arrival[receiver] = time
        self.world.at(time, self._arrive, conn, receiver, data, damaged)

    def _arrive(self, conn: Connection, receiver: int, data: bytes, damaged: bool) -> None:
        if conn.lost:
            return
        if not conn.closed and ((conn.other(receiver), receiver) in self.blocked or conn.held[receiver]):
            conn.held[receiver].append((data, damaged))
            return
        self.world.nodes[receiver].post(("feed_peer", conn, data, damaged))

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

    def unblock(self, pairs: list[tuple[int, int]]) -> None:
        """The pairs can talk again; what was stalled arrives."""
        self.blocked.difference_update(pairs)
        for _, conn in sorted(self.live.items()):
            for receiver in (conn.low, conn.high):
                if (conn.other(receiver), receiver) not in self.blocked:
                    held, conn.held[receiver] = conn.held[receiver], []
                    for data, damaged in held:  # at once: nothing sent later may overtake it
                        self._arrive(conn, receiver, data, damaged)

    def heal(self) -> None:
        """From now on the network is reliable."""
        self.lossy = False
        self.unblock(sorted(self.blocked))
