"""A cell says what a redis-server says, or docs/commands.md has the difference."""

from collections.abc import Iterator

import pytest
from tests.differential.manners import Comparison, InProcess, Witnesses, witnesses

SEED = 7  # `make manners` has others each time
CORES = pytest.mark.parametrize(("core", "requests"), [("cython", 10_000), ("python", 3000)], ids=["cython", "python"])


@pytest.fixture(scope="module")
def ports() -> Iterator[Witnesses]:
    with witnesses() as found:
        yield found


@CORES
def test_no_difference_but_those_that_are_documented(core: str, requests: int, ports: Witnesses) -> None:
    comparison = Comparison(InProcess(core), SEED, ports)
    comparison.run(requests)
    found = "\n".join(map(str, comparison.undocumented[:20]))
    assert not found, found


TRANSACTIONS = [b"EXEC", b"EXEC x", b"DISCARD", b"DISCARD x", b"RESET", b"RESET x", b"MULTI x", b"QUIT x", b"GET"]


@CORES
def test_what_ends_a_transaction(core: str, requests: int, ports: Witnesses) -> None:
    """Without one they say the same; after MULTI, to which a cell says something else, as much is done."""
    comparison = Comparison(InProcess(core), SEED, ports)
    for line in TRANSACTIONS:
        for follower in (False, True):
            args = line.split(b" ")
            comparison.converse([[b"DEL", b"a"], args, [b"EXEC"], [b"DISCARD"]], False, follower)
            talk = [[b"DEL", b"a"], [b"MULTI"], args, [b"SET", b"a", b"1"], [b"EXEC", b"x"], [b"EXISTS", b"a"]]
            here, there = comparison.ask(talk, follower)
            assert here[-1:] == there[-1:], line
            comparison.converse([[b"EXISTS", b"a"]], False, follower)
    assert comparison.undocumented == []


@CORES
def test_every_documented_difference_is_there(core: str, requests: int, ports: Witnesses) -> None:
    comparison = Comparison(InProcess(core), 1, ports)
    comparison.run_samples()
    assert comparison.undocumented == []
    assert [rule for rule in comparison.rules if rule not in comparison.used] == []
