"""The commands that Python answers, asked through a real replica: a cell of one, on both cores."""

import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastpaxos_live._api import Counts, Status
from fastpaxos_live._select import load_core
from fastpaxos_live.reference.limits import CALL_ARGUMENTS_MAX, CALL_BYTES_MAX
from fastpaxos_live.server.cluster import Cluster, key_slot
from fastpaxos_live.server.command_table import COMMANDS
from fastpaxos_live.server.commands import CLIENTS_LISTED_MAX, PATTERNS_MAX, Commands, parse_integer
from fastpaxos_live.server.config import CellConfig, parse_config, replica_config
from fastpaxos_live.server.info import Counters, View, failures_tolerated, info_text
from fastpaxos_live.server.reply import Simple, Verbatim, encode, encode_error
from fastpaxos_live.testing import request

WALL_MS = 1_800_000_000_000
TURNS_MAX = 1000
STEPS_MAX = 250_000  # of Python's machine: some milliseconds


def cell_of(replicas: int, more: str = "") -> CellConfig:
    text = f'[cell]\nname = "test"\nid = 5\n{more}\n'
    for i in range(1, replicas + 1):
        text += f'[[replica]]\nname = "r{i}"\nclient = "127.0.0.1:{7000 + i}"\n'
        text += f'peer = "127.0.0.1:{8000 + i}"\nadmin = "127.0.0.1:{9000 + i}"\ndata = "r{i}"\n'
    return parse_config(text, Path("/cells/test/cell.toml"))


class Solo:
    """A cell of one replica that serves; its disk is done at once, its clock ours."""

    def __init__(self, core: str) -> None:
        self.cell = cell_of(1)
        self.replica = load_core(core).Replica(replica_config(self.cell, "r1", seed=1))
        self.commands = Commands(self.replica, self.cell, "r1")
        self.now = 0
        self.replica.start(0, WALL_MS)
        for _ in range(TURNS_MAX):
            if self.replica.status()["serving"]:
                break
            self.now = max(self.now, self.replica.wakeup())
            self.turn()
        assert self.replica.status()["serving"]
        self.open(1)

    def turn(self) -> None:
        wall = WALL_MS + self.now // 1000
        self.replica.clock(self.now, wall)
        self.replica.turn(self.now, wall)
        while group := self.replica.drain_disk():
            position, data, _ = group
            self.replica.durable(position + len(data))
            self.replica.turn(self.now, wall)

    def open(self, conn: int) -> None:
        self.replica.open_client(conn)
        self.commands.on_open(conn, f"127.0.0.1:{50000 + conn}")

    def send(self, data: bytes, conn: int = 1) -> bytes:
        """The reply to whole requests."""
        self.replica.feed_client(conn, data)
        reply = b""
        for _ in range(TURNS_MAX):
            self.turn()
            for caller, args in self.replica.drain_calls():
                self.replica.answer(caller, *self.commands.handle(caller, args))
            out = self.replica.drain_client(conn)
            if not out and reply:
                break
            reply += out
        return reply

    def ask(self, line: str, conn: int = 1) -> bytes:
        """The reply to one request whose arguments have no spaces."""
        return self.send(request(*line.encode().split(b" ")), conn)


