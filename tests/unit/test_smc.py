"""The compiler of state machines, on a corpus: what good specifications become, and what is said of bad ones.

FPL_REWRITE=1 makes the expected outputs again; the difference is then for the reader of the commit.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fastpaxos_live.smc.__main__ import main
from fastpaxos_live.smc.compile import compile_files
from fastpaxos_live.smc.emit_cython import emit_cython
from fastpaxos_live.smc.emit_docs import emit_docs
from fastpaxos_live.smc.emit_python import emit_python
from fastpaxos_live.smc.ir import SpecError
from fastpaxos_live.spec import SPECS

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/data/smc"
GOOD = [path for path in sorted((CORPUS / "good").glob("*.py")) if not path.name.startswith("_")]
BAD = sorted((CORPUS / "bad").glob("*.py"))
EMITTERS = {"python.txt": emit_python, "cython.txt": emit_cython, "md": emit_docs}
REWRITE = os.environ.get("FPL_REWRITE", "0") not in ("", "0")

CYTHON_BEFORE = """# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    REPLICAS_MAX = 9
    SLOTS = 8

cdef inline uint64_t u64_max(uint64_t a, uint64_t b) noexcept nogil:
    return a if a > b else b

cdef inline uint64_t u64_min(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b
"""
CYTHON_AFTER = """
cdef uint64_t host_size(const Machines *s, uint64_t instance) noexcept nogil:
    return instance

cdef bint host_fits(const Machines *s, uint64_t number) noexcept nogil:
    return number < 9
"""

DOOR = """from fastpaxos_live.smc.language import *
me: setting[Replica]
Push = message(hard=Bool, often=Bool)

@machine("shut", "open")
class Door:
    def open(d: "shut", m: Push): when(m.hard or m.often); become("open")
    def swing(d: "open", m: Push): when(m.hard or m.often); send(OTHERS, Push(False, m.often))
    def fall(d: "open", m: Push): when(not m.hard and not m.often); become("shut")
    ignore("shut", Push)
"""


def good(name: str) -> Path:
    return CORPUS / "good" / f"{name}.py"


def made(name: str) -> ModuleType:
    """The Python made from a good specification, as a module."""
    module = ModuleType(name)
    exec(compile(emit_python(compile_files([good(name)])), name, "exec"), module.__dict__)
    return module


# --- good specifications
@pytest.mark.parametrize("ending", EMITTERS)
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_becomes_what_is_expected(path: Path, ending: str) -> None:
    text = EMITTERS[ending](compile_files([path]))
    expected = path.with_suffix(f".{ending}")
    if REWRITE:
        expected.write_text(text)
    assert text == expected.read_text()


def test_lamp_runs() -> None:
    lamp = made("lamp")
    s = lamp.Machines(None, 1, me=1)
    press = lamp.Message(lamp.M_PRESS, sender=1)
    rows = [lamp.ROWS[lamp.lamp_step(s, press, []) - 1] for _ in range(3)]
    assert rows == ["lamp.light", "lamp.darken", "lamp.light"]
    assert (s.lamp.state, lamp.lamp_count(s), s.taken[1:]) == (lamp.LAMP_ON, 2, [2, 1])


def test_voter_promises_once_and_waits_for_the_disk() -> None:
    vote = made("vote")
    s = vote.Machines(None, 3, me=1, lease=10)
    out: list = []

    def step(type: int, **fields: int) -> str:
        out.clear()
        row = vote.voter_step(s, vote.Message(type, **fields), out)
        return vote.ROWS[row - 1] if row else "ignored"

    assert step(vote.M_ASK, sender=2, now=1, number=5) == "voter.refuse"  # silent
    assert step(vote.M_TICK, sender=1, now=9) == "ignored"
    assert step(vote.M_TICK, sender=1, now=10) == "voter.speak"
    assert step(vote.M_ASK, sender=2, now=11, number=5) == "voter.promise"
    kinds = [(action.kind, action.to, action.after, action.message.type) for action in out]
    assert kinds == [(vote.PERSIST, 1, False, vote.M_ASK), (vote.SEND, 2, True, vote.M_YES)]
    assert (s.voter.promised, s.voter.last, s.voter.until, s.voter.askers) == (5, 2, 21, 1 << 2)
    assert step(vote.M_ASK, sender=2, now=12, number=5) == "voter.repeat"
    assert [(action.kind, action.after) for action in out] == [(vote.SEND, True)]
    assert step(vote.M_ASK, sender=3, now=13, number=6) == "voter.refuse"  # the other's lease lives
    assert out[0].message.promised == 5
    assert step(vote.M_FOUND, sender=1, number=9) == "voter.found" and s.voter.promised == 9


def test_pair_works_together() -> None:
    pair = made("pair")

    class Host:
        size = staticmethod(lambda instance: instance)
        fits = staticmethod(lambda number: number < 2)

    s = pair.Machines(Host(), 3, me=1, wait=5)
    out: list = []
    work = pair.Message(pair.M_WORK, sender=1, value=pair.SPAN_NEW)
    assert pair.ROWS[pair.filler_step(s, work, out) - 1] == "filler.work"
    put = out.pop()
    assert (put.kind, put.to, put.message.type, put.message.instance) == (pair.SEND, pair.ALL, pair.M_PUT, 1)
    assert [pair.ROWS[row - 1] for row in pair.store_candidates(s, put.message)] == ["store.put"]
    assert pair.store_step(s, put.message, out) == pair.ROW_STORE_PUT
    assert (out[0].kind, out[0].message.type, s.store.stored, s.store.at) == (pair.PERSIST, pair.M_STORED, 1, {1: 1})
    assert pair.store_step(s, put.message, []) == pair.IGNORED
    for replica in (1, 2):
        pair.filler_step(s, pair.Message(pair.M_ACK, sender=replica, instance=1), out)
    assert s.filler.state == pair.FILLER_IDLE and s.filler.acked == [0] * 4


def test_a_guard_is_joined_to_the_states_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "door.py"
    path.write_text(DOOR)
    door = ModuleType("door")
    exec(compile(emit_python(compile_files([path])), "door", "exec"), door.__dict__)
    s = door.Machines(None, 1, me=1)
    push = door.Message(door.M_PUSH, sender=1, often=1)
    rows = [door.ROWS[door.door_step(s, push, []) - 1] for _ in range(3)]
    assert rows == ["door.open", "door.swing", "door.swing"]
    assert door.door_candidates(s, push) == [door.ROW_DOOR_SWING]


def test_cython_accepts_what_is_made(tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    source = tmp_path / "made.pyx"
    source.write_text(CYTHON_BEFORE + emit_cython(compile_files([good("pair")])) + CYTHON_AFTER)
    done = subprocess.run(
        [sys.executable, "-m", "cython", "-3", str(source)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made.c").exists()


def test_own_specifications_have_no_finding() -> None:
    compile_files(SPECS)


# --- bad ones
@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_is_told(path: Path) -> None:
    """Its first lines say what is found: `# expect: LINE: how the text starts`, one a finding."""
    wanted = re.findall(r"^# expect: (.*)$", path.read_text(), re.MULTILINE)
    with pytest.raises(SpecError) as caught:
        compile_files([path])
    found = [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]
    assert wanted and len(found) == len(wanted), found
    for text, start in zip(found, wanted, strict=True):
        assert text.startswith(start), found


def test_a_witness_shows_the_smallest_values() -> None:
    with pytest.raises(SpecError) as caught:
        compile_files([CORPUS / "bad/overlap.py"])
    assert "rows near and far can both take (on, Ping) when a.high=0, m.number=1:" in str(caught.value)


def test_findings_are_the_same_each_time() -> None:
    texts = set()
    for _ in range(2):
        with pytest.raises(SpecError) as caught:
            compile_files([CORPUS / "bad/overlap.py"])
        texts.add(str(caught.value))
    assert len(texts) == 1


# --- the command line
def test_checks_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good("lamp"))]) == 0
    assert capsys.readouterr().out == "1 machine, 2 rows, 1 message: no findings\n"


def test_writes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lamp.md"
    assert main([str(good("lamp")), "--emit", "docs", "--out", str(out)]) == 0
    assert out.read_text() == good("lamp").with_suffix(".md").read_text()
    assert capsys.readouterr() == ("", "")


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_findings_are_lines_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(CORPUS / "bad/exit.py"), "--emit", "python"]) == 1
    assert one_error(capsys).startswith(f"{CORPUS}/bad/exit.py:")
    assert main([str(tmp_path / "none.py")]) == 1
    assert one_error(capsys) == f"{tmp_path}/none.py:1: can't be read: No such file or directory\n"
    (tmp_path / "broken.py").write_text("def (:\n")
    assert main([str(tmp_path / "broken.py")]) == 1
    assert one_error(capsys).startswith(f"{tmp_path}/broken.py:1: no Python syntax: ")
    (tmp_path / "deep.py").write_text("x = " + "-" * 3000 + "1\n")
    assert main([str(tmp_path / "deep.py")]) == 1
    assert one_error(capsys) == f"{tmp_path}/deep.py:1: no Python syntax: nested too deeply\n"
    (tmp_path / "deep.py").write_text("x = " + "-" * 120 + "1\n")
    assert main([str(tmp_path / "deep.py")]) == 1
    assert one_error(capsys) == f"{tmp_path}/deep.py:1: nested more than 100 levels deep\n"
    assert main([str(good("lamp")), "--out", str(tmp_path / "no/where")]) == 1
    assert one_error(capsys) == f"{tmp_path}/no/where: can't be written: No such file or directory\n"


def test_a_missing_import_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("from .words import *\n")
    assert main([str(tmp_path / "alone.py")]) == 1
    assert one_error(capsys) == f"{tmp_path}/words.py:1: can't be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", [[], ["a.py", "--emit", "rust"], ["a.py", "--what"]])
def test_wrong_use(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_needs_only_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "fastpaxos_live.smc", str(good("vote"))],
        env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 machine, ")
