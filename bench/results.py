"""Result files: what every command of bench writes, and `report` reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from . import machine

BUILD = Path(__file__).parents[1] / "build"  # the checkout's file system, never a tmpfs
OUT = BUILD / "bench"  # where results go unless --out says otherwise

Row = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What the figures of a run depend on, taken before it starts."""

    machine: dict[str, Any]
    commit: str
    date: str


def facts(directory: Path) -> Facts:
    """`directory` lies on the disk that is measured."""
    return Facts(machine.describe(directory), machine.commit(), datetime.now().astimezone().isoformat("T", "seconds"))


def result(kind: str, facts: Facts, settings: dict[str, Any], rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """The shape of every result: `kind` is the command, a row is one line of its table."""
    return {
        "kind": kind, "machine": facts.machine, "commit": facts.commit, "date": facts.date, "settings": settings,
        "rows": list(rows), **more,
    }  # fmt: skip


def save(result: dict[str, Any], out: Path) -> Path:
    """Writes OUT/KIND.json and, so that runs can be compared, OUT/runs/KIND-DATE.json; returns the first."""
    text = json.dumps(result, indent=1) + "\n"
    stamp = result["date"].replace(":", "")
    (out / "runs").mkdir(parents=True, exist_ok=True)
    (out / "runs" / f"{result['kind']}-{stamp}.json").write_text(text)
    path = out / f"{result['kind']}.json"
    path.write_text(text)
    return path


def load(path: Path) -> dict[str, Any]:
    """A result from its file. Raises ValueError with one line when it is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a result: {error}") from None
    if not isinstance(found, dict) or not {"kind", "machine", "settings", "rows"} <= found.keys():
        raise ValueError(f"{path}: not a result of bench")
    return found
