"""`python -m bench stalls`: the longest that a replica stands still to apply one value, whatever the store has to do.

Each phase is of values as a follower applies them. The time is that of the processor that the thread had: what others
took on a busy machine is not the store's.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time_ns
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live._probe import Probe
from fastpaxos_live.reference import db_ops
from fastpaxos_live.reference.limits import BATCH_BYTES
from fastpaxos_live.reference.log_frame import OPERATIONS, value_encode
from fastpaxos_live.server.memory import give_back

from . import results
from .results import Row

SEED = 4711
TIME_MS = 1_700_000_000_000
VALUE = b"x" * 16
FEW = 100  # writes of a value, but where as many as fit
LARGE_BYTES = 8 << 20
MIDDLING_BYTES = range(10_000, 250_000, 1000)  # the system's allocator gives many of these back one by one
MOST_MS = 20.0  # the aim

FLUSH = db_ops.op_encode(db_ops.OP_FLUSH, 0, 0, [])


def run(keys: int, console: Console) -> dict[str, Any]:
    """Measures with so many keys: all phases, each with a store of its own, and the allocator set as a replica's."""
    give_back()
    results.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        facts = results.facts(Path(name))
    rows: list[Row] = []
    for phase in (_grow, _expire, _clear, _small, _middling, _large):
        with console.status(phase.__name__.strip("_")):
            rows += phase(keys)
    told = {
        "keys": keys,
        "values": f"{FEW} SETs of 16-byte keys and values each; full: as many as a batch holds",
        "time": "of the thread's processor, for one value, or one turn of an idle replica",
        "aim_ms": MOST_MS,
    }
    return results.result("stalls", facts, told, rows)


def _sets(first: int, count: int, deadline_ms: int, value: bytes) -> list[bytes]:
    flag = db_ops.FLAG_ABSOLUTE if deadline_ms else 0
    keys = (b"key:%012d" % key for key in range(first, first + count))
    return [db_ops.op_encode(db_ops.OP_SET, flag, deadline_ms, [(key, value)]) for key in keys]


def _value(operations: list[bytes], time_ms: int = TIME_MS) -> bytes:
    return value_encode(SEED, time_ms, 0, len(operations), OPERATIONS, b"".join(operations))


def _values(
    count: int, each: int = FEW, first: int = 0, deadline_ms: int = 0, value: bytes = VALUE
) -> Iterator[bytes]:
    for at in range(first, first + count, each):
        yield _value(_sets(at, min(each, first + count - at), deadline_ms, value))


class Watch:
    """Takes the time of each step of a phase."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.times: list[int] = []

    def apply(self, probe: Probe, values: Iterator[bytes] | Sequence[bytes]) -> "Watch":
        for value in values:
            start = thread_time_ns()
            probe.apply(value)
            self.times.append(thread_time_ns() - start)
        return self

    def tidy(self, probe: Probe) -> "Watch":
        left = True
        while left:
            start = thread_time_ns()
            left = probe.tidy()
            self.times.append(thread_time_ns() - start)
        return self

    def row(self) -> Row:
        """Of the whole phase."""
        times = sorted(self.times)
        return {
            "phase": self.what,
            "steps": len(times),
            "p50_ms": median(times) / 1e6,
            "longest_ms": times[-1] / 1e6,
        }


def _probe() -> Probe:
    return Probe(SEED, LARGE_BYTES, 2)


def _grow(keys: int) -> list[Row]:
    full = BATCH_BYTES // len(_sets(0, 1, 0, VALUE)[0])
    rows = []
    for what, each in (("few", FEW), ("full", full)):
        rows.append(Watch(f"growing to {keys:,} keys, {what} SETs a value").apply(_probe(), _values(keys, each)).row())
    return rows


def _expire(keys: int) -> list[Row]:
    probe, many = _probe(), keys // 10
    values = _values(many, deadline_ms=TIME_MS + 1)
    rows = [Watch(f"setting {many:,} keys with one deadline").apply(probe, values).row()]
    watch, due = Watch(f"{many:,} keys due at one ms, in values without writes"), _value([], TIME_MS + 1)
    while probe.state()[1] or probe.work()[3] < many:
        watch.apply(probe, [due])
    return [*rows, watch.row()]


def _clear(keys: int) -> list[Row]:
    probe, many = _probe(), keys * 3 // 10
    watch = Watch(f"twice {many:,} keys and FLUSHALL, then keys again")
    for first in (0, keys):
        for value in _values(many, first=first):
            probe.apply(value)
        watch.apply(probe, [_value([FLUSH])])
    watch.apply(probe, _values(many // 10))
    return [watch.row(), Watch("the rest in turns of an idle replica").tidy(probe).row()]


def _small(keys: int) -> list[Row]:
    """The allocator keeps small blocks in ways of its own: what it saves up comes due with a larger one."""
    probe, many = _probe(), keys * 3 // 10
    for value in _values(many):
        probe.apply(value)
    last = [*_values(1, value=b"x" * 100_000)]
    probe.apply(_value([FLUSH]))
    while probe.tidy():
        pass  # nothing else of this process asks for much memory meanwhile, so that nothing comes due before
    watch = Watch(f"a key of 100 KB after FLUSHALL of {many:,} small keys, and all of that in turns")
    return [watch.apply(probe, last).row()]


def _middling(keys: int) -> list[Row]:
    probe, count = _probe(), max(keys // 1000, 1)
    random = Random(SEED)
    for first in range(count):
        probe.apply(_value(_sets(first, 1, 0, b"x" * random.choice(MIDDLING_BYTES))))
    watch = Watch(f"FLUSHALL of {count:,} keys of 10 to 250 KB").apply(probe, [_value([FLUSH])])
    return [watch.row(), Watch("the rest in turns of an idle replica").tidy(probe).row()]


def _large(keys: int) -> list[Row]:
    probe, count = _probe(), max(keys // 40_000, 1)
    for value in _values(count, each=1, value=b"x" * LARGE_BYTES):
        probe.apply(value)
    watch = Watch(f"FLUSHALL of {count} keys of {LARGE_BYTES >> 20} MiB, then keys again")
    return [watch.apply(probe, [_value([FLUSH])]).apply(probe, _values(10 * count)).row()]


def show(result: dict[str, Any], console: Console) -> None:
    """Prints one line for each phase."""
    table = Table(title="how long a value holds a replica, ms", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("phase", no_wrap=True)
    for name in ("steps", "p50", "longest"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        late = " (missed)" if row["longest_ms"] > result["settings"]["aim_ms"] else ""
        table.add_row(row["phase"], f"{row['steps']:,}", f"{row['p50_ms']:.3f}", f"{row['longest_ms']:.2f}{late}")
    console.print(table)
