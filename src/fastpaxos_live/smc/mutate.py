"""Mutants of a specification: one place changed, to see whether anything notices (PML 6.3)."""

from dataclasses import dataclass
from pathlib import Path

from .ir import Unit
from .parse import parse


@dataclass(frozen=True, slots=True)
class SpecMutant:
    """`old`, which stands exactly once in the file called `file`, becomes `new`."""

    name: str
    file: str  # without .py
    old: str
    new: str

    def unit(self, files: list[Path]) -> Unit:
        """The changed specification, not linted. Raises ValueError when `old` is not there once; SpecError."""
        changed = next(path for path in files if path.stem == self.file)
        text = changed.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{changed.name} has {text.count(self.old)} times, not once: {self.old!r}")
        text = text.replace(self.old, self.new)
        return parse(files, lambda path: text if path == changed else path.read_text())
