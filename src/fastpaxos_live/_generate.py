"""The build's step: the project's own specifications become `generated/`, for both cores and for the model check."""

from pathlib import Path

from .check.mutants import MUTANTS
from .smc.compile import compile_files
from .smc.emit_cython import emit_cython
from .smc.emit_docs import emit_docs
from .smc.emit_python import emit_python
from .spec import SPECS

GENERATED = Path(__file__).parent / "generated"


def generate() -> None:
    """Writes what the specifications became; a file that stays the same is not touched. Raises SpecError."""
    unit = compile_files(SPECS)
    GENERATED.mkdir(exist_ok=True)
    for name, text in (
        ("__init__.py", '"""Made by the build from spec/."""\n'),
        ("machines.py", emit_python(unit)),
        ("machines.pxi", emit_cython(unit)),
        ("mutants.pxi", emit_cython(unit, [known.mutant.unit(SPECS) for known in MUTANTS])),
        ("machines.md", emit_docs(unit)),
    ):
        path = GENERATED / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
