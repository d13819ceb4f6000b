"""From files to a checked unit."""

from pathlib import Path

from .ir import Unit
from .lint import lint
from .parse import parse


def compile_files(files: list[Path]) -> Unit:
    """The unit in these files, parsed and checked. Raises SpecError: one finding, or several, each a line."""
    unit = parse(files)
    lint(unit)
    return unit
