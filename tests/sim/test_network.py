"""The simulated network by itself: streams keep order, faults lose what they say they lose, and nothing else."""

from collections import Counter
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest

from fastpaxos_live.log.handshake import (
    CALLED_HELLO,
    COUNTER_SHIFT,
    Greeter,
    Handshake,
    Hello,
    Terms,
    handshake_key,
)
from fastpaxos_live.reference.log_frame import BEAT, FETCH, FORWARD, frame_encode
from fastpaxos_live.sim.check import Violation
from fastpaxos_live.sim.network import DIAL_US, Network
from fastpaxos_live.sim.plan import polite_plan

FRAMES = [frame_encode(1, BEAT, 1, 1, sent=number, payload=b"x" * number) for number in range(100)]


CELL = 7


class Place:
    """Where a node would be: keeps what arrives."""

    def __init__(self) -> None:
        self.core = False
        self.boots = self.starts = 1
        self.items: list[tuple] = []

    def post(self, item: tuple) -> None:
        self.items.append(item)

    def has_room(self) -> None:
        self.items.append(("has_room",))

    def received(self, *kinds: str) -> list[bytes]:
        return [item[2] for item in self.items if item[0] in kinds]


class Bed:
    """Virtual time around a network of two."""

    def __init__(self, **settings: object) -> None:
        self.random = Random(3)
        calm = {
            "replicas": 2, "lossy": False, "loss": 0.0, "repeat": 0.0, "split": 0.0, "corrupt": 0.0, "delay_tail": 0.0,
        }  # fmt: skip
        self.plan = replace(polite_plan(Random(1)), **(calm | settings))
        self.cell_id = CELL
        self.now = 0
        self.faulty = True
        self.counts: Counter[str] = Counter()
        self.events: list[tuple] = []
        self.sequence = count()
        self.nodes = [None, Place(), Place()]
        self.network = Network(self, 2)
        for replica in (1, 2):
            self.nodes[replica].core = True
            self.network.start(replica)
        self.run(1_000_000)
        self.conn = self.network.live[1, 2, 0]

    def at(self, time: int, call: object, *arguments: object) -> None:
        heappush(self.events, (max(time, self.now), next(self.sequence), call, arguments))

    def after(self, delay: int, call: object, *arguments: object) -> None:
        self.at(self.now + delay, call, *arguments)

    def count(self, kind: str) -> None:
        self.counts[kind] += 1

    def run(self, time: int) -> None:
        end = self.now + time
        while self.events and self.events[0][0] <= end:
            self.now, _, call, arguments = heappop(self.events)
            call(*arguments)
        self.now = end

    def send_all(self, channel: int = 0, frames: list[bytes] = FRAMES) -> None:
        conn = self.network.live[1, 2, channel]
        for frame in frames:
            self.network.send(conn, 1, frame)
            self.run(50)


@pytest.mark.parametrize("settings", [{}, {"split": 1.0}, {"delay_us": (0, 9000)}])
def test_a_stream_keeps_its_order_and_loses_nothing(settings: dict) -> None:
    bed = Bed(**settings)
    bed.send_all()
    bed.run(1_000_000)
    received = bed.nodes[2].received("feed_peer")
    assert b"".join(received) == b"".join(FRAMES)
    assert (len(received) > len(FRAMES)) == ("split" in settings)
    assert bed.nodes[1].received("feed_peer") == []


def test_both_ends_open_before_anything_arrives() -> None:
    bed = Bed()
    assert [item[0] for item in bed.nodes[1].items] == ["open_peer"] * 2
    bed.send_all()
    bed.run(1_000_000)
    kinds = [item[0] for item in bed.nodes[2].items]
    assert kinds[:2] == ["open_peer"] * 2 and set(kinds[2:]) == {"feed_peer"}


def test_a_blocked_direction_stalls_and_the_other_does_not() -> None:
    bed = Bed(lease_us=10**12)  # no connection breaks over it
    bed.network.block([(1, 2)])
    bed.send_all()
    bed.network.send(bed.conn, 2, FRAMES[0])
    bed.run(1_000_000)
    assert bed.nodes[2].received("feed_peer") == []
    assert bed.nodes[1].received("feed_peer") == [FRAMES[0]]
    bed.network.unblock([(1, 2)])
    bed.run(1_000_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)


def test_nothing_overtakes_what_was_stalled() -> None:
    bed = Bed(lease_us=10**12, delay_us=(100, 9000))
    for start in range(0, 100, 10):
        bed.network.block([(1, 2)])
        bed.send_all(frames=FRAMES[start : start + 7])
        bed.network.unblock([(1, 2)])
        bed.send_all(frames=FRAMES[start + 7 : start + 10])
    bed.run(1_000_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)


