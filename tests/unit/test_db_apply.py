"""What operations do at a given time, on both cores."""

import pytest

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_apply import run
from fastpaxos_live.reference.db_ops import OP_INCRBY, REPLY_BYTES_MAX, op_encode
from fastpaxos_live.reference.db_store import Store
from fastpaxos_live.reference.limits import VALUE_BYTES_MAX

PROBES = pytest.mark.parametrize(
    "probe_class", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"]
)
T = 1_700_000_000_000


def line(text: str) -> bytes:
    return text.encode() + b"\r\n"


@PROBES
@pytest.mark.parametrize(
    "command",
    ["SET k v PX 1500", "PSETEX k 1500 v", "SET k v|PEXPIRE k 1500", "SET k v|GETEX k PX 1500"],
)
def test_a_time_to_live_counts_from_the_time_in_force(probe_class, command: str) -> None:
    probe = probe_class(1, 1000, 2)
    for part in command.split("|"):
        probe.feed(line(part), T)
    assert probe.feed(line("PEXPIRETIME k"), T) == b":%d\r\n" % (T + 1500)
    assert probe.feed(line("PTTL k"), T + 1) == b":1499\r\n"
    assert probe.feed(line("TTL k"), T) == b":2\r\n"
    assert probe.feed(line("TTL k"), T + 1001) == b":0\r\n"


@PROBES
def test_a_key_goes_at_its_deadline_and_not_before(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    probe.feed(line("SET k v PX 100"), T)
    probe.expire(T + 99)
    assert probe.feed(line("GET k"), T + 99) == b"$1\r\nv\r\n"
    probe.expire(T + 100)
    assert probe.feed(line("GET k"), T + 100) == b"$-1\r\n"
    assert probe.state() == (0, 0, 0, 0)


@PROBES
@pytest.mark.parametrize(
    "commands",
    [["SET k v PXAT {}"], ["SET k v", "PEXPIREAT k {}"], ["SET k v", "GETEX k PXAT {}"]],
)
@pytest.mark.parametrize("ms, keys", [(-1, 0), (0, 0), (1, 1)])
def test_a_deadline_that_has_come_already(probe_class, commands, ms: int, keys: int) -> None:
    probe = probe_class(1, 1000, 2)
    for command in commands:
        assert not probe.feed(line(command.format(T + ms)), T).startswith(b"-")
    assert probe.state()[0] == keys


@PROBES
def test_reads_expire_nothing(probe_class) -> None:
    """The time in force moves with writes only, the same on every replica."""
    probe = probe_class(1, 1000, 2)
    probe.feed(line("SET k v PX 100"), T)
    assert probe.feed(line("EXISTS k"), T + 5000) == b":1\r\n"
    assert probe.feed(line("PTTL k"), T + 5000) == b":0\r\n"


@PROBES
@pytest.mark.parametrize(
    "command, due",
    [
        ("GET k", True),
        ("GET other", False),
        ("GET missing", False),
        ("MGET missing other k", True),
        ("DBSIZE", True),
        ("MGET other missing", False),
        ("TTL k", True),
        ("EXISTS later", False),
        ("STRLEN k", True),
    ],
)
def test_is_due(probe_class, command: str, due: bool) -> None:
    probe = probe_class(1, 1000, 2)
    probe.feed(
        line("MSET k v other v") + line("PEXPIREAT k 5000") + line("SET later v PXAT 5001"), 1
    )
    _, operation = probe.encode(line(command))
    assert not probe.is_due(operation, 4999)
    assert probe.is_due(operation, 5000) is due


@PROBES
@pytest.mark.parametrize(
    "key, slot",
    [  # from Redis: CLUSTER KEYSLOT
        (b"123456789", 12739),
        (b"foo", 12182),
        (b"{foo}bar", 12182),
        (b"x{foo}{bar}", 12182),
        (b"", 0),
        (b"foo{}{bar}", 8363),
        (b"foo{{bar}}zap", 4015),
        (b"{user1000}.following", 3443),
        (b"user1000", 3443),
    ],
)
def test_slot(probe_class, key: bytes, slot: int) -> None:
    probe = probe_class(1, 1000, 2)
    assert probe.slot(op_encode(OP_INCRBY, 0, 1, [(key, b""), (b"second", b"")])) == slot


@PROBES
def test_slot_without_keys(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    assert probe.slot(probe.encode(line("DBSIZE"))[1]) == 0


@PROBES
def test_several_operations(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    operations = b"".join(
        probe.encode(line(text))[1] for text in ("INCR n", "INCRBY n 5", "DECR n", "GET n")
    )
    assert probe.run(operations, T) == b":1\r\n:6\r\n:5\r\n$1\r\n5\r\n"


@PROBES
@pytest.mark.parametrize("resp, null", [(2, b"$-1\r\n"), (3, b"_\r\n")])
def test_nulls(probe_class, resp: int, null: bytes) -> None:
    probe = probe_class(1, 1000, resp)
    assert probe.feed(line("GET k") + line("SET k v XX") + line("GETDEL k"), T) == 3 * null
    assert probe.feed(line("MGET a b"), T) == b"*2\r\n" + 2 * null


@PROBES
def test_increments_stop_at_the_ends(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    overflow = b"-ERR increment or decrement would overflow\r\n"
    probe.feed(line("SET k 9223372036854775806 PX 500"), T)
    assert probe.feed(line("INCR k") + line("INCR k"), T) == b":9223372036854775807\r\n" + overflow
    assert probe.feed(line("PTTL k"), T) == b":500\r\n"
    probe.feed(line("SET k -9223372036854775807"), T)
    assert probe.feed(line("DECR k") + line("DECR k"), T) == b":-9223372036854775808\r\n" + overflow


@PROBES
def test_append_stops_at_the_largest_value(probe_class) -> None:
    probe = probe_class(1, VALUE_BYTES_MAX, 2)
    probe.feed(
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n"
        % (VALUE_BYTES_MAX - 2, bytes(VALUE_BYTES_MAX - 2)),
        T,
    )
    before = probe.state()
    error = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
    assert probe.feed(line("APPEND k 123"), T) == error
    assert probe.state() == before
    assert probe.feed(line("APPEND k 12"), T) == b":%d\r\n" % VALUE_BYTES_MAX


@PROBES
def test_a_reply_is_bounded(probe_class) -> None:
    """Else a small request for one large value, many times, would take all memory."""
    size = 4 << 20
    probe = probe_class(1, size, 2)
    probe.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (size, bytes(size)), T)
    most = REPLY_BYTES_MAX // size
    assert len(probe.feed(line("MGET" + " k" * most), T)) > REPLY_BYTES_MAX
    assert (
        probe.feed(line("MGET" + " k" * (most + 1)), T)
        == b"-ERR reply too large: at most 67108864 bytes of values\r\n"
    )


@PROBES
def test_a_deadline_at_the_end_of_time(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    longest = 2**63 - 1 - 2**45
    assert probe.feed(line(f"SET k v PX {longest}"), 2**45 + 1) == b"+OK\r\n"
    assert probe.feed(line("PEXPIRETIME k"), 2**45 + 1) == b":9223372036854775807\r\n"


def test_without_a_reply() -> None:
    """A replica that only follows builds none."""
    store = Store(1)
    run(store, op_encode(OP_INCRBY, 0, 5, [(b"n", b"")]), 0, T, 2, None)
    assert store.get(b"n") == b"5"
