"""Clients that never wait, what they say of replies, and connections that they read late."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.reference.log_frame import FORWARD, HEADER_BYTES, REPLIES
from fastpaxos_live.sim.check import Violation
from fastpaxos_live.sim.clients import Client
from fastpaxos_live.sim.eager import AS_TOLD, AT_MASTER, ELSEWHERE, EagerClient
from fastpaxos_live.sim.link import Link, decode, encode
from fastpaxos_live.sim.plan import Plan, choke_plan, draw_plan, eager_plan, polite_plan
from fastpaxos_live.sim.requests import OK, Kind, Request
from fastpaxos_live.sim.streams import REPLIES_BYTES_MAX
from fastpaxos_live.sim.world import World

GET = Request(Kind.GET, (b"r1",))
SET = Request(Kind.SET, (b"r1",), (b"r1=1.1,",))
MGET = Request(Kind.MGET, (b"r1", b"r2"))
COUNTER = Request(Kind.GET, (b"c1",))
APPEND = Request(Kind.APPEND, (b"r1",), (b"r1=1.2,",))


def calm(random: Random) -> Plan:
    """An eager client for each place, a polite one, and nothing fails."""
    return replace(
        eager_plan(random), faults={}, lossy=False, loss=0.0, repeat=0.0, delay_us=(30, 200), drift_ppm=(0, 0, 0),
        resp3=0.5, eager=0.8, seated=1.0, clients=8, readers=0, slow_readers=0.5, window_bytes=100, nap_us=5000,
    )  # fmt: skip


def world(draw=calm, seconds=3.0, seed=1) -> World:
    return World(seed, load_core("cython"), seconds, draw=draw)


def connected(kind: type[Client] = Client) -> tuple[World, Any]:
    """A client that has asked nothing yet, and its connection."""
    made = world()
    client = kind(made, 1)
    client._connect()
    return made, client


@pytest.mark.parametrize(
    ("request_", "good", "bad"),
    [
        (GET, [None, b"r1=", b"r1=1.1,r1=1.2,"], [b"r10=1.1,", b"r2=1.1,", b"1", 1, OK, [b"r1="]]),
        (COUNTER, [None, b"17", b"-3"], [b"r1=1.1,", 17, OK]),
        (MGET, [[None, None], [b"r1=a", b"r2=b"]], [[b"r2=b", b"r1=a"], [b"r1=a"], [None] * 3, None, b"r1=a"]),
        (SET, [OK], [None, 1, b"r1=1.1,"]),
        (Request(Kind.SET_NX, (b"r1",), (b"r1=",)), [OK, None], [1, b"r1="]),
        (APPEND, [7, 14], [6, OK, None]),
        (Request(Kind.EXISTS, (b"r1", b"r2")), [0, 2], [3, -1, OK, None]),
        (Request(Kind.DEL, (b"r1", b"~=1")), [0, 1], [3, OK]),
        (Request(Kind.PERSIST, (b"r1",)), [0, 1], [2, None]),
        (Request(Kind.PTTL, (b"r1",)), [-2, -1, 300], [None, b"300", OK]),
        (Request(Kind.INCR, (b"c1",)), [-4, 9], [None, OK, b"9"]),
    ],
    ids=lambda value: value.kind.name if isinstance(value, Request) else "",
)
def test_what_can_be_the_reply_to_a_request(request_: Request, good: list, bad: list) -> None:
    assert [reply for reply in good if request_.misfit(reply)] == []
    assert [reply for reply in bad if not request_.misfit(reply)] == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"$7\r\nr2=1.1,\r\n", "reply to another request"),
        (b"+OK\r\n", "reply to another request"),
        (b"-WRONGTYPE no\r\n", "was answered"),
        (b"$-1\r\n$-1\r\n$-1\r\n", "did not ask for"),
        (b"-UNKNOWN why\r\n$-1\r\n", "together with an unknown outcome"),
        (b"?\r\n", "a reply begins with"),
    ],
)
def test_a_wrong_reply_is_noticed_at_once(said: bytes, problem: str) -> None:
    made, client = connected()
    made.nodes[client.link.node.id].served_at = client.link.opened_at
    client._ask([GET, GET])
    with pytest.raises(Violation, match=problem):
        client.on_data(client.link, said)


def test_nothing_follows_an_unknown_outcome() -> None:
    made, client = connected(EagerClient)
    made.nodes[client.link.node.id].served_at = client.link.opened_at
    client._ask([GET, GET])
    client.on_data(client.link, b"-UNKNOWN why\r\n")
    with pytest.raises(Violation, match="after an unknown outcome"):
        client.on_data(client.link, b"$-1\r\n")


def test_what_was_passed_on_to_nobody_has_a_known_outcome() -> None:
    _, client = connected()
    client._ask([GET])
    with pytest.raises(Violation, match="never left replica"):
        client.on_data(client.link, b"-UNKNOWN why\r\n")
    _, client = connected()
    client._ask([GET])
    client.link.forwarded = 1
    client.on_data(client.link, b"-UNKNOWN why\r\n")


def test_replies_of_both_protocol_versions() -> None:
    assert decode(b"*2\r\n_\r\n$-1\r\n", 0) == ([None, None], 12)
    assert decode(b"_\r\n:5\r\n", 0) == (None, 3)
    assert decode(b"*2\r\n_\r\n$1\r\n", 0) is None
    assert encode(b"GET", b"r1") == b"*2\r\n$3\r\nGET\r\n$2\r\nr1\r\n"


def test_long_replies_in_one_frame_are_noticed() -> None:
    made = world()

    def sent(kind: int, size: int) -> None:
        made.streams.sent(made.nodes[1], 2, [(kind, 1, 0, HEADER_BYTES + size, 1, 0, 1, 0, 0, 0)])

    sent(REPLIES, REPLIES_BYTES_MAX)
    sent(FORWARD, REPLIES_BYTES_MAX + 1)
    with pytest.raises(Violation, match="in one frame"):
        sent(REPLIES, REPLIES_BYTES_MAX + 1)


class Reader:
    """A client that keeps what it is given."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.got: list[bytes] = []
        self.closed = 0

    def on_data(self, link: Link, data: bytes) -> None:
        self.got.append(data)
        assert link.unread <= link.window

    def on_closed(self, link: Link) -> None:
        self.closed += 1


