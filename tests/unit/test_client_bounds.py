"""What one client may cost: in one turn, and in memory while it takes no replies. At the master and through another."""

import re

import pytest
from tests.hand import CLIENT, Cell

from fastpaxos_live._api import COMPLAINTS, CROWDED, HTTP, TLS, UNTAKEN
from fastpaxos_live.reference.limits import BATCH_REPLIES_MAX, HOOKED_BYTES_MAX, OUTPUT_BYTES_MAX, WORK_MAX
from fastpaxos_live.testing import request

KIB, MIB = 1 << 10, 1 << 20
READ_BYTES = 256 * KIB
VALUE = b"x" * (100 * KIB)
REPLY = b"$%d\r\n%b\r\n" % (len(VALUE), VALUE)
KEPT = 3 * MIB  # of requests, in these cells
SECOND = 6  # another client


def made(core: str, **more: int) -> Cell:
    settings = {"value_bytes_max": MIB, "redirect": 2, "client_bytes_max": KEPT} | more
    cell = Cell(core, **settings).start()
    cell.master()
    cell.settle()
    return cell


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def cell(core: str) -> Cell:
    cell = made(core)
    send(cell, cell.master(), request(b"SET", b"k", VALUE))
    answers(cell, cell.master(), b"+OK\r\n")
    cell.settle()
    return cell


@pytest.fixture(params=["master", "follower"])
def me(request: pytest.FixtureRequest, cell: Cell) -> int:
    return place(cell, request.param)


def place(cell: Cell, where: str) -> int:
    return cell.master() if where == "master" else cell.others(cell.master())[0]


def send(cell: Cell, me: int, data: bytes, client: int = CLIENT) -> int:
    """As an edge does: while the replica wants more, and again when it says so. Returns how much it took."""
    at = 0
    replica = cell.replicas[me]
    reading = replica.wants_client(client)
    while at < len(data):
        for _ in range(20):
            if reading:
                break
            cell.told.discard((me, client))
            cell.step()
            reading = (me, client) in cell.told and replica.wants_client(client)
        if not reading:
            return at
        replica.clock(cell.now_us, cell.wall_ms(me))
        replica.feed_client(client, data[at : at + READ_BYTES])
        at += READ_BYTES
        reading = replica.wants_client(client)
    return len(data)


def answers(cell: Cell, me: int, expected: bytes) -> None:
    cell.until(lambda: len(cell.replies[me]) >= len(expected))
    assert cell.replies[me] == expected
    cell.replies[me] = b""


def take(cell: Cell, me: int) -> bytes:
    """What a deaf client would get now."""
    return cell.replicas[me].drain_client(CLIENT)


def hear(cell: Cell, me: int) -> None:
    """It is deaf no more."""
    cell.deaf.clear()
    cell.replies[me] += take(cell, me)


# --- turns
@pytest.mark.parametrize("what, count, reply", [
    (request(b"PING"), 20_000, b"+PONG\r\n"), (request(b"GET", b"k"), 60, REPLY),
    (request(b"EXISTS", *[b"k"] * 100), 700, b":100\r\n"),
], ids=["PING", "GET", "EXISTS"])  # fmt: skip
def test_one_turn_does_not_do_all_that_one_client_asks_for(cell: Cell, what: bytes, count: int, reply: bytes) -> None:
    me = cell.master()
    replica = cell.replicas[me]
    send(cell, me, what * count)
    turns = 0
    while len(cell.replies[me]) < count * len(reply):
        before = replica.effort()[0]
        cell.step()
        work, heaviest = replica.effort()
        assert work - before <= WORK_MAX + heaviest + 64
        turns += 1
        assert turns < 100
    assert cell.replies[me] == reply * count
    assert turns >= 2


def test_who_comes_later_does_not_wait_for_all_that_came_before(cell: Cell) -> None:
    me = cell.master()
    for client in range(10, 40):
        cell.replicas[me].open_client(client)
        cell.replicas[me].feed_client(client, request(b"GET", b"k") * 3)
    before = cell.replicas[me].effort()[0]
    cell.step()
    assert cell.replicas[me].effort()[0] - before < 3 * WORK_MAX
    cell.until(lambda: cell.replies[me].count(REPLY) == 90, 1_000_000)  # and nobody is forgotten


