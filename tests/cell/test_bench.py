"""`python -m bench quick` as a user runs it, for a short time: the figures are another matter."""

import json
import subprocess
import sys
from pathlib import Path

from tests.clients.tools import require_tool

CHECKOUT = Path(__file__).parents[2]
CONTESTANTS = {"compiled", "reference", "redis alone"}


def test_quick(tmp_path: Path) -> None:
    require_tool("redis-server")
    require_tool("redis-benchmark")
    command = [sys.executable, "-m", "bench", "quick", "--rounds", "1", "--seconds", "0.1"]
    done = subprocess.run(
        [*command, "--json", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "quick.json").read_text()) == result
    assert result.keys() >= {"machine", "commit", "settings", "rows"}
    assert result["settings"]["fsync"] == "always"
    shapes = [(row["command"], row["clients"], row["depth"]) for row in result["rows"]]
    assert shapes == [
        (command, clients, depth) for command in ("SET", "GET") for clients, depth in ((1, 1), (20, 1), (50, 16))
    ]
    for row in result["rows"]:
        rates = {name: figures["rps"] for name, figures in row["results"].items()}
        assert rates.keys() == CONTESTANTS
        assert min(rates.values()) > 0
        assert row["compiled_to_redis"] == rates["compiled"] / rates["redis alone"]
        assert row["compiled_to_reference"] == rates["compiled"] / rates["reference"]
