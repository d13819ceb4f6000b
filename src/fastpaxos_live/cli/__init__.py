"""The command line. Exit codes: 0 done, 1 the thing asked for failed, 2 wrong use.

Each module beside this one holds one command. Errors are one line on stderr, never a traceback; `sim` shows below it
what led to a violation.
"""

import sys
from importlib import import_module
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from .. import __version__
from ..server.config import ConfigError
from ..server.lines import one_line
from .failure import CommandFailed

# Modules beside this one, each with a function of its name. Only the one that is asked for is imported: a replica
# starts in half the time without what the simulator and the clients of the other commands need.
COMMANDS = ("up", "serve", "status", "profile", "sim", "check")


def _version(asked: bool) -> None:
    if asked:
        print(f"fastpaxos-live {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A replicated key-value store behind the Redis protocol."""


def application(args: list[str]) -> typer.Typer:
    """With the command that the arguments name; with all of them, for the help and the errors, if they name none."""
    app = typer.Typer(
        name="fastpaxos-live",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(options)
    for name in args[:1] if args and args[0] in COMMANDS else COMMANDS:
        app.command()(getattr(import_module(f".{name}", __package__), name))
    return app


def main() -> NoReturn:
    """The entry point: runs the command of sys.argv and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    try:
        command = typer.main.get_command(application(args))
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
        print(f"fastpaxos-live: {one_line(' '.join(text.split()))}", file=sys.stderr)
    if more:
        print(more, file=sys.stderr)
    return code