def test_forwarded_requests_do_not_take_the_turns_of_others(cell: Cell) -> None:
    master = cell.master()
    follower = cell.others(master)[0]
    send(cell, follower, request(b"EXISTS", *[b"k"] * 1000) * 40)
    cell.step()
    cell.step()
    send(cell, master, request(b"PING"))
    cell.step()
    assert cell.replies[master] == b"+PONG\r\n"
    cell.until(lambda: cell.replies[follower] == b":1000\r\n" * 40)


# --- replies that nobody takes
def test_a_pipeline_that_is_written_whole_before_its_replies_are_read(cell: Cell, me: int) -> None:
    cell.deaf.add(me)
    data = request(b"GET", b"k") * 20 + request(b"ECHO", b"y" * KIB) * 2000
    assert send(cell, me, data) == len(data) < KEPT
    for _ in range(5):
        cell.step()
    assert cell.replicas[me].wants_client(CLIENT)
    hear(cell, me)
    answers(cell, me, REPLY * 20 + b"$1024\r\n%b\r\n" % (b"y" * KIB) * 2000)


def test_replies_of_a_deaf_client_are_not_made(cell: Cell, me: int) -> None:
    cell.deaf.add(me)
    send(cell, me, request(b"GET", b"k") * 5000)
    for _ in range(10):
        cell.step()
    assert len(take(cell, me)) <= OUTPUT_BYTES_MAX + len(REPLY)


def test_who_never_takes_a_reply_is_told_and_closed(cell: Cell, me: int) -> None:
    cell.deaf.add(me)
    data = request(b"GET", b"k") * 20 + request(b"ECHO", b"y" * KIB) * 5000
    assert send(cell, me, data) < len(data)
    assert cell.replicas[me].is_closing(CLIENT)
    assert cell.replicas[me].drain_complaints() == [(CLIENT, UNTAKEN)]
    assert "client_bytes_max" in COMPLAINTS[UNTAKEN]
    replies = take(cell, me)
    count = replies.count(REPLY)
    last = replies.removeprefix(REPLY * count)
    assert re.fullmatch(rb"-(TRYAGAIN|UNKNOWN) the replies were not taken, .*\r\n", last), last[:100]
    cell.replicas[me].close_client(CLIENT)


def test_when_all_hold_too_much_who_holds_most_goes(core: str) -> None:
    cell = made(core, clients_bytes_max=2 * MIB)
    me = cell.master()
    cell.replicas[me].open_client(SECOND)
    cell.deaf.add(me)
    send(cell, me, request(b"ECHO", b"z" * KIB) * 300, SECOND)
    send(cell, me, request(b"ECHO", b"y" * KIB) * 2500)
    cell.step()
    assert cell.replicas[me].drain_complaints() == [(CLIENT, CROWDED)]
    assert cell.replicas[me].is_closing(CLIENT) and not cell.replicas[me].is_closing(SECOND)
    assert take(cell, me) == b""
    assert cell.replicas[me].drain_client(SECOND) == b"$1024\r\n%b\r\n" % (b"z" * KIB) * 300


# --- behind a write that takes its time
READS = [request(b"GET", b"k"), request(b"MGET", b"k", b"k"), request(b"GETEX", b"k", b"PERSIST"),
         request(b"SET", b"k", VALUE, b"GET"), request(b"ECHO", VALUE)]  # fmt: skip


@pytest.mark.parametrize("read", READS, ids=lambda read: read.split()[2].decode())
def test_replies_behind_a_write_have_a_bound(cell: Cell, me: int, read: bytes) -> None:
    """They are made when it is applied, whether anybody takes them or not."""
    cell.deaf.add(me)
    cell.held |= set(cell.ids)
    sent = send(cell, me, request(b"SET", b"a", b"1") + read * 60)
    assert sent <= HOOKED_BYTES_MAX + 2 * MIB  # where it is long itself it is not even read
    cell.held.clear()
    for _ in range(30):
        cell.step()
    replies = take(cell, me)
    assert len(replies) <= OUTPUT_BYTES_MAX + HOOKED_BYTES_MAX + len(REPLY)
    assert replies.startswith(b"+OK\r\n")


