"""Compiles the specifications, then the extensions. Everything else about the package stands in pyproject.toml.

Environment: FPL_NATIVE=1 compiles for this very processor, FPL_DEBUG=1 for a debugger and with the
dear assertions (macro FPL_DEBUG), FPL_ANNOTATE=1 writes Cython's HTML pages beside the C files, FPL_TRACE=1 lets
sys.settrace see the lines of Cython's code, nogil ones too (slow; docs/profiling.md), FPL_SANITIZE=1 with GCC's address
and undefined behaviour sanitizers and the dear assertions (`make asan`).
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PACKAGE = Path("src/fastpaxos_live")

# For who works on the project: steps of the core one by one, planted bugs, the build's own step. Builds in place have
# them, and those in directories of their own (FPL_TRACE, FPL_SANITIZE); wheels are without.
WORKSHOP = {
    "fastpaxos_live._generate", "fastpaxos_live._probe", "fastpaxos_live.check._mutants",
    "fastpaxos_live.check.catching", "fastpaxos_live.check.mutants", "fastpaxos_live.reference.probe",
    "fastpaxos_live.sim.mutants", "fastpaxos_live.sim.planted", "fastpaxos_live.spec.mutants",
}  # fmt: skip


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def is_workshop(command: build_ext | build_py) -> bool:
    return is_set("FPL_TRACE") or is_set("FPL_SANITIZE") or command.editable_mode or getattr(command, "inplace", False)


class BuildModules(build_py):
    """Leaves the modules of the workshop out of what is shipped."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        modules = super().find_package_modules(package, package_dir)
        return [one for one in modules if self._ships(package, one[1])]

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        return [name for name in super().find_data_files(package, src_dir) if self._ships(package, Path(name).stem)]

    def _ships(self, package: str, stem: str) -> bool:
        return is_workshop(self) or f"{package}.{stem}" not in WORKSHOP


class BuildExtensions(build_ext):
    """The same for extensions."""

    def run(self) -> None:
        if not is_workshop(self):
            self.extensions = [one for one in self.extensions if one.name not in WORKSHOP]
        super().run()


def extension(name: str, source: str, depends: list[Path]) -> Extension:
    # Frames are read through pointers into byte buffers: no strict aliasing.
    flags = ["-std=gnu11", "-fno-strict-aliasing", "-Wall", "-fstack-protector-strong"]
    # `for i in range(CONSTANT)` over an unsigned variable: Cython compares that with the constant, which is an int. It
    # warns of nothing else here. -Wconversion is not on for the likes of it: a bint that comes from a wider 0 or 1.
    flags.append("-Wno-sign-compare")
    sanitizers = ["-fsanitize=address,undefined"] if is_set("FPL_SANITIZE") else []
    if sanitizers:
        flags += [*sanitizers, "-O1", "-g", "-fno-omit-frame-pointer", "-DFPL_DEBUG"]
    else:
        flags += ["-O0", "-g3", "-DFPL_DEBUG"] if is_set("FPL_DEBUG") else ["-O3"]
    if is_set("FPL_NATIVE"):
        flags.append("-march=native")
    return Extension(
        name,
        [str(PACKAGE / source)],
        depends=[str(path) for path in depends],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if is_set("FPL_TRACE") else [],
        extra_compile_args=flags,
        extra_link_args=sanitizers,
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
    cmdclass={"build_py": BuildModules, "build_ext": BuildExtensions},
    ext_modules=cythonize(
        [
            extension("fastpaxos_live._core", "_core.pyx", included("core") + included("generated")),
            extension("fastpaxos_live._probe", "_probe.pyx", included("core") + included("generated")),
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
