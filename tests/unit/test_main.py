"""What ends the process, and what is only worth a line."""

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastpaxos_live.server import edges
from fastpaxos_live.server.edges import EdgeFailed, report
from fastpaxos_live.server.main import Process
from fastpaxos_live.server.plain import guarded


def ended(raise_: Any) -> tuple[BaseException | None, list[str]]:
    """How a process ends whose loop meets this, and what it says."""

    async def main() -> BaseException | None:
        loop = asyncio.get_running_loop()
        process: Any = SimpleNamespace(ended=loop.create_future(), failed=None)
        process._fail = lambda error: Process._fail(process, error)
        loop.set_exception_handler(lambda loop, context: Process._on_exception(process, loop, context))
        raise_(loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return process.ended.exception() if process.ended.done() else None

    with capture_logs() as logs:
        return asyncio.run(main()), [line["event"] for line in logs]


def fails() -> None:
    raise OSError(24, "Too many open files")


def test_a_callback_that_fails_is_worth_a_line() -> None:
    error, lines = ended(lambda loop: loop.call_soon(fails))
    assert error is None
    assert len(lines) == 1


def test_a_connection_that_breaks_is_worth_nothing() -> None:
    broken = {"message": "broken", "exception": ConnectionResetError(), "transport": None}
    assert ended(lambda loop: loop.call_exception_handler(broken)) == (None, [])


def test_what_the_edge_raises_ends_the_process() -> None:
    error, lines = ended(lambda loop: report(loop, IndexError("no such place")))
    assert isinstance(error, EdgeFailed)
    assert "no such place" in str(error)
    assert lines == ["the edge failed"]


def test_what_a_callback_of_the_plain_edge_raises_ends_the_process() -> None:
    class Part:
        edge: Any = SimpleNamespace(halted=False, loop=None)

        @guarded
        def turn(self) -> None:
            raise IndexError("no such place")

    def raise_(loop: asyncio.AbstractEventLoop) -> None:
        part = Part()
        part.edge.loop = loop
        part.turn()
        assert part.edge.halted

    error, _ = ended(raise_)
    assert isinstance(error, EdgeFailed)


SPAN_ERRORS = [
    (OSError(errno.ENOSPC, "no room"), 7), (OSError(errno.EMFILE, "no file"), 7), (RuntimeError("no thread"), 7),
    (OSError(errno.EIO, "no disk"), None), (ValueError("no sense"), None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "end"), SPAN_ERRORS, ids=repr)
def test_want_of_room_for_how_long_grants_last(
    error: Exception, end: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not given before there is room; an error of the disk ends the process."""
    monkeypatch.setattr(edges, "RETRY_S", 0.001)
    tries, kept, failed = [], [], []

    def keep_span(span: int) -> None:
        tries.append(span)
        if len(tries) < 3:
            raise error

    async def main() -> None:
        replica: Any = SimpleNamespace(span_wanted=lambda: 0 if kept else 7, span_kept=kept.append)
        hooks: Any = SimpleNamespace(keep_span=keep_span)
        keeper = edges.SpanKeeper(asyncio.get_running_loop(), replica, hooks, lambda: None, failed.append)
        async with asyncio.timeout(20):
            while not kept and not failed:
                keeper.look()
                await asyncio.sleep(0)
            await keeper.stop()

    asyncio.run(main())
    assert kept == ([] if end is None else [end])
    assert len(tries) == (1 if end is None else 3)
    assert bool(failed) == (end is None)
