"""Does a mastership stand whatever a cell is asked to do? Heartbeats are watched where they pass, between the replicas.

`python -m tests.cell.masterships` (`make masterships`) does it at length: a hundred clients with large MGETs for a
minute, a million keys due at one millisecond, and twice three million keys with a FLUSHALL.
test_masterships.py has the short form.

Two processes beside the cell do nothing else: one carries what replicas say to each other and notes each heartbeat, the
other is a witness that sleeps a millisecond at a time. How long the witness did not run the machine stood still, or
others had it: that is not the cell's, within bounds. Less than one heartbeat's period at a time does not count, as a
heartbeat finds its time between; half a lease of a gap is excused at most; and nothing can be told of a phase in which
the machine stood still for a fifth of the time.
"""

import argparse
import asyncio
import multiprocessing
import os
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import uvloop
from tests.cell.pauses_relay import Link, LinkedCell

from fastpaxos_live.reference.log_frame import BEAT, HEADER_BYTES
from fastpaxos_live.server.config import Lease
from fastpaxos_live.testing import HOST, Connection, request, wait_until

TYPE_AT, SENDER_AT, LENGTH_AT = 13, 14, slice(16, 20)  # in the header of a frame
NAP_S = 0.001
STALL_S = 0.005  # a witness that slept for less was not held up at all
STALLED_MAX = 0.2  # of a phase; with more the cell was not asked what it should be, either
VALUE_BYTES = 1 << 20
READ_BYTES = 1 << 18
MSET_KEYS = 500
SETS = 200  # in one pipeline
AHEAD_S = 2.0  # keys are due so long after they are set at the slowest rate, ...
SLOWEST = 20_000  # ... keys/s
SETTLE_S = 1.0

Beats = dict[int, list[tuple[float, int]]]  # by receiver: when, and from whom


@dataclass(frozen=True)
class Sizes:
    """How much of each; as given here in the long form."""

    clients: int = 100
    mget_mib: int = 32
    seconds: float = 60.0
    due: int = 1_000_000
    flushed: int = 3_000_000


@dataclass
class Phase:
    """A time in which one thing was asked; `gap_s` is the longest between two heartbeats at one replica."""

    name: str
    began: float
    ended: float = 0.0
    note: str = ""
    gap_s: float = 0.0
    seen_s: float = 0.0  # of that gap, for so long the witness did not run either
    own_s: float = 0.0  # the longest gap without what of it is excused
    stalled_s: float = 0.0  # the machine stood still for so long in all


@dataclass
class Heard:
    """What the processes beside noted: heartbeats, and when the witness did not run."""

    beats: Beats = field(default_factory=dict)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    lease: Lease = field(default_factory=Lease)

    @property
    def most_s(self) -> float:
        """Half a lease: a gap may be so long, and so much of it may be excused."""
        return self.lease.master_ms / 2000

    def masters(self) -> list[int]:
        """Who sent heartbeats, one after the other."""
        senders = [sender for _, sender in sorted(sum(self.beats.values(), []))]
        return [sender for at, sender in enumerate(senders) if at == 0 or senders[at - 1] != sender]

    def judge(self, phase: Phase) -> None:
        """Finds the gaps of a phase, and for how long the machine stood still."""
        least_s = self.lease.beat_ms / 1000
        stalls = [
            (max(phase.began, since), min(phase.ended, till))
            for since, till in self.stalls
            if till - since >= least_s and since < phase.ended and till > phase.began
        ]
        phase.stalled_s = sum(till - since for since, till in stalls)
        for beats in self.beats.values():
            times = [at for at, _ in beats if phase.began <= at <= phase.ended]
            times = [phase.began, *times, phase.ended]
            for begin, end in zip(times, times[1:], strict=False):
                seen = sum(max(0.0, min(end, till) - max(begin, since)) for since, till in stalls)
                phase.own_s = max(phase.own_s, end - begin - min(seen, self.most_s))
                if end - begin > phase.gap_s:
                    phase.gap_s, phase.seen_s = end - begin, seen


class Frames:
    """Finds heartbeats in what one replica says to another."""

    def __init__(self, noted: list[tuple[float, int]]) -> None:
        self._noted = noted
        self._head = bytearray()
        self._skip = 0  # bytes until the next frame

    def feed(self, data: bytes) -> None:
        now, at = time.monotonic(), 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            part = data[at : at + HEADER_BYTES - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) == HEADER_BYTES:
                if self._head[TYPE_AT] == BEAT:
                    self._noted.append((now, self._head[SENDER_AT]))
                self._skip = int.from_bytes(self._head[LENGTH_AT], "little") - HEADER_BYTES
                self._head.clear()


class WatchedLink(Link):
    """From one replica to another, with the heartbeats of both noted."""

    def __init__(self, port: int, target: int, ends: tuple[int, int], beats: Beats) -> None:
        super().__init__(port, target)
        self._ends, self._beats = ends, beats

    def watcher(self, forth: bool) -> Callable[[bytes], None]:
        return Frames(self._beats[self._ends[forth]]).feed


