"""What is fuzzed: a target makes inputs, and says of each whether the project did right."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from random import Random

from tests.fuzz.mutate import mutate

CORPUS = Path(__file__).parent / "corpus"
POOL_MAX = 2000


class Target:
    """One way into the project.

    `check` is the oracle: it raises for whatever must not be. What it returns tells kinds of behaviour apart; an input
    that shows a new one is mutated further.
    """

    name = ""
    tokens: Sequence[bytes] = ()
    cost = 1  # in inputs of the quickest: fewer of a dear one are run

    def seeds(self) -> list[bytes]:
        """Good inputs to begin with."""
        raise AssertionError("a target has its own")

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        """Another input made from this one."""
        return mutate(random, data, other, self.tokens)

    def check(self, data: bytes) -> Hashable:
        """Runs one input."""
        raise AssertionError("a target has its own")

    def kept(self) -> list[bytes]:
        """Inputs in the tree: each showed something once."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]


class Inputs:
    """A sequence of inputs that depends on the number of the run only, and on what the target did with those before."""

    def __init__(self, target: Target, run: int) -> None:
        self.target = target
        self._random = Random(f"{target.name} {run}")
        self._first = [*target.kept(), *target.seeds()]
        self._pool = list(self._first)
        self._seen: set[Hashable] = set()
        self._at = 0

    def next(self) -> bytes:
        """The seeds as they are, then changed ones."""
        self._at += 1
        if self._at <= len(self._first):
            return self._first[self._at - 1]
        random = self._random
        return self.target.change(random, random.choice(self._pool), random.choice(self._pool))

    def learn(self, data: bytes, behaviour: Hashable) -> None:
        """What came of an input."""
        if behaviour not in self._seen and len(self._pool) < POOL_MAX:
            self._seen.add(behaviour)
            self._pool.append(data)


def one_line(error: BaseException, longest: int = 1000) -> str:
    """Asserts that an error's text is a line that can be shown; returns what kind of error it is."""
    text = str(error)
    assert text and len(text.splitlines()) == 1, f"not one line: {text!r}"
    assert len(text) <= longest, f"a line of {len(text)} characters: {text[:200]!r}"
    return type(error).__name__
