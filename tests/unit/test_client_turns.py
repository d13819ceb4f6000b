"""That nobody is passed over, and nothing left out of the count, however much the others ask for."""

import pytest
from tests.hand import CLIENT, Cell
from tests.unit.allocator import in_use

from fastpaxos_live._api import CROWDED
from fastpaxos_live.reference.limits import STALLED_BYTES_MAX, WORK_ARGUMENT, WORK_MAX
from fastpaxos_live.server.memory import give_back
from fastpaxos_live.testing import request

KIB, MIB = 1 << 10, 1 << 20
CALL = request(b"CLIENT", b"GETNAME")
FIRST, COUNT = 10, 40  # other clients


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def made(core: str, **more: int) -> Cell:
    cell = Cell(core, **{"redirect": 2, "value_bytes_max": MIB} | more).start()
    cell.master()
    cell.settle()
    return cell


def many(cell: Cell, me: int) -> range:
    clients = range(FIRST, FIRST + COUNT)
    for client in clients:
        cell.replicas[me].open_client(client)
    return clients


def output(cell: Cell, me: int, client: int) -> bytes:
    data: bytes = cell.replicas[me].drain_client(client)
    return data


# --- requests that Python answers
def answer_all(cell: Cell, me: int, reply: bytes) -> int:
    """As an edge does in one round; returns how many."""
    count = 0
    while calls := cell.replicas[me].drain_calls():
        for conn, _ in calls:
            cell.replicas[me].answer(conn, reply)
            count += 1
    return count


@pytest.mark.parametrize("size", [5, MIB])
def test_one_turn_does_not_answer_all_that_python_is_asked_for(core: str, size: int) -> None:
    cell = made(core)
    me = cell.master()
    cell.deaf.add(me)
    clients = many(cell, me)
    for client in clients:
        cell.replicas[me].feed_client(client, CALL)
    counts = []
    while sum(counts) < COUNT:
        counts.append(answer_all(cell, me, b"x" * size))
        assert 0 < counts[-1] < COUNT and counts[-1] * size < 2 * WORK_MAX
        cell.step()
    assert all(output(cell, me, client) == b"x" * size for client in clients)


def test_a_client_that_python_answers_keeps_no_more_than_others(core: str) -> None:
    """It is never seen without such a request, which must not excuse it from every bound."""
    cell = made(core)
    me = cell.master()
    cell.deaf.add(me)
    replica = cell.replicas[me]
    replica.feed_client(CLIENT, request(b"ECHO", b"y"))
    cell.step()
    replies = b"$1\r\ny\r\n"
    data = CALL * 5000
    fed = answered = 0
    for _ in range(50):
        while replica.wants_client(CLIENT) and fed - answered * len(CALL) < 2 * MIB:
            replica.feed_client(CLIENT, data)
            fed += len(data)
        assert fed - answered * len(CALL) <= STALLED_BYTES_MAX + len(data)
        count = answer_all(cell, me, b"$-1\r\n")
        answered += count
        replies += b"$-1\r\n" * count
        cell.step()
    assert answered and output(cell, me, CLIENT) == replies


