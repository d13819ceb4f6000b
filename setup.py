"""Compiles the specifications, then the extensions. Everything else about the package stands in pyproject.toml.

Environment: FPL_NATIVE=1 compiles for this very processor, FPL_DEBUG=1 for a debugger and with the
dear assertions (macro FPL_DEBUG), FPL_ANNOTATE=1 writes Cython's HTML pages beside the C files, FPL_TRACE=1 lets
sys.settrace see the lines of Cython's code, nogil ones too (slow; docs/profiling.md).
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("src/fastpaxos_live")


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def extension(name: str, source: str, depends: list[Path]) -> Extension:
    # Frames are read through pointers into byte buffers: no strict aliasing.
    flags = ["-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function", "-fstack-protector-strong"]
    flags.append("-Wno-sign-compare")  # loops that Cython makes over unsigned variables
    flags += ["-O0", "-g3", "-DFPL_DEBUG"] if is_set("FPL_DEBUG") else ["-O3"]
    if is_set("FPL_NATIVE"):
        flags.append("-march=native")
    return Extension(
        name,
        [str(PACKAGE / source)],
        depends=[str(path) for path in depends],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if is_set("FPL_TRACE") else [],
        extra_compile_args=flags,
    )


def included(folder: str) -> list[Path]:
    """The files that an extension may include from there."""
    return sorted((PACKAGE / folder).glob("*.p[xy][xdi]"))


if sys.byteorder != "little":
    sys.exit("fastpaxos_live: frames and files are little-endian, and so must this machine be")

sys.path.insert(0, "src")
from fastpaxos_live._generate import generate  # noqa: E402
from fastpaxos_live.smc.ir import SpecError  # noqa: E402

try:
    generate()
except SpecError as error:
    sys.exit(str(error))

explored = [*included("check"), *included("generated"), PACKAGE / "core/u64.pyx", PACKAGE / "core/xxh64.pyx"]

setup(
    ext_modules=cythonize(
        [
            extension("fastpaxos_live._core", "_core.pyx", included("core") + included("generated")),
            extension("fastpaxos_live.check._explore", "check/_explore.pyx", explored),
            extension("fastpaxos_live.check._mutants", "check/_mutants.pyx", explored),
            extension(
                "fastpaxos_live.server._edge",
                "server/_edge.pyx",
                [PACKAGE / "_core.pxd", PACKAGE / "core/xxh64.pyx", *included("server")],
            ),
        ],
        build_dir="build/trace/cython" if is_set("FPL_TRACE") else "build/cython",
        compiler_directives={"linetrace": is_set("FPL_TRACE")},
        include_path=["src"],
        language_level=3,
        annotate=is_set("FPL_ANNOTATE"),
    )
)