def _relay(ports: dict[tuple[int, int], tuple[int, int]], pipe: Pipe) -> None:
    beats: Beats = {i: [] for pair in ports for i in pair}

    async def carry() -> None:
        links = [WatchedLink(*where, pair, beats) for pair, where in ports.items()]
        for link in links:
            await link.start()
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)

    uvloop.run(carry())
    pipe.send(beats)


def _witness(pipe: Pipe) -> None:
    stalls = []
    before = time.monotonic()
    while not pipe.poll():
        time.sleep(NAP_S)
        now = time.monotonic()
        if now - before > STALL_S:
            stalls.append((before + NAP_S, now))
        before = now
    pipe.send(stalls)


@contextmanager
def _beside(target: Any, *arguments: Any) -> Iterator[Pipe]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.kill()
        process.join()


class Run:
    """One cell through all phases."""

    def __init__(
        self, directory: Path, sizes: Sizes, core: str = "cython", lease: Mapping[str, int] | None = None
    ) -> None:
        self.sizes = sizes
        self.cell = LinkedCell(directory, core=core, limits={"segment_bytes": 64 << 20}, lease=lease, with_parent=True)
        self.phases: list[Phase] = []
        self.heard = Heard(lease=Lease(**lease or {}))
        self.master = 0
        self.epochs = (0, 0)  # before the first phase and after the last
        self.parts = [self._idle, self._mgets, self._due, self._flush]  # of one phase or more

    def run(self) -> "Run":
        """All of it; the figures are in `phases` and `heard` then."""
        ports = {pair: (link.port, self.cell.peer_ports[pair[1]]) for pair, link in self.cell.link().items()}
        with ExitStack() as stack:
            relay = stack.enter_context(_beside(_relay, ports))
            assert relay.recv() == "ready"
            witness = stack.enter_context(_beside(_witness))
            stack.enter_context(self.cell)
            self.master = self.cell.wait_ready()
            with self.phase("from begin to end") as whole:
                epoch = self._epoch()
                for part in self.parts:
                    part()
                self.epochs = epoch, self._epoch()
            for pipe in (relay, witness):
                pipe.send("end")
            self.heard.beats, self.heard.stalls = relay.recv(), witness.recv()
            self.cell.check_alive()
        self.heard.beats = {
            i: kept for i, beats in self.heard.beats.items()
            if (kept := [beat for beat in beats if beat[0] >= whole.began]) or i != self.master
        }  # fmt: skip
        for one in self.phases:
            self.heard.judge(one)
        return self

    def wrong(self) -> list[str]:
        """What must not be."""
        masters = self.heard.masters()
        found = [] if masters == [self.master] else [f"masters, one after the other: {masters}"]
        first, last = self.epochs
        if last != first:  # also where the next master was the same replica
            found.append(f"epoch {first} was followed by others, up to {last}")
        return found + [
            f"{phase.name}: {phase.own_s * 1000:.0f} ms without a heartbeat that nothing excuses"
            for phase in self.phases
            if phase.own_s > self.heard.most_s
        ]

    def unclear(self) -> list[str]:
        """Where the run tells nothing, right or wrong."""
        return [
            f"{phase.name}: can't tell, the machine stood still for {phase.stalled_s:.2f} s of it"
            for phase in self.phases
            if phase.stalled_s > STALLED_MAX * (phase.ended - phase.began)
        ]

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """What is done in it is judged."""
        phase = Phase(name, time.monotonic())
        yield phase
        phase.ended = time.monotonic()
        self.phases.append(phase)

    def _epoch(self) -> int:
        return int(self.cell.info(self.cell.wait_ready())["epoch"])

    def _idle(self) -> None:
        with self.phase("nothing asked"):
            time.sleep(SETTLE_S)

    def _mgets(self) -> None:
        sizes, keys = self.sizes, [b"large:%d" % i for i in range(self.sizes.mget_mib)]
        with Connection(self.cell.ports[self.master]) as client:
            for key in keys:
                assert client.ask(b"SET", key, os.urandom(VALUE_BYTES)) == b"+OK"
        asked = request(b"MGET", *keys)
        whole = len(b"*%d\r\n" % len(keys)) + len(keys) * (len(b"$%d\r\n" % VALUE_BYTES) + VALUE_BYTES + 2)
        name = f"{sizes.clients} clients with MGETs of {sizes.mget_mib} MiB, {sizes.seconds:g} s"
        with self.phase(name) as phase:
            replies = ask_again_and_again(self.cell.ports[self.master], sizes.clients, asked, whole, sizes.seconds)
            phase.note = f"{sum(replies):,} replies, at least {min(replies)} to each client"
        with Connection(self.cell.ports[self.master]) as client:
            assert client.ask(b"DEL", *keys) == b":%d" % len(keys)

    def _due(self) -> None:
        count, port = self.sizes.due, self.cell.ports[self.master]
        ahead_s = AHEAD_S + count / SLOWEST
        deadline = int((time.time() + ahead_s) * 1000)
        until = b"%d" % deadline
        with Connection(port) as client:
            with self.phase(f"setting {count:,} keys with one deadline"):
                for at in range(0, count, SETS):
                    size = min(SETS, count - at)
                    keys = (b"due:%d" % i for i in range(at, at + size))
                    client.send(b"".join(request(b"SET", key, b"value", b"PXAT", until) for key in keys))
                    assert {client.reply() for _ in range(size)} == {b"+OK"}
            assert client.ask(b"DBSIZE") == b":%d" % count, "the keys were due before all were set"
            wait_until(lambda: time.time() * 1000 > deadline - 500, "the deadline", ahead_s + AHEAD_S)
            with self.phase(f"{count:,} keys due at one ms"):
                wait_until(lambda: client.ask(b"DBSIZE") == b":0", "no key")
                time.sleep(2 * SETTLE_S)

    def _flush(self) -> None:
        count = self.sizes.flushed
        for nth in ("first", "second"):
            with Connection(self.cell.ports[self.master]) as client:
                with self.phase(f"setting {count:,} keys ({nth})"):
                    for at in range(0, count, MSET_KEYS):
                        keys = (b"%s:%d" % (nth.encode(), i) for i in range(at, min(count, at + MSET_KEYS)))
                        assert client.ask(b"MSET", *(part for key in keys for part in (key, b"value"))) == b"+OK"
                assert client.ask(b"DBSIZE") == b":%d" % count
                with self.phase(f"FLUSHALL of {count:,} keys ({nth})"):
                    assert client.ask(b"FLUSHALL") == b"+OK"
                    time.sleep(SETTLE_S)
        with self.phase("afterwards"):
            time.sleep(SETTLE_S)


