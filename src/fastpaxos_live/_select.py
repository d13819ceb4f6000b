"""The one place that chooses between the compiled core and the reference."""

import os
from importlib import import_module
from types import ModuleType

CORES = {"cython": "fastpaxos_live._core", "python": "fastpaxos_live._reference"}


def load_core(name: str | None = None) -> ModuleType:
    """The module of the core called "cython" or "python"; by default FASTPAXOS_CORE, else "cython".

    Raises ValueError for another name. A compiled core that can't be imported is an error, never a silent fall-back.
    """
    name = name or os.environ.get("FASTPAXOS_CORE") or "cython"
    if name not in CORES:
        raise ValueError(f"unknown core {name!r}: choose one of {', '.join(CORES)}")
    return import_module(CORES[name])
