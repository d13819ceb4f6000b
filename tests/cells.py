"""A cell of replicas of either core in one process, driven by hand: who is down, what is cut, which disks hang."""

from fastpaxos_live._api import Config, Replica
from fastpaxos_live._select import load_core

WALL_MS = 1_700_000_000_000
DEFAULTS = Config(
    cell_id=9, incarnation=1, lease_us=600_000, lease_master_us=500_000, beat_us=50_000, boost_us=10_000_000_000,
    election_us=200_000, window=1, batch_bytes=1 << 20, value_bytes_max=8 << 20, wait_master_us=5_000_000,
    write_timeout_us=10_000_000, redirect=0,
)  # fmt: skip


def request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


class Cell:
    """`replicas` of them; time goes on in steps of a millisecond, and nothing is slower than that unless it is said."""

    def __init__(self, core: str, replicas: int = 3, **settings: int) -> None:
        self.now = 1_000_000
        self.ids = range(1, replicas + 1)
        config = DEFAULTS | Config(replicas=replicas, clients=["127.0.0.1:1"] * replicas) | Config(**settings)
        self.replicas: dict[int, Replica] = {
            id: load_core(core).Replica(Config(**config | Config(replica=id, seed=77 * id))) for id in self.ids
        }
        self.down: set[int] = set()  # these stand still
        self.cut: set[tuple[int, int, int]] = set()  # nothing gets from the first to the second on that channel
        self.stuck: set[tuple[int, int, int]] = set()  # ... and it stays where it was written
        self.hanging: set[int] = set()  # these disks write nothing
        self.delay_us = 0  # of everything between replicas
        self._travelling: list[tuple[int, int, int, int, bytes]] = []  # when it arrives, and as in `frames`
        self.frames: list[tuple[int, int, int, bytes]] = []  # what arrived: from, to, channel, bytes
        self.wall_ms = dict.fromkeys(self.ids, WALL_MS)
        self._writes: dict[int, int] = {}
        for id, replica in self.replicas.items():
            replica.start(self.now, self._wall(id))
            for peer in self.ids:
                if peer != id:
                    replica.open_peer(peer, 0)
                    replica.open_peer(peer, 1)

    def __getitem__(self, id: int) -> Replica:
        return self.replicas[id]

    def _wall(self, id: int) -> int:
        return self.wall_ms[id] + self.now // 1000

    def step(self, us: int = 1000) -> None:
        self.now += us
        for id in self.ids:
            if id not in self.down:
                self._turn(id)
        for id in self.ids:
            if id not in self.down:
                self._send(id)
        while self._travelling and self._travelling[0][0] <= self.now:
            self._arrive(*self._travelling.pop(0)[1:])

    def _turn(self, id: int) -> None:
        replica = self.replicas[id]
        replica.clock(self.now, self._wall(id))
        replica.turn(self.now, self._wall(id))
        if id not in self._writes and (group := replica.drain_disk()) is not None:
            self._writes[id] = group[0] + len(group[1])
        if id in self._writes and id not in self.hanging:
            replica.durable(self._writes.pop(id))
            replica.turn(self.now, self._wall(id))

    def _send(self, id: int) -> None:
        replica = self.replicas[id]
        for peer, channel in replica.drain_peers():
            if (id, peer, channel) in self.stuck:
                continue
            self._travelling.append((self.now + self.delay_us, id, peer, channel, replica.drain_peer(peer, channel)))

    def _arrive(self, id: int, peer: int, channel: int, data: bytes) -> None:
        if peer in self.down or (id, peer, channel) in self.cut:
            return
        self.frames.append((id, peer, channel, data))
        self.replicas[peer].clock(self.now, self._wall(peer))
        assert self.replicas[peer].feed_peer(id, channel, data), f"{peer} refused what {id} sent"

    def run(self, ms: int) -> None:
        for _ in range(ms):
            self.step()

    def isolate(self, id: int) -> None:
        """Nobody hears it, and it hears nobody."""
        for peer in self.ids:
            for channel in (0, 1):
                self.cut |= {(id, peer, channel), (peer, id, channel)}

    def master(self, ms: int = 5000) -> int:
        """Who serves, as soon as somebody that runs does."""
        for _ in range(ms):
            self.step()
            for id in self.ids:
                if id not in self.down and self.replicas[id].status()["serving"]:
                    return id
        raise AssertionError("no master")

    def reply(self, id: int, conn: int, ms: int = 100) -> bytes:
        """What a client is told within that time."""
        data = b""
        for _ in range(ms):
            self.step()
            data += self.replicas[id].drain_client(conn)
            if data.endswith(b"\r\n"):
                break
        return data
