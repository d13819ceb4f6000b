"""That what a client makes a replica keep or look up is counted: its reads in batches, and its arguments."""

import gc

import pytest
from tests.hand import LEASE_US, Cell
from tests.unit.allocator import in_use
from tests.unit.test_client_turns import COUNT, FIRST, KIB, MIB, many, output

from fastpaxos_live._api import CROWDED
from fastpaxos_live.reference.db_ops import ITEM_BYTES, OP_BYTES
from fastpaxos_live.reference.limits import ARGUMENT_BYTES, BATCH_REPLIES_MAX, LOOKUP_BYTES, WORK_ARGUMENT, WORK_MAX
from fastpaxos_live.server.memory import give_back
from fastpaxos_live.testing import request

LONG = b"x" * (900 * KIB)
SET = request(b"SET", b"a", b"1")


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def made(core: str, **more: int) -> Cell:
    cell = Cell(core, **{"redirect": 2, "value_bytes_max": MIB, "window": 1} | more).start()
    cell.master()
    cell.settle()
    return cell


def with_due(core: str, **more: int) -> Cell:
    """The key `k` is due, and no disk finishes anything: a read of it waits for a value that carries the time."""
    cell = made(core, **more)
    cell.feed_client(cell.master(), request(b"SET", b"k", b"v", b"PX", b"200"))
    cell.run(100_000)
    cell.held |= set(cell.ids)
    cell.run(150_000)
    return cell


# --- reads that have their place in a batch
def test_reads_behind_a_value_that_carries_the_time_are_counted(core: str) -> None:
    """By their size: a batch takes so many of them, and the others are kept for their clients."""
    cell = with_due(core, clients_bytes_max=8 * MIB)
    me = cell.master()
    for client in many(cell, me):
        cell.replicas[me].feed_client(client, request(b"EXISTS", b"k", LONG))
        cell.step()
    complaints = cell.replicas[me].drain_complaints()
    assert {what for _, what in complaints} == {CROWDED}
    assert len(complaints) <= COUNT - (BATCH_REPLIES_MAX + 4 * MIB) // MIB  # each is kept twice
    gone = {client for client, _ in complaints}
    cell.held.clear()
    cell.deaf.add(me)
    for _ in range(20):
        cell.step()
    assert {output(cell, me, client) for client in range(FIRST, FIRST + COUNT) if client not in gone} == {b":0\r\n"}


KEYS = [b"%d" % i for i in range(3400)]
LOOKUPS = [(SET, request(b"EXISTS", *KEYS), b":0\r\n"), (b"", request(b"EXISTS", b"k", *KEYS), b":0\r\n"),
           (SET, request(b"MGET", *KEYS), b"*3400\r\n" + b"$-1\r\n" * len(KEYS))]  # fmt: skip


@pytest.mark.parametrize("before, read, reply", LOOKUPS, ids=["behind a write", "behind the time", "MGET"])
def test_a_batch_has_a_bound_of_what_is_looked_up_for_it(core: str, before: bytes, read: bytes, reply: bytes) -> None:
    """It is applied in one go, however many clients asked."""
    cell = with_due(core)
    me = cell.master()
    cell.deaf.add(me)
    clients = many(cell, me)
    cell.replicas[me].feed_client(clients[0], SET)
    cell.step()  # under way
    for client in clients[1:]:
        cell.replicas[me].feed_client(client, before + read)
        cell.step()
    cell.held.clear()
    missing = set(clients[1:])
    for _ in range(30):
        cell.step()
        now = {client for client in missing if reply in output(cell, me, client)}
        at_once = 2 * WORK_MAX // WORK_ARGUMENT  # where nothing has to be waited for any more
        assert len(now) * len(KEYS) <= BATCH_REPLIES_MAX // LOOKUP_BYTES + at_once
        missing -= now
    assert not missing


def test_a_read_that_moves_to_the_open_batch_counts_there(core: str) -> None:
    """And not in the one that its client's write is in: where there is no room it waits for that write alone."""
    cell = made(core)
    me = cell.master()
    cell.deaf.add(me)
    replica = cell.replicas[me]
    cell.held |= set(cell.ids)
    clients = many(cell, me)
    for client in clients[:20]:
        replica.feed_client(client, SET)
    cell.step()
    for client in clients[20:37]:  # fill the batch behind that one
        replica.feed_client(client, SET + request(b"ECHO", LONG))
        cell.step()
    for client in clients[:10]:
        replica.feed_client(client, request(b"TTL", LONG))
        cell.step()
    cell.run(50_000)
    cell.held.clear()
    cell.until(lambda: replica.drain_client(FIRST + 19))
    cell.held |= set(cell.ids)
    cell.run(100_000)
    answered = sum(output(cell, me, client).endswith(b":-2\r\n") for client in clients[:10])
    assert answered >= 9


