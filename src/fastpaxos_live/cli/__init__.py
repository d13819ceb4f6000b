"""The command line. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong use.

Each module beside this one holds one command. Errors are one line on stderr, never a traceback; `sim` shows below it
what led to a violation.
"""

import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from .. import __version__
from ..server.config import ConfigError
from .check import check
from .failure import CommandFailed
from .profile import profile
from .serve import serve
from .sim import sim
from .status import status
from .up import up

app = typer.Typer(
    name="fastpaxos-live",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"fastpaxos-live {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A replicated key-value store behind the Redis protocol."""


app.command()(up)
app.command()(serve)
app.command()(status)
app.command()(profile)
app.command()(sim)
app.command()(check)


def main() -> NoReturn:
    """The entry point: runs the command of sys.argv and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    try:
        command = typer.main.get_command(app)
        return command.main(args, "fastpaxos-live", standalone_mode=False) or 0
    except TyperException as error:
        return fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        return fail(str(error), 2)
    except CommandFailed as error:
        return fail(str(error), 1, error.more)
    except (typer.Abort, KeyboardInterrupt):
        return fail("interrupted", 1)
    except BrokenPipeError:
        return fail("nobody reads the output", 1)


def fail(text: str, code: int, more: str = "") -> int:
    """Prints one error line, and `more` below it; returns the exit code."""
    if text:
        print(f"fastpaxos-live: {' '.join(text.split())}", file=sys.stderr)
    if more:
        print(more, file=sys.stderr)
    return code
