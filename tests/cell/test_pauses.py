"""Each reply is right and in time while replicas are stopped, killed and cut off; the long form is `make pauses`."""

from pathlib import Path

from tests.cell.pauses import SCRIPT, Options, run


def test_pauses(tmp_path: Path) -> None:
    found = run(Options(), tmp_path)
    assert found["violations"] == {}, found["examples"]
    assert sum(found["disturbances"].values()) == len(SCRIPT)
    assert found["takeovers"] > 0
    assert found["replies"] > 1000
    assert found["gone"] > 10
    assert found["strangers"] > 100
