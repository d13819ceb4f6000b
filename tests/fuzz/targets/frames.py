"""Bytes of peers: frames one by one, values alone, and whole conversations with a replica."""

from collections.abc import Hashable
from random import Random

from tests.fuzz import reseal
from tests.fuzz.target import Target
from tests.hand import CELL_ID, LEASE_US, WALL_MS, config

from fastpaxos_live import _core, _probe, _reference
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import OP_DEL, OP_FLUSH, OP_INCRBY, OP_MSET, OP_SET, op_encode
from fastpaxos_live.reference.limits import ROUNDS_AHEAD_MAX, TIME_MS_MAX
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ECHO,
    ENTRY,
    EPOCH,
    FETCH,
    FETCHED,
    FORWARD,
    HANGUP,
    LEARN,
    NOOP,
    OPERATIONS,
    PROMISE,
    PROPOSE,
    REFUSE,
    REPLIES,
    WHERE,
    BadFrame,
    frame_decode,
    frame_encode,
    frame_length,
    value_encode,
)

ME, PEER, THIRD = 1, 2, 3
BEGUN_US = 1_000_000 + LEASE_US
OWN, OTHER = 1 << 24 | ME << 16 | 1, 1 << 24 | PEER << 16 | 1

SET = op_encode(OP_SET, 0, 0, [(b"key", b"value")])
VALUES = [
    value_encode(CELL_ID, time_ms, 0, count, kind, body)
    for time_ms, count, kind, body in (
        (WALL_MS, 1, OPERATIONS, SET), (WALL_MS, 3, OPERATIONS, SET * 3), (WALL_MS, 0, NOOP, b""),
        (WALL_MS, 0, EPOCH, bytes(8)), (TIME_MS_MAX, 0, OPERATIONS, b""),
        (WALL_MS, 1, OPERATIONS, op_encode(OP_SET, 0, WALL_MS + 5, [(b"a", b"9")])),
        (WALL_MS, 1, OPERATIONS, op_encode(OP_MSET, 0, 0, [(b"a", b"1"), (b"b", b"2")])),
        (WALL_MS, 1, OPERATIONS, op_encode(OP_DEL, 0, 0, [(b"a", b""), (b"", b"")])),
        (WALL_MS, 2, OPERATIONS, op_encode(OP_INCRBY, 0, 7, [(b"n", b"")]) + op_encode(OP_FLUSH, 0, 0, [])),
    )
]  # fmt: skip


def conversations() -> list[bytes]:
    """What a good peer may send."""
    def frame(kind: int, **fields: int | bytes) -> bytes:
        return frame_encode(CELL_ID, kind, PEER, 1, **fields)  # type: ignore[arg-type]

    accepts = [
        frame(ACCEPT, number=OTHER, instance=at, mark=at - 1, sent=5, extra=LEASE_US, payload=value)
        for at, value in enumerate(VALUES, 1)
    ]
    learns = [frame(LEARN, number=OTHER, instance=at, payload=value) for at, value in enumerate(VALUES, 1)]
    singles = [
        frame(kind, number=number, instance=1, extra=extra)
        for kind, number, extra in (
            (ASK, OTHER, 0), (PROPOSE, OTHER, 0), (BEAT, OTHER, LEASE_US), (ACK, OWN, 0), (ECHO, OWN, 0),
            (WHERE, OWN, 0), (ANSWER, OWN, OWN), (PROMISE, OWN, WALL_MS), (REFUSE, OWN, OWN), (FETCH, 0, 0),
            (FETCHED, 0, 0), (HANGUP, 0, 1),
        )
    ]  # fmt: skip
    forward = frame(FORWARD, extra=1, flags=2, instance=1, payload=b"GET key\r\n")
    replies = frame(REPLIES, number=0, instance=1, payload=b"+OK\r\n")
    entry = frame(ENTRY, number=OWN, instance=1, extra=OTHER, payload=VALUES[0])
    proposed = frame(PROPOSE, number=OTHER)
    return [*singles, forward, replies, entry, proposed + b"".join(accepts), b"".join(learns), *accepts[:2], learns[0],
            singles[0] + proposed + accepts[0] + singles[2] + singles[9]]  # fmt: skip


