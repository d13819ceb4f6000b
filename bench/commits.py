"""Another commit of this repository, built beside the checkout with the same interpreter and packages.

What it depends on and this checkout does not is installed beside it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .results import BUILD

ROOT = Path(__file__).parents[1]
BUILDS = BUILD / "against"  # a directory for each commit, named by it
KEPT = 6  # builds, of which each takes some 20 MB; the one that was used longest ago goes first
PLACE = re.compile(r"^\S+:\d+:\d+: .+|^\S*error.*|^fastpaxos_live: .+", re.M | re.I)  # how a build says what is wrong
SHOWN = 300


class CommitError(Exception):
    """There is no such commit, or it can't be built; the text is one line."""


def resolve(name: str, root: Path = ROOT) -> str:
    """The full name of a commit: of its beginning, a branch or a tag. Raises CommitError."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except CommitError:
        raise CommitError(f"{name!r} is no commit of {root}") from None


def built(commit: str, root: Path = ROOT, builds: Path = BUILDS) -> Path:
    """The directory to import that commit's package from, compiled now if it is not there yet. Raises CommitError."""
    target = builds / commit
    if not target.exists():
        with _worktree(root, builds, commit) as tree:
            _compile(tree)
            _complete(tree)
            _move(tree / "src", target)
    os.utime(target)
    _forget(builds)
    return target


@contextmanager
def _worktree(root: Path, builds: Path, commit: str) -> Iterator[Path]:
    """A checkout of it, which git forgets afterwards, as it does those that a kill left behind."""
    builds.mkdir(parents=True, exist_ok=True)
    _git(root, "worktree", "prune")
    with tempfile.TemporaryDirectory(prefix="tree-", dir=builds) as directory:
        tree = Path(directory) / "tree"
        try:
            _git(root, "worktree", "add", "--quiet", "--detach", str(tree), commit)
            yield tree
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            _git(root, "worktree", "prune")


def _compile(tree: Path) -> None:
    # As `make build` does, without what this shell asks of its own builds: -O0 or -march=native on one side only would
    # be compared as well.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FPL_", "FASTPAXOS_"))}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", f"--parallel={os.cpu_count()}"]
    environment["PYTHONPATH"] = str(tree / "src")
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stdout + done.stderr
        reasons = PLACE.findall(said) or said.strip().splitlines()[-1:] or ["no reason given"]
        raise CommitError(f"it does not compile: {reasons[0][:SHOWN]}")


def _complete(tree: Path) -> None:
    lacking = [text for text in _dependencies(tree) if not _is_installed(text)]
    if lacking:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, "--target", str(tree / "src"), *lacking], capture_output=True, text=True)
        if done.returncode != 0:
            reasons = PLACE.findall(done.stderr) or ["no reason given"]
            raise CommitError(f"it needs {', '.join(lacking)}: {reasons[0][:SHOWN]}")


def _dependencies(tree: Path) -> list[str]:
    try:
        project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
        return list(project["dependencies"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return []


def _is_installed(requirement: str) -> bool:
    # In whatever version: that is for the checkout to say.
    try:
        distribution(re.match(r"[\w.-]*", requirement)[0])  # type: ignore[index] -- matches always
    except (PackageNotFoundError, ValueError):
        return False
    return True


def _move(made: Path, target: Path) -> None:
    """To its place, whole; another run may have been quicker."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise


def _forget(builds: Path) -> None:
    found = [path for path in builds.iterdir() if not path.name.startswith("tree-")]
    for path in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except OSError as error:
        raise CommitError(f"git: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise CommitError(f"git {arguments[0]}: {said[0]}")
    return done.stdout
