"""Each request gets its own reply, or its connection ends; nobody waits for what can't come any more."""

import pytest
from tests.cells import Cell, bulk, request

MIB = 1 << 20


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def started(core: str, **settings: int) -> tuple[Cell, int, int, int]:
    """A cell with a master and client 0 at each replica; the keys a and b hold their names."""
    cell = Cell(core, **settings)
    master = cell.master()
    cell.run(20)
    for id in cell.ids:
        cell[id].open_client(0)
    cell[master].feed_client(0, request(b"MSET", b"a", b"value-a", b"b", b"value-b"))
    assert cell.reply(master, 0) == b"+OK\r\n"
    cell.run(60)
    first, second = [id for id in cell.ids if id != master]
    return cell, master, first, second


def test_a_reply_that_is_lost_with_the_lease_is_not_replaced_by_the_next_one(core: str) -> None:
    cell, master, first, second = started(core)
    cell[first].feed_client(0, request(b"GET", b"a"))
    cell.step()  # the request is on its way; the master stops
    cell.down.add(master)
    while not any(cell[id].status()["serving"] for id in (first, second)):
        cell.step()
    before = cell[first].drain_client(0)
    # The old master goes on: it reads, finds its lease gone, and hears that another one serves.
    cell.down.clear()
    cell.run(50)
    told = before + cell[first].drain_client(0)
    assert told.startswith(b"-UNKNOWN ")
    assert cell[first].is_closing(0)


def test_a_stream_that_ends_with_something_owed_ends_its_client(core: str) -> None:
    """The master reads for a stream, and loses its mastership before the lease covers the read."""
    cell, master, first, second = started(core)
    peers = [(master, first, 0), (master, second, 0), (first, master, 0), (second, master, 0)]
    cell.cut.update(peers)  # no heartbeats; requests and replies still pass
    cell.run(520)
    cell[first].feed_client(0, request(b"GET", b"a"))
    cell.run(20)
    assert cell[first].drain_client(0) == b""  # held: the lease is over
    while cell[master].status()["serving"]:
        cell.step()
    cell.run(20)
    cell.cut.clear()
    cell.master()
    told = cell[first].drain_client(0)
    if cell[first].is_closing(0):
        assert told.startswith(b"-UNKNOWN ")
    else:  # the replica was master itself by then, and nothing was owed
        cell[first].feed_client(0, request(b"GET", b"b"))
        assert told + cell.reply(first, 0) == bulk(b"value-a") + bulk(b"value-b")


def test_a_request_for_an_old_master_is_ended_by_the_new_one(core: str) -> None:
    cell, master, first, second = started(core)
    cell.down.add(master)
    cell[first].feed_client(0, request(b"SET", b"a", b"1"))
    cell[second].feed_client(0, request(b"GET", b"a"))
    new = cell.master()
    cell.run(60)  # one heartbeat, so that the other one follows
    for id in (first, second):
        assert cell[id].drain_client(0).startswith(b"-UNKNOWN the master changed"), id == new
        assert cell[id].is_closing(0)


def test_a_read_behind_a_write_in_flight_is_not_answered_from_the_past(core: str) -> None:
    """A master that nobody answers asks itself for a key that others have long seen changed."""
    cell, master, first, second = started(core)
    cell.cut.update((peer, master, channel) for peer in (first, second) for channel in (0, 1))
    cell[master].feed_client(0, request(b"SET", b"a", b"old"))  # both take it, and the master is not told
    cell.step()
    cell.cut.update((master, peer, 0) for peer in (first, second))
    while not any(cell[id].status()["serving"] for id in (first, second)):
        cell.step()
    new = first if cell[first].status()["serving"] else second
    cell[new].feed_client(0, request(b"SET", b"a", b"new"))
    assert cell.reply(new, 0) == b"+OK\r\n"
    assert cell[master].status()["serving"]
    cell[master].feed_client(0, request(b"GET", b"a"))
    cell.cut.clear()
    told = cell.reply(master, 0, 500)
    assert told.startswith(b"+OK\r\n")
    assert told.removeprefix(b"+OK\r\n") in (bulk(b"new"), b"-TRYAGAIN the master changed, nothing was done\r\n")


