"""Results as text."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

CONTESTANTS = ("compiled", "reference", "redis alone")


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table of a run and what it depends on."""
    facts, settings = result["machine"], result["settings"]
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
        f"{facts['processors']} x {facts['processor']}, {facts['memory_bytes'] / 2**30:.0f} GiB, {facts['system']}",
        f"{facts['file_system']}, fdatasync of a small append: "
        f"{facts['fdatasync_us_p50']} us (p99 {facts['fdatasync_us_p99']} us)",
        f"Python {facts['python']}, Cython {facts['cython']}, uvloop {facts['uvloop']}; {facts['redis_server']}",
        f"fastpaxos_live {facts['fastpaxos_live']}, commit {result['commit'] or 'unknown'}",
    ):
        console.print(line, highlight=False, soft_wrap=True)
