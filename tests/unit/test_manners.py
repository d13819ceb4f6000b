"""What clients are told at each replica of a cell: READONLY, replicas that hang, counters, idle clients, hints."""

import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.cells import DEFAULTS, request
from tests.differential.served import Served

from fastpaxos_live.reference.resp_fast import ABSENT, unknown
from fastpaxos_live.server.hints import DATABASES, HINTED_MAX, HINTS, Hints, hint_of

ROOT = Path(__file__).parents[2]
LEASE_MS = DEFAULTS["lease_us"] // 1000


class Client:
    """A connection to one replica of a cell."""

    def __init__(self, served: Served, id: int) -> None:
        self.served, self.id, self.conn = served, id, served.open(id)

    def ask(self, line: str) -> str:
        """The reply to one request whose arguments have no spaces."""
        self.served.feed(self.id, self.conn, request(*line.encode().split(b" ")))
        return self.served.replies(self.id, self.conn, b"\r\n").decode()

    def fields(self, line: str) -> dict[str, str]:
        return dict(re.findall(r"^(\w+):(.*)\r$", self.ask(line), re.M))


@pytest.fixture(params=["cython", "python"])
def served(request: pytest.FixtureRequest) -> Served:
    return Served(request.param)


def follower(served: Served) -> int:
    return served.serving % 3 + 1


def test_readonly_reads_are_answered_at_any_replica(served: Served) -> None:
    client = Client(served, follower(served))
    assert client.ask("SET a 1") == "+OK\r\n"
    assert client.ask("READONLY") == "+OK\r\n"
    assert client.ask("GET a") == "$1\r\n1\r\n"
    assert client.ask("SET a 2").startswith("-MOVED 15495 ")
    assert client.ask("GETDEL a").startswith("-MOVED 15495 ")
    assert client.ask("MGET a b") == "*2\r\n$1\r\n1\r\n$-1\r\n"
    assert " flags=r " in client.ask("CLIENT INFO")
    other = Client(served, served.serving)
    assert other.ask("SET a 3") == "+OK\r\n"
    assert client.ask("GET a") == "$1\r\n3\r\n", "as fresh as any read"
    assert client.ask("CLUSTER KEYSLOT a") == ":15495\r\n"
    assert client.ask("GET a") == "$1\r\n3\r\n"
    assert client.ask("READWRITE") == "+OK\r\n"
    assert client.ask("GET a").startswith("-MOVED 15495 ")
    assert client.ask("READONLY") == "+OK\r\n"
    assert client.ask("RESET") == "+RESET\r\n"
    assert client.ask("SET a 4") == "+OK\r\n", "forwarded, as for a client that knows nothing of clusters"


def test_a_pipeline_of_reads_and_writes_after_readonly(served: Served) -> None:
    client = Client(served, follower(served))
    assert client.ask("SET a 1") == "+OK\r\n"
    lines = ["READONLY", "GET a", "SET a 2", "GET a", "STRLEN a", "DEL a", "ECHO end"]
    served.feed(client.id, client.conn, b"".join(request(*line.encode().split()) for line in lines))
    replies = served.replies(client.id, client.conn, b"end\r\n").decode()
    moved = r"-MOVED 15495 127\.0\.0\.1:1\r\n"
    value = r"\$1\r\n1\r\n"
    assert re.fullmatch(rf"\+OK\r\n{value}{moved}{value}:1\r\n{moved}\$3\r\nend\r\n", replies), replies


