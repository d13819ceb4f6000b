"""kill -9 at random moments: nothing acknowledged is lost, and a new master serves."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fastpaxos_live.testing import Cell, Closed, Connection, request, wait_until

WRITERS = 4
PIPELINE_MAX = 8
COUNTER = b"counter"
ACKNOWLEDGED_BEFORE_CRASH = 100  # at least: a round without traffic proves nothing
# Errors that say "definitely not applied"; after any other the outcome is unknown.
REFUSED = (b"-CLUSTERDOWN", b"-TRYAGAIN")


@dataclass
class Record:
    """What clients know of their writes. Keys are unique, and a key's value is derived from it."""

    acknowledged: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    unknown: set[bytes] = field(default_factory=set)
    counted: int = 0
    counted_unknown: int = 0

    def note(self, key: bytes, reply: bytes | None) -> None:
        """Files the outcome of one write; None when no reply came."""
        if reply and reply[:1] in b"+:":
            if key == COUNTER:
                self.counted += 1
            else:
                self.acknowledged.add(key)
        elif reply and reply.startswith(REFUSED):
            if key != COUNTER:
                self.refused.add(key)
        elif key == COUNTER:
            self.counted_unknown += 1
        else:
            self.unknown.add(key)


def value_of(key: bytes) -> bytes:
    return b"value of " + key


class Writer(threading.Thread):
    """A client that sends pipelines of SETs and INCRs to any replica until told to stop."""

    def __init__(self, cell: Cell, name: str, seed: int) -> None:
        super().__init__(name=name)
        self.record = Record()
        self._ports = list(cell.ports.values())
        self._random = random.Random(seed)
        self._stop_asked = threading.Event()
        self._written = 0

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                with Connection(self._random.choice(self._ports)) as connection:
                    while not self._stop_asked.is_set():
                        self._write(connection)
            except ConnectionError:
                self._stop_asked.wait(0.01)  # the replica is down: spare the processor, try another

    def _write(self, connection: Connection) -> None:
        keys = [self._key() for _ in range(self._random.randint(1, PIPELINE_MAX))]
        replies: list[bytes] = []
        try:
            connection.send(
                b"".join(
                    request(b"INCR", key) if key == COUNTER else request(b"SET", key, value_of(key)) for key in keys
                )
            )
            for _ in keys:
                replies.append(connection.reply())
        except TimeoutError:
            raise Closed from None
        finally:
            for key, reply in zip(keys, [*replies, *[None] * len(keys)], strict=False):
                self.record.note(key, reply)

    def _key(self) -> bytes:
        if self._random.random() < 0.25:
            return COUNTER
        self._written += 1
        return f"{self.name}:{self._written}".encode()

    def finish(self) -> Record:
        """Stops writing; returns what is known."""
        self._stop_asked.set()
        self.join()
        return self.record


def wait_for_traffic(writers: list[Writer], floor: int) -> None:
    """Waits until this many writes were acknowledged."""
    wait_until(
        lambda: sum(len(writer.record.acknowledged) for writer in writers) >= floor,
        f"{floor} acknowledged writes",
    )


def crash(cell: Cell, kind: str, rng: random.Random) -> list[int]:
    """Kills by kind of round; returns the victims."""
    master = cell.master()
    followers = [i for i in cell.ids if i != master]
    victims = {"master": [master], "all": list(cell.ids), "follower": [rng.choice(followers)]}[kind]
    cell.kill(*victims)
    if kind == "master" and rng.random() < 0.5:
        assert cell.wait_ready() != master  # the others go on without it
    return victims


def check_database(cell: Cell, records: list[Record]) -> None:
    """Compares what the master answers with everything that clients know."""
    with cell.client(cell.master()) as client:
        for record in records:
            for keys, allowed in (
                (record.acknowledged, lambda key: (value_of(key),)),
                (record.unknown, lambda key: (value_of(key), None)),
                (record.refused, lambda key: (None,)),
            ):
                ordered = sorted(keys)
                values = client.mget(ordered) if ordered else []
                wrong = [k for k, v in zip(ordered, values, strict=True) if v not in allowed(k)]
                assert not wrong, f"{len(wrong)} of {len(ordered)} keys are wrong: {wrong[:5]}"
        counter = int(client.get(COUNTER) or 0)
    counted = sum(record.counted for record in records)
    assert counted <= counter <= counted + sum(record.counted_unknown for record in records)


def run_rounds(cell: Cell, kinds: list[str], seed: int) -> None:
    rng = random.Random(seed)
    records: list[Record] = []
    for number, kind in enumerate(kinds, 1):
        floor = rng.randint(ACKNOWLEDGED_BEFORE_CRASH, 5 * ACKNOWLEDGED_BEFORE_CRASH)
        writers = [Writer(cell, f"{number}.{w}", rng.getrandbits(32)) for w in range(WRITERS)]
        for writer in writers:
            writer.start()
        try:
            wait_for_traffic(writers, floor)
            victims = crash(cell, kind, rng)
            cell.start(*victims)
            cell.wait_ready()
        finally:
            records += [writer.finish() for writer in writers]
        cell.wait_ready()
        cell.wait_equal()
        check_database(cell, records)
        print(f"round {number}: {kind} {victims}, {floor} writes acknowledged before")


@pytest.mark.parametrize(
    ("core", "kinds"),
    [
        ("cython", {"master": 10, "all": 10, "follower": 4}),
        ("python", {"master": 2, "all": 1, "follower": 1}),
    ],
)
def test_nothing_acknowledged_is_lost(tmp_path: Path, core: str, kinds: dict[str, int]) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rounds = [kind for kind, count in kinds.items() for _ in range(count)]
    random.Random(seed).shuffle(rounds)
    with Cell(tmp_path, core=core) as cell:
        run_rounds(cell, rounds, seed)
