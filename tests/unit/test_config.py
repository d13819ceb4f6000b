"""The configuration file: what it may say, and one precise line for what is wrong."""

from pathlib import Path

import pytest

from fastpaxos_live._api import Config
from fastpaxos_live.server.config import (
    Address,
    CellConfig,
    ConfigError,
    FsyncPolicy,
    cell_terms,
    load_config,
    parse_address,
    parse_fsync,
    replica_config,
)

GOOD = """
[cell]
name = "test"
id = "0x1F"

[[replica]]
name = "r1"
client = "127.0.0.1:7001"
peer = "127.0.0.1:8001"
admin = "127.0.0.1:9001"
data = "one"

[[replica]]
name = "r2"
client = "localhost:7002"
peer = "[::1]:8002"
admin = "127.0.0.1:9002"
data = "/data/two"

[limits]
window = 4

[lease]
replica_ms = 1000
boost_ms = 60000
"""


def load(tmp_path: Path, text: str) -> CellConfig:
    path = tmp_path / "cell.toml"
    path.write_text(text)
    return load_config(path)


def test_what_the_file_says(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD)
    assert (cell.name, cell.id, cell.core, cell.redirect) == ("test", 31, None, "auto")
    assert cell.fsync == FsyncPolicy("always")
    assert [(replica.id, replica.name) for replica in cell.replicas] == [(1, "r1"), (2, "r2")]
    assert cell.replicas[0].data == tmp_path / "one"
    assert cell.replicas[1].data == Path("/data/two")
    assert cell.replicas[1].peer == Address("::1", 8002)
    assert str(cell.replicas[1].peer) == "[::1]:8002"
    assert (cell.limits.window, cell.lease.replica_ms, cell.lease.master_ms) == (4, 1000, 500)
    assert cell.quorum == 2


def test_defaults(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD.partition("[limits]")[0])
    assert cell.limits.window == 1
    assert cell.limits.value_bytes_max == 8 << 20
    assert (cell.lease.replica_ms, cell.lease.master_ms) == (600, 500)
    assert cell.lease.boost_ms == 300_000


def test_settings_of_a_replica(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD)
    config = replica_config(cell, "r2", seed=7, incarnation=3)
    assert config.keys() == Config.__annotations__.keys() - {"silence_us", "work_max"}, "directory and tests decide"
    assert config["replica"] == 2
    assert config["replicas"] == 2
    assert config["cell_id"] == 31
    assert config["clients"] == ["127.0.0.1:7001", "localhost:7002"]
    assert (config["lease_us"], config["lease_master_us"]) == (1_000_000, 500_000)
    assert config["boost_us"] == 60_000_000
    assert (config["seed"], config["incarnation"], config["window"]) == (7, 3, 4)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name = ", "nmae = ", ["[cell]", "unknown key 'nmae'", "did you mean 'name'"]),
        ("[limits]", "[limit]", ["unknown key 'limit'", "did you mean 'limits'"]),
        ("window = 4", "widow = 4", ["[limits]", "'widow'", "did you mean 'window'"]),
        ("window = 4", "window = 0", ["[limits] window", ">= 1"]),
        ("window = 4", "window = 65", ["[limits] window", "<= 64"]),
        ("window = 4", 'window = "4"', ["[limits] window", "`int`"]),
        ('name = "r2"', 'name = "r1"', ["name of replica 2", "name of replica 1", "r1"]),
        ("localhost:7002", "127.0.0.1:9001", ["client of 'r2'", "admin of 'r1'", "127.0.0.1:9001"]),
        ('"/data/two"', '"one"', ["data of 'r2'", "data of 'r1'"]),
        ('"/data/two"', '""', ["[[replica]] 2 data"]),
        ('name = "r2"', 'name = "r 2"', ["[[replica]] 2 name", "regex"]),
        ("localhost:7002", "127.0.0.1", ["[[replica]] 2 client", "127.0.0.1", "host:port"]),
        ("localhost:7002", "127.0.0.1:0", ["[[replica]] 2 client", "1 to 65535"]),
        ("localhost:7002", "127.0.0.1:70000", ["[[replica]] 2 client", "1 to 65535"]),
        ("localhost:7002", "10.0.0.1:7002", ["client of 'r2'", "10.0.0.1:7002", "insecure"]),
        ("[::1]:8002", "10.0.0.1:8002", ["peer of 'r2'", "insecure"]),
        ("localhost:7002", "0.0.0.0:7002", ["client of 'r2'", "0.0.0.0:7002"]),
        ('"0x1F"', '"xyz"', ["[cell] id", "xyz"]),
        ('"0x1F"', "0", ["[cell] id", "0"]),
        ('"0x1F"', "-4", ["[cell] id", "-4"]),
        ('id = "0x1F"', 'id = 1\nfsync = "sometimes"', ["sometimes", "interval:MS"]),
        ('id = "0x1F"', 'id = 1\nfsync = "interval:0"', ["interval:0", "milliseconds"]),
        ('id = "0x1F"', 'id = 1\ncore = "rust"', ["[cell] core", "rust"]),
        ('id = "0x1F"', "", ["[cell]", "id"]),
        ('id = "0x1F"', 'id = 1\nsecret = ""', ["[cell] secret", "name of a file"]),
        ('id = "0x1F"', "id = 1\nsecret = 5", ["[cell] secret", "`str"]),
        ('id = "0x1F"', 'id = 1\nsecret = "~no-body/s"', ["[cell] secret", "~no-body/s", "no home directory"]),
        ('"/data/two"', '"~no-body/s"', ["[[replica]] 2 data", "~no-body/s", "no home directory"]),
        ('"/data/two"', '"a\\u0000b"', ["[[replica]] 2 data", "a\\x00b"]),
        ("replica_ms = 1000", "master_ms = 571", ["[lease] master_ms", "571", "at most 570"]),
        ("replica_ms = 1000", "master_ms = 600", ["[lease] master_ms"]),
        ("replica_ms = 1000", "beat_ms = 251", ["[lease] beat_ms", "half"]),
        ("boost_ms = 60000", "boost_ms = 999", ["[lease] boost_ms", ">= 1000"]),
        ("boost_ms = 60000", "boost_ms = 86400001", ["[lease] boost_ms", "<= 86400000"]),
        ("[cell]", "[cell", ["line 2"]),
    ],
)
def test_one_line_says_what_is_wrong(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{tmp_path}/cell.toml: ")
    for word in words:
        assert word in line


def test_the_secret_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).secret is None
    cell = load(tmp_path, GOOD.replace("[cell]", '[cell]\nsecret = "keys/secret"'))
    assert cell.secret == tmp_path / "keys/secret", "which need not be there yet"
    assert load(tmp_path, GOOD.replace("[cell]", '[cell]\nsecret = "/etc/secret"')).secret == Path("/etc/secret")