class Frames(Target):
    """How many frames begin some bytes: both cores say the same, and an error is BadFrame."""

    name = "frames"

    def seeds(self) -> list[bytes]:
        return conversations()

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        out = bytearray(super().change(random, data, other))
        if random.random() < 0.5:
            reseal.frames(random, out, 0, len(out), CELL_ID)
            if out and random.random() < 0.3:
                out[random.randrange(len(out))] ^= 1
        return bytes(out)

    def check(self, data: bytes) -> Hashable:
        counts = [kind(CELL_ID, 100, 2).verify_frames(data) for kind in (reference_probe.Probe, _probe.Probe)]
        assert counts[0] == counts[1]
        at, error = 0, ""
        try:
            while (length := frame_length(CELL_ID, data, at)) and at + length <= len(data):
                frame_decode(CELL_ID, data, at, length)
                at += length
        except BadFrame:
            error = "bad"
        return counts[0], error, min(len(data) - at, 65)


class Values(Target):
    """A value is sound to both cores or to none, and what is sound can be applied, with the same result."""

    name = "values"

    def seeds(self) -> list[bytes]:
        return VALUES

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        out = bytearray(super().change(random, data, other))
        if random.random() < 0.95:
            reseal.value(out, 0, len(out), CELL_ID)
        return bytes(out)

    def check(self, data: bytes) -> Hashable:
        probes = [kind(CELL_ID, 1 << 20, 2) for kind in (reference_probe.Probe, _probe.Probe)]
        sound = [probe.is_sound(data) for probe in probes]
        assert sound[0] == sound[1]
        kind = int.from_bytes(data[28:32], "little")
        if not sound[0] or kind != OPERATIONS:
            return sound[0], len(data) < 32 or kind
        assert probes[0].apply(data) == probes[1].apply(data)
        assert probes[0].state() == probes[1].state()
        return True, tuple(data[48::20][:6]), probes[0].state()[0]


class Peer(Target):
    """A replica that is told anything by a peer: both cores do the same, and what no peer says ends the connection."""

    name = "peer"
    cost = 20

    def seeds(self) -> list[bytes]:
        return conversations()

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        out = bytearray(super().change(random, data, other))
        if random.random() < 0.95:
            reseal.frames(random, out, 0, len(out), CELL_ID)
        return bytes(out)

    def check(self, data: bytes) -> Hashable:
        pair = [core.Replica(config(ME)) for core in (_core, _reference)]
        for made in pair:
            made.start(1_000_000, WALL_MS)
            for peer in (PEER, THIRD):
                for channel in (0, 1):
                    made.open_peer(peer, channel)
            made.turn(BEGUN_US, WALL_MS)
        cut = len(data) // 2 if len(data) % 3 else len(data)
        seen: list[Hashable] = []
        for now, part in ((BEGUN_US + 1000, data[:cut]), (BEGUN_US + 2000, data[cut:]), (BEGUN_US + 3_000_000, b"")):
            results = [self._turn(made, now, part) for made in pair]
            assert results[0] == results[1]
            good, status, rows, *_ = results[0]
            assert status["promised"] >> 16 & 0xFF in (0, ME, PEER)
            assert status["promised"] >> 24 <= 8 * ROUNDS_AHEAD_MAX
            seen += [good, tuple(name for name, times in rows.items() if times)]
            if not good:
                break
        return tuple(seen)

    @staticmethod
    def _turn(made: object, now: int, data: bytes) -> tuple:  # type: ignore[type-arg]
        made.clock(now, WALL_MS)
        good = made.feed_peer(PEER, 0, data)
        made.turn(now, WALL_MS)
        group = made.drain_disk()
        if group is not None:
            made.durable(group[0] + len(group[1]))
        out = [made.drain_peer(peer, channel) for peer in (PEER, THIRD) for channel in (0, 1)]
        return good, made.status(), made.rows(), group, out, made.wakeup(), made.drain_reads()
