"""Planted bugs: the reference core with one line changed, to measure what the simulator finds (PML 6.3)."""

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from .. import reference

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one place of one file of `reference/`."""

    name: str
    module: str  # file name without .py
    old: str
    new: str

    def load(self) -> ModuleType:
        """The module that has the changed core's `Replica`."""
        return load_mutant(self.old, self.new, self.module)


def load_mutant(old: str, new: str, module: str) -> ModuleType:
    """A second copy of the package `reference` in which `old`, which must be there exactly once, is `new` in `module`.

    Returns the copy's module `replica`. Raises ValueError when `old` is not there once. Nothing of the real package
    changes.
    """
    folder = Path(reference.__file__).parent
    source = (folder / f"{module}.py").read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise ValueError(f"{module}.py has {source.count(old)} times, not once: {old!r}")
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
    exec(compile(source.replace(old, new), f"<mutant of {module}.py>", "exec"), changed.__dict__)
    return import_module(f"{package}.replica")
