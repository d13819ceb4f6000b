"""The words of the specification language, so that a specification is a Python module to every tool.

The compiler reads such a file and never runs it; what each word means is in docs/specification.md.
"""

from typing import Any

__all__ = [
    "ALL", "NOBODY", "OTHERS", "Bool", "Instance", "Map", "Number", "Replica", "Replicas", "Span", "Time", "become",
    "durable", "effect", "event", "ignore", "kth", "lazy", "machine", "message", "otherwise", "own", "persist", "pure",
    "quorum", "record", "reply", "send", "setting", "spans", "terminal", "when",
]  # fmt: skip


def _word(*_: Any, **__: Any) -> Any:
    """Stands for a word of the language."""


class _Generic:
    def __class_getitem__(cls, _: Any) -> Any:
        return Any


class Map(_Generic):
    """Map[Replica, T], or Map[Instance, T] for the open instances; what is not in it is 0."""


class durable(_Generic):
    """Storage: comes back after a crash; a row that assigns it persists, and sends nothing that does not wait."""


class lazy(_Generic):
    """Storage: written when convenient; an older value may come back after a crash."""


class setting(_Generic):
    """A constant of the replica, given by the host."""


Number = Instance = Replica = Replicas = Time = Bool = Span = Any
machine = message = event = record = effect = pure = spans = _word
when = become = send = reply = persist = ignore = terminal = quorum = kth = _word
ALL: Any = None
OTHERS: Any = None
NOBODY: Any = None
otherwise: Any = None
own: Any = None
