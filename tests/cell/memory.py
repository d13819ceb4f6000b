"""What is left of many connections that each had the largest request and the largest reply: nothing that counts.

`python -m tests.cell.memory --connections 1000` does it at length; test_bounds.py has the short form.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fastpaxos_live.testing import Cell, Connection, request

AT_A_TIME = 16
SHARE = 0.1  # by so much of what it was memory may have grown ...
SLACK = 16 << 20  # ... and so many bytes: allocators keep some, however little there was
LIMITS = {"write_timeout_ms": 60_000, "segment_bytes": 64 << 20}


def largest(connections: Sequence[Connection], size: int) -> None:
    """Each sets the one key, and reads it, with the others at the same time."""
    for client in connections:
        client.send(request(b"SET", b"k", b"x" * size) + request(b"GET", b"k"))
        assert client.reply() == b"+OK"
        assert len(client.reply()) == size


def grown(cell: Cell, me: int, count: int, size: int) -> list[tuple[int, int]]:
    """Memory of each replica before and after, while all connections are still open."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Connection(cell.ports[me])) for _ in range(count)]
        largest(clients[:AT_A_TIME], size)  # what is needed once is there now
        for client in clients:
            assert client.ask(b"PING") == b"+PONG"
        before = [cell.memory(i) for i in cell.ids]
        for at in range(0, count, AT_A_TIME):
            largest(clients[at : at + AT_A_TIME], size)
        for client in clients:
            assert client.ask(b"PING") == b"+PONG"
        return list(zip(before, [cell.memory(i) for i in cell.ids], strict=True))


def fits(before: int, after: int) -> bool:
    """Is it back?"""
    return after <= before * (1 + SHARE) + SLACK


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=8 << 20)
    parser.add_argument("--core", default="cython")
    options = parser.parse_args()
    failed = False
    for half in ("master", "another"):
        # A cell for each: what it is sent stays in its log.
        with (
            tempfile.TemporaryDirectory() as folder,
            Cell(Path(folder), core=options.core, fsync="never", limits=LIMITS) as cell,
        ):
            master = cell.wait_ready()
            me = master if half == "master" else next(i for i in cell.ids if i != master)
            figures = grown(cell, me, options.connections, options.bytes)
            for i, (before, after) in zip(cell.ids, figures, strict=True):
                print(f"clients at {half}: replica {i} had {before >> 20} MiB and has {after >> 20} MiB", flush=True)
                failed |= not fits(before, after)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