def test_a_value_that_is_on_its_way_counts(cell: Cell) -> None:
    """Nothing is stored yet when the reads are taken, and much when they are executed."""
    me = cell.master()
    cell.deaf.add(me)
    cell.held |= set(cell.ids)
    send(cell, me, request(b"SET", b"new", b"x" * (900 * KIB)) + request(b"MGET", *[b"new"] * 10) * 60)
    cell.held.clear()
    cell.step()
    cell.step()
    assert len(take(cell, me)) <= 11 * MIB  # one reply


def test_appended_bytes_count(cell: Cell) -> None:
    me = cell.master()
    cell.deaf.add(me)
    cell.held |= set(cell.ids)
    send(cell, me, request(b"APPEND", b"new", b"x" * (60 * KIB)) * 15 + request(b"GET", b"new") * 64)
    cell.held.clear()
    for _ in range(5):
        cell.step()
    assert len(take(cell, me)) <= OUTPUT_BYTES_MAX + 901 * KIB


def test_replies_of_many_clients_behind_their_writes_have_a_bound_together(core: str) -> None:
    """Those that are known at once as well: they are kept as long as the write takes, and for nobody counted."""
    cell = made(core)
    me = cell.master()
    clients = range(10, 50)
    said = b"y" * (900 * KIB)
    cell.deaf.add(me)
    cell.held |= set(cell.ids)
    for client in clients:
        cell.replicas[me].open_client(client)
        cell.replicas[me].feed_client(client, request(b"SET", b"a", b"1") + request(b"ECHO", said))
        cell.step()
    cell.held.clear()
    replies = dict.fromkeys(clients, b"")
    for _ in range(2 * len(clients)):
        cell.step()
        now = {client: cell.replicas[me].drain_client(client) for client in clients}
        assert sum(map(len, now.values())) <= BATCH_REPLIES_MAX + 4 * MIB
        replies = {client: replies[client] + now[client] for client in clients}
    assert set(replies.values()) == {b"+OK\r\n$%d\r\n%b\r\n" % (len(said), said)}


# --- who is no Redis client
@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"hOsT: localhost\r\n", b"host: a\r\n", request(b"POST")])
def test_http(cell: Cell, me: int, line: bytes) -> None:
    send(cell, me, request(b"SET", b"a", b"1") + line + request(b"SET", b"a", b"2"))
    cell.until(lambda: cell.replicas[me].is_closing(CLIENT))
    answers(cell, me, b"+OK\r\n")
    assert cell.replicas[me].drain_complaints() == [(CLIENT, HTTP)]
    assert cell.ask_other(me, b"GET a") == b"$1\r\n1\r\n"


def test_a_get_of_http_ends_at_its_host(cell: Cell, me: int) -> None:
    send(cell, me, b"GET /k HTTP/1.1\r\nHost: localhost\r\n\r\nSET a 2\r\n")
    cell.until(lambda: cell.replicas[me].is_closing(CLIENT))
    answers(cell, me, b"-ERR wrong number of arguments for 'get' command\r\n")
    assert cell.ask_other(me, b"GET a") == b"$-1\r\n"


@pytest.mark.parametrize("parts", [1, 2])
def test_tls(cell: Cell, me: int, parts: int) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for part in (hello,) if parts == 1 else (hello[:1], hello[1:]):
        assert not cell.replicas[me].is_closing(CLIENT)
        send(cell, me, part)
    assert cell.replicas[me].is_closing(CLIENT)
    assert take(cell, me) == b""
    assert cell.replicas[me].drain_complaints() == [(CLIENT, TLS)]


# --- transactions
REFUSED = b"-ERR not done, since MULTI is not supported\r\n"
MULTI = b"-ERR MULTI is not supported: all up to EXEC or DISCARD is refused\r\n"


@pytest.mark.parametrize("end, said", [
    (b"EXEC", b"-EXECABORT Transaction discarded because of previous errors.\r\n"), (b"discard", b"+OK\r\n"),
])  # fmt: skip
def test_nothing_of_a_transaction_is_done(cell: Cell, me: int, end: bytes, said: bytes) -> None:
    inside = [request(b"SET", b"a", b"1"), request(b"INCR", b"n"), request(b"GET", b"a"), request(b"PING"),
              request(b"CLIENT", b"ID")]  # fmt: skip
    send(cell, me, request(b"SET", b"a", b"0") + request(b"MULTI") + b"".join(inside) + request(end))
    send(cell, me, request(b"GET", b"a") + request(b"EXISTS", b"n"))
    answers(cell, me, b"+OK\r\n" + MULTI + REFUSED * 5 + said + b"$1\r\n0\r\n:0\r\n")


