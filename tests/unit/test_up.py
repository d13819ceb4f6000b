"""The parts of `up` and `status`: a local cell's directory, the table, rates, a replica's process."""

import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from fastpaxos_live.cli.asking import Info, Member, members_of, report
from fastpaxos_live.cli.child import Child
from fastpaxos_live.cli.local import CONFIG, DRAFT, lock_directory, open_cell
from fastpaxos_live.cli.table import cell_table, number_text
from fastpaxos_live.cli.up import Rates
from fastpaxos_live.server.config import Address, CellConfig, FsyncPolicy, load_config
from fastpaxos_live.server.secret import read_secret
from fastpaxos_live.testing import wait_until


def make_cell(directory: Path, *settings: object) -> CellConfig:
    """Like `up`, with the directory locked."""
    os.close(lock_directory(directory))
    return open_cell(directory, *settings)


def test_a_cell_is_made_once(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "cell"
    policy = FsyncPolicy("interval", 50)
    cell = make_cell(directory, 2, 20001, policy)
    assert [replica.client.port for replica in cell.replicas] == [20001, 20002]
    assert [replica.peer.port for replica in cell.replicas] == [21001, 21002]
    assert [replica.admin.port for replica in cell.replicas] == [22001, 22002]
    assert cell.fsync == policy
    assert all((directory / name / "meta.json").exists() for name in ("r1", "r2"))
    assert make_cell(directory, None, None, None) == cell
    assert make_cell(directory, 2, 20001, policy) == cell
    assert make_cell(tmp_path / "other", None, None, None).id != cell.id


def test_completing_a_first_start_formats_only_what_is_missing(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, 2, 20001, None)
    first = (tmp_path / "r1/meta.json").read_bytes()
    (tmp_path / "r2/meta.json").unlink()
    (tmp_path / CONFIG).rename(tmp_path / DRAFT)
    assert make_cell(tmp_path, None, None, None) == cell
    assert (tmp_path / "r1/meta.json").read_bytes() == first
    assert (tmp_path / "r2/meta.json").exists()


def test_an_emptied_directory_is_not_formatted_again(tmp_path: Path) -> None:
    make_cell(tmp_path, 2, 20001, None)
    (tmp_path / "r2/meta.json").unlink()
    make_cell(tmp_path, None, None, None)
    assert not (tmp_path / "r2/meta.json").exists()


def test_a_new_cell_has_a_secret(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, 2, 20001, None)
    assert cell.secret == tmp_path / "secret"
    secret = read_secret(cell.secret)
    assert make_cell(tmp_path, None, None, None).secret == cell.secret and read_secret(cell.secret) == secret


def test_a_cell_of_an_earlier_version_is_given_one(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, 2, 20001, None)
    path = tmp_path / CONFIG
    path.write_text(path.read_text().replace('secret = "secret"\n', "").replace("[cell]", "[cell]  # of mine"))
    path.chmod(0o640)
    cell.secret.unlink()
    before = path.read_text()
    assert load_config(path).secret is None
    assert make_cell(tmp_path, None, None, None) == cell
    assert path.read_text().replace('secret = "secret"\n', "") == before
    assert path.stat().st_mode & 0o777 == 0o640
    assert read_secret(cell.secret)
    after = path.read_text()
    make_cell(tmp_path, None, None, None)
    assert path.read_text() == after


def test_a_file_that_names_the_cell_in_another_way_stays_as_it_is(tmp_path: Path) -> None:
    make_cell(tmp_path, 1, 20001, None)
    path = tmp_path / CONFIG
    text = path.read_text().replace('secret = "secret"\n', "").replace("[cell]", "[ cell ]")
    path.write_text(text)
    assert make_cell(tmp_path, None, None, None).secret is None
    assert path.read_text() == text


def test_a_secret_that_was_lost_is_not_made_anew(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, 1, 20001, None)
    cell.secret.unlink()
    make_cell(tmp_path, None, None, None)
    assert not cell.secret.exists()


MEMBERS = [Member(f"r{i}", Address("127.0.0.1", 7000 + i), f"p{i}", f"a{i}") for i in (1, 2, 3)]


def info(i: int, role: str = "replica", **changes: object) -> Info:
    """INFO of replica i, as redis-py gives it."""
    fields = {
        "cell": "test", "cell_id": "0x05", "replica": f"r{i}", "replica_role": role,
        "serving": int(role == "master"), "voting": 1, "process_id": 100 + i, "epoch": 2,
        "sequence_number": 33619969, "instance_committed": 10, "instance_applied": 9,
        "lease_ms_left": 0, "operations_applied": 5, "reads_answered": 2,
        "failures_tolerated": "unknown", "heard": "unknown",
    }  # fmt: skip
    if role == "master":
        fields |= {"failures_tolerated": 1, "heard": ["r1", "r2", "r3"], "lease_ms_left": 400}
    return {**fields, **changes}


def test_members_as_a_replica_names_them() -> None:
    fields = {"name": "r1", "client": "[::1]:7001", "peer": "[::1]:8001", "admin": "[::1]:9001"}
    assert members_of({"members": 1, "member1": fields}) == [
        Member("r1", Address("::1", 7001), "[::1]:8001", "[::1]:9001")
    ]


def test_the_table_shows_all_that_is_known() -> None:
    result = report("test", MEMBERS, [info(1, "master"), info(2, voting=0), None])
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(cell_table(result, {"r1": 12345.6}))
    text = captured.get()
    assert "cell test: master r1, tolerates 1 of 1 failures" in text
    assert "2.1.1" in text and "12,346" in text and "down" in text
    assert "! r3 (127.0.0.1:7003) does not answer" in text
    assert number_text(7 << 24 | 3 << 16 | 2) == "7.3.2"


def test_rates_need_two_looks_at_one_process() -> None:
    rates = Rates()
    first = report("test", MEMBERS, [info(1, "master"), info(2), None])
    assert rates.of(first) == {}
    second = report(
        "test", MEMBERS, [info(1, "master", reads_answered=1000), info(2, process_id=7), info(3)]
    )
    assert rates.of(second).keys() == {"r1"}
    assert rates.of(second) == {"r1": 0, "r2": 0, "r3": 0}


def child_of(tmp_path: Path, program: str) -> Child:
    child = Child(tmp_path / CONFIG, "r1", tmp_path, None)
    child._command = [sys.executable, "-c", program]
    child.start()
    return child


def test_a_child_that_cannot_start(tmp_path: Path) -> None:
    program = "import sys; print('noise'); sys.exit('fastpaxos-live: it is full')"
    child = child_of(tmp_path, program)
    wait_until(child.has_ended, "its end")
    assert child.trouble == "r1 ended with code 1: it is full"
    assert child.refused() and not child.is_due() and not child.has_ended()


def test_a_child_that_is_killed_is_due_again(tmp_path: Path) -> None:
    child = child_of(tmp_path, "import time; time.sleep(60)")
    assert child.pid and not child.has_ended()
    os.kill(child.pid, signal.SIGKILL)
    wait_until(child.has_ended, "its end")
    assert child.trouble == "r1 was ended by SIGKILL"
    assert not child.refused()
    wait_until(child.is_due, "its time")


def test_a_child_that_served_may_come_back(tmp_path: Path) -> None:
    child = child_of(tmp_path, "raise SystemExit(1)")
    child.answered = True
    wait_until(child.has_ended, "its end")
    assert child.trouble == "r1 ended with code 1: it said nothing"
    assert not child.refused()


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    child = child_of(tmp_path, program + "; time.sleep(60)")
    wait_until(lambda: child.log.read_bytes(), "it to ignore the signal")
    child.terminate()
    child.wait(deadline=0.0)
    assert child.has_ended()
    assert child.trouble == "r1 was ended by SIGKILL"