@pytest.fixture(params=["cython", "python"])
def solo(request: pytest.FixtureRequest) -> Solo:
    return Solo(request.param)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("PING", "+PONG"),
        ("client id", ":1"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT SETINFO lib-name redis-py", "+OK"),
        ("CLIENT SETINFO lib-foo x", "-ERR Unrecognized option 'lib-foo'"),
        ("CLIENT NO-EVICT on", "+OK"),
        ("CLIENT NO-TOUCH maybe", "-ERR syntax error"),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
        ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command"),
        (
            "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip",
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
        ),
        ("CLIENT LIST TYPE pubsub", "$0\r\n"),
        ("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        (
            "HELLO 3 AUTH joe secret",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        ),
        (
            "AUTH secret",
            "-ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
        ),
        ("AUTH default secret", "+OK"),
        ("AUTH a b c", "-ERR syntax error"),
        ("COMMAND COUNT", f":{len(COMMANDS)}"),
        ("COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"),
        ("COMMAND GETKEYS PING", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND GETKEYS DANCE", "-ERR Invalid command specified"),
        ("COMMAND LIST FILTERBY PATTERN app?nd", "*1\r\n$6\r\nappend"),
        ("COMMAND LIST FILTERBY MODULE x", "*0"),
        ("COMMAND INFO dance", "*1\r\n$-1"),
        ("CONFIG GET maxmem*-p*y", "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction"),
        ("CONFIG GET nothing", "*0"),
        ("CONFIG SET appendonly yes", "+OK"),
        (
            "CONFIG SET appendonly no",
            "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - "
            "can't set immutable config",
        ),
        (
            "CONFIG SET dance on",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'dance'",
        ),
        ("CONFIG SET save a b", "-ERR syntax error"),
        ("CONFIG RESETSTAT", "+OK"),
        ("CONFIG REWRITE", "-ERR The server is running without a config file"),
        ("READONLY", "+OK"),
        ("READWRITE", "+OK"),
        ("WAIT 0 0", ":0"),
        ("WAIT 0 -1", "-ERR timeout is negative"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("CLUSTER KEYSLOT foo", ":12182"),
        ("CLUSTER DANCE", "-ERR unknown subcommand 'DANCE'. Try CLUSTER HELP."),
        ("FPL.DANCE a b", "-ERR unknown command 'FPL.DANCE', with args beginning with: 'a' 'b' "),
        ("MEMORY DOCTOR", "-ERR unknown command 'MEMORY', with args beginning with: 'DOCTOR' "),
        ("RESET", "+RESET"),
        ("QUIT", "+OK"),
    ],
)
def test_replies(solo: Solo, line: str, reply: str) -> None:
    assert solo.ask(line) == reply.encode() + b"\r\n"


def test_an_error_stays_one_line(solo: Solo) -> None:
    reply = solo.send(request(b"CLIENT", b"a\r\n+OK"))
    assert reply == b"-ERR unknown subcommand 'a  +OK'. Try CLIENT HELP.\r\n"
    assert solo.send(request(b"CLIENT", b"\xff")).startswith(b"-ERR unknown subcommand '\xff'")
    assert b"spaces" in solo.send(request(b"CLIENT", b"SETNAME", b"a b"))


def test_hello_changes_the_protocol(solo: Solo) -> None:
    reply = solo.ask("HELLO 3 AUTH default x SETNAME me")
    assert reply.startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
    assert b"$4\r\nrole\r\n$6\r\nmaster\r\n" in reply
    assert solo.ask("CLIENT GETNAME") == b"$2\r\nme\r\n"
    assert solo.ask("GET nothing") == b"_\r\n", "the core knows too"
    assert solo.ask("CONFIG GET save") == b"%1\r\n$4\r\nsave\r\n$0\r\n\r\n"
    assert solo.ask("HELLO").startswith(b"%7\r\n"), "without a version nothing changes"
    assert solo.ask("RESET") == b"+RESET\r\n"
    assert solo.ask("GET nothing") == b"$-1\r\n"
    assert solo.ask("CLIENT GETNAME") == b"$-1\r\n"


def test_a_refused_hello_changes_nothing_but_the_name_before_its_error(solo: Solo) -> None:
    assert solo.ask("HELLO 3 SETNAME me DANCE").startswith(b"-ERR Syntax error")
    assert solo.ask("GET nothing") == b"$-1\r\n"
    assert solo.ask("CLIENT GETNAME") == b"$2\r\nme\r\n"


def test_calls_stay_in_line(solo: Solo) -> None:
    lines = (b"SET a 1", b"CLIENT ID", b"GET a", b"WAIT 0 0")
    replies = solo.send(b"".join(request(*line.split()) for line in lines))
    assert replies == b"+OK\r\n:1\r\n$1\r\n1\r\n:0\r\n"


def test_quit_closes_behind_its_reply(solo: Solo) -> None:
    assert solo.send(request(b"QUIT") + request(b"SET", b"a", b"1")) == b"+OK\r\n"
    assert solo.replica.is_closing(1)
    assert solo.replica.get(b"a") is None


def test_clients_are_listed(solo: Solo) -> None:
    solo.open(2)
    solo.ask("CLIENT SETNAME second", conn=2)
    lines = solo.ask("CLIENT LIST").decode().splitlines()[1:]
    fields = [dict(pair.split("=", 1) for pair in line.split()) for line in lines if line]
    assert [(row["id"], row["name"]) for row in fields] == [("1", ""), ("2", "second")]
    assert fields[1]["addr"] == "127.0.0.1:50002"
    assert fields[1]["cmd"] == "client|setname"
    assert b"id=2 " in solo.ask("CLIENT LIST ID 2 7")
    assert b"id=1 " not in solo.ask("CLIENT LIST ID 2 7")
    solo.replica.close_client(2)
    solo.commands.on_close(2)
    solo.open(2)
    assert solo.ask("CLIENT ID", conn=2) == b":3\r\n", "numbers are not reused, connections are"


def test_every_command_has_a_handler_or_is_the_cores(solo: Solo) -> None:
    for command in COMMANDS.values():
        for sub in command.subcommands or (command,):
            in_core = not solo.ask(command.name).startswith(b"-ERR unknown command")
            handled = sub.name.endswith("|help") or callable(
                getattr(solo.commands, sub.name.replace("|", "_").replace("-", "_"), None)
            )
            assert handled or (in_core and command.name not in ("client", "config")), sub.name
            if command.name in ("quit", "reset"):
                solo.replica.close_client(1)
                solo.open(1)


def test_help_lists_the_subcommands(solo: Solo) -> None:
    for command in COMMANDS.values():
        if command.subcommands:
            reply = solo.ask(f"{command.name} HELP").decode()
            for sub in command.subcommands:
                assert f"+{sub.name.partition('|')[2].upper()}\r\n" in reply


def test_counters(solo: Solo) -> None:
    solo.ask("CONFIG RESETSTAT")
    solo.ask("SET a 1")
    solo.ask("CLIENT DANCE")
    text = solo.ask("INFO stats").decode()
    assert "total_error_replies:1\r\n" in text
    assert "total_connections_received:0\r\n" in text
    assert int(text.partition("total_commands_processed:")[2].split()[0]) >= 3


STATUS: Status = {
    "role": "replica",
    "serving": False,
    "master": 0,
    "last_master": 0,
    "sequence_number": 7,
    "epoch": 2,
    "instance_committed": 5,
    "instance_applied": 4,
    "lease_us_left": 0,
    "voting": True,
    "heard": [],
    "followers": {},
    "linked": [1, 2, 3],
    "keys": 3,
    "keys_expiring": 1,
    "state_sum": 99,
    "operations": 5,
    "reads": 6,
    "clients": 1,
    "log_position": 4096,
    "disk_full": False,
    "time_ms": WALL_MS,
    "promised": 7,
    "elections": 1,
    "clock_refused_ms": 0,
    "disk_stalled_ms": 0,
}


COUNTS: Counts = {
    "requests": 9,
    "requests_per_s": 4,
    "calls": {"get": 5, "": 1, "client": 3},
    "errors": {"ERR": 2},
    "hits": 3,
    "misses": 2,
    "expired": 1,
    "bytes_in": 100,
    "bytes_out": 200,
}


def status_of(**changes: Any) -> Status:
    return {**STATUS, **changes}  # type: ignore[typeddict-item]


def info_fields(status: Status, replicas: int, *sections: str) -> dict[str, str]:
    cell = cell_of(replicas)
    text = info_text(View(status, COUNTS, cell, cell.replicas[0], Counters()), list(sections))
    lines = [line for line in text.split("\r\n") if line and not line.startswith("#")]
    fields = dict(line.split(":", 1) for line in lines)
    assert len(fields) == len(lines), "each field once: clients put all sections into one mapping"
    return fields


def test_info_of_the_master() -> None:
    followers = {2: (3, 9_900_000), 3: (5, 1_400_000)}
    status = status_of(
        role="master", serving=True, master=1, heard=[1, 3], lease_us_left=400_900, followers=followers,
    )  # fmt: skip
    fields = info_fields(status, 3)
    assert fields["role"] == "master"
    assert fields["master"] == "r1"
    assert fields["heard"] == "r1,r3"
    assert (fields["failures_tolerated"], fields["failures_configured"]) == ("0", "1")
    assert (fields["lease_held"], fields["lease_ms_left"]) == ("1", "400")
    assert fields["slave0"] == "ip=127.0.0.1,port=7003,state=online,offset=4,lag=1"
    assert fields["connected_slaves"] == "1" and "slave1" not in fields, "who is silent for a lease is left out"
    assert fields["db0"] == "keys=3,expires=1,avg_ttl=0"
    assert (fields["keyspace_hits"], fields["instantaneous_ops_per_sec"]) == ("3", "4")
    assert fields["errorstat_ERR"] == "count=2"
    assert info_fields(status, 3, "commandstats") == {
        f"cmdstat_{name}": f"calls={n},usec=0,usec_per_call=0.00" for name, n in (("client", 3), ("get", 5))
    }


def test_info_of_another_replica() -> None:
    fields = info_fields(status_of(master=3), 3)
    assert fields["role"] == "slave"
    assert (fields["master"], fields["master_port"], fields["master_link_status"]) == (
        "r3", "7003", "up",
    )  # fmt: skip
    assert fields["failures_tolerated"] == fields["heard"] == "unknown"
    assert info_fields(STATUS, 3)["master_link_status"] == "down"


def test_info_sections() -> None:
    assert info_fields(STATUS, 1, "cluster") == {"cluster_enabled": "1"}
    assert info_fields(STATUS, 1, "nonsense") == {}
    assert info_fields(STATUS, 1, "cluster", "everything").keys() - {"cmdstat_client", "cmdstat_get"} == info_fields(
        STATUS, 1
    ).keys()
    assert info_fields(status_of(keys=0), 1, "keyspace") == {}


@pytest.mark.parametrize(
    ("replicas", "heard", "tolerated"), [(1, 1, 0), (3, 3, 1), (3, 2, 0), (5, 5, 2), (5, 3, 0)]
)
def test_failures_tolerated(replicas: int, heard: int, tolerated: int) -> None:
    status = status_of(role="master", serving=True, heard=list(range(1, heard + 1)))
    assert failures_tolerated(status, cell_of(replicas)) == tolerated
    assert failures_tolerated(STATUS, cell_of(replicas)) is None


def test_the_cluster_of_one_shard() -> None:
    cell = cell_of(3)
    cluster = Cluster(cell, cell.replicas[0])
    ids = [cluster.node_id(replica) for replica in cell.replicas]
    assert len(set(ids)) == 3
    (slots,) = cluster.slots(status_of(master=2))
    assert slots[:2] == [0, 16383]
    assert [node[:3] for node in slots[2:]] == [
        ["127.0.0.1", 7002, ids[1]],
        ["127.0.0.1", 7001, ids[0]],
        ["127.0.0.1", 7003, ids[2]],
    ]
    assert cluster.slots(status_of(last_master=2))[0][2][1] == 7002, "the last known master, while there is none"
    lines = cluster.nodes(status_of(master=2)).splitlines()
    assert lines[0] == f"{ids[0]} 127.0.0.1:7001@8001 myself,slave {ids[1]} 0 0 2 connected"
    assert lines[1] == f"{ids[1]} 127.0.0.1:7002@8002 master - 0 0 2 connected 0-16383"
    (shard,) = cluster.shards(status_of(master=3))
    assert [node["role"] for node in shard["nodes"]] == ["master", "replica", "replica"]
    assert "cluster_state:ok\r\n" in cluster.info(status_of(master=3))
    assert "cluster_state:fail\r\n" in cluster.info(STATUS)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        (b"{user}.name", b"user"),
        (b"a{user}b{c}", b"user"),
        (b"{}user", b"{}user"),
        (b"{user", b"{user"),
        (b"}{user}", b"user"),
    ],
)
def test_hash_tags(key: bytes, same: bytes) -> None:
    plain = {b"user": 5474, b"{}user": 12192, b"{user": 9243}
    assert key_slot(key) == plain[same]


