"""Explores two-phase commit (two_phase.py): every order, loss, repeat, sync and crash in two small worlds.

`python examples/two_phase_check.py` finds nothing; with `--mutant NAME` it shows what a planted mistake leads to.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from fastpaxos_live.smc.compile import compile_files
from fastpaxos_live.smc.explore import Participant, Result, Scope, World, explore, load
from fastpaxos_live.smc.parse import parse

SPEC = Path(__file__).with_name("two_phase.py")
DECIDER = 1

# Name: what is wrong, and the text of the specification that is replaced by another.
MUTANTS = {
    "hasty": (
        "the coordinator tells that it committed before that is durable",
        "reply(Decide(m.txn, m.txn == c.committed), after=persist())",
        "reply(Decide(m.txn, m.txn == c.committed))",
    ),
    "eager": (
        "a participant votes before its vote is durable",
        "send(DECIDER, Vote(p.txn, m.yes), after=persist(m))",
        "persist(m); send(DECIDER, Vote(p.txn, m.yes))",
    ),
    "reused": (
        "the coordinator gives a transaction up before its number is durable, and may use it again",
        "send(ALL, Decide(c.txn, False), after=persist())",
        "send(ALL, Decide(c.txn, False))",
    ),
}


class Host:
    """What the rest of a replica saw; the explorer keeps `state`, and it survives crashes."""

    def __init__(self) -> None:
        self.state: frozenset[tuple[int, bool]] = frozenset()  # a transaction, and whether it committed

    def install(self, m: Any) -> None:
        self.state |= {(m.txn, True)}

    def undo(self, m: Any) -> None:
        self.state |= {(m.txn, False)}


class TwoPhase:
    """A world of `replicas` in which `transactions` are begun; the first replica coordinates, too."""

    def __init__(self, code: ModuleType, replicas: int, transactions: int, crashes: int) -> None:
        self.code: Any = code
        self.ids = range(1, replicas + 1)
        self.transactions = transactions
        everybody = sum(1 << i for i in self.ids)
        self.scope = Scope(
            [
                Participant(code, self.code.Machines(Host(), replicas, me=i, decider=DECIDER, everybody=everybody))
                for i in self.ids
            ],
            [self.agreement, self.unanimity, self.told_durably],
            self.events,
            start="Start",
            crashes=crashes,
        )

    def events(self, world: World) -> Iterator[tuple[int, Any]]:
        """Clients, timers and the work of a participant."""
        code = self.code
        if world[DECIDER].coordinator.txn < self.transactions:
            yield DECIDER, code.Message(code.M_BEGIN)
        for i in self.ids:
            yield i, code.Message(code.M_TIMEOUT)
            if world[i].part.state == code.PART_WORKING:
                yield i, code.Message(code.M_WORKED, yes=1)
                yield i, code.Message(code.M_WORKED, yes=0)

    # --- invariants
    def agreement(self, world: World) -> str | None:
        """A transaction ends in the same way everywhere, and for ever."""
        ends = {end for i in self.ids for end in world.host(i)}
        for txn, committed in ends:
            if committed and (txn, False) in ends:
                return f"transaction {txn} was committed and aborted"
        return None

    def unanimity(self, world: World) -> str | None:
        """Whoever commits has everybody's yes on a disk."""
        for txn, committed in {end for i in self.ids for end in world.host(i)}:
            for i in self.ids:
                if committed and world.disk(i).part.voted < txn:
                    return f"transaction {txn} was committed, and {i} has no yes to it on its disk"
        return None

    def told_durably(self, world: World) -> str | None:
        """A commit that was told is on the coordinator's disk."""
        for sent in world.sent:
            if sent.name == "Decide" and sent.message.commit:
                if world.disk(DECIDER).coordinator.committed < sent.message.txn:
                    return f"a crash now would lose the commit of transaction {sent.message.txn}, which was told"
        return None


def code_of(mutant: str | None = None) -> ModuleType:
    """The specification as a module, with a mistake planted if one is named."""
    if mutant is None:
        return load(compile_files([SPEC]))
    _, right, wrong = MUTANTS[mutant]
    text = SPEC.read_text()
    assert text.count(right) == 1
    # Only parsed: the compiler's checks would find some mistakes before the explorer can.
    return load(parse([SPEC], lambda path: text.replace(right, wrong)))


def worlds(code: ModuleType) -> dict[str, TwoPhase]:
    """What is explored, smaller first."""
    return {
        "3 replicas, 1 transaction, 2 crashes": TwoPhase(code, 3, 1, 2),
        "2 replicas, 2 transactions, 2 crashes": TwoPhase(code, 2, 2, 2),
    }


def report(name: str, result: Result) -> None:
    """Prints what was explored, or the way to a violation."""
    print(f"{name}: {result.states:,} states, {result.transitions:,} transitions, {result.seconds:.1f} s")
    never = [row for row, count in result.rows.items() if not count]
    if result.violation:
        print(result.violation, end="")
    elif never:
        print(f"rows never taken: {', '.join(never)}")


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 without a violation, 1 with one."""
    parser = argparse.ArgumentParser(description="Explores two-phase commit.")
    parser.add_argument("--mutant", choices=MUTANTS, help="plant this mistake")
    options = parser.parse_args(arguments)
    if options.mutant:
        print(f"{options.mutant}: {MUTANTS[options.mutant][0]}")
    for name, world in worlds(code_of(options.mutant)).items():
        result = explore(world.scope)
        report(name, result)
        if result.violation:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
