"""A cell whose replicas are fed and drained by hand.

So a test can hold a disk, cut a link, stop a replica, set a clock wrong, and look at each frame on the wires and at
each record on the disks.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fastpaxos_live._api import Config
from fastpaxos_live._select import load_core
from fastpaxos_live.reference.log_frame import HEADER_BYTES, Frame, frame_decode, frame_length

CELL_ID = 77
LEASE_US = 600_000
LEASE_MASTER_US = 500_000
BEAT_US = 50_000
STEP_US = 1_000
WALL_MS = 1_700_000_000_000
CLIENT = 5


def config(replica: int, replicas: int = 3, **more: int) -> Config:
    settings = Config(
        cell_id=CELL_ID, replica=replica, replicas=replicas, incarnation=1, seed=replica,
        clients=[f"127.0.0.1:{7000 + id}" for id in range(1, replicas + 1)], lease_us=LEASE_US,
        lease_master_us=LEASE_MASTER_US, beat_us=BEAT_US, boost_us=600_000_000, election_us=200_000, window=4,
        batch_bytes=1 << 20, value_bytes_max=8 << 20, wait_master_us=5_000_000, write_timeout_us=10_000_000,
        redirect=0,
    )  # fmt: skip
    settings.update(more)  # type: ignore[typeddict-item]
    return settings


class Sent(NamedTuple):
    """A frame that was handed from one replica to another."""

    sender: int
    receiver: int
    frame: Frame


def parts_of(data: bytes) -> Iterator[tuple[Frame, bytes]]:
    """Each frame, taken apart and as it is."""
    at = 0
    while at < len(data):
        length = frame_length(CELL_ID, data, at)
        yield frame_decode(CELL_ID, data, at, length), data[at : at + length]
        at += length


def frames_of(data: bytes) -> list[Frame]:
    return [frame for frame, _ in parts_of(data)]


class Cell:
    """Replicas 1, 2, ..., their wires and their disks; time goes on only in `step`."""

    def __init__(self, core: str, replicas: int = 3, **more: int) -> None:
        self.make = load_core(core).Replica
        self.ids = range(1, replicas + 1)
        self.more = more  # settings of all
        self.own: dict[int, dict[str, int]] = {}  # settings of single replicas, from their next start on
        self.ahead_ms = dict.fromkeys(self.ids, 0)  # by so much their wall clocks are wrong
        self.now_us = 1_000_000
        self.cut: set[tuple[int, int]] = set()  # (sender, receiver): what is sent that way is lost
        self.lose: set[int] = set()  # types of frames that never arrive
        self.copies: dict[int, int] = {}  # so many of each frame of that type arrive
        self.held: set[int] = set()  # replicas whose disks finish nothing
        self.slow: dict[tuple[int, int], int] = {}  # (sender, receiver): so many bytes arrive in a step
        self.under_way: dict[tuple[int, int, int], bytes] = {}  # by sender, receiver and channel, on slow links
        self.wire: list[Sent] = []
        self.groups: dict[int, list[tuple[int, bytes]]] = {me: [] for me in self.ids}  # written, by replica
        self.unfinished: dict[int, tuple[int, bytes]] = {}
        self.spans = dict.fromkeys(self.ids, 0)  # what each has durable of how long grants may last
        self.spoiled: set[int] = set()  # whose logs are not as they were written
        self.damaged: dict[int, int] = {}  # the instance that a replica missed in its last read, or 0
        self.replies = dict.fromkeys(self.ids, b"")
        self.told: set[tuple[int, int]] = set()  # (replica, client): drained, or to be read again
        self.deaf: set[int] = set()  # replicas whose clients take nothing
        self.replicas: dict[int, Any] = {}

    def start(self) -> "Cell":
        """Starts all of them."""
        for me in self.ids:
            self.boot(me)
        return self

    def boot(self, me: int) -> None:
        """Starts a replica with what its disk had finished when it was stopped."""
        self.unfinished.pop(me, None)
        settings = config(me, len(self.ids), **{**self.more, **self.own.get(me, {})})
        replica = self.replicas[me] = self.make(settings | {"silence_us": self.spans[me]})
        self.spans[me] = max(self.spans[me], settings["lease_us"])
        log = self.log(me)
        assert replica.feed_log(log) == len(log)
        replica.start(self.now_us, self.wall_ms(me))
        replica.open_client(CLIENT)
        for other in self.replicas.keys() - {me}:
            for channel in (0, 1):
                self.replicas[other].open_peer(me, channel)
                replica.open_peer(other, channel)

    def log(self, me: int) -> bytes:
        return b"".join(group for _, group in self.groups[me])

    def spoil(self, me: int, old: bytes, new: bytes) -> None:
        """Changes something on a disk; both have the same length."""
        assert old in self.log(me)
        self.groups[me] = [(position, data.replace(old, new)) for position, data in self.groups[me]]
        self.spoiled.add(me)

    def stop(self, me: int) -> None:
        """As a kill would: what was not finished on disk, and all that was in memory, is gone."""
        del self.replicas[me]
        self.unfinished.pop(me, None)
        for other in self.replicas.values():
            for channel in (0, 1):
                other.close_peer(me, channel)

    def wall_ms(self, me: int) -> int:
        return WALL_MS + self.now_us // 1000 + self.ahead_ms[me]

    def step(self, us: int = STEP_US) -> None:
        """One turn of each replica."""
        self.now_us += us
        for me, replica in self.replicas.items():
            replica.turn(self.now_us, self.wall_ms(me))
            for client in replica.drain_clients():
                self.told.add((me, client))
                if me not in self.deaf:
                    self.replies[me] += replica.drain_client(client)
            group = replica.drain_disk()
            if group is not None:
                self.unfinished[me] = group[:2]
            self.finish_disk(me)
            if me not in self.held and (span := replica.span_wanted()):
                self.spans[me] = span
                replica.span_kept(span)
            for position, length in replica.drain_reads():
                damaged = replica.read_done(position, self.log(me)[position : position + length])
                assert not damaged or me in self.spoiled
                self.damaged[me] = damaged
        for me in list(self.replicas):
            self.carry(me)

    def finish_disk(self, me: int) -> None:
        if me in self.unfinished and me not in self.held:
            position, data = self.unfinished.pop(me)
            self.groups[me].append((position, data))
            self.replicas[me].clock(self.now_us, self.wall_ms(me))
            self.replicas[me].durable(position + len(data))

    def carry(self, me: int) -> None:
        for other in self.replicas.keys() - {me}:
            for channel in (0, 1):
                data = self.replicas[me].drain_peer(other, channel)
                self.wire += [Sent(me, other, frame) for frame in frames_of(data)]
                if (me, other) not in self.cut:
                    arriving = [
                        part * self.copies.get(frame.type, 1)
                        for frame, part in parts_of(data) if frame.type not in self.lose
                    ]  # fmt: skip
                    self.feed(other, me, channel, self.passed(me, other, channel, b"".join(arriving)))

    def passed(self, sender: int, receiver: int, channel: int, data: bytes) -> bytes:
        """What arrives now: all of it, or what a slow link lets through."""
        if (sender, receiver) not in self.slow:
            return data
        data = self.under_way.get((sender, receiver, channel), b"") + data
        size = self.slow[sender, receiver]
        self.under_way[sender, receiver, channel] = data[size:]
        return data[:size]

    def feed(self, receiver: int, sender: int, channel: int, data: bytes) -> None:
        self.replicas[receiver].clock(self.now_us, self.wall_ms(receiver))
        assert self.replicas[receiver].feed_peer(sender, channel, data)

    def until(self, condition: Callable[[], object], us: int = 10_000_000) -> None:
        """Steps until the condition holds; fails after that much virtual time."""
        end = self.now_us + us
        while not condition():
            assert self.now_us < end, "waited in vain"
            self.step()

    def run(self, us: int) -> None:
        end = self.now_us + us
        while self.now_us < end:
            self.step()

    def serving(self) -> list[int]:
        return [me for me, replica in self.replicas.items() if replica.status()["serving"]]

    def master(self, *among: int) -> int:
        """Waits until one of these (or any) serves and no other one does."""
        wanted = set(among or self.ids)
        self.until(lambda: len(self.serving()) == 1 and set(self.serving()) <= wanted)
        return self.serving()[0]

    def others(self, me: int) -> list[int]:
        return [other for other in self.ids if other != me]

    def isolate(self, me: int) -> None:
        self.cut |= {(me, other) for other in self.others(me)} | {(other, me) for other in self.others(me)}

    def feed_client(self, me: int, *requests: bytes) -> None:
        self.replicas[me].clock(self.now_us, self.wall_ms(me))
        self.replicas[me].feed_client(CLIENT, b"".join(request + b"\r\n" for request in requests))

    def ask(self, me: int, request: bytes) -> bytes:
        """Sends a request and waits for its reply."""
        self.replies[me] = b""
        self.feed_client(me, request)
        self.until(lambda: self.replies[me])
        return self.replies[me]

    def ask_other(self, me: int, request: bytes) -> bytes:
        """As `ask`, at another replica than that."""
        return self.ask(self.others(me)[0], request)

    def settle(self) -> None:
        """Waits until all replicas have applied all that is committed, and clears wires and notes."""

        def alike() -> bool:
            states = [replica.status() for replica in self.replicas.values()]
            last = {state["instance_committed"] for state in states} | {state["instance_applied"] for state in states}
            return len(last) == 1 and not self.unfinished

        self.until(alike)
        self.wire.clear()

    def sent(self, type: int, **fields: int) -> list[Sent]:
        return [
            sent
            for sent in self.wire
            if sent.frame.type == type and all(getattr(sent.frame, key) == value for key, value in fields.items())
        ]

    def records(self, me: int, start: int = 0) -> list[list[Frame]]:
        """The frames of each group on this disk, from that group on."""
        return [
            frames_of(data[HEADER_BYTES : HEADER_BYTES + int.from_bytes(data[32:40], "little")])
            for _, data in self.groups[me][start:]
        ]

    def rows(self, me: int, name: str) -> int:
        return self.replicas[me].rows()[name]

    def get(self, me: int, key: bytes) -> bytes | None:
        return self.replicas[me].get(key)