def test_a_break_loses_what_is_under_way_and_both_ends_learn_of_it() -> None:
    bed = Bed(delay_us=(5000, 6000))
    bed.send_all()
    bed.network.close(bed.conn)
    bed.run(2_000_000)
    received = b"".join(bed.nodes[2].received("feed_peer"))
    assert len(received) < len(b"".join(FRAMES)) and b"".join(FRAMES).startswith(received)
    for node in bed.nodes[1:]:
        kinds = [item[0] for item in node.items if item[1].channel == 0]
        assert sorted(kinds[-2:]) == ["close_peer", "open_peer"], "closed, and connected anew"
    assert bed.network.live[1, 2, 0] is not bed.conn


def test_what_a_dead_replica_had_sent_arrives_before_the_end() -> None:
    bed = Bed(delay_us=(5000, 6000))
    bed.send_all()
    bed.nodes[1].core = None
    bed.network.stop(1)
    bed.run(2_000_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)
    assert bed.nodes[2].items[-1][0] == "close_peer"
    assert not bed.network.live


def test_damage_is_one_bit_of_one_connection() -> None:
    bed = Bed()
    bed.network.corrupt = 1.0
    bed.send_all()
    bed.run(100_000)
    received = b"".join(bed.nodes[2].received("feed_peer"))
    sent = b"".join(FRAMES)
    different = [a ^ b for a, b in zip(received, sent, strict=True) if a != b]
    assert len(different) == 1 and different[0].bit_count() == 1
    assert bed.counts["corrupt"] == 1


def test_single_frames_get_lost_repeated_and_overtaken() -> None:
    bed = Bed(lossy=True, loss=0.2, repeat=0.2, delay_us=(0, 1000))
    bed.send_all()
    bed.run(1_000_000)
    received = bed.nodes[2].received("feed_frame")
    assert set(received) < set(FRAMES)
    assert len(received) > len(set(received))
    order = [FRAMES.index(frame) for frame in received]
    assert order != sorted(order)
    assert bed.counts["loss"] and bed.counts["repeat"]


def test_forwarding_is_a_stream_in_a_lossy_run_too() -> None:
    bed = Bed(lossy=True, loss=0.5, repeat=0.5, delay_us=(0, 1000))
    forward = [frame_encode(1, FORWARD, 1, 1, number=number) for number in range(50)]
    fetch = [frame_encode(1, FETCH, 1, 1, instance=number) for number in range(50)]
    bed.send_all(1, [frame for pair in zip(forward, fetch, strict=True) for frame in pair])
    bed.run(1_000_000)
    received = bed.nodes[2].received("feed_peer")
    assert [frame for frame in received if frame in forward] == forward
    assert 5 < len(received) - 50 < 45


def test_a_healed_network_is_reliable() -> None:
    bed = Bed(lossy=True, loss=0.5)
    bed.network.block([(1, 2), (2, 1)])
    bed.faulty = False
    bed.network.heal()
    bed.send_all()
    bed.run(1_000_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)


# --- the handshake
def test_an_end_opens_when_it_has_the_hello_of_the_other() -> None:
    bed = Bed(delay_us=(1000, 1000))
    bed.network.close(bed.conn)
    bed.run(1000)
    began = bed.now
    for node in bed.nodes[1:]:
        node.items.clear()
    opened = {}
    while len(opened) < 2:
        bed.run(10)
        opened |= {at: bed.now - began for at in (1, 2) if at not in opened and bed.nodes[at].items[-1:]}
        for node in bed.nodes[1:]:
            node.items[:] = [item for item in node.items if item[0] == "open_peer"]
    assert DIAL_US + 6000 <= opened[1] <= DIAL_US + 6100, "connected in two delays, then four messages"
    assert opened[2] == pytest.approx(opened[1] + 1000, abs=20), "then that of the caller"


def test_calls_of_a_later_life_are_newer() -> None:
    bed = Bed()
    older = bed.conn
    for replica in (1, 2):
        bed.network.stop(replica)
        bed.nodes[replica].starts += 1
        bed.network.start(replica)
    bed.run(1_000_000)
    assert bed.network.live[1, 2, 0].counter >> COUNTER_SHIFT == 2
    assert older.counter >> COUNTER_SHIFT == 1


