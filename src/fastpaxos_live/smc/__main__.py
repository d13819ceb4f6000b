"""`python -m fastpaxos_live.smc FILE...`: checks specifications, or writes what they become.

The build runs it before anything is installed: nothing but the standard library.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .compile import compile_files
from .emit_cython import emit_cython
from .emit_docs import emit_docs
from .emit_python import emit_python
from .ir import SpecError, Unit


def counts(unit: Unit) -> str:
    """One line, for who only checks."""
    sizes = ((len(unit.machines), "machine"), (len(unit.rows()), "row"), (len(unit.messages), "message"))
    return ", ".join(f"{size} {name}{'s' * (size != 1)}" for size, name in sizes) + ": no findings\n"


EMITTERS: dict[str, Callable[[Unit], str]] = {
    "check": counts,
    "python": emit_python,
    "cython": emit_cython,
    "docs": emit_docs,
}


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 1 with findings on stderr. Wrong use leaves by SystemExit(2)."""
    parser = argparse.ArgumentParser(prog="python -m fastpaxos_live.smc", description="Compiles state machines.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="specifications of one participant")
    parser.add_argument("--emit", choices=EMITTERS, default="check", help="what to write (default: only check)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to, instead of stdout")
    options = parser.parse_args(arguments)
    try:
        text = EMITTERS[options.emit](compile_files(options.files))
        if options.out is None:
            sys.stdout.write(text)
        else:
            options.out.write_text(text)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.out}: can't be written: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
