"""Real cells with a secret, with several, with none: who speaks to whom, and what is said of it."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastpaxos_live.testing import HOST, Cell, wait_until

CALLED_AGAIN_S = 2.0  # a replica that refused is called again several times, at the latest after half a second each


@contextmanager
def other_config(cell: Cell, *changes: tuple[str, str]) -> Iterator[None]:
    """What is started meanwhile has another configuration file."""
    config = cell.config
    text = config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    cell.config = config.with_name("other.toml")
    cell.config.write_text(text)
    yield
    cell.config = config


def wait_said(cell: Cell, i: int, text: str) -> None:
    wait_until(lambda: text in cell.log(i).read_text(), f"r{i} to say {text!r}")


def is_heard(cell: Cell, i: int) -> bool:
    return f"r{i}" in str(cell.info(cell.master())["heard"])


def kill_unheard(cell: Cell, i: int) -> int:
    """Kills it, waits until the master has forgotten it, and returns an instance that it lacks."""
    cell.kill(i)
    wait_until(lambda: not is_heard(cell, i), f"r{i} to be heard no more")
    master = cell.wait_ready()  # by a write
    return int(cell.info(master)["instance_applied"])


def check_stays_out(cell: Cell, i: int, lacks: int) -> None:
    """Refused once, it is never accepted: it is not heard, and is told nothing of what it lacks."""
    until = time.monotonic() + CALLED_AGAIN_S
    while time.monotonic() < until:
        assert not is_heard(cell, i)
        assert int(cell.info(i)["instance_applied"]) < lacks


def test_one_with_another_secret_is_kept_out_and_both_sides_say_why(tmp_path: Path) -> None:
    with Cell(tmp_path) as cell:
        lacks = kill_unheard(cell, 3)
        with other_config(cell, ('secret = "secret"', 'secret = "another"')):
            (tmp_path / "another").write_text("5a" * 32)
            (tmp_path / "another").chmod(0o600)
            cell.start(3)
        wait_said(cell, 3, "it does not know this cell's secret")
        wait_said(cell, 1, "it does not accept this replica's proof")
        check_stays_out(cell, 3, lacks)
        assert cell.wait_ready() in (1, 2)
        cell.restart(3)
        cell.wait_equal()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('fsync = "always"', 'fsync = "never"', "fsync mismatch: r3 has never, this replica has always"),
        ('name = "r2"', 'name = "rX"', "members mismatch: r3 has r1,rX,r3, this replica has r1,r2,r3"),
    ],
)
def test_a_replica_with_other_settings_is_kept_out_and_told_by_both(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with Cell(tmp_path) as cell:
        lacks = kill_unheard(cell, 3)
        with other_config(cell, (old, new)):
            cell.start(3)
        wait_said(cell, 1, said)
        wait_said(cell, 3, said.split(":")[0] + ": r1 has ")
        check_stays_out(cell, 3, lacks)
        assert cell.wait_ready() in (1, 2)
        cell.restart(3)
        cell.wait_equal()


def test_the_secret_is_seen_nowhere(tmp_path: Path) -> None:
    with Cell(tmp_path) as cell:
        secret = (tmp_path / "secret").read_text().strip()
        shown = []
        for i in cell.ids:
            with cell.client(i) as client:
                for command in ("INFO everything", "CONFIG GET *", "CLUSTER NODES", "CLIENT LIST"):
                    shown.append(str(client.execute_command(*command.split())))
            port = cell.admin_ports[i]
            for page in ("status", "profile"):
                with urllib.request.urlopen(f"http://{HOST}:{port}/{page}", timeout=60) as answer:
                    shown.append(answer.read().decode())
            shown += [Path(f"/proc/{cell.pid(i)}/{name}").read_text() for name in ("cmdline", "environ")]
            shown.append(cell.log(i).read_text())
            shown += [path.read_bytes()[:8192].decode(errors="replace") for path in cell.data(i).iterdir()]
        raw = bytes.fromhex(secret)
        assert len(shown) > 30
        for text in shown:
            assert secret not in text.lower() and repr(raw)[2:-1] not in text


def test_a_cell_without_a_secret_works_and_says_so_and_may_be_given_one(tmp_path: Path) -> None:
    with Cell(tmp_path, secret=False) as cell:
        assert "[cell] secret is not set" in cell.log(1).read_text()
        with cell.client(cell.master()) as client:
            for number in range(100):
                client.set(f"key {number}", number)
        cell.wait_equal()
        sum_before = cell.info(1)["state_sum"]
        cell.restart()
        cell.wait_ready()
        cell.wait_equal()
        assert cell.info(1)["state_sum"] == sum_before, "which depends on the keys and the seed of the table alone"
        cell.kill()
        text = cell.config.read_text()
        cell.config.write_text(text.replace("[cell]", '[cell]\nsecret = "secret"'))
        (tmp_path / "secret").write_text("5a" * 32 + "\n")
        (tmp_path / "secret").chmod(0o600)
        cell.start()
        cell.wait_ready()
        cell.wait_equal()
        assert cell.info(1)["state_sum"] != sum_before
        with cell.client(cell.master()) as client:
            assert {int(client.get(f"key {number}")) for number in range(100)} == set(range(100))


@pytest.mark.parametrize("trouble", ["missing", "mode", "size"])
def test_a_replica_does_not_start_without_its_secret(tmp_path: Path, trouble: str) -> None:
    with Cell(tmp_path, replicas=1) as cell:
        cell.kill()
        secret = tmp_path / "secret"
        if trouble == "missing":
            secret.unlink()
        elif trouble == "mode":
            secret.chmod(0o644)
        else:
            secret.write_text("5a")
        cell.log(1).write_text("")
        cell.start(1)
        assert cell.wait_end(1) == 2
        (line,) = cell.log(1).read_text().splitlines()
        assert line.startswith(f"fastpaxos-live: [cell] secret: {secret} ")
        assert cell.running() == []
