"""Planted bugs: the reference core or a specification with one line changed, to measure what the simulator finds
(PML 6.3).
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from .. import reference
from ..smc.emit_python import emit_python
from ..smc.mutate import SpecMutant
from ..spec import SPECS

SPEC = "spec/"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one place of one file of `reference/` or, as "spec/NAME", of a specification."""

    name: str
    module: str  # file name without .py; "spec/acceptor" and the like: of a specification
    old: str
    new: str
    plan: str = "swarm"  # one of PLANS: the runs that find it soon
    raises: str = ""  # the exception by which it may be found; any other is a slip of the text

    def load(self) -> ModuleType:
        """The module that has the changed core's `Replica`."""
        return load_mutant(self.old, self.new, self.module)


def load_mutant(old: str, new: str, module: str) -> ModuleType:
    """A second copy of the package `reference` in which `old`, which must be there exactly once, is `new` in `module`.

    A changed specification is compiled, and is the copy's `log_machines`. Returns the copy's module `replica`. Raises
    ValueError when `old` is not there once, SpecError when the changed specification is none. Nothing of the real
    package changes.
    """
    folder = Path(reference.__file__).parent
    if module.startswith(SPEC):
        source = emit_python(SpecMutant("", module.removeprefix(SPEC), old, new).unit(SPECS))
        module = "log_machines"
    else:
        source = _changed(folder / f"{module}.py", old, new)
    package = f"{reference.__name__}_mutant_{next(_numbers)}"
    spec = spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    sys.modules[package] = module_from_spec(spec)
    name = f"{package}.{module}"
    changed = ModuleType(name)
    changed.__package__ = package
    sys.modules[name] = changed
    exec(compile(source, f"<mutant of {module}.py>", "exec"), changed.__dict__)
    return import_module(f"{package}.replica")


def _changed(path: Path, old: str, new: str) -> str:
    source = path.read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise ValueError(f"{path.name} has {source.count(old)} times, not once: {old!r}")
    return source.replace(old, new)
