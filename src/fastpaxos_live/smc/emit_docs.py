"""Markdown, for readers: of each machine its states as a diagram, its variables, and its rows as a table."""

import ast

from .effects import operations
from .ir import Machine, Row, Unit


def emit_docs(unit: Unit) -> str:
    """The unit as one page."""
    files = ", ".join(file.name for file in unit.files)
    lines = ["# State machines", "", f"Made from {files} by `python -m fastpaxos_live.smc`; changes belong there."]
    for machine in unit.machines.values():
        lines += ["", f"## {machine.name}", "", machine.text or f"Specified in {machine.file.name}.", ""]
        lines += _diagram(machine)
        lines += _table(("variable", "type", "storage", ""), [
            (_code(v.name), _code(str(v.type)), v.storage, v.text) for v in machine.variables.values()
        ])
        lines += _table(
            ("row", "states", "event", "guard", "writes", "persists", "sends", ""),
            [_row(machine, row) for row in machine.rows])
        lines += _ignored(machine)
    lines += ["", "## Messages"]
    lines += _table(("message", "kind", "fields", ""), [
        (_code(m.name), m.kind, _codes([f"{name}: {type}" for name, type in m.fields.items()]), m.text)
        for m in unit.messages.values()
    ])
    return "\n".join(lines) + "\n"


def _diagram(machine: Machine) -> list[str]:
    edges: dict[tuple[str, str], list[str]] = {}
    for row in machine.rows:
        for into in [op.name for op in operations(machine, row) if op.kind == "become"]:
            for state in row.states:
                if state != into and row.name not in edges.setdefault((state, into), []):
                    edges[state, into].append(row.name)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {machine.states[0]}"]
    lines += [f"    {state} --> {into}: {', '.join(names)}" for (state, into), names in edges.items()]
    lines += [f"    {state} --> [*]" for state in machine.states if state in machine.terminal]
    return [*lines, "```"]


def _row(machine: Machine, row: Row) -> tuple[str, ...]:
    done = operations(machine, row)

    def names(*kinds: str) -> list[str]:
        return list(dict.fromkeys(op.name for op in done if op.kind in kinds))

    sent = [_code(op.name) + (" when durable" if op.waits else "") for op in done if op.kind == "send"]
    return (
        _code(row.name),
        "all" if len(row.states) == len(machine.states) else ", ".join(row.states),
        _codes(row.events),
        _codes((["otherwise"] if row.otherwise else []) + [_unparse(conjunct) for conjunct in row.guard]),
        _codes([*names("assign"), *(f"state = {state}" for state in names("become"))]),
        _codes(names("persist")),
        ", ".join([*dict.fromkeys(sent), *map(_code, names("effect"))]),
        row.text,
    )


def _ignored(machine: Machine) -> list[str]:
    """What is dropped by intent, event by event."""
    lines = []
    for event in machine.events():
        states = [state for state in machine.states if (state, event) in machine.ignored]
        if states:
            where = "any state" if len(states) == len(machine.states) else ", ".join(states)
            lines.append(f"- `{event}` in {where}")
    return ["", "Without effect where no row takes it:", "", *lines] if lines else []


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = ["", _line(head), _line(("---",) * len(head))]
    return lines + [_line(row) for row in rows]


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _unparse(node: ast.expr) -> str:
    return ast.unparse(node).replace("'", '"')


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(texts: "list[str] | tuple[str, ...]") -> str:
    return ", ".join(_code(text) for text in texts)
