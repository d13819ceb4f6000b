"""What the compiler knows of a specification: between the parser and the emitters nothing else is passed on."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

SCALARS = ("Number", "Instance", "Replica", "Replicas", "Time", "Bool", "Span")
STORAGE = ("durable", "lazy", "volatile")


class SpecError(Exception):
    """A specification is wrong; the text starts with `file:line:`."""


@dataclass(frozen=True, slots=True)
class Type:
    """A scalar, or a map from `key` (Replica or Instance) to `name`."""

    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"Map[{self.key}, {self.name}]" if self.key else self.name


@dataclass(slots=True)
class Message:
    """`kind`: message (travels), event (from the own host), record (of the own log) or effect (to the host)."""

    name: str
    kind: str
    fields: dict[str, Type]
    file: Path
    line: int
    text: str = ""  # its comment


@dataclass(slots=True)
class Pure:
    """A function of the host without effects."""

    name: str
    parameters: dict[str, Type]
    result: Type


@dataclass(slots=True)
class Variable:
    name: str
    type: Type
    storage: str
    line: int
    text: str = ""


@dataclass(slots=True)
class Definition:
    """A helper: with `result` an expression, without it a list of statements. `parameters` never has `m`."""

    name: str
    parameters: dict[str, Type]
    takes_message: bool
    result: ast.expr | None
    body: list[ast.stmt]
    self_name: str
    line: int


@dataclass(slots=True)
class Row:
    name: str
    states: tuple[str, ...]
    events: tuple[str, ...]
    otherwise: bool  # only when none of the rows without this took the event
    guard: list[ast.expr]
    body: list[ast.stmt]
    self_name: str
    line: int
    text: str = ""


@dataclass(slots=True)
class Machine:
    name: str
    states: tuple[str, ...]
    file: Path
    line: int
    text: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    ignored: set[tuple[str, str]] = field(default_factory=set)  # state, event
    terminal: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """Its name in `own.key` and in generated code."""
        return self.name.lower()

    def events(self) -> list[str]:
        """What it takes, in the order of first mention."""
        return list(dict.fromkeys(event for row in self.rows for event in row.events))


@dataclass(slots=True)
class Unit:
    """All that is compiled together: the machines of one participant."""

    name: str
    files: list[Path] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    pures: dict[str, Pure] = field(default_factory=dict)
    spans: list[str] = field(default_factory=list)
    settings: dict[str, Type] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)  # by key

    def fields(self) -> dict[str, Type]:
        """Every field of any message; one name has one type."""
        return {name: type for message in self.messages.values() for name, type in message.fields.items()}

    def rows(self) -> list[tuple[Machine, Row]]:
        """Every row; its place in this list + 1 is its identity."""
        return [(machine, row) for machine in self.machines.values() for row in machine.rows]