def test_a_read_waits_no_longer_for_room_than_a_write(core: str) -> None:
    cell = with_due(core, write_timeout_us=1_000_000)
    me = cell.master()
    cell.deaf.add(me)
    replica = cell.replicas[me]
    clients = many(cell, me)
    for client in clients:
        replica.feed_client(client, request(b"EXISTS", b"k", LONG))
    cell.run(1_300_000)
    replies = [output(cell, me, client) for client in clients]
    late = b" no majority answered within write_timeout_ms, "
    assert all(reply.startswith((b"-TRYAGAIN" + late, b"-UNKNOWN" + late)) for reply in replies), replies


# --- arguments
COUNTED = [  # requests, how many arguments are taken from them
    (b"*20001\r\n$6\r\nEXISTS\r\n" + b"$0\r\n\r\n" * 19_999, 20_000),
    (b"*3\r\n$6\r\nEXISTS\r\n$3\r\nabc\r\n$70000\r\n" + b"y" * 50_000, 2),
    (request(b"CLIENT", *[b""] * 200), 201),
]


@pytest.mark.parametrize("data, count", COUNTED, ids=["partial", "with a long one", "calling"])
def test_arguments_are_counted(core: str, data: bytes, count: int) -> None:
    """They take memory of their own; the same figure in both cores."""
    kept = len(data) + ARGUMENT_BYTES * count
    for limit, expected in ((kept, []), (kept - 1, [(FIRST, CROWDED)])):
        cell = made(core, clients_bytes_max=limit)
        me = cell.master()
        cell.replicas[me].open_client(FIRST)
        cell.replicas[me].feed_client(FIRST, data)
        cell.step()
        assert cell.replicas[me].drain_complaints() == expected


def test_arguments_of_a_request_that_waits_are_counted(core: str) -> None:
    """Beside the operation that it is made already."""
    data = request(b"EXISTS", *[b"k"] * 1000)
    operation = OP_BYTES + (ITEM_BYTES + 1) * 1000
    kept = len(data) + operation + ARGUMENT_BYTES * 1001
    for limit, expected in ((kept, []), (kept - 1, [(FIRST, CROWDED)])):
        cell = made(core, clients_bytes_max=limit)
        me = cell.master()
        for other in cell.others(me):
            cell.stop(other)
        cell.run(2 * LEASE_US)
        assert not cell.serving()
        cell.replicas[me].open_client(FIRST)
        cell.replicas[me].feed_client(FIRST, data)
        cell.step()
        assert cell.replicas[me].drain_complaints() == expected


ARGUMENTS = b"*200001\r\n$6\r\nEXISTS\r\n" + b"$1\r\nx\r\n" * 199_000


@pytest.mark.parametrize("end", [b"", b"x\r\n", b"$1100000\r\n"], ids=["crowded", "broken", "too large"])
def test_of_a_request_that_is_given_up_nothing_is_kept(end: bytes) -> None:
    cell = made("cython", **({} if end else {"clients_bytes_max": 1}))
    me = cell.master()
    cell.deaf.add(me)
    cell.held |= set(cell.ids)
    clients = many(cell, me)
    give_back()
    gc.collect()
    before = in_use()
    for client in clients:
        cell.replicas[me].feed_client(client, SET + ARGUMENTS + end)
        cell.step()
    assert in_use() - before < COUNT * MIB // 2  # 16 bytes for each argument were 3 MiB


# --- what is sent by parts
@pytest.mark.parametrize("most", [1, 100, KIB, 3 * KIB])
def test_what_is_not_taken_yet_is_kept_and_counted(core: str, most: int) -> None:
    cell = made(core)
    me = cell.master()
    assert cell.ask(me, b"SET k " + b"x" * KIB) == b"+OK\r\n"
    replica, client = cell.replicas[me], next(iter(many(cell, me)))
    cell.deaf.add(me)
    for _ in range(3):
        replica.feed_client(client, request(b"GET", b"k"))
    cell.run(LEASE_US // 4)
    reply = b"$1024\r\n" + b"x" * KIB + b"\r\n"
    taken, before = b"", replica.counts()
    while part := replica.drain_client(client, most):
        assert len(part) <= most
        taken += part
        assert replica.counts()["bytes_out"] - before["bytes_out"] == len(taken)
    assert taken == 3 * reply
    replica.feed_client(client, request(b"GET", b"k"))  # and it goes on
    cell.run(LEASE_US // 4)
    assert replica.drain_client(client) == reply


@pytest.mark.parametrize(("most", "ended"), [(KIB, 1), (0, 0)])
def test_what_is_not_taken_yet_counts_against_the_limit(core: str, most: int, ended: int) -> None:
    cell = made(core, clients_bytes_max=4 * MIB)
    me = cell.master()
    assert cell.ask(me, request(b"SET", b"k", LONG)) == b"+OK\r\n"
    replica, clients = cell.replicas[me], many(cell, me)
    cell.deaf.add(me)
    for client in clients[:2]:
        replica.feed_client(client, request(b"MGET", b"k", b"k", b"k"))
        cell.run(LEASE_US // 4)
        replica.drain_client(client, most)
    complaints = replica.drain_complaints()
    assert len(complaints) == ended
    assert {what for _, what in complaints} <= {CROWDED}
