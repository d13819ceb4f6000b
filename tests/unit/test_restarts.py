"""A replica with small segment files, killed in the middle of its writes again and again."""

import random
from pathlib import Path

import pytest

from fastpaxos_live.testing import Cell, Closed, Connection, request

ROUNDS = {"cython": 6, "python": 3}
SEGMENT = 64 << 10
PIPELINE = 8


def write_until_killed(cell: Cell, kill_after: int, first: int) -> int:
    # Writes key n for n = first..; returns one behind the last acknowledged.
    answered = sent = first
    with Connection(cell.ports[1]) as connection:
        try:
            while True:
                connection.send(b"".join(
                    request(b"SET", b"key%d" % (sent + i), value(sent + i)) for i in range(PIPELINE)
                ))
                sent += PIPELINE
                for _ in range(PIPELINE):
                    if answered == first + kill_after and cell.running():
                        cell.kill(1)
                    assert connection.reply() == b"+OK"
                    answered += 1
        except (Closed, OSError):
            return answered


def value(n: int) -> bytes:
    # Some larger than a segment file, most much smaller.
    return b"%d " % n * (20_000 if n % 97 == 0 else 1 + n % 500)


@pytest.mark.parametrize("core", ROUNDS)
def test_every_acknowledged_write_survives(tmp_path: Path, core: str) -> None:
    chance = random.Random(1)
    first = 0
    with Cell(tmp_path, replicas=1, core=core, limits={"segment_bytes": SEGMENT}) as cell:
        for _ in range(ROUNDS[core]):
            first = write_until_killed(cell, chance.randrange(1, 300), first)
            cell.start()
            cell.wait_ready()
            with Connection(cell.ports[1]) as connection:
                for n in range(first):
                    assert connection.ask(b"GET", b"key%d" % n) == value(n), f"key{n} of {first}"
        assert len(list(cell.data(1).glob("log.????????"))) > ROUNDS[core]
        assert cell.stop(1) == 0
