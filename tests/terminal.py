"""A program on a terminal of its own, for tests of what a person at a keyboard sees."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from fastpaxos_live.testing import WAIT_S

ROWS, COLUMNS = 40, 160


class Terminal:
    """Runs a command with a terminal as its standard streams.

    `screen` is what it wrote that was not awaited yet; `env` adds to its environment.
    """

    def __init__(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        self.screen = ""
        self._side, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **(env or {})},
        )
        os.close(other)

    def enter(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self._side, line.encode() + b"\r")

    def wait_for(self, text: str) -> None:
        """Waits until it has written `text` after what was awaited before; forgets up to there."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.screen:
            more = self._read(deadline)
            assert more, f"waited in vain for {text!r} in:\n{self.screen}"
            self.screen += more
        self.screen = self.screen.partition(text)[2]

    def _read(self, deadline: float) -> str:
        """The next piece it writes; "" after the end or the deadline."""
        if not select.select([self._side], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return ""
        try:
            return os.read(self._side, 65536).decode(errors="replace")
        except OSError:  # all who had the other side are gone
            return ""

    def finish(self, how: signal.Signals | None = None) -> int:
        """Sends the signal, if any, reads to the end; returns the exit code."""
        if how is not None:
            self._process.send_signal(how)
        deadline = time.monotonic() + WAIT_S
        while more := self._read(deadline):
            self.screen += more
        return self._process.wait(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()  # `up` ends its replicas then
            try:
                self._process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self._side)
