"""Catch-up asks who can help: a replica that is asked in vain is not asked again at once, and then another one is. Who
finds that it can't help any more, because its log is not as it wrote it, says so.
"""

import pytest
from tests.hand import CELL_ID as HAND_ID
from tests.hand import Cell

from fastpaxos_live._api import Config
from fastpaxos_live._select import load_core
from fastpaxos_live.reference.log_frame import BEAT, FETCH, FETCHED, frame_decode, frame_encode, frame_length

CELL_ID = 9
ME, MASTER = 2, 5
BEAT_US = 20_000
NUMBER = 1 << 24 | MASTER << 16 | 1


class Behind:
    """Replica 2 of five, which has nothing; the others are played here."""

    def __init__(self, core: str) -> None:
        self.now = 1_000_000
        self.replica = load_core(core).Replica(Config(
            cell_id=CELL_ID, replica=ME, replicas=5, incarnation=1, seed=1, clients=["127.0.0.1:1"] * 5,
            lease_us=600_000, lease_master_us=500_000, beat_us=BEAT_US, boost_us=10_000_000, election_us=200_000,
            window=4, batch_bytes=1000, value_bytes_max=1000, wait_master_us=10_000, write_timeout_us=10_000,
            redirect=0,
        ))  # fmt: skip
        self.replica.start(self.now, 0)
        for peer in (1, 3, 4, 5):
            for channel in (0, 1):
                self.replica.open_peer(peer, channel)

    def hears(self, peer: int, kind: int, **fields: int) -> list[int]:
        """Who is asked for entries after this frame came; time goes on by one beat."""
        self.now += BEAT_US
        self.replica.clock(self.now, 0)
        channel = 0 if kind == BEAT else 1
        assert self.replica.feed_peer(peer, channel, frame_encode(CELL_ID, kind, peer, 1, **fields))
        self.replica.turn(self.now, 0)
        asked = []
        for other in (1, 3, 4, 5):
            self.replica.drain_peer(other, 0)
            data, at = self.replica.drain_peer(other, 1), 0
            while at < len(data):
                size = frame_length(CELL_ID, data, at)
                asked += [other] if frame_decode(CELL_ID, data, at, size).type == FETCH else []
                at += size
        return asked

    def beat(self) -> list[int]:
        return self.hears(MASTER, BEAT, number=NUMBER, mark=7)


@pytest.fixture(params=["cython", "python"])
def behind(request: pytest.FixtureRequest) -> Behind:
    return Behind(request.param)


def test_who_answers_in_vain_is_not_asked_at_once_and_then_the_next_one_is(behind: Behind) -> None:
    asked = []
    for _ in range(8):
        (peer,) = behind.beat()
        asked.append(peer)
        assert behind.hears(peer, FETCHED, instance=1, mark=7) == []
    assert asked == [5, 1, 3, 4, 5, 1, 3, 4]


def test_who_does_not_answer_is_not_asked_again(behind: Behind) -> None:
    assert behind.beat() == [5]
    asked = [peer for _ in range(6) for peer in behind.beat()]
    assert asked == [1, 3, 4]


def test_the_wait_for_an_answer_doubles_with_each_round(behind: Behind) -> None:
    """On a slow link answers to the same question would keep each other up."""
    gaps, last = [], 0
    for beat in range(1, 400):
        if behind.beat():
            gaps.append(beat - last)
            last = beat
    assert gaps[1:17] == [2] * 4 + [4] * 4 + [8] * 4 + [16] * 4
    asked = [peer for _ in range(200) for peer in behind.beat()]
    behind.hears(asked[-1], FETCHED, instance=1, mark=7)
    assert behind.beat() != []  # who answers is not waited for


@pytest.mark.parametrize("core", ["cython", "python"])
def test_an_instance_that_is_damaged_is_told_and_not_sent_on(core: str) -> None:
    cell = Cell(core).start()
    master = cell.master()
    cell.settle()
    behind = cell.others(master)[0]
    cell.isolate(behind)
    for key in (b"before", b"damaged", b"behind"):
        assert cell.ask(master, b"SET " + key + b" " + key) == b"+OK\r\n"
    cell.spoil(master, b"damaged", b"Damaged")
    cell.cut.clear()
    cell.until(lambda: cell.damaged.get(master))
    cell.until(lambda: cell.get(behind, b"damaged"))  # from the third one
    assert cell.get(behind, b"damaged") == b"damaged"


@pytest.mark.parametrize("core", ["cython", "python"])
def test_a_read_that_fails_is_no_damage(core: str) -> None:
    """There may have been no memory; it is asked for again."""
    cell = Cell(core).start()
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    other = cell.others(master)[0]
    cell.feed(master, other, 1, frame_encode(HAND_ID, FETCH, other, 1, instance=1))
    ((position, _),) = cell.replicas[master].drain_reads()
    assert cell.replicas[master].read_done(position, b"") == 0
