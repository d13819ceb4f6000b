"""A way to a violation as a message sequence chart in plain text: a column a replica, a line a step."""

from typing import Any

WIDTH = 34
SHOWN = ("number", "instance", "mark", "sent", "accepted", "high", "value", "span")


def number_text(number: int) -> str:
    """A number of the explored world: round.replica."""
    return f"{number >> 2}.{number & 3}" if number else "0"


def field_text(name: str, value: int) -> str:
    """`n=2.1`, `instance=1`: numbers as round.replica."""
    if name in ("number", "accepted"):
        return f"{name[0]}={number_text(value)}"
    return f"{name}={value}"


def chart(steps: list[tuple[str, int, Any, list[str], list[dict]]]) -> str:
    """The text; `steps` as `Explorer.replay` gives them."""
    replicas = len(steps[0][4]) if steps else 0
    lines = ["step  " + "".join(f"replica {r}".ljust(WIDTH) for r in range(1, replicas + 1))]
    before: list[dict] = []
    for index, (kind, replica, what, rows, states) in enumerate(steps, 1):
        if isinstance(what, dict):
            shown = " ".join(field_text(name, what[name]) for name in SHOWN if what[name])
            text = f"{what['sender']} > {what['type']} {shown}"
        elif kind == "teach":
            text = f"learns from {what}"
        elif kind == "challenge":
            text = f"refused by {what}" if what else "due to boost"
        else:
            text = kind
        cells = [""] * replicas
        cells[replica - 1] = text
        lines.append(f"{index:4}  " + "".join(cell.ljust(WIDTH) for cell in cells).rstrip())
        if rows:
            cells[replica - 1] = "  " + ", ".join(rows)
            lines.append("      " + "".join(cell.ljust(WIDTH) for cell in cells).rstrip())
        now = states[replica - 1]
        if before:
            changed = [f"{name}={now[name]}" for name in now if now[name] != before[replica - 1][name]]
            if changed:
                cells[replica - 1] = "  " + " ".join(changed)
                lines.append("      " + "".join(cell.ljust(WIDTH) for cell in cells).rstrip())
        before = states
    return "\n".join(lines)