def test_what_is_wrong_in_a_transaction_says_so_itself(cell: Cell, me: int) -> None:
    for line, said in ((b"MULTI x", b"-ERR wrong number of arguments for 'multi' command\r\n"),
                       (b"EXEC", b"-ERR EXEC without MULTI\r\n"), (b"DISCARD", b"-ERR DISCARD without MULTI\r\n"),
                       (b"multi", MULTI), (b"MULTI", b"-ERR MULTI calls can not be nested\r\n"),
                       (b"GET", b"-ERR wrong number of arguments for 'get' command\r\n"), (b"PING", REFUSED)):
        assert cell.ask(me, line) == said


@pytest.mark.parametrize("name", [b"reset", b"discard", b"multi", b"exec"])
def test_what_ends_a_transaction_with_too_many_arguments(cell: Cell, me: int, name: bytes) -> None:
    """Of these EXEC alone ends it, as in Redis."""
    wrong = b"wrong number of arguments for '%b' command\r\n" % name
    said = b"-EXECABORT Transaction discarded because of: " + wrong if name == b"exec" else b"-ERR " + wrong
    inside = request(b"MULTI") + request(name, b"x") + request(b"SET", b"a", b"1")
    send(cell, me, request(name, b"x") + inside + request(b"DISCARD") + request(b"EXISTS", b"a"))
    after = b"+OK\r\n-ERR DISCARD without MULTI\r\n:1\r\n" if name == b"exec" else REFUSED + b"+OK\r\n:0\r\n"
    answers(cell, me, said + MULTI + said + after)


def test_reset_ends_a_transaction(cell: Cell, me: int) -> None:
    send(cell, me, request(b"MULTI") + request(b"RESET") + request(b"PING"))
    cell.until(lambda: cell.replies[me] == MULTI)
    assert cell.replicas[me].drain_calls() == [(CLIENT, [b"RESET"])]
    cell.replicas[me].answer(CLIENT, b"+RESET\r\n")
    cell.until(lambda: cell.replies[me] == MULTI + b"+RESET\r\n+PONG\r\n")


# --- sizes
def test_a_request_may_be_larger_than_its_largest_argument(core: str) -> None:
    cell = made(core, request_bytes_max=4 * MIB, client_bytes_max=64 * MIB)
    value = b"v" * MIB
    for where in ("master", "follower"):
        me = place(cell, where)
        send(cell, me, request(b"MSET", b"a", value, b"b", value, b"c", value))
        send(cell, me, request(b"MSET", b"a", value, b"b", value, b"c", value, b"d", value))
        answers(cell, me, b"+OK\r\n-ERR request too large: at most 1048576 bytes an argument and 4194304 in all\r\n")
        send(cell, me, request(b"STRLEN", b"c") + request(b"EXISTS", b"d"))
        answers(cell, me, b":1048576\r\n:0\r\n")


def test_an_append_ends_at_the_bound_of_the_replica_that_took_it(core: str) -> None:
    """Which all replicas apply alike, whatever they are set to themselves."""
    cell = Cell(core, redirect=2, value_bytes_max=MIB)
    cell.own = {2: {"value_bytes_max": 2 * MIB}, 3: {"value_bytes_max": 3 * MIB}}
    cell.start()
    me = cell.master()
    cell.settle()
    most = me * MIB
    send(cell, me, request(b"SET", b"k", b"x" * (most - 1)) + request(b"APPEND", b"k", b"y"))
    send(cell, me, request(b"APPEND", b"k", b"z") + request(b"STRLEN", b"k"))
    too_long = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
    answers(cell, me, b"+OK\r\n:%d\r\n" % most + too_long + b":%d\r\n" % most)
    cell.settle()
    assert len({cell.replicas[id].status()["state_sum"] for id in cell.ids}) == 1


def test_more_than_a_million_arguments() -> None:
    cell = made("cython", request_bytes_max=16 * MIB, client_bytes_max=64 * MIB)
    count = 1_048_600
    for where in ("master", "follower"):
        me = place(cell, where)
        send(cell, me, request(b"EXISTS", *[b"k"] * count) + request(b"PING"))
        answers(cell, me, b":0\r\n+PONG\r\n")