def test_an_idle_stream_to_an_old_master_begins_anew(core: str) -> None:
    cell, master, first, second = started(core)
    cell[first].feed_client(0, request(b"GET", b"a"))
    assert cell.reply(first, 0) == bulk(b"value-a")
    cell.down.add(master)
    cell.master()
    cell.run(60)
    cell[first].feed_client(0, request(b"GET", b"b"))
    assert cell.reply(first, 0) == bulk(b"value-b")
    assert not cell[first].is_closing(0)


def test_requests_wait_for_room_in_the_channel_to_the_master(core: str) -> None:
    cell, master, first, _ = started(core, value_bytes_max=4 * MIB)
    clients = range(1, 25)
    for conn in clients:
        cell[first].open_client(conn)
    cell.stuck.add((first, master, 1))
    for conn in clients:
        cell[first].feed_client(conn, request(b"SET", b"k%d" % conn, b"v" * 2 * MIB))
    cell.run(5)
    assert [cell[first].is_closing(conn) for conn in clients] == [False] * len(clients)
    cell.stuck.clear()
    replies = {conn: cell.reply(first, conn, 500) for conn in clients}
    assert set(replies.values()) == {b"+OK\r\n"}


def test_what_found_no_room_in_the_channel_was_not_done(core: str) -> None:
    cell, master, first, _ = started(core)
    clients = range(1, 7)
    for conn in clients:
        cell[first].open_client(conn)
    cell.stuck.add((first, master, 1))
    for conn in clients:
        cell[first].feed_client(conn, request(b"SET", b"k%d" % conn, b"v" * 8 * MIB))
        cell.step()
    cell.stuck.clear()
    cell.cut.add((first, master, 1))  # what was written into the channel is lost, too
    cell[first].close_peer(master, 1)
    told = {conn: cell[first].drain_client(conn) for conn in clients}
    assert {reply.split()[0] for reply in told.values()} == {b"-UNKNOWN", b"-TRYAGAIN"}
    for conn, reply in told.items():
        assert cell[first].is_closing(conn) == reply.startswith(b"-UNKNOWN")
        assert b"connection to the master broke" in reply


def test_long_replies_of_one_client_do_not_harm_the_others(core: str) -> None:
    cell, _, first, _ = started(core)
    cell[first].open_client(1)
    cell[first].feed_client(0, request(b"SET", b"k", b"v" * 8 * MIB))
    assert cell.reply(first, 0) == b"+OK\r\n"
    cell.frames.clear()
    three = request(b"MGET", b"k", b"k", b"k", b"k") * 3
    cell[first].feed_client(0, request(b"SET", b"a", b"1") + three)
    cell[first].feed_client(1, request(b"INCR", b"n"))
    assert cell.reply(first, 1) == b":1\r\n"
    expected = b"+OK\r\n" + (b"*4\r\n" + bulk(b"v" * 8 * MIB) * 4) * 3
    data = b""
    for _ in range(400):
        cell.step()
        data += cell[first].drain_client(0)
    assert data == expected
    assert max(sizes(b"".join(data for _, to, channel, data in cell.frames if (to, channel) == (first, 1)))) < 2 * MIB


def sizes(frames: bytes) -> list[int]:
    found, at = [], 0
    while at < len(frames):
        found.append(int.from_bytes(frames[at + 16 : at + 20], "little"))
        at += found[-1]
    return found


def test_a_write_that_was_never_proposed_is_answered_in_time(core: str) -> None:
    """Two disks hang: what is proposed can't be chosen, and what comes after it is never proposed."""
    cell, master, first, second = started(core, write_timeout_us=1_000_000)
    cell[master].open_client(1)
    cell.hanging.update((first, second))
    cell[master].feed_client(0, request(b"SET", b"a", b"1"))
    cell.step()
    cell[master].feed_client(1, request(b"SET", b"b", b"2") + request(b"GET", b"b"))
    cell.run(1300)
    assert cell[master].drain_client(0).startswith(b"-UNKNOWN no majority answered within write_timeout_ms")
    assert cell[master].is_closing(0)
    told = cell[master].drain_client(1)
    assert told.count(b"-TRYAGAIN no majority answered within write_timeout_ms") == 2
    assert not cell[master].is_closing(1)
    cell.hanging.clear()
    cell.run(50)
    cell[master].feed_client(1, request(b"GET", b"b"))
    assert cell.reply(master, 1) == bulk(b"value-b")