def test_a_replica_that_hangs_is_told_within_two_leases(served: Served) -> None:
    master = Client(served, served.serving)
    hangs = follower(served)
    other = next(id for id in served.ids if id not in (hangs, served.serving))
    address = f"127.0.0.1:{7000 + hangs}@"
    client = Client(served, other)
    assert "fail" not in master.ask("CLUSTER NODES")
    assert master.fields("INFO replication")["connected_slaves"] == "2"
    served.down.add(hangs)
    served.run(2 * LEASE_MS)
    (line,) = (line for line in master.ask("CLUSTER NODES").splitlines() if address in line)
    assert " slave,fail " in line and line.endswith(" disconnected")
    assert master.ask("CLUSTER SHARDS").count("\r\nfail\r\n") == 1
    assert f":{7000 + hangs}\r\n" not in master.ask("CLUSTER SLOTS")
    fields = master.fields("INFO replication")
    assert fields["connected_slaves"] == "1"
    assert f"port={7000 + other}," in fields["slave0"]
    assert str(7000 + hangs) not in master.ask("ROLE")
    assert "fail" not in client.ask("CLUSTER NODES"), "the third replica can't know"
    served.replicas[other].close_peer(hangs, 0)
    assert "fail" in client.ask("CLUSTER NODES"), "but when the connection is gone it does"


def test_a_master_that_hangs_is_told_by_the_others(served: Served) -> None:
    others = [id for id in served.ids if id != served.serving]
    client = Client(served, others[0])
    assert client.fields("INFO replication")["master_link_status"] == "up"
    served.down |= {served.serving, others[1]}  # or another master would be elected
    served.run(2 * LEASE_MS)
    line = next(line for line in client.ask("CLUSTER NODES").splitlines() if "0-16383" in line)
    assert " master,fail " in line
    assert client.fields("INFO replication")["master_link_status"] == "down"
    assert f":{7000 + served.serving}\r\n" in client.ask("CLUSTER SLOTS"), "the slots have to be someone's"


def test_busy_clients_are_listed_as_such(served: Served) -> None:
    watcher, client = Client(served, served.serving), Client(served, served.serving)
    assert watcher.ask("CLIENT ID") == ":1\r\n"
    served.run(2500)
    client.ask("GET a")
    lines = [dict(re.findall(r"([\w-]+)=(\S*)", line)) for line in watcher.ask("CLIENT LIST").splitlines()[1:] if line]
    assert [(row["idle"], row["cmd"]) for row in lines] == [("0", "client|list"), ("0", "get")]
    served.run(2500)
    assert "idle=2 " in watcher.ask("CLIENT LIST ID 2")
    client.ask("NOSUCH")
    assert " cmd=NULL " in watcher.ask("CLIENT LIST ID 2")


def test_requests_and_errors_of_the_core_are_counted(served: Served) -> None:
    client, other = Client(served, served.serving), Client(served, follower(served))
    client.ask("CONFIG RESETSTAT")
    for line in ("SET a x", "SET e 1", "APPEND e 2", "GET a", "GET none", "MGET a none a", "EXISTS a a none", "INCR a"):
        client.ask(line)
    for line in ("TTL a", "TTL none", "TYPE a", "STRLEN none", "GETEX a", "GETDEL none", "SET a x GET", "SET a", "NO"):
        client.ask(line)
    assert other.ask("INCR a").startswith("-ERR value")
    stats = client.fields("INFO stats errorstats commandstats")
    # The first CONFIG RESETSTAT was counted before it had effect; INFO itself is.
    assert stats["total_commands_processed"] == "18"
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == ("9", "6")
    assert stats["total_error_replies"] == "4", "of the forwarded one as well"
    assert stats["errorstat_ERR"] == "count=4"
    assert stats["cmdstat_get"].startswith("calls=2,")
    assert stats["cmdstat_info"].startswith("calls=1,")
    assert int(stats["total_net_input_bytes"]) > 400
    assert int(stats["total_net_output_bytes"]) > 100
    follows = other.fields("INFO stats commandstats")
    assert follows["cmdstat_incr"].startswith("calls=1,")
    assert follows["total_error_replies"] == "0"


def test_expired_keys_and_the_rate_of_requests_are_counted(served: Served) -> None:
    client = Client(served, served.serving)
    client.ask("SET a 1 PX 20")
    client.ask("SET b 1")
    served.run(300)
    for _ in range(40):
        client.ask("GET a")
    served.run(1200)
    client.ask("GET b")
    stats = client.fields("INFO stats")
    assert stats["expired_keys"] == "1"
    assert 20 <= int(stats["instantaneous_ops_per_sec"]) <= 45 or stats["instantaneous_ops_per_sec"] == "0"
    for n in range(8):
        served.run(200)
        client.ask(f"SET c{n} 1")
    assert 3 <= int(client.fields("INFO stats")["instantaneous_ops_per_sec"]) <= 10


