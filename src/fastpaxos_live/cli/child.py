"""A replica's process, as `up` keeps it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RESTART_S = 1.0
TAIL_BYTES = 4096


class Child:
    """One `fastpaxos-live serve`; what it prints goes to a file in the cell's directory."""

    def __init__(self, config: Path, name: str, directory: Path, core: str | None) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.answered = False  # since its last start
        self.trouble = ""  # why it is down, one line
        self._command = [sys.executable, "-m", "fastpaxos_live", "serve", "--with-parent"]
        self._command += ["--config", str(config), "--name", name]
        if core:
            self._command += ["--core", core]
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where the output of the last start begins
        self._refused = False
        self._due = 0.0  # when to start it again; 0: not at all

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process; a Ctrl-C at the terminal reaches only this one's parent."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.answered = False
        self.trouble = ""
        self._due = 0.0

    def is_running(self) -> bool:
        return self._process is not None

    def has_ended(self) -> bool:
        """True once for each end; `trouble` then says how it ended."""
        if self._process is None or (code := self._process.poll()) is None:
            return False
        self._process = None
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code}: {self.last_line()}"
        self.trouble = f"{self.name} {how}"
        self._refused = code > 0 and not self.answered
        if not self._refused:
            self._due = time.monotonic() + RESTART_S
        return True

    def refused(self) -> bool:
        """Did it end by itself before it ever answered? Then another start would end likewise."""
        return self._refused

    def is_due(self) -> bool:
        """Is it time to start it again?"""
        return self._process is None and 0 < self._due <= time.monotonic()

    def last_line(self) -> str:
        """The last line that it printed since its start."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        said = [line.removeprefix("fastpaxos-live: ") for line in lines if line.strip()]
        return said[-1] if said else "it said nothing"

    def terminate(self) -> None:
        """SIGTERM, if it runs."""
        if self._process:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Waits for its end until `deadline` (monotonic), then kills it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