def ask_again_and_again(port: int, count: int, asked: bytes, whole: int, seconds: float) -> list[int]:
    """So many clients ask the same for so long, each when it has read its reply of `whole` bytes; how many replies each
    of them got, which is never none.
    """
    buffer, replies, until = bytearray(READ_BYTES), [0] * count, time.monotonic() + seconds
    got = [0] * count  # bytes of the next reply
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for i in range(count):
            client = stack.enter_context(socket.create_connection((HOST, port)))
            client.sendall(asked)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ, i)
        while time.monotonic() < until:
            for key, _ in selector.select(0.1):
                client, i = key.fileobj, key.data
                assert isinstance(client, socket.socket)
                size = client.recv_into(buffer)
                assert size, "a client that reads was ended"
                if got[i] == 0:
                    assert buffer[:1] == b"*", bytes(buffer[:80])
                got[i] += size
                if got[i] == whole:
                    replies[i] += 1
                    got[i] = 0
                    client.sendall(asked)
    assert all(replies), f"{replies.count(0)} of {count} clients got no reply"
    return replies


def main(arguments: Sequence[str] | None = None) -> int:
    """The long form; 1 if a mastership ended, or its master was silent for too long, or nobody can tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.cell.masterships", description=__doc__.partition("\n")[0])
    whole = Sizes()
    parser.add_argument("--clients", type=int, default=whole.clients)
    parser.add_argument("--mget-mib", type=int, default=whole.mget_mib, help="size of a reply (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=whole.seconds, help="of MGETs (default: %(default)s)")
    parser.add_argument("--due", type=int, default=whole.due, help="keys with one deadline (default: %(default)s)")
    parser.add_argument("--flushed", type=int, default=whole.flushed, help="keys of a FLUSHALL (default: %(default)s)")
    parser.add_argument("--core", choices=("cython", "python"), default="cython")
    options = parser.parse_args(arguments)
    sizes = Sizes(options.clients, options.mget_mib, options.seconds, options.due, options.flushed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), sizes, options.core).run()
    print(f"longest gap between heartbeats, ms (at most {run.heard.most_s * 1000:.0f} while the machine runs):")
    for phase in run.phases:
        gap, seen, own = (round(value * 1000) for value in (phase.gap_s, phase.seen_s, phase.own_s))
        print(f"{gap:6} ({seen} of them at the witness; most without: {own})  {phase.name}  {phase.note}".rstrip())
    stalls = sorted(till - since for since, till in run.heard.stalls)
    print(f"stalls of the witness: {len(stalls)}, longest {stalls[-1] * 1000 if stalls else 0:.0f} ms")
    print(f"changes of master: {len(run.heard.masters()) - 1}, of the epoch: {run.epochs[1] - run.epochs[0]}")
    troubles = run.wrong() + run.unclear()
    for trouble in troubles:
        print(trouble)
    return int(bool(troubles))


if __name__ == "__main__":
    sys.exit(main())
