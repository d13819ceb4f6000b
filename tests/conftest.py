"""For all tests: with FPL_REQUIRE_REDIS=1 one that is skipped for want of Redis's tools fails.

Some seeds are new each time; FPL_SIM_SEED, which the header tells, has them again.
"""

import os
import time
from collections.abc import Generator

import pytest

REQUIRED = os.environ.get("FPL_REQUIRE_REDIS", "0") not in ("", "0")

FRESH_SEED = int(os.environ.get("FPL_SIM_SEED") or time.time())
os.environ["FPL_SIM_SEED"] = str(FRESH_SEED)  # the same in all processes of pytest-xdist


def pytest_report_header() -> str:
    return f"simulated seeds from FPL_SIM_SEED={FRESH_SEED} on"


@pytest.fixture(scope="session")
def fresh_seed() -> int:
    """The first of seeds that were never run before."""
    return FRESH_SEED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    skipped = call.excinfo and isinstance(call.excinfo.value, pytest.skip.Exception)
    if REQUIRED and skipped and "redis-" in str(call.excinfo.value):
        report.outcome = "failed"
        report.longrepr = f"FPL_REQUIRE_REDIS is set, but: {call.excinfo.value}"
    return report
