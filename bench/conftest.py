"""What the benchmarks of bench/ measure with, and the table at their end."""

from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bench import hotpath
from bench.results import Row

ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> hotpath.Measure:
    """measure(part, core, operations, size, function, *args): times a function that does so many operations, with
    `size` bytes in all, in one call, and returns what it returned. A keyword `setup` makes the arguments of each call.
    """

    def run(
        part: str, core: str, operations: int, size: int, function: Callable[..., Any], *args: Any,
        setup: Callable[[], tuple] | None = None,
    ) -> Any:
        benchmark.group = part
        benchmark.extra_info.update(core=core, operations=operations, bytes=size)
        if setup is None:
            result = benchmark(function, *args)
        else:
            result = benchmark.pedantic(function, setup=lambda: (setup(), {}), rounds=hotpath.SETUP_ROUNDS)
        if benchmark.stats:  # not with --benchmark-disable
            row = hotpath.row(part, benchmark.extra_info, benchmark.stats.stats.median, benchmark.stats.stats.rounds)
            for key in ("ns_per_operation", "bytes_per_second"):
                benchmark.extra_info[key] = row[key]
            request.config.stash[ROWS].append(row)
        return result

    return run


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if rows := config.stash[ROWS]:
        console = Console(width=hotpath.WIDTH)
        with console.capture() as text:
            hotpath.show_rows(hotpath.with_ratios(rows), console)
        terminalreporter.write_line("\n" + text.get())