def test_what_only_the_secret_decides(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD)
    secret = bytes(range(32))
    terms = cell_terms(cell, secret)
    assert terms.key != cell_terms(cell, None).key
    assert terms.key == cell_terms(cell, secret).key
    assert replica_config(cell, "r1", seed=7)["hash_seed"] == cell.id
    seeds = {replica_config(cell, name, seed=7, secret=secret)["hash_seed"] for name in ("r1", "r2")}
    assert len(seeds) == 1 and cell.id not in seeds


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        (('id = "0x1F"', 'id = 31\nfsync = "never"'), "fsync", "never"),
        (('id = "0x1F"', 'id = 31\nfsync = "interval:7"'), "fsync", "interval:7"),
        (('name = "r2"', 'name = "r3"'), "members", "r1,r3"),
        (("replica_ms = 1000", "replica_ms = 2000"), None, ""),
        (("window = 4", "window = 5"), None, ""),
    ],
)
def test_what_the_replicas_must_agree_on(
    tmp_path: Path, change: tuple[str, str], key: str | None, value: str
) -> None:
    terms = cell_terms(load(tmp_path, GOOD), None).said()
    assert terms.keys() == {"members", "fsync", "frame_version", "log_version", "slots", "drift_permille"}
    other = cell_terms(load(tmp_path, GOOD.replace(*change)), None).said()
    assert {name: other[name] for name in terms if other[name] != terms[name]} == ({key: value} if key else {})


def test_the_longest_lease_of_the_master_is_allowed(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD.replace("replica_ms = 1000", "master_ms = 570"))
    assert cell.lease.master_ms == 570


def test_other_machines_when_asked_for(tmp_path: Path) -> None:
    text = GOOD.replace("localhost:7002", "10.0.0.1:7002")
    cell = load(tmp_path, text.replace("[cell]", "[cell]\ninsecure = true"))
    assert cell.replicas[1].client == Address("10.0.0.1", 7002)


def test_an_unknown_replica(tmp_path: Path) -> None:
    cell = load(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="no replica is called 'r22'; did you mean 'r2'"):
        cell.replica("r22")
    with pytest.raises(ConfigError, match=r"no replica is called 'zebra' \(there are: r1, r2\)"):
        cell.replica("zebra")


@pytest.mark.parametrize("replicas", [0, 10])
def test_a_cell_has_one_to_nine_replicas(tmp_path: Path, replicas: int) -> None:
    text = GOOD.partition("[[replica]]")[0]
    for i in range(replicas):
        text += f'[[replica]]\nname="r{i}"\nclient="127.0.0.1:{7000 + i}"\n'
        text += f'peer="127.0.0.1:{8000 + i}"\nadmin="127.0.0.1:{9000 + i}"\ndata="r{i}"\n'
    with pytest.raises(ConfigError, match=r"1 to 9 \[\[replica\]\]"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("x = " + "1" * 5000, "thousands of digits"), ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply")],
    ids=["digits", "nested"],
)
def test_what_the_parser_is_not_made_for(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    for name, word in (("nothing.toml", "No such file"), (".", "Is a directory")):
        with pytest.raises(ConfigError, match=word):
            load_config(tmp_path / name)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "binary")


@pytest.mark.parametrize("text", ["always", "never", "interval:1", "interval:60000"])
def test_policies_read_as_they_are_written(text: str) -> None:
    assert str(parse_fsync(text)) == text


@pytest.mark.parametrize(
    "text", ["", "interval", "interval:", "interval:-1", "interval:60001", "interval:" + "1" * 5000, "Always"]
)
def test_bad_policies(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_fsync(text)


@pytest.mark.parametrize(
    "text",
    [
        "", ":1", "host", "host:", "host:x", "host:65536", "host:" + "1" * 5000, "host:٣", "a b:1", "a\r:1", "[::1",
        "[::1:1", "::1]:1",
    ],
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(ConfigError("data\r\nof \x1b[2Jr1 is not ünique")) == r"data\r\nof \x1b[2Jr1 is not ünique"
