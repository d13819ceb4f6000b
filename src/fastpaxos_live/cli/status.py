"""`fastpaxos-live status`: the cell as its replicas see it."""

import json
from typing import Annotated

import typer
from rich.console import Console

from ..server.config import parse_address
from .asking import Asker, members_of, report
from .failure import CommandFailed
from .table import cell_table

DEFAULT = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003"  # what `up` uses by itself


def status(
    address: Annotated[
        str,
        typer.Argument(
            metavar="[HOST:PORT]", help="A replica's client address, or several with commas."
        ),
    ] = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the replicas of a cell, how many failures it tolerates, and what is wrong."""
    addresses = [parse_address(text) for text in address.split(",")]
    asker = Asker()
    try:
        first = next((info for info in map(asker.ask, addresses) if info), None)
        if first is None:
            raise CommandFailed(f"no replica answers at {address}")
        members = members_of(first)
        result = report(str(first["cell"]), members, asker.ask_all(members))
    finally:
        asker.close()
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = 120
        console.print(cell_table(result))