def test_idle_clients_are_disconnected(served: Served) -> None:
    idle, busy = Client(served, follower(served)), Client(served, follower(served))
    idle.ask("SET a 1")
    assert busy.ask("CONFIG SET timeout 5") == "+OK\r\n"
    assert busy.ask("CONFIG GET timeout").endswith("$1\r\n5\r\n")
    for _ in range(4):
        served.run(1200)
        busy.ask("GET a")
    assert not served.replicas[idle.id].is_closing(idle.conn)
    for _ in range(2):
        served.run(1000)
        busy.ask("GET a")
    assert served.replicas[idle.id].is_closing(idle.conn)
    assert idle.conn in served.replicas[idle.id].drain_clients()
    assert busy.ask("CONFIG SET timeout 0") == "+OK\r\n"
    served.run(8000)
    assert not served.replicas[busy.id].is_closing(busy.conn)


def test_a_client_that_waits_for_a_reply_is_not_idle(served: Served) -> None:
    client = Client(served, served.serving)
    client.ask("CONFIG SET timeout 1")
    for id in served.ids:
        if id != served.serving:
            served.down.add(id)
    served.feed(client.id, client.conn, request(b"SET", b"a", b"1"))
    served.run(4000)
    assert not served.replicas[client.id].is_closing(client.conn)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("CONFIG SET timeout 70 TIMEOUT 70", "argument 'TIMEOUT') - duplicate parameter"),
        ("CONFIG SET save  save ", "argument 'save') - duplicate parameter"),
        ("CONFIG SET daemonize yes", "argument 'daemonize') - can't set immutable config"),
        ("CONFIG SET timeout -1", "argument 'timeout') - argument must be between 0 and 2147483647 inclusive"),
        ("CONFIG SET timeout 70 nosuch 1", "Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        ("SELECT 4294967296", "ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("CLIENT SETINFO LIB-NAME a\tb", "ERR LIB-NAME cannot contain spaces, newlines or special characters."),
    ],
)
def test_texts_of_refusals(line: str, reply: str) -> None:
    client = Client(Served("cython"), 1)
    assert reply in client.ask(line)
    assert client.ask("CONFIG GET timeout").endswith("$1\r\n0\r\n"), "all of a CONFIG SET, or nothing"


# --- what isn't here


def test_the_names_are_the_same_everywhere() -> None:
    assert {name for names in HINTS for name in names.split()} == {name.decode() for name in ABSENT}
    text = (ROOT / "src/fastpaxos_live/core/resp_fast.pyx").read_text()
    block = text.partition("RESP_ABSENT[] =\n")[2].partition(";")[0]
    assert set("".join(re.findall(r'"(.*)"', block)).split()) == {name.decode() for name in ABSENT}


def test_what_is_said_is_documented() -> None:
    table = (ROOT / "docs/commands.md").read_text()
    assert f"| {DATABASES} |" in table
    for names, text in HINTS.items():
        assert f"| {names.replace(' ', ', ')} | {text} |" in table


def test_a_hint_is_logged_once_for_a_host_and_the_reply_stays(served: Served) -> None:
    clients = [Client(served, served.serving) for _ in range(2)]
    with capture_logs() as logs:
        for client in clients:
            for line in ("LPUSH a b", "rpush a", "SELECT 1", "NOSUCH a", "GET a"):
                reply = client.ask(line)
                if "PUSH" in line.upper():
                    assert reply == f"-{unknown(line.encode().split()).decode()}\r\n"
    assert [(entry["command"], entry["hint"]) for entry in logs] == [
        ("LPUSH", hint_of("lpush")),
        ("SELECT 1", DATABASES),
    ]


def test_hints_have_an_end() -> None:
    hints = Hints()
    with capture_logs() as logs:
        for n in range(HINTED_MAX + 10):
            hints.tell(f"10.0.{n // 256}.{n % 256}:1", "SCAN", "a sentence")
    assert len(logs) == HINTED_MAX
