"""No room for the log: writes are refused before it is used up, everything else goes on, and so do they afterwards."""

import pytest
from tests.hand import CLIENT, Cell

from fastpaxos_live.reference.log_frame import ACCEPT, ACK, FETCH, WHERE

REFUSED = b"-ERR disk full, nothing was done\r\n"
VALUE = b"x" * 1000
ROOM = 20_000


@pytest.fixture(params=["cython", "python"])
def cell(request: pytest.FixtureRequest) -> Cell:
    cell = Cell(request.param, redirect=2).start()
    assert cell.ask(cell.master(), b"SET a 1") == b"+OK\r\n"
    cell.settle()
    return cell


def end(cell: Cell, me: int) -> int:
    return cell.replicas[me].status()["log_position"]


def limit(cell: Cell, *ids: int, room: int = ROOM) -> dict[int, int]:
    limits = {me: end(cell, me) + room for me in ids}
    for me, position in limits.items():
        cell.replicas[me].limit_log(position)
        assert cell.replicas[me].status()["disk_full"]
    return limits


def write_until_refused(cell: Cell, me: int) -> int:
    """How many writes are done before one is refused."""
    for count in range(1000):
        reply = cell.ask(me, b"SET k%d %b" % (count, VALUE))
        if reply != b"+OK\r\n":
            assert reply == REFUSED
            return count
    raise AssertionError("nothing is refused")


@pytest.mark.parametrize("where", ["master", "follower"])
def test_writes_are_refused_in_time(cell: Cell, where: str) -> None:
    master = cell.master()
    me = master if where == "master" else cell.others(master)[0]
    limits = limit(cell, master)
    done = write_until_refused(cell, me)
    assert 8 < done < ROOM // len(VALUE)
    assert limits[master] - 2000 < end(cell, master) <= limits[master]
    assert cell.ask(me, b"GET k%d" % done) == b"$-1\r\n"
    cell.run(20_000_000)
    assert cell.master() == master, "the lease goes on"
    assert cell.ask(me, b"GET a") == b"$1\r\n1\r\n"
    assert end(cell, master) <= limits[master]
    cell.replicas[master].limit_log(0)
    assert not cell.replicas[master].status()["disk_full"]
    assert cell.ask(me, b"SET a 2") == b"+OK\r\n"


def test_many_writes_at_once_stay_within_the_limit(cell: Cell) -> None:
    master = cell.master()
    limits = limit(cell, master)
    cell.replies[master] = b""
    cell.feed_client(master, *[b"SET k%d %b" % (i, VALUE) for i in range(50)], b"GET k0", b"ECHO z")
    cell.until(lambda: cell.replies[master].endswith(b"z\r\n"))
    done = cell.replies[master].count(b"+OK\r\n")
    refused = b"".join([b"+OK\r\n"] * done + [REFUSED] * (50 - done))
    assert 8 < done < 20
    assert cell.replies[master] == refused + b"$1000\r\n" + VALUE + b"\r\n$1\r\nz\r\n"
    assert end(cell, master) <= limits[master]


def test_a_follower_without_room_takes_nothing_and_lives(cell: Cell) -> None:
    master = cell.master()
    full, other = cell.others(master)
    limits = limit(cell, full)
    for i in range(40):
        assert cell.ask(master, b"SET k%d %b" % (i, VALUE)) == b"+OK\r\n"
    cell.wire.clear()
    cell.run(5_000_000)
    assert end(cell, full) <= limits[full]
    assert cell.replicas[full].status()["instance_applied"] < cell.replicas[master].status()["instance_applied"]
    asked = [sent for sent in cell.sent(FETCH) + cell.sent(WHERE) if sent.sender == full]
    assert len(asked) <= 30, "it asks seldom for what it could not take"
    assert not [sent for sent in cell.sent(ACK) if sent.sender == full]
    cell.stop(other)
    cell.replies[master] = b""
    cell.feed_client(master, b"SET more 1")
    cell.run(2_000_000)
    assert cell.replies[master] == b"", "what it did not take is not chosen"
    assert [sent for sent in cell.sent(ACCEPT) if sent.receiver == full]
    cell.replicas[full].limit_log(0)
    cell.until(lambda: cell.replies[master] == b"+OK\r\n")
    cell.settle()
    assert cell.get(full, b"more") == b"1"


def test_all_without_room_elect_a_master_and_read(cell: Cell) -> None:
    limit(cell, 1, 2, 3, room=0)
    for _ in range(3):
        master = cell.master()
        assert cell.ask(master, b"SET a 2") == REFUSED
        cell.isolate(master)
        successor = cell.master(*cell.others(master))
        cell.cut.clear()
        cell.settle()
        assert cell.ask(successor, b"GET a") == b"$1\r\n1\r\n"


def test_deadlines_wait_where_there_is_no_room(cell: Cell) -> None:
    master = cell.master()
    assert cell.ask(master, b"SET brief 1 PX 500") == b"+OK\r\n"
    cell.settle()
    limits = limit(cell, 1, 2, 3, room=64)
    cell.run(3_000_000)
    assert cell.ask(master, b"GET brief") == REFUSED
    assert cell.ask(master, b"GET a") == b"$1\r\n1\r\n"
    cell.feed_client(master, *[b"GET brief"] * 100)
    cell.run(100_000)
    assert end(cell, master) <= limits[master]
    for me in (1, 2, 3):
        cell.replicas[me].limit_log(0)
    cell.until(lambda: cell.replicas[master].status()["keys"] == 1)
    assert cell.ask(master, b"GET brief") == b"$-1\r\n"
    assert CLIENT in cell.replicas[master].drain_clients() or cell.replicas[master].wants_client(CLIENT)
