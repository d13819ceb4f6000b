"""The lines about connections that were ended for their own fault: few, however many there are."""

import time
from collections.abc import Callable

import structlog

from .._api import COMPLAINTS

log = structlog.get_logger()

LINES_MAX = 20  # in ...
PERIOD_S = 60.0


class Complaints:
    """Writes these lines."""

    def __init__(self, address: Callable[[int], str]) -> None:
        """`address` says where a connection comes from."""
        self._address = address
        self._since = float("-inf")
        self._lines = self._left_out = 0

    def tell(self, conn: int, what: int) -> None:
        """`what`: its place in COMPLAINTS."""
        now = time.monotonic()
        if now - self._since > PERIOD_S:
            if self._left_out:
                log.warning("more connections were ended", count=self._left_out)
            self._since, self._lines, self._left_out = now, 0, 0
        if self._lines == LINES_MAX:
            self._left_out += 1
            return
        self._lines += 1
        log.warning("a connection was ended", address=self._address(conn), reason=COMPLAINTS[what])
