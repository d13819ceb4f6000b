"""`python -m tests.fuzz --keep`: which inputs of a campaign are worth a place in the tree.

Those that have the project do what no seed has it do: lines of its Python code, the compiled core's reference included,
that were not run before. As few and as short ones as there are, each named after the first such function. What once
failed is put there by hand.
"""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import CORPUS, Inputs, Target

import fastpaxos_live

SOURCE = str(Path(fastpaxos_live.__file__).parent)
MOST = 12  # of a target
MOST_BYTES = 4096  # of an input
CANDIDATES = 2000  # so many at most are looked at more closely

Line = tuple[str, str, int]  # module, function, line


def lines_of(target: Target, data: bytes) -> set[Line]:
    """What of the project is run by this input."""
    found: set[Line] = set()

    def in_project(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            code = frame.f_code
            found.add((Path(code.co_filename).stem, code.co_name.strip("<>_"), frame.f_lineno))
        return in_project

    def called(frame: FrameType, event: str, _: Any) -> Any:
        return in_project if frame.f_code.co_filename.startswith(SOURCE) else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        target.check(data)
    finally:
        sys.settrace(before)
    return found


def worth_keeping(target: Target, count: int, run: int) -> Iterator[tuple[str, bytes]]:
    """Names and inputs, from the seeds and this many inputs of a run."""
    seen = set[Line]().union(*(lines_of(target, seed) for seed in target.seeds()))
    inputs = Inputs(target, run)
    showed: dict[object, bytes] = {}  # the shortest for each behaviour
    for _ in range(count):
        data = inputs.next()
        behaviour = target.check(data)
        inputs.learn(data, behaviour)
        if len(data) <= MOST_BYTES and len(data) < len(showed.get(behaviour, bytes(MOST_BYTES + 1))):
            showed[behaviour] = data
    candidates = [*target.kept(), *list(showed.values())[:: 1 + len(showed) // CANDIDATES]]
    reached = {data: lines_of(target, data) for data in candidates}
    names: set[str] = set()
    for _ in range(MOST):
        best = max(reached, key=lambda data: (len(reached[data] - seen), -len(data)))
        new = reached[best] - seen
        if not new:
            return
        module, function, _ = min(new)
        name = next(
            name for name in (f"{module}-{function}{tail}" for tail in ("", *(f"-{i}" for i in range(2, MOST + 1))))
            if name not in names)  # fmt: skip
        names.add(name)
        seen |= new
        yield name, best


def keep(target: Target, count: int, run: int, folder: Path = CORPUS) -> list[Path]:
    """Writes the files of a target and returns them; those of other names stay."""
    warnings.simplefilter("ignore", SyntaxWarning)  # of the specifications that are compiled
    paths = []
    for name, data in list(worth_keeping(target, count, run)):
        path = folder / target.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths
