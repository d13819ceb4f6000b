"""`fastpaxos-live serve`: one replica in the foreground."""

import ctypes
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from .._select import CORES
from ..server.config import CellConfig, ConfigError, load_config
from .choices import Core, LogLevel
from .failure import CommandFailed

PR_SET_PDEATHSIG = 1


def serve(
    config: Annotated[Path, typer.Option(help="The cell's file (TOML).")],
    name: Annotated[str, typer.Option(help="Which replica of the file this is.")],
    new: Annotated[
        bool, typer.Option("--new", help="Format its empty directory for a new cell.")
    ] = False,
    core: Annotated[
        Core | None, typer.Option(help="Which core; else as the file or FASTPAXOS_CORE says.")
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(help="What is logged; debug: also each row of the protocol's machines.")
    ] = LogLevel.INFO,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when the process that started it ends.")
    ] = False,
) -> None:
    """Run one replica in the foreground."""
    if with_parent:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    cell = load_config(config)
    cell.replica(name)
    chosen = choose_core(core, cell)
    from ..server.main import run  # what it imports the other commands do without

    try:
        code = run(cell, name, new=new, core=chosen, log_level=log_level.value)
    except ImportError as error:
        raise CommandFailed(f"the core {chosen!r} can't be loaded: {error}") from None
    raise typer.Exit(code)


def choose_core(asked: str | None, cell: CellConfig) -> str:
    """The option, else the cell's file, else FASTPAXOS_CORE, else cython. Raises ConfigError."""
    core = asked or cell.core or os.environ.get("FASTPAXOS_CORE") or "cython"
    if core not in CORES:
        raise ConfigError(f"FASTPAXOS_CORE={core}: choose one of {', '.join(CORES)}")
    return str(core)
