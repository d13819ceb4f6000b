"""The build's step: the project's own specifications become `generated/`, for both cores."""

from pathlib import Path

from ..check.mutants import MUTANTS
from .compile import compile_files
from .emit_cython import emit_cython
from .emit_python import emit_python

PACKAGE = Path(__file__).parent.parent
MACHINES = ("acceptor", "election", "coordinator", "boost", "reign")  # in the order they take an event
SPECS = [PACKAGE / "spec" / f"{name}.py" for name in MACHINES]
GENERATED = PACKAGE / "generated"


def generate() -> None:
    """Writes what the specifications became; a file that stays the same is not touched. Raises SpecError."""
    unit = compile_files(SPECS)
    GENERATED.mkdir(exist_ok=True)
    for name, text in (
        ("__init__.py", '"""Made by the build from spec/."""\n'),
        ("machines.py", emit_python(unit)),
        ("machines.pxi", emit_cython(unit)),
        ("mutants.pxi", emit_cython(unit, [mutant.unit(SPECS) for mutant in MUTANTS])),
    ):
        path = GENERATED / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
