"""What bench measures of the machine itself."""

import pytest
from bench import build, floor

DURING_NS = 1_000_000
FOR_EVER_NS = 1 << 62


def test_time_is_all_gaps_or_none() -> None:
    stalled_ns = build.module("clocked").stalled_ns
    # Any two readings of the clock have a gap between them, however small.
    assert stalled_ns(DURING_NS, 1) >= DURING_NS
    assert stalled_ns(DURING_NS, FOR_EVER_NS) == 0


def test_the_share_is_of_both_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "STALL_US", FOR_EVER_NS // 1000)
    assert floor.stalled_share(0.001) == 0
    monkeypatch.setattr(floor, "STALL_US", 1e-3)
    # Each thread ends with the first reading behind the end.
    assert floor.stalled_share(0.001) >= 1
