"""What clients send, up to its end: the largest request, at the master and through another replica, and half-closes."""

from collections.abc import Callable

import pytest
from tests.hand import CLIENT, Cell
from tests.unit.test_resp_parse import request_of

from fastpaxos_live.reference.limits import REQUEST_SLACK
from fastpaxos_live.testing import request

READ_BYTES = 256 << 10
VALUE_BYTES_MAX = 1 << 17
BOUND = VALUE_BYTES_MAX + REQUEST_SLACK
REFUSED = b"-ERR request too large: at most %d bytes an argument and %d in all\r\n" % (VALUE_BYTES_MAX, BOUND)
STEPS_MAX = 3000


@pytest.fixture(params=["cython", "python"])
def cell(request: pytest.FixtureRequest) -> Cell:
    cell = Cell(request.param, value_bytes_max=VALUE_BYTES_MAX, redirect=2).start()
    cell.master()
    cell.settle()
    return cell


@pytest.fixture(params=["master", "follower"])
def me(request: pytest.FixtureRequest, cell: Cell) -> int:
    """Where the client is connected."""
    master = cell.master()
    return master if request.param == "master" else cell.others(master)[0]


def send(cell: Cell, me: int, data: bytes) -> None:
    """As an edge does: while the replica wants more."""
    at = steps = 0
    while at < len(data):
        if cell.replicas[me].wants_client(CLIENT):
            cell.replicas[me].clock(cell.now_us, cell.wall_ms(me))
            cell.replicas[me].feed_client(CLIENT, data[at : at + READ_BYTES])
            at += READ_BYTES
        else:
            steps += 1
            assert steps < STEPS_MAX, f"nothing is read any more after {at} of {len(data)} bytes"
            cell.step()


def answers(cell: Cell, me: int, *expected: bytes) -> None:
    cell.until(lambda: len(cell.replies[me]) >= len(b"".join(expected)))
    assert cell.replies[me] == b"".join(expected)
    cell.replies[me] = b""


@pytest.mark.parametrize("part", [7, 1000])
def test_the_largest_request(cell: Cell, me: int, part: int) -> None:
    for size in (BOUND, BOUND + 1, 2 * BOUND):
        send(cell, me, request_of(size, part) + request(b"ECHO", b"next"))
        answers(cell, me, b":0\r\n" if size <= BOUND else REFUSED, b"$4\r\nnext\r\n")


def test_the_largest_request_behind_much_else(cell: Cell, me: int) -> None:
    send(cell, me, b"\r\n" * 300_000 + request_of(BOUND, 8) + request(b"PING"))
    answers(cell, me, b":0\r\n", b"+PONG\r\n")
    send(cell, me, request(b"SET", b"a", b"1") * 3 + request_of(BOUND, 1000) + request_of(BOUND + 1, 1000))
    answers(cell, me, b"+OK\r\n" * 3, b":0\r\n", REFUSED)


def test_a_long_line_in_the_largest_request(cell: Cell, me: int) -> None:
    whole = request_of(BOUND, 1000)
    cut = whole.rindex(b"$")
    send(cell, me, whole[:cut] + b"$" * 66_000)
    answers(cell, me, b"-ERR Protocol error: too big bulk count string\r\n")
    assert cell.replicas[me].is_closing(CLIENT)


def test_the_largest_value(cell: Cell, me: int) -> None:
    send(cell, me, request(b"SET", b"k", b"x" * VALUE_BYTES_MAX) + request(b"SET", b"k", b"x" * (VALUE_BYTES_MAX + 1)))
    answers(cell, me, b"+OK\r\n", REFUSED)


def end(cell: Cell, me: int) -> None:
    cell.replicas[me].clock(cell.now_us, cell.wall_ms(me))
    cell.replicas[me].end_client(CLIENT)
    assert not cell.replicas[me].wants_client(CLIENT)


def closing(cell: Cell, me: int) -> Callable[[], bool]:
    return lambda: cell.replicas[me].is_closing(CLIENT)


