"""At log level debug: a line for each row of the protocol's machines that this replica takes."""

import asyncio
import logging

import structlog

from .._api import Replica

DRAIN_S = 0.02  # a replica keeps its last rows only, so they are fetched often

log = structlog.get_logger()


class RowLog:
    """Logs the rows while it runs; at any other level it does nothing, and the replica notes none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, replica: Replica) -> None:
        self._loop = loop
        self._replica = replica
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Before the replica starts, so that nothing is missed."""
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            self._replica.trace_rows(True)
            self._again()

    def stop(self) -> None:
        """Log what is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._drain()

    def _again(self) -> None:
        self._timer = self._loop.call_later(DRAIN_S, self._tick)

    def _tick(self) -> None:
        self._drain()
        self._again()

    def _drain(self) -> None:
        for boot_us, row, message, changed in self._replica.drain_rows():
            log.debug("row", boot_us=boot_us, row=row, message=message, changed=changed)