def test_replies_in_both_protocols() -> None:
    value = {"a": None, "b": [1, True, b"x", Simple("y")], "c": frozenset({"z"})}
    assert encode(value, 3) == (
        b"%3\r\n$1\r\na\r\n_\r\n$1\r\nb\r\n*4\r\n:1\r\n#t\r\n$1\r\nx\r\n+y\r\n"
        b"$1\r\nc\r\n~1\r\n$1\r\nz\r\n"
    )
    assert encode(value, 2) == (
        b"*6\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n*4\r\n:1\r\n:1\r\n$1\r\nx\r\n+y\r\n"
        b"$1\r\nc\r\n*1\r\n$1\r\nz\r\n"
    )
    assert encode(Verbatim("tü"), 3) == b"=7\r\ntxt:t\xc3\xbc\r\n"
    assert encode(Verbatim("tü"), 2) == b"$3\r\nt\xc3\xbc\r\n"
    assert encode_error("ERR a\nb") == b"-ERR a b\r\n"
    with pytest.raises(TypeError):
        encode(1.5, 3)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"9223372036854775807", (1 << 63) - 1),
        (b"9223372036854775808", None),
        (b"-9223372036854775808", -(1 << 63)),
        (b"+1", None),
        (b"01", None),
        (b"-0", None),
        (b" 1", None),
        (b"", None),
        (b"1\n", None),
    ],
)
def test_integers_as_redis_reads_them(text: bytes, number: int | None) -> None:
    assert parse_integer(text) == number