@pytest.mark.parametrize("rest", [b"", b"\r\n", b"*2\r\n$3\r\nGET\r\n$1", b"*9\r\n", b"SET half"])
def test_what_came_before_the_end_is_answered(cell: Cell, me: int, rest: bytes) -> None:
    send(cell, me, request(b"SET", b"a", b"1") + request(b"GET", b"a") + request(b"PING") + rest)
    end(cell, me)
    assert not cell.replicas[me].is_closing(CLIENT)
    cell.until(closing(cell, me))
    answers(cell, me, b"+OK\r\n$1\r\n1\r\n+PONG\r\n")
    assert cell.get(cell.master(), b"half") is None


@pytest.mark.parametrize("rest", [b"", b"\r\n", b"*2\r\n$3\r\nGET\r\n$1"])
def test_the_end_of_a_client_that_waits_for_nothing(cell: Cell, me: int, rest: bytes) -> None:
    send(cell, me, request(b"PING") + rest)
    answers(cell, me, b"+PONG\r\n")
    end(cell, me)
    assert cell.replicas[me].is_closing(CLIENT)
    assert CLIENT in cell.replicas[me].drain_clients()
    cell.replicas[me].close_client(CLIENT)
    assert cell.replicas[me].status()["clients"] == 0


def test_the_end_behind_a_request_that_waits(cell: Cell, me: int) -> None:
    for other in (1, 2, 3):
        cell.isolate(other)
    cell.run(1_000_000)
    send(cell, me, request(b"SET", b"a", b"1") + request(b"GET", b"a"))
    end(cell, me)
    cell.run(1_000_000)
    assert not cell.replicas[me].is_closing(CLIENT)
    cell.cut.clear()
    cell.until(closing(cell, me))
    answers(cell, me, b"+OK\r\n$1\r\n1\r\n")


def test_the_end_behind_a_request_that_python_answers(cell: Cell, me: int) -> None:
    send(cell, me, request(b"CLIENT", b"ID") + request(b"PING"))
    end(cell, me)
    cell.step()
    assert [args for _, args in cell.replicas[me].drain_calls()] == [[b"CLIENT", b"ID"]]
    assert not cell.replicas[me].is_closing(CLIENT)
    cell.replicas[me].answer(CLIENT, b":1\r\n")
    cell.until(closing(cell, me))
    answers(cell, me, b":1\r\n+PONG\r\n")


@pytest.mark.parametrize("how", ["end", "garbage"])
def test_a_read_that_waits_for_the_lease_is_answered_before_the_connection_closes(cell: Cell, how: str) -> None:
    me = cell.master()
    cell.isolate(me)
    cell.until(lambda: cell.replicas[me].status()["lease_us_left"] == 0)
    if how == "end":
        send(cell, me, request(b"GET", b"a"))
        end(cell, me)
    else:
        send(cell, me, request(b"GET", b"a") + b"*x\r\n")
    cell.step()
    assert cell.replies[me] == b""
    assert not cell.replicas[me].is_closing(CLIENT)
    cell.cut.clear()
    cell.until(closing(cell, me))
    cell.step()
    assert cell.replies[me].startswith(b"$-1\r\n" + (b"-ERR Protocol" if how == "garbage" else b""))


def test_the_end_behind_a_read_that_waits_for_the_lease(cell: Cell) -> None:
    master = cell.master()
    replica = cell.replicas[master]
    assert cell.ask(master, b"SET a 1") == b"+OK\r\n"
    cell.isolate(master)
    cell.until(lambda: not replica.status()["lease_us_left"])
    cell.replies[master] = b""
    send(cell, master, request(b"GET", b"a"))
    end(cell, master)
    cell.step()
    assert not cell.replies[master] and not replica.is_closing(CLIENT)
    cell.cut.clear()
    cell.until(closing(cell, master))
    answers(cell, master, b"$1\r\n1\r\n")
