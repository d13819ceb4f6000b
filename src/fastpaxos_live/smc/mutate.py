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

        def read(path: Path) -> str:
            text = path.read_text()
            if path.stem != self.file:
                return text
            if text.count(self.old) != 1:
                raise ValueError(f"{path.name} has {text.count(self.old)} times, not once: {self.old!r}")
            return text.replace(self.old, self.new)

        return parse(files, read)
