"""One run, named completely: what a command line of `sim` says. It makes the same run wherever it is carried to."""

import shlex
from ast import literal_eval
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from random import Random
from types import ModuleType
from typing import Any

from .._select import load_core
from .faults.lasting import LASTING
from .plan import FAULTS, PLANS, Plan
from .world import Outcome, World

NOTHING = "none"  # as a list of names: an empty one
DRAWN = {"replicas", "faults", "drift_ppm", "wall_offset_ms"}  # fields of a plan that depend on each other

# Fields of a plan that make a run hard all the time, and their values without that. Each has the name of its trouble.
EASY: dict[str, Any] = {
    "lossy": False, "loss": 0.0, "repeat": 0.0, "corrupt": 0.0, "delay_tail": 0.0, "split": 0.0, "read_fails": 0.0,
    "delay_us": (30, 200), "turn_us": (0, 20), "disk_us": (80, 300), "boost_us": 600_000_000, "batch_bytes": 1 << 20,
    "segment_bytes": 1 << 20, "fsync": "always", "bandwidth": 0, "send_bytes": 4 << 20, "slow": (),
    "lease_percent": (), "windows": (), "batches": (), "redirects": (), "timeouts_us": (), "changes": 0.0,
    "eager": 0.0, "seated": 0.0, "resp3": 0.0, "slow_readers": 0.0, "long_keys": 0.0,
}  # fmt: skip
EASY_AT_EACH = {"drift_ppm": 0, "wall_offset_ms": 0}  # as EASY, of fields with a value for each replica
TROUBLES = (*EASY, *EASY_AT_EACH)
KINDS = (*FAULTS, LASTING)


@dataclass(frozen=True, slots=True)
class Case:
    """`only` and `without` choose among the faults (`crash#3`, or `crash` for all of them) and TROUBLES."""

    seed: int
    core: str = "cython"  # or "python"
    plan: str = "swarm"  # one of PLANS
    seconds: float = 10.0
    mutant: str = ""  # a name in planted.PLANTED: run that one instead of the core
    only: tuple[str, ...] | None = None  # nothing else goes wrong
    without: tuple[str, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()  # fields of the plan that have these values

    def takes(self, name: str) -> bool:
        """Does this fault or trouble happen, if the seed says so?"""
        names = {name, name.partition("#")[0]}
        return (self.only is None or not names.isdisjoint(self.only)) and names.isdisjoint(self.without)

    def draw(self, random: Random) -> Plan:
        """The plan, without what is left out, and as set."""
        plan = PLANS[self.plan](random)
        easy = {name: value for name, value in troubles(plan).items() if not self.takes(name)}
        return replace(plan, **(easy | dict(self.settings)))

    def world(
        self, show: Callable[[str], None] | None = None, rows: bool = False, core: ModuleType | None = None
    ) -> World:
        """Ready to run; `core` stands for the core that is named."""
        if core is None:
            core = _mutant(self.mutant) if self.mutant else load_core(self.core)
        return World(self.seed, core, self.seconds, show, self.draw, rows, self.takes)

    def command(self, *options: str) -> str:
        """The command line that runs it, with these options behind."""
        words = ["fastpaxos-live", "sim", "--seed", str(self.seed)]
        words += ["--mutant", self.mutant] if self.mutant else ["--core", self.core]
        words += ["--plan", self.plan, "--seconds", f"{self.seconds:g}"]
        if self.only is not None:
            words += ["--only", ",".join(self.only) or NOTHING]
        if self.without:
            words += ["--without", ",".join(self.without)]
        for name, value in self.settings:
            words += ["--set", f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"]
        return shlex.join([*words, *options])


def run_case(case: Case) -> Outcome:
    """The run that it names."""
    return case.world().run()


def troubles(plan: Plan) -> dict[str, Any]:
    """The standing troubles of this plan, each with the value that it would have without."""
    easy = EASY | {name: (value,) * plan.replicas for name, value in EASY_AT_EACH.items()}
    return {name: value for name, value in easy.items() if getattr(plan, name) != value}


def parse_names(text: str) -> tuple[str, ...]:
    """Names of faults and troubles, with commas between them. Raises ValueError."""
    names = () if text == NOTHING else tuple(text.split(","))
    for name in names:
        kind, mark, number = name.partition("#")
        if not (kind in KINDS and (not mark or number.isdecimal()) or name in TROUBLES):
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join((*KINDS, *TROUBLES))}")
    return names


def parse_setting(text: str) -> tuple[str, Any]:
    """FIELD=VALUE of a plan; the parts of a tuple have commas between them. Raises ValueError."""
    name, mark, value = text.partition("=")
    known = [field.name for field in fields(Plan) if field.name not in DRAWN]
    if not mark or name not in known:
        raise ValueError(f"{text!r} is not FIELD=VALUE; the fields are: {', '.join(known)}")
    try:
        return name, literal_eval(value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return name, value  # such as always


def check_settings(case: Case) -> None:
    """Have the set values the forms of the plan's own? Raises ValueError."""
    drawn = replace(case, settings=()).draw(Random(case.seed))
    for name, value in case.settings:
        own = getattr(drawn, name)
        if not _fits(value, own):
            raise ValueError(f"{name} is {own!r} in this plan: {value!r} is not of that form")
        if type(own) in (int, float) and value < 0:
            raise ValueError(f"{name} can't be negative: {value!r}")


def _fits(value: Any, own: Any) -> bool:
    if isinstance(own, tuple):
        return isinstance(value, tuple) and len(value) == len(own) and all(map(_fits, value, own))
    return type(value) is type(own) or (type(own) is float and type(value) is int)


@cache
def _mutant(name: str) -> ModuleType:
    from .planted import PLANTED  # only the source tree has it

    return next(mutant for mutant in PLANTED if mutant.name == name).load()