def test_a_hello_in_two_pieces_is_as_good() -> None:
    bed = Bed(split=1.0)
    assert [item[0] for item in bed.nodes[1].items + bed.nodes[2].items] == ["open_peer"] * 4


def test_a_damaged_hello_ends_the_connection_and_the_next_is_tried() -> None:
    bed = Bed()
    bed.network.corrupt = 1.0
    bed.network.close(bed.conn)
    bed.run(10 * DIAL_US)
    assert bed.counts["corrupt"] > 2
    assert (1, 2, 0) not in bed.network.live or bed.network.live[1, 2, 0].greeting
    bed.network.corrupt = 0.0
    bed.run(10 * DIAL_US)
    assert not bed.network.live[1, 2, 0].greeting


def test_a_handshake_that_stalls_is_given_up() -> None:
    bed = Bed(lease_us=100_000, delay_us=(5000, 5000))
    bed.network.close(bed.conn)
    bed.run(DIAL_US + 7000)
    stalled = bed.network.live[1, 2, 0]
    bed.network.blocked.add((1, 2))
    bed.run(50_000)
    assert bed.network.live[1, 2, 0] is stalled and stalled.held[2]
    bed.run(300_000)
    assert stalled.closed and bed.nodes[2].items[-1][0] == "close_peer"


HELLO = Hello(CELL, 1, "r1", 1, {"members": "r1,r2", "fsync": "always"}, 0, 1 << 40, 2)
STRANGERS = {
    "name": (HELLO._replace(name="r1x"), None),
    "cell": (HELLO._replace(cell_id=CELL + 1), None),
    "settings": (HELLO._replace(settings=HELLO.settings | {"fsync": "never"}), None),
    "members": (HELLO._replace(settings=HELLO.settings | {"members": "r1,r2,r3"}), None),
    "secret": (HELLO, handshake_key(CELL, bytes(32))),
    "no secret": (HELLO, handshake_key(CELL, None)),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_is_refused_and_changes_nothing(who: str) -> None:
    hello, key = STRANGERS[who]
    bed = Bed(fsync="always")
    bed.network.call_as_stranger(2, hello, key)
    bed.network.strangers[2] = hello._replace(replica=2, name=hello.name.replace("1", "2")), key
    bed.network.close(bed.conn)
    bed.run(10 * DIAL_US)
    assert bed.counts["refused_call"] == 1 and bed.counts["refused_answer"] > 2
    assert (1, 2, 0) not in bed.network.live and not bed.network.live[1, 2, 1].closed
    bed.network.strangers.clear()
    bed.run(10 * DIAL_US)
    assert not bed.network.live[1, 2, 0].greeting


def test_who_is_newer_than_the_member_cannot_be_told_from_it() -> None:
    bed = Bed(fsync="always")
    member = HELLO._replace(counter=bed.conn.counter)
    bed.network.call_as_stranger(2, member)
    assert bed.counts["refused_call"] == 1, "a copy that is not newer"
    bed.network.call_as_stranger(2, member._replace(counter=member.counter + 1))
    assert bed.counts["refused_call"] == 1, "so it is not tried"


@pytest.mark.parametrize("who", STRANGERS)
def test_it_is_a_violation_to_accept_a_stranger(who: str) -> None:
    hello, key = STRANGERS[who]
    bed = Bed(fsync="always")
    greeters, terms = bed.network.handshakes.greeters, bed.network.handshakes.terms
    greeters[2] = Greeter(accepting(terms, hello, key), 2, 1)
    with pytest.raises(Violation, match="accepts the call of"):
        bed.network.call_as_stranger(2, hello, key)
    bed.network.strangers[2] = hello._replace(replica=2, name="r2"), key
    greeters[1] = Greeter(accepting(terms, hello._replace(name="r1"), key), 1, 1)
    bed.network.close(bed.network.live[1, 2, 1])
    with pytest.raises(Violation, match="for replica 2"):
        bed.run(10 * DIAL_US)


def accepting(terms: Terms, hello: Hello, key: bytes | None) -> Terms:
    """What a replica would have to believe to accept this one."""
    names = (hello.name, "r2")
    settings = {"fsync": hello.settings["fsync"], "members": hello.settings["members"]}
    return Terms(hello.cell_id, names, key or terms.key, settings)


def test_what_was_recorded_is_refused_and_changes_nothing() -> None:
    bed = Bed()
    bed.network.replay(1, 2, 0)
    assert bed.counts["refused_call"] == bed.counts["refused_answer"] == 1
    bed.run(1_000_000)
    assert not bed.conn.closed


def test_it_is_a_violation_to_accept_what_was_recorded() -> None:
    """As a replica would whose nonces are always the same, and which has forgotten what it accepted."""
    bed = Bed()
    handshakes = bed.network.handshakes
    handshakes._nonce = lambda: bytes(32)  # type: ignore[method-assign]
    bed.network.close(bed.conn)
    bed.run(1_000_000)
    handshakes.begin(2, 1)
    with pytest.raises(Violation, match="accepts a call of 1 that was recorded"):
        bed.network.replay(1, 2, 0)
    bed.nodes[2].core = None
    with pytest.raises(Violation, match="accepts an answer of 2 that was recorded"):
        bed.network.replay(1, 2, 0)


def test_it_is_a_violation_to_say_anything_to_who_has_proved_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handshake, "_on_challenge", talkative)
    with pytest.raises(Violation, match="who has proved nothing"):
        Bed()


def talkative(handshake: Handshake, frame: bytes) -> bytes:
    return Handshake._own_hello(handshake, CALLED_HELLO)


# --- bandwidth
def test_a_slow_link_queues_in_order() -> None:
    bed = Bed(delay_us=(100, 5000))
    bed.network.slow([(1, 2)], 10_000)
    bed.send_all()
    size = len(b"".join(FRAMES))
    bed.run(500_000 - 50 * len(FRAMES))
    received = b"".join(bed.nodes[2].received("feed_peer"))
    assert 4500 < len(received) <= 5000 and b"".join(FRAMES).startswith(received)
    bed.run(size * 100)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)


def test_when_the_link_is_fast_again_what_waited_keeps_its_order() -> None:
    bed = Bed(delay_us=(100, 5000))
    for start in range(0, 100, 10):
        bed.network.slow([(1, 2)], 10_000)
        bed.send_all(frames=FRAMES[start : start + 7])
        bed.network.unslow([(1, 2)])
        bed.send_all(frames=FRAMES[start + 7 : start + 10])
    bed.run(20_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == b"".join(FRAMES)


def test_catch_up_does_not_delay_heartbeats_on_a_slow_link() -> None:
    bed = Bed(delay_us=(100, 200))
    bed.network.slow([(1, 2)], 50_000)
    bed.send_all(1, [frame_encode(1, FETCH, 1, 1, payload=bytes(50_000))])
    beat = frame_encode(1, BEAT, 1, 1)
    bed.send_all(0, [beat])
    bed.run(5000)
    assert bed.nodes[2].received("feed_peer") == [beat]


def test_a_standing_bandwidth_outlives_the_faults_and_what_is_slower_for_a_while() -> None:
    bed = Bed(delay_us=(100, 200), bandwidth=20_000)
    sent = b"".join(FRAMES)
    bed.network.slow([(1, 2)], 5000)
    bed.network.unslow([(1, 2)])
    bed.network.slow([(1, 2)], 1_000_000)
    bed.network.heal()
    bed.send_all()
    bed.run(len(sent) * 50 - 50_000)
    assert 0 < len(b"".join(bed.nodes[2].received("feed_peer"))) < len(sent)
    bed.run(60_000)
    assert b"".join(bed.nodes[2].received("feed_peer")) == sent


def test_what_waits_for_bandwidth_is_lost_with_the_connection() -> None:
    bed = Bed()
    bed.network.slow([(1, 2)], 1000)
    bed.send_all()
    bed.network.close(bed.conn)
    bed.network.unslow([(1, 2)])
    bed.run(2_000_000)
    assert len(b"".join(bed.nodes[2].received("feed_peer"))) < 100


def test_what_is_cut_for_good_stays_so() -> None:
    bed = Bed(lease_us=10**12)
    bed.network.heal([(1, 2)])
    bed.network.unblock([(1, 2), (2, 1)])
    bed.send_all()
    bed.network.send(bed.conn, 2, FRAMES[0])
    bed.run(1_000_000)
    assert bed.nodes[2].received("feed_peer") == []
    assert bed.nodes[1].received("feed_peer") == [FRAMES[0]]


def test_what_a_process_has_not_read_leaves_no_room() -> None:
    bed = Bed(send_bytes=100)
    assert bed.conn.takes(2)
    bed.send_all()
    bed.run(1_000_000)
    said = bed.nodes[2].received("feed_peer")
    assert not bed.conn.takes(2) and bed.conn.takes(1)
    for data in said:
        assert ("has_room",) not in bed.nodes[1].items
        bed.network.taken(bed.conn, 2, len(data))
    assert bed.nodes[1].items.count(("has_room",)) == 1
    assert bed.conn.takes(2)
