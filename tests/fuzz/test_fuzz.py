"""The beginning of a fuzzing campaign, the same each time. The long form is `make fuzz`."""

import pytest
from tests.fuzz.keep import MOST_BYTES, lines_of
from tests.fuzz.target import CORPUS, Inputs
from tests.fuzz.targets import TARGETS

COUNTS = {
    "resp": 2000, "frames": 4000, "values": 4000, "peer": 500, "groups": 400, "directories": 60, "handshake": 4000,
    "config": 1000, "spec": 60,
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_the_first_inputs(name: str) -> None:
    target = TARGETS[name]
    inputs = Inputs(target, run=0)
    for _ in range(max(COUNTS[name], len(target.kept()) + len(target.seeds()))):
        data = inputs.next()
        inputs.learn(data, target.check(data))


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_kept_comes_first(name: str) -> None:
    paths = sorted((CORPUS / name).iterdir())
    kept = [path.read_bytes() for path in paths]
    assert 0 < len(kept) and max(map(len, kept)) <= MOST_BYTES
    inputs = Inputs(TARGETS[name], run=0)
    assert [inputs.next() for _ in kept] == kept


def test_what_was_kept_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_an_input_is_judged_by_the_lines_that_it_reaches() -> None:
    config = TARGETS["config"]
    bad, good = (lines_of(config, data) for data in (b"[cell", config.seeds()[0]))
    functions = {(module, function) for module, function, _ in good}
    assert ("config", "replica_config") in functions
    assert ("config", "replica_config") not in {(module, function) for module, function, _ in bad}
