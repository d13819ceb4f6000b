"""What `python -m bench against` concludes from its pairs, and how it comes by another commit."""

import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from bench import against, commits
from bench.against import asked, interval, row, slower
from bench.load import Shape

RATES = [100.0, 104, 97, 101, 99, 103, 100, 98, 102, 100, 96, 105, 101, 99, 100]
SETUP = """
import os, sys
from pathlib import Path
from zipfile import ZipFile
assert sys.argv[1:4] == ["--quiet", "build_ext", "--inplace"]
assert "FPL_DEBUG" not in os.environ
source = Path("src/package/text").read_text()
if source == "broken":
    sys.exit("text:1:2: it is broken")
Path("src/package/made").write_text(source + os.environ["PYTHONPATH"][-4:])
"""


def test_interval_of_equals() -> None:
    assert interval(RATES, RATES) == (1.0, 1.0, 1.0)


def test_interval_holds_what_scatter_allows() -> None:
    ratio, low, high = interval(RATES, RATES[::-1])
    assert ratio == 1.0
    assert 0.95 < low < 1 < high < 1.05


def test_interval_of_slower_ones() -> None:
    ratio, low, high = interval([rate * 0.9 for rate in RATES], RATES[1:] + RATES[:1])
    assert ratio == pytest.approx(0.9)
    assert low < 0.9 <= high < 0.97


def test_slower() -> None:
    def pairs(factor: float) -> list[against.Pair]:
        return [{"this": {"rps": rate * factor}, "that": {"rps": rate}} for rate in RATES]

    loads = {"SET:50x16": 0.9, "GET:50x1:follower": 1.1}
    rows = [row(asked(name), pairs(factor)) for name, factor in loads.items()]
    assert slower({"rows": rows}, 0.97) == ["SET 50 x 16, 100 B (0.900 to 0.900)"]
    assert slower({"rows": rows}, 0.9) == []
    assert len(slower({"rows": rows}, 2)) == 2
    assert rows[1]["at"] == "follower"


def test_loads() -> None:
    found = [asked(text) for text in against.SHAPES]
    assert [str(one) for one in found] == list(against.SHAPES)
    assert [one.workload.value_bytes for one in found[:3]] == [5, 5, 100]
    assert asked("get:7x3").workload.shape == Shape(7, 3)
    for text in ("", "SET", "SET:0x1", "DEL:1x1", "SET:1x1:master", "SET:1x1,GET:1x1"):
        with pytest.raises(ValueError, match="expected a load"):
            asked(text)


# --- building a commit
class Repository:
    """A repository with a program that is quickly built; each commit is another text."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.builds = root / "build/against"
        (root / "src/package").mkdir(parents=True)
        self.git("init", "--quiet")
        (root / "setup.py").write_text(SETUP)
        (root / ".gitignore").write_text("/build/\n")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *arguments], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, text: str) -> str:
        (self.root / "src/package/text").write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def built(self, commit: str) -> Path:
        return commits.built(commit, self.root, self.builds)

    def left(self) -> list[str]:
        """What git knows of worktrees, and what of them is on disk, the checkout itself apart."""
        listed = self.git("worktree", "list", "--porcelain").splitlines()
        known = [line for line in listed if line.startswith("worktree ")]
        return [*known[1:], *(path.name for path in self.builds.glob("tree-*"))]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("FPL_DEBUG", "1")
    return Repository(tmp_path)


def test_built(repository: Repository) -> None:
    first, second = repository.commit("one"), repository.commit("two")
    assert commits.resolve(first[:10], repository.root) == first
    assert commits.resolve("HEAD", repository.root) == second
    for commit, text in ((first, "one/src"), (second, "two/src")):
        source = repository.built(commit)
        assert source == repository.builds / commit
        assert (source / "package/made").read_text() == text
        assert repository.left() == []
    # The second time it is there already.
    made = repository.builds / first / "package/made"
    made.write_text("as it was")
    assert repository.built(first) == repository.builds / first
    assert made.read_text() == "as it was"


def test_a_killed_build_is_forgotten(repository: Repository) -> None:
    commit = repository.commit("one")
    gone = repository.builds / "tree-gone"
    repository.git("worktree", "add", "--quiet", "--detach", str(gone), commit)
    subprocess.run(["rm", "-r", str(gone)], check=True)
    repository.built(commit)
    assert repository.left() == []


def test_only_the_newest_builds_stay(repository: Repository) -> None:
    made = [repository.commit(f"{n}") for n in range(commits.KEPT + 2)]
    for commit in made[:-2]:
        repository.built(commit)
    repository.built(made[0])  # used again
    for commit in made[-2:]:
        repository.built(commit)
    assert {path.name for path in repository.builds.iterdir()} == {made[0], *made[3:]}


def test_what_only_the_commit_depends_on_is_installed_beside_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.root / "pyproject.toml").write_text('[project]\ndependencies = ["numpy>=1", "fpl-gone>=1"]\n')
    commit = repository.commit("one")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(commits.CommitError, match="^it needs fpl-gone>=1: ERROR: "):
        repository.built(commit)
    assert list(repository.builds.iterdir()) == []
    with ZipFile(repository.root / "fpl_gone-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fpl_gone.py", "")
        about = "fpl_gone-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: fpl-gone\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(repository.root))
    assert (repository.built(commit) / "fpl_gone.py").exists()


def test_errors_are_a_line(repository: Repository) -> None:
    commit = repository.commit("broken")
    with pytest.raises(commits.CommitError, match="^it does not compile: text:1:2: it is broken$"):
        repository.built(commit)
    assert repository.left() == []
    assert list(repository.builds.iterdir()) == []
    with pytest.raises(commits.CommitError, match="^'nosuch' is no commit of"):
        commits.resolve("nosuch", repository.root)
    with pytest.raises(commits.CommitError, match="^'--all' is no commit of"):
        commits.resolve("--all", repository.root)
