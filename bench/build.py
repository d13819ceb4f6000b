"""Compiles what bench has in Cython when it is first needed, into build/; nothing is installed."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

from .results import BUILD

SETUP = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
extension = Extension("{name}", [{source!r}], extra_compile_args=["-std=gnu11", "-O3", "-Wno-unused-function"])
setup(
    name="{name}",
    ext_modules=cythonize([extension], build_dir="c", quiet=True),
    script_args=["--quiet", "build_ext", "--build-lib", "lib", "--build-temp", "temp"],
)
"""
PLACE = re.compile(r"^[^\s:]+:\d+:\d+: .+", re.M)  # how Cython and gcc say what is wrong
SHOWN = 300


class BuildError(Exception):
    """It does not compile here; the text is one line."""


@cache
def module(name: str) -> ModuleType:
    """The module bench/NAME.pyx, compiled now if its text or the interpreter is new. Raises BuildError."""
    source = Path(__file__).with_name(f"{name}.pyx")
    tag = f"{sysconfig.get_config_var('EXT_SUFFIX')}".encode()
    digest = hashlib.sha256(source.read_bytes() + SETUP.encode() + tag).hexdigest()[:16]
    target = BUILD / "bench-extensions" / f"{name}-{digest}.so"
    if not target.exists():
        _compile(name, source, target)
    loader = ExtensionFileLoader(name, str(target))
    spec = importlib.util.spec_from_file_location(name, target, loader=loader)
    assert spec is not None
    found = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found


def _compile(name: str, source: Path, target: Path) -> None:
    """Somewhere else first, so that nobody loads a half-written file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        script = Path(directory) / "setup.py"
        script.write_text(SETUP.format(name=name, source=str(source)))
        done = subprocess.run([sys.executable, script.name], cwd=directory, capture_output=True, text=True)
        made = list((Path(directory) / "lib").glob(f"{name}*.so"))
        if done.returncode != 0 or not made:
            said = done.stdout + done.stderr
            reasons = PLACE.findall(said) or said.strip().splitlines()[-1:] or ["no reason given"]
            raise BuildError(f"{source.name} does not compile: {reasons[0][:SHOWN]}")
        os.replace(made[0], target)