def test_who_holds_most_goes_even_while_python_answers_it(core: str) -> None:
    cell = made(core, clients_bytes_max=MIB // 2)
    me = cell.master()
    cell.deaf.add(me)
    replica = cell.replicas[me]
    replica.open_client(FIRST)
    replica.feed_client(FIRST, request(b"ECHO", b"z"))
    replica.feed_client(CLIENT, request(b"ECHO", b"y" * (600 * KIB)) + CALL * 2)
    cell.step()
    assert replica.drain_complaints() == [(CLIENT, CROWDED)]
    assert replica.is_closing(CLIENT) and not replica.is_closing(FIRST)
    assert replica.drain_calls() == []
    assert output(cell, me, CLIENT) == b"" and output(cell, me, FIRST) == b"$1\r\nz\r\n"
    replica.close_client(CLIENT)
    cell.step()


# --- whose turn it is
def test_a_write_without_room_is_tried_though_others_always_have_more_to_ask(core: str) -> None:
    cell = made(core, batch_bytes=4 * KIB, window=1, work_max=64 * KIB)
    me = cell.master()
    replica = cell.replicas[me]
    cell.held |= set(cell.ids)
    for _ in range(2):  # one is under way, and one fills the batch behind it
        cell.feed_client(me, request(b"SET", b"a", b"x" * (8 * KIB)))
        cell.step()
    replica.open_client(FIRST)
    replica.feed_client(FIRST, request(b"SET", b"b", b"1"))
    cell.step()
    clients = range(FIRST + 1, FIRST + 6)
    for client in clients:
        replica.open_client(client)
        replica.feed_client(client, request(b"PING") * 1000)  # more than one turn is for
    cell.held.clear()
    cell.deaf.add(me)
    for _ in range(100):
        for client in clients:
            replica.feed_client(client, request(b"PING") * (output(cell, me, client).count(b"\n")))
        cell.step()
        if output(cell, me, FIRST) == b"+OK\r\n":
            return
    raise AssertionError("it waits as long as they ask")


def test_a_request_that_has_to_wait_counts(core: str) -> None:
    """Its arguments are looked at, though it is not done: many of them are no less work."""
    cell = made(core, work_max=256 * KIB)
    me = cell.master()
    clients = many(cell, me)
    cell.held |= set(cell.ids)
    count = 20_000
    asked = request(b"SET", b"a", b"1") + request(b"MGET", *[b"a"] * count)
    for client in clients:
        cell.replicas[me].feed_client(client, asked[:-1])
    for _ in range(100):
        cell.step()
    replica = cell.replicas[me]
    tried = 0
    for client in clients:
        at = replica.effort()[0]
        replica.feed_client(client, asked[-1:])
        tried += replica.effort()[0] - at >= count * WORK_ARGUMENT
    assert 1 <= tried <= 2  # and the others have their turn later
    for _ in range(2 * COUNT):
        at = replica.effort()[0]
        cell.step()
        work, heaviest = replica.effort()
        assert work - at <= 256 * KIB + heaviest + 64


# --- what is left of streams
def test_a_stream_that_has_ended_keeps_nothing() -> None:
    """Resident bytes would not tell: one block at the top of the heap keeps all that is free below it. Under
    AddressSanitizer `in_use` is always 0, so that nothing is asked of the memory.
    """
    give_back()
    cell = made("cython", write_timeout_us=1_000_000, request_bytes_max=2 * MIB)
    master = cell.master()
    me = cell.others(master)[0]
    clients = many(cell, me)
    before = in_use()
    cell.held |= set(cell.ids)
    key = b"x" * (900 * KIB)
    for data in (request(b"SET", b"a", b"1"), request(b"EXISTS", key), request(b"EXISTS", key)):
        for client in clients:  # the first is proposed, with all others; the last waits at the master
            cell.replicas[me].feed_client(client, data)
        for _ in range(COUNT):
            cell.step()
        cell.wire.clear()
    grown = in_use() - before
    cell.until(lambda: all(cell.replicas[me].is_closing(client) for client in clients))
    for client in clients:
        cell.replicas[me].close_client(client)
    cell.held.clear()
    cell.master()
    cell.settle()
    cell.wire.clear()
    kept = in_use() - before  # with the buffers of the replicas' connections, 8 MiB however many clients there were
    assert not before or kept < COUNT * MIB // 2 < grown


# --- who is idle
def test_idle_clients_end_in_the_same_order_in_both_cores(core: str) -> None:
    """By their numbers, not as they came."""
    cell = made(core)
    me = cell.master()
    replica = cell.replicas[me]
    replica.close_client(CLIENT)
    for client in (9, 2, 7):
        replica.open_client(client)
    replica.limit_idle(1000)
    cell.now_us += 2_000_000
    replica.turn(cell.now_us, cell.wall_ms(me))
    assert replica.drain_clients() == [2, 7, 9]
