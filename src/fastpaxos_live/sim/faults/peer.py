"""A replica that is one, and sends what no replica sends: its checksums are right."""

from random import Random
from struct import pack

from ...reference.db_ops import OP_BYTES, OP_FLUSH, OP_GET, OP_INCRBY, OP_SET, op_encode
from ...reference.limits import INSTANCE_MAX, TIME_MS_MAX
from ...reference.log_frame import ACCEPT, ENTRY, LEARN, OPERATIONS, frame_encode, value_encode
from .occasion import Fault, Occasion

SET = op_encode(OP_SET, 0, 0, [(b"key", b"malformed")])
BODIES = {  # of values that hold one operation
    "an item beyond its end": pack("<IIqBBH", 30, 1, 0, OP_SET, 0, 0) + pack("<II", 1 << 31, 1) + b"kv",
    "sizes that overflow": pack("<IIqBBH", 30, 1, 0, OP_SET, 0, 0) + pack("<II", (1 << 32) - 1, 3) + b"kv",
    "an operation longer than its value": pack("<IIqBBH", len(SET) + 9, 1, 0, OP_SET, 0, 0) + SET[OP_BYTES:],
    "an operation of no bytes": bytes(OP_BYTES),
    "a read": op_encode(OP_GET, 0, 0, [(b"key", b"")]),
    "an unknown operation": op_encode(OP_FLUSH + 1, 0, 0, [(b"key", b"")]),
    "no key": op_encode(OP_INCRBY, 0, 1, []),
    "an operation too many": SET + SET,
}


def _value(random: Random, cell_id: int, wall_ms: int) -> tuple[str, bytes]:
    # What is wrong with it, and the value; its own checksum is right but in the last case.
    what = random.choice((*BODIES, "a time beyond all clocks", "an unknown kind", "another checksum"))
    if what in BODIES:
        return what, value_encode(cell_id, wall_ms, 0, 1, OPERATIONS, BODIES[what])
    if what == "another checksum":
        return what, value_encode(cell_id ^ 1, wall_ms, 0, 1, OPERATIONS, SET)
    if what == "an unknown kind":
        return what, value_encode(cell_id, wall_ms, 0, 0, 3, b"")
    return what, value_encode(cell_id, TIME_MS_MAX + 1, 0, 1, OPERATIONS, SET)


def malformed(o: Occasion) -> str | None:
    """A replica sends another one a malformed value, or an instance beyond all, in a frame with right checksums."""
    live = [conn for _, conn in sorted(o.world.network.live.items()) if not conn.greeting and not conn.damaged]
    if not live:
        return None
    conn = o.random.choice(live)
    sender, receiver = o.random.sample((conn.low, conn.high), 2)
    core = o.world.nodes[receiver].core
    if core is None:
        return None
    status = core.status()
    what, value = _value(o.random, o.world.cell_id, status["time_ms"])
    kind = LEARN if conn.channel else o.random.choice((ACCEPT, ENTRY))
    instance = status["instance_applied"] + 1
    if o.random.random() < 0.1:
        what, instance = "an instance beyond all", INSTANCE_MAX + 1
    owner = receiver if kind == ENTRY else sender
    number = (status["promised"] >> 24) + 1 << 24 | owner << 16 | 1
    frame = frame_encode(o.world.cell_id, kind, sender, 1, number, instance, payload=value)
    o.world.network.inject(conn, receiver, frame)
    return f"{what}, from {sender} to {receiver} on channel {conn.channel}"


KINDS: tuple[Fault, ...] = (malformed,)
