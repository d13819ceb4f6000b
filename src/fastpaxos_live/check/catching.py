"""Which known mistakes are noticed, and by what. Only the source tree has it, as the mistakes."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import monotonic

from ..sim.mutants import Mutant
from ..sim.plan import PLANS
from ..sim.planted import AROUND, RAISES
from ..sim.strength import is_slip
from ..sim.world import World
from ..smc.ir import SpecError
from ..smc.lint import lint
from ..spec import SPECS
from .mutants import MUTANTS, Known
from .run import explore
from .scopes import SCOPES

SEEDS_OF_A_MUTANT = 30
COUNT = len(MUTANTS) + len(AROUND)


@dataclass(slots=True)
class Caught:
    """Of one mutant. `caught_by` is empty when nothing noticed it."""

    name: str
    caught_by: str
    what: str
    seconds: float
    chart: str = ""


def catch(number: int) -> Caught:
    """What notices a mutant: 1..len(MUTANTS) are of the specification, those behind of the code around it.

    The static check and the exploration are both tried; where neither finds anything, simulations are.
    """
    if number > len(MUTANTS):
        mutant = AROUND[number - len(MUTANTS) - 1]
        return _simulated(mutant) or Caught(mutant.name, "", "", 0.0)
    known = MUTANTS[number - 1]
    begun = monotonic()
    try:
        unit = known.mutant.unit(SPECS)
    except ValueError as error:  # the rule that it quotes has another text by now
        return Caught(known.mutant.name, "", str(error), 0.0)
    found = _explored(number, known) if known.scope else None
    try:
        lint(unit)
    except SpecError as error:
        text = str(error).splitlines()[0].split(": ", 1)[1]
        if found:
            found.caught_by = f"static check; {found.caught_by}"
            found.what = f"{text}; {found.what}"
        else:
            found = Caught(known.mutant.name, "static check", text, 0.0)
    if found is None:
        m = known.mutant
        planted = Mutant(m.name, f"spec/{m.file}", m.old, m.new, raises=RAISES.get(m.name, ""))
        found = _simulated(planted) or Caught(m.name, "", "", 0.0)
    found.seconds = round(monotonic() - begun, 2)
    return found


def _explored(number: int, known: Known) -> Caught | None:
    first = next(scope for scope in SCOPES if scope.name == known.scope)
    found = explore(first, 120.0, number, known.forget)
    if not found.violation:
        return None
    by = f"model check, {first.name}, {found.depth} steps, {found.states} states"
    return Caught(known.mutant.name, by, found.violation, 0.0, found.chart)


def _simulated(mutant: Mutant) -> Caught | None:
    begun = monotonic()
    try:
        core = mutant.load()
    except Exception as error:  # as above, or what was planted is no program
        return Caught(mutant.name, "", f"{type(error).__name__}: {error}", 0.0)
    for seed in range(SEEDS_OF_A_MUTANT):
        outcome = World(seed, core, draw=PLANS[mutant.plan]).run()
        if outcome.violation:
            by = "" if is_slip(mutant, outcome) else f"simulation, plan {mutant.plan}, seed {seed}"
            return Caught(mutant.name, by, outcome.violation.splitlines()[0], round(monotonic() - begun, 2))
    return None


def catch_all(jobs: int) -> Iterator[Caught]:
    """Every mutant, in order: those of the specification, then those of the code around it."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(catch, range(1, len(MUTANTS) + len(AROUND) + 1))