class Steps:
    """Counts the steps of Python's machine while it is entered: what a handler costs, on any computer."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Steps":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace


NAMES = [b"client|list"] * (CALL_ARGUMENTS_MAX - 2)
HOSTILE = {
    "stars": [b"CONFIG", b"GET", b"*" * 30 + b"x"],
    "stars between": [b"CONFIG", b"GET", b"*a" * 30 + b"x"],
    "almost a name": [b"CONFIG", b"GET", *[b"*e*e*e*o*y*x"] * (CALL_ARGUMENTS_MAX - 2)],
    "as many as may be": [b"CONFIG", b"GET", *[b"*y*y*y*y"] * PATTERNS_MAX],
    "a long pattern": [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"*?" * 50_000],
    "a long class": [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"[" + b"a-z" * 80 + b"]*"],
    "halves": [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"*" + b"[a-z]" * 5 + b"*" + b"[a-z]" * 5 + b"9"],
    "many names": [b"COMMAND", b"INFO", *NAMES],
    "too many names": [b"COMMAND", b"INFO", *[b"get"] * 20_000],
    "all names": [b"COMMAND"],
    "docs": [b"COMMAND", b"DOCS"],
    "docs of many": [b"COMMAND", b"DOCS", *NAMES],
    "keys of many": [b"COMMAND", b"GETKEYS", b"MGET", *NAMES[1:]],
    "a long name": [b"CLIENT", b"SETNAME", b"x" * (8 << 20)],
    "a name as long as may be": [b"CLIENT", b"SETNAME", b"x" * CALL_BYTES_MAX],
    "a long library": [b"CLIENT", b"SETINFO", b"lib-name", b"x" * 60_000],
    "a long number": [b"SELECT", b"9" * 60_000],
    "clients": [b"CLIENT", b"LIST"],
    "clients by number": [b"CLIENT", b"LIST", b"ID", *[b"%d" % i for i in range(1, CALL_ARGUMENTS_MAX - 2)]],
    "options": [b"HELLO", b"3", *[b"SETNAME", b"x"] * 120],
    "sections": [b"INFO", *[b"nothing"] * (CALL_ARGUMENTS_MAX - 1)],
    "settings": [b"CONFIG", b"SET", *[b"appendonly", b"yes"] * 120],
    "a long key": [b"CLUSTER", b"KEYSLOT", b"x" * 60_000],
    "a long subcommand": [b"CLIENT", b"x" * 60_000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_request_holds_the_loop(solo: Solo, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for conn in range(2, CLIENTS_LISTED_MAX + 1):
        solo.open(conn)
    steps, handle = Steps(), solo.commands.handle

    def counted(conn: int, args: list[bytes]) -> tuple[bytes, bool]:
        with steps:
            return handle(conn, args)

    monkeypatch.setattr(solo.commands, "handle", counted)
    reply = solo.send(request(*HOSTILE[name]))
    assert reply
    assert steps.count < STEPS_MAX, reply[:100]


TOO_MUCH = b"-ERR this command takes at most %d arguments of %d bytes in all" % (CALL_ARGUMENTS_MAX, CALL_BYTES_MAX)


@pytest.mark.parametrize(
    ("args", "reply"),
    [
        ([b"COMMAND", b"INFO", *[b"get"] * 255], TOO_MUCH),
        ([b"FPL.X", b"x" * 65536], TOO_MUCH),
        ([b"CONFIG", b"GET", *[b"*"] * 17], b"-ERR at most 16 patterns in a request"),
        ([b"CONFIG", b"GET", b"*" * 257], b"-ERR a pattern has at most 256 bytes"),
        ([b"CLIENT", b"SETNAME", b"x" * 129], b"-ERR Client names have at most 128 bytes"),
        ([b"CLIENT", b"SETINFO", b"lib-ver", b"x" * 129], b"-ERR lib-ver has at most 128 bytes"),
    ],
)
def test_a_refusal_names_its_limit(solo: Solo, args: list[bytes], reply: bytes) -> None:
    assert solo.send(request(*args)) == reply + b"\r\n"


def test_more_clients_than_can_be_listed(solo: Solo) -> None:
    for conn in range(2, CLIENTS_LISTED_MAX + 2):
        solo.open(conn)
    assert b"-ERR more than 3500 clients" in solo.ask("CLIENT LIST")
    assert solo.ask("CLIENT LIST ID 5 5 4").count(b"\nid=") == 3
    solo.commands.on_close(2)
    assert solo.ask("CLIENT LIST").startswith(b"$")


def test_a_mistake_in_a_handler_is_one_clients_error(solo: Solo, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(solo.commands.cluster, "nodes", full)
    with capture_logs() as logs:
        assert solo.ask("CLUSTER NODES") == b"-ERR internal error\r\n"
    assert [(line["event"], line["command"], line["exc_info"]) for line in logs] == [
        ("a request failed", "cluster|nodes", True)
    ]
    assert solo.ask("CLUSTER MYID").startswith(b"$40\r\n")


def test_a_path_that_is_not_unicode(solo: Solo) -> None:
    path = Path(os.fsdecode(b"/cells/\xff/cell.toml"))
    solo.commands.cell = replace(solo.cell, path=path)
    for hello in ("HELLO 2", "HELLO 3"):
        solo.ask(hello)
        assert b"config_file:/cells/\xff/cell.toml\r\n" in solo.ask("INFO server")


def test_memory_is_told_without_a_descriptor_left(solo: Solo) -> None:
    used = [os.dup(0)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 1, limits[1]))
    try:
        while True:
            try:
                used.append(os.dup(0))
            except OSError:
                break
        assert b"used_memory_rss:" in solo.ask("INFO memory")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in used:
            os.close(file)
