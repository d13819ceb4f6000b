"""The table of a cell, for people."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

ROLE_STYLES = {"master": "bold green", "candidate": "yellow", "down": "bold red"}


def number_text(number: int | None) -> str:
    """A sequence number as round.replica.incarnation."""
    if number is None:
        return "-"
    return f"{number >> 24}.{number >> 16 & 0xFF}.{number & 0xFFFF}"


def cell_table(report: dict[str, Any], rates: dict[str, float] | None = None) -> Group:
    """The report of `asking.report` as a table; `rates` are operations/s by name."""
    tolerated, configured = report["failures_tolerated"], report["failures_configured"]
    title = (
        f"cell {report['cell']}: master {report['master'] or 'none'}, "
        f"tolerates {tolerated} of {configured} failures"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("replica", "client", "role", "number", "epoch", "committed", "applied"):
        table.add_column(heading, justify="left" if heading in ("replica", "client") else "right")
    table.add_column("lease ms", justify="right")
    if rates is not None:
        table.add_column("op/s", justify="right")
    table.add_column("votes")
    for row in report["replicas"]:
        cells = [
            row["name"],
            row["client"],
            Text(row["role"], ROLE_STYLES.get(row["role"], "")),
            number_text(row["sequence_number"]),
            *(text(row[key]) for key in ("epoch", "instance_committed", "instance_applied")),
            text(row["lease_ms_left"]),
        ]
        if rates is not None:
            cells.append(f"{rates[row['name']]:,.0f}" if row["name"] in rates else "-")
        table.add_row(*cells, "yes" if row["voting"] else "no")
    problems = [Text(f"! {problem}", "yellow") for problem in report["problems"]]
    return Group(table, *problems)


def text(value: object) -> str:
    return "-" if value is None else str(value)