def test_a_write_that_finds_no_room_is_answered_in_time(core: str) -> None:
    """The log takes no more, for all disks hang; each of many writes behind one another waits once, not one by one."""
    cell, master, _, _ = started(core, write_timeout_us=1_000_000, window=64)
    cell[master].open_client(1)
    cell.hanging.update(cell.ids)
    for _ in range(40):  # 40 MiB: above what the log holds that is not durable
        cell[master].feed_client(0, request(b"SET", b"a", b"v" * MIB))
        cell.step()
    cell[master].feed_client(1, request(b"SET", b"b", b"2") * 5)
    cell.run(1300)
    assert cell[master].drain_client(1).count(b"-TRYAGAIN ") == 5
    assert not cell[master].is_closing(1)


def test_a_write_after_one_that_was_late_waits_for_room_again(core: str) -> None:
    """Once the disks go on, however short of room the moment is."""
    cell, master, _, _ = started(core, write_timeout_us=1_000_000, window=64)
    cell[master].open_client(1)
    cell[master].open_client(2)
    cell.hanging.update(cell.ids)
    for _ in range(40):
        cell[master].feed_client(0, request(b"SET", b"a", b"v" * MIB))
        cell.step()
    cell[master].feed_client(1, request(b"SET", b"b", b"2"))
    cell.run(1300)
    assert cell[master].drain_client(1).startswith(b"-TRYAGAIN ")
    cell.hanging.clear()
    cell.run(500)
    cell[master].feed_client(2, request(b"SET", b"a", b"v" * MIB))  # fills the batch
    cell[master].feed_client(1, request(b"SET", b"b", b"2"))
    assert cell.reply(master, 1) == b"+OK\r\n"


def test_the_end_waits_for_every_reply_of_the_open_batch(core: str) -> None:
    """Two writes that are never proposed, and garbage behind them, or the end: each has its reply before that."""
    cell, master, first, second = started(core, write_timeout_us=1_000_000)
    cell[master].open_client(1)
    cell[master].open_client(2)
    cell.hanging.update((first, second))
    cell[master].feed_client(0, request(b"SET", b"a", b"1"))
    cell.step()
    two = request(b"SET", b"b", b"2") + request(b"SET", b"c", b"3")
    cell[master].feed_client(1, two + b"*x\r\n")
    cell[master].feed_client(2, two)
    cell[master].end_client(2)
    cell.run(1300)
    late = b"-TRYAGAIN no majority answered within write_timeout_ms, nothing was done\r\n"
    assert cell[master].drain_client(1) == 2 * late + b"-ERR Protocol error: invalid multibulk length\r\n"
    assert cell[master].drain_client(2) == 2 * late
    assert cell[master].is_closing(1)
    assert cell[master].is_closing(2)


def test_what_a_client_took_is_told_once_the_channel_has_room(core: str) -> None:
    """Else the master, which sends only so much ahead, would wait for it as the client does for the master."""
    cell, master, first, _ = started(core)
    cell[first].feed_client(0, request(b"SET", b"k", b"v" * MIB))
    assert cell.reply(first, 0) == b"+OK\r\n"
    cell[first].feed_client(0, request(b"GET", b"k") * 8)
    cell.step()
    cell.stuck.add((first, master, 1))
    sizes = [8 * MIB - 100] * 3 + [1 << bits for bits in range(23, 7, -1)] + [*range(400, 0, -1)]
    for conn, size in enumerate(sizes, 1):  # what fits; in the end not even a frame without anything
        cell[first].open_client(conn)
        cell[first].feed_client(conn, request(b"SET", b"b", b"v" * size))
    data = b""
    for ms in range(3000):
        if ms == 100:
            cell.stuck.clear()
        cell.step()
        data += cell[first].drain_client(0)
    assert data == bulk(b"v" * MIB) * 8
