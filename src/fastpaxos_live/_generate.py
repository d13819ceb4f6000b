"""The build's step: the project's own specifications become `generated/`, for both cores and for the model check."""

from pathlib import Path

from .check.mutants import MUTANTS
from .smc.compile import compile_files
from .smc.emit_cython import emit_cython
from .smc.emit_docs import emit_docs
from .smc.emit_python import emit_python
from .smc.ir import SpecError, Unit
from .smc.mutate import SpecMutant
from .spec import SPECS

GENERATED = Path(__file__).parent / "generated"


def _variant(mutant: SpecMutant, unit: Unit) -> Unit:
    # A rule may have another text by now than a mutant of it quotes: that is for the check of mutants to say.
    try:
        return mutant.unit(SPECS)
    except (ValueError, SpecError):
        return unit


def generate() -> None:
    """Writes what the specifications became; a file that stays the same is not touched. Raises SpecError."""
    unit = compile_files(SPECS)
    variants = [_variant(known.mutant, unit) for known in MUTANTS]
    GENERATED.mkdir(exist_ok=True)
    for name, text in (
        ("__init__.py", '"""Made by the build from spec/."""\n'),
        ("machines.py", emit_python(unit)),
        ("machines.pxi", emit_cython(unit)),
        ("mutants.pxi", emit_cython(unit, variants)),
        ("machines.md", emit_docs(unit)),
    ):
        path = GENERATED / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