def test_a_slow_reader_is_sent_no_more_than_its_window() -> None:
    made = world(seconds=1.0)
    made.nodes[1].format()
    made.nodes[1].start()
    reader: Any = Reader(made)
    link = Link(reader, made.nodes[1], window=10, nap_us=1000)
    link.deliver(b"abcdefghijklm")
    link.deliver(b"nopqrstuvwxyz")
    assert link.full and link.unread == 10
    link.ended = True
    link.hang_up()
    made._advance(100_000)
    assert b"".join(reader.got) == b"abcdefghijklmnopqrstuvwxyz"
    assert max(map(len, reader.got)) <= 10
    assert not link.full and link.unread == 0 and reader.closed == 1


def test_eager_clients_take_their_places_and_do_not_wait() -> None:
    most: Counter[int] = Counter()
    at: dict[int, Counter[bool]] = {place: Counter() for place in range(4)}
    made = world(seconds=4.0)
    eager = [client for client in made.clients if isinstance(client, EagerClient)]
    assert {client.place for client in eager} == {AT_MASTER, ELSEWHERE, AS_TOLD}
    assert len(eager) < len(made.clients)

    def look() -> None:
        for client in eager:
            most[client.id] = max(most[client.id], len(client.asked))
            if client.link is not None:
                at[client.place][client.link.node.serving] += 1
        made.after(10_000, look)

    made.at(1_000_000, look)
    assert made.run().violation is None
    assert made.plan.pipeline < max(most.values()) <= made.plan.unanswered
    assert at[ELSEWHERE][False] > 10 * at[ELSEWHERE][True]
    assert at[AT_MASTER][True] > 10 * at[AT_MASTER][False]
    assert at[AS_TOLD][True] > at[AS_TOLD][False]
    assert made.outcome.replies["MOVED"] > 0
    assert any(client.resp == 3 for client in made.clients) and any(client.slow for client in made.clients)


@pytest.mark.parametrize("place", [AT_MASTER, ELSEWHERE])
def test_a_replica_that_gives_no_answer_is_noticed(place: int) -> None:
    made = world(seconds=30.0)
    client: Any = next(c for c in made.clients if isinstance(c, EagerClient) and c.place == place and not c.slow)

    def mute() -> None:
        assert client.link is not None
        client.link.deliver = lambda data: None

    made.at(1_500_000, mute)
    said = made.run().violation or ""
    assert f"of client {client.id}" in said and "gets no answer" in said
    assert made.now < 1_500_000 + 2 * made.plan.answer_us


def test_polite_clients_wait() -> None:
    for seed in range(50):
        plan = polite_plan(Random(seed))
        assert not (plan.eager or plan.seated or plan.resp3 or plan.slow_readers or plan.long_keys)
    assert any(draw_plan(Random(seed)).eager for seed in range(10))
    made = world(polite_plan)
    assert {type(client) for client in made.clients} == {Client}


def test_a_read_behind_a_write_in_flight_is_not_answered_without_a_lease() -> None:
    # The master is cut off, and still asked. What it has in flight is chosen by the next one, and it learns that late.
    assert World(16, load_core("cython"), 6.0, draw=choke_plan).run().violation is None
