"""Replicas that are far from each other: the time of a round trip is not what a heartbeat's period must exceed."""

import pytest
from tests.cells import Cell, bulk, request


@pytest.mark.parametrize("core", ["cython", "python"])
@pytest.mark.parametrize("delay_ms", [0, 40, 100])
def test_a_master_is_elected_over_any_distance_that_its_lease_outlasts(core: str, delay_ms: int) -> None:
    cell = Cell(core)  # a heartbeat each 50 ms
    cell.delay_us = delay_ms * 1000
    master = cell.master(10_000)
    cell[master].open_client(0)
    cell[master].feed_client(0, request(b"SET", b"k", b"v") + request(b"GET", b"k"))
    assert cell.reply(master, 0, 1000) == b"+OK\r\n" + bulk(b"v")
    before = cell[master].status()["elections"]
    cell.run(3000)
    assert cell[master].status()["serving"] and cell[master].status()["elections"] == before
