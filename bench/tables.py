"""Results as text."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import machine

CONTESTANTS = ("compiled", "reference", "redis alone")


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table of a run and what it depends on."""
    settings = result["settings"]
    rounds = f"median of {settings['rounds']} rounds of {settings['seconds']:g} s"
    table = Table(
        title=f"requests/s, {rounds} (p99 in ms); ratios of the compiled core",
        box=box.SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
    )
    table.add_column("clients x pipeline", no_wrap=True)
    for name in (*CONTESTANTS, "to redis", "to reference"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        cells = [row["results"][name] for name in CONTESTANTS]
        table.add_row(
            f"{row['command']} {row['clients']} x {row['depth']}",
            *(f"{cell['rps']:,.0f} ({cell['p99_ms']:.1f})" for cell in cells),
            f"{row['compiled_to_redis']:.2f}",
            f"{row['compiled_to_reference']:.1f}",
        )
    console.print(table)
    for line in (
        f"compiled, reference: {settings['replicas']} replicas, fsync {settings['fsync']}; "
        f"redis alone: {settings['redis']}",
        f"values of {settings['value_bytes']} bytes, {settings['keys']:,} keys; {settings['where']}",
        *machine.lines(result),
    ):
        console.print(line, highlight=False, soft_wrap=True)
