"""What a cell says beside what a redis-server says. `python -m tests.differential.manners --help`

The differences that are meant are in a table of docs/commands.md; any other is a failure.
"""

import argparse
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from tests.differential.manners_requests import CONNECTS, OF_7_2, SAMPLES, Manners, names, pieces
from tests.differential.resp_requests import request
from tests.differential.served import Served
from tests.differential.witness import Line, Map, Reader, Redis, printable, redis_server, shown, split

from fastpaxos_live.server.command_table import COMMANDS
from fastpaxos_live.testing import HOST, WAIT_S, Cell

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = "| request | at | here | redis-server 7.0 | why |"
END = b"the end of these requests"
ONE_WORD = (b"HELLO", b"INFO", b"ROLE")  # what follows these is no subcommand
REQUESTS_EACH = 25  # in a conversation
NEAR = 300_000  # ms, or a little of it in s, between what two clocks say
MASKED = {"server", "version", "id", "mode", "role", "modules"}
KNOWN = (set(names()) | COMMANDS.keys()) - OF_7_2  # to both
OURS = (b"# Cell", b"# Replica")  # sections of INFO


class Rule(NamedTuple):
    """A row of the table: patterns in which * is anything."""

    request: str
    at: str  # "any", "follower" or "cluster"
    here: str
    there: str

    def fits(self, at: set[str], texts: tuple[str, str, str]) -> bool:
        patterns = (self.request, self.here, self.there)
        return self.at in at and all(matches(p, text) for p, text in zip(patterns, texts, strict=True))


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.IGNORECASE | re.DOTALL) is not None


def rules() -> list[Rule]:
    """The table of docs/commands.md."""
    lines = iter(DOCS.read_text().splitlines())
    assert HEAD in lines, f"{DOCS} has no table that begins with {HEAD}"
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == 5 and all(cells), line
        found.append(Rule(*(cell.replace("\\|", "|") for cell in cells[:4])))
    return found


class Witnesses(NamedTuple):
    """Ports of a redis-server alone and of one that is a cluster of its own."""

    plain: int
    cluster: int


@contextmanager
def witnesses() -> Iterator[Witnesses]:
    with TemporaryDirectory() as folder:
        other = Path(folder) / "cluster"
        other.mkdir()
        with (
            redis_server(Path(folder), "--databases", "1") as plain,
            redis_server(other, "--databases", "1", "--cluster-enabled", "yes") as cluster,
        ):
            redis = Redis(cluster)
            assert redis.ask(b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"16383") == b"+OK\r\n"
            while b"cluster_state:ok" not in redis.ask(b"CLUSTER", b"INFO"):
                time.sleep(0.02)
            redis.close()
            yield Witnesses(plain, cluster)


class Difference(NamedTuple):
    request: str
    here: str
    there: str

    def __str__(self) -> str:
        return f"  {self.request[:300]}\n    here   {self.here[:300]}\n    Redis  {self.there[:300]}"


def differ(args: list[bytes], here: bytes, there: bytes) -> Difference | None:
    """None when both say the same, as far as two servers can."""
    if here == there:
        return None
    ours, theirs = (essence(args, Reader(reply).next()) for reply in (here, there))
    if ours == theirs and here[:1] == there[:1]:
        return None
    if is_time(args) and is_near(ours, theirs):
        return None
    text = " ".join(map(printable, args))
    return Difference(text if is_ours(args) else f"(not in COMMAND) {text}", shown(ours), shown(theirs))


def is_ours(args: list[bytes]) -> bool:
    """Is this a command or subcommand of this product?"""
    words = [printable(arg).lower() for arg in args[:2]]
    command = COMMANDS.get(words[0])
    if command is None or not command.subcommands or not words[1:]:
        return command is not None
    return f"{words[0]}|{words[1]}" in {sub.name for sub in command.subcommands}


def is_time(args: list[bytes]) -> bool:
    return args[0].upper() in (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME")


def is_near(ours: object, theirs: object) -> bool:
    if not (isinstance(ours, Line) and isinstance(theirs, Line)):
        return False
    if ours.text[:1] != b":" or theirs.text[:1] != b":":
        return False
    x, y = int(ours.text[1:]), int(theirs.text[1:])
    return x == y if min(x, y) < 0 else abs(x - y) <= NEAR


def essence(args: list[bytes], reply: object) -> object:
    """A reply without what no two servers have in common."""
    if isinstance(reply, Line) and reply.text[:1] == b"-":
        return reply
    name = b"|".join(arg.lower() for arg in args[:2])
    extract = ESSENCES.get(name) or ESSENCES.get(args[0].lower() if args[0].upper() in ONE_WORD else b"")
    return extract(reply) if extract else reply


def entries(reply: Any) -> list[tuple[Any, Any]]:
    """The pairs of a map, which is an array in RESP2."""
    items = reply.items if isinstance(reply, Map) else list(reply)
    return list(zip(items[::2], items[1::2], strict=True))


def listed(reply: Any) -> list[Any]:
    """Entries of COMMAND INFO, in any order; of commands that this product lacks there are none."""
    return sorted((described(entry) for entry in reply if entry and entry[0].decode() in KNOWN), key=str)


def described(entry: Any) -> object:
    """Of an entry of COMMAND INFO all but the notes on its keys."""
    keys = [
        [(k, sorted(flag.text for flag in v) if k == b"flags" else v) for k, v in entries(spec) if k != b"notes"]
        for spec in entry[8]
    ]
    flags, categories = (sorted(item.text for item in entry[i]) for i in (2, 6))
    return [entry[0], entry[1], flags, *entry[3:6], categories, sorted(entry[7]), keys, listed(entry[9]), shape(entry)]


def fields(reply: Any) -> list[bytes]:
    """The names in a line of CLIENT LIST; of Redis 7.2 it has more."""
    first = reply.partition(b"\n")[0].split(b" ")
    return [field.partition(b"=")[0] for field in first if not field.startswith(b"lib-")]


def shape(node: Any) -> object:
    """Of what kind the parts are."""
    return [type(part).__name__ for part in node]


ESSENCES: dict[bytes, Callable[[Any], object]] = {
    b"client|id": lambda reply: reply.text[:1],
    b"client|info": fields,
    b"client|list": lambda reply: fields(reply) if reply else [],
    b"cluster|info": lambda reply: [line.partition(b":")[0] for line in reply.split(b"\r\n")],
    b"cluster|myid": len,
    b"cluster|nodes": lambda reply: {len(line.split(b" ")) for line in reply.splitlines() if b"master" in line},
    b"cluster|shards": lambda reply: [[key for key, _ in entries(shard)] for shard in reply]
    + [key for key, _ in entries(entries(reply[0])[1][1][0])],
    b"cluster|slots": lambda reply: [reply[0][:2], shape(reply[0][2])],
    b"command": listed,
    b"command|info": listed,
    b"command|list": lambda reply: sorted(name for name in reply if name.decode() in KNOWN),
    b"command|docs": lambda reply: sorted(
        (k, [(name, value) for name, value in entries(v) if name in (b"since", b"group")])
        for k, v in entries(reply) if k and k.decode() in KNOWN
    ),
    b"config|get": lambda reply: sorted(key for key, _ in entries(reply)),
    b"hello": lambda reply: [(k, None if k.decode() in MASKED else v) for k, v in entries(reply)],
    b"role": lambda reply: reply[0],
    b"info": lambda reply: [
        line for line in reply.split(b"\r\n") if line[:1] == b"#" and line not in (*OURS, b"# Latencystats")
    ],
}


class Target(Protocol):
    """A cell that is asked."""

    def talk(self, follower: bool, data: list[bytes], random: Random) -> bytes:
        """A new connection is fed these pieces: what it is told, up to the reply to the last request or its end."""


class InProcess:
    """A cell in this process."""

    def __init__(self, core: str) -> None:
        self.served = Served(core)

    def talk(self, follower: bool, data: list[bytes], random: Random) -> bytes:
        served = self.served
        id = served.serving if not follower else served.serving % len(served.ids) + 1
        conn = served.open(id)
        for piece in data:
            served.feed(id, conn, piece)
            if random.random() < 0.01:
                served.answer(id)
                served.step()
        replies = served.replies(id, conn, END + b"\r\n")
        served.close(id, conn)
        return replies


class OverSockets:
    """A cell of processes."""

    def __init__(self, cell: Cell) -> None:
        master = cell.master()
        self._ports = {False: cell.ports[master], True: next(port for i, port in cell.ports.items() if i != master)}

    def talk(self, follower: bool, data: list[bytes], random: Random) -> bytes:
        found = bytearray()
        with socket.create_connection((HOST, self._ports[follower]), WAIT_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in data:
                sock.sendall(piece)
            while not found.endswith(END + b"\r\n") and (more := sock.recv(1 << 16)):
                found += more
        return bytes(found)


class Comparison:
    """Conversations with a cell and a witness, until there were enough requests."""

    def __init__(self, target: Target, seed: int, ports: Witnesses) -> None:
        self.target = target
        self.random = Random(seed)
        self.ports = ports
        self.rules = rules()
        self.used: Counter[Rule] = Counter()
        self.asked = 0
        self.undocumented: list[Difference] = []
        for port in ports:
            redis = Redis(port)
            assert redis.ask(b"FLUSHALL") == b"+OK\r\n"
            redis.close()

    def run_samples(self) -> None:
        """What shows each row of the table."""
        for cluster, follower, args in SAMPLES:
            self.converse([[b"HELLO", b"2"], args], cluster, follower)
        for talk in CONNECTS:
            for follower in (False, True):
                self.converse([line.split(b" ") for line in talk], True, follower)

    def run(self, requests: int) -> None:
        while self.asked < requests:
            cluster = self.random.random() < 0.1
            follower = self.random.random() < 0.5
            manners = Manners(self.random, int(time.time() * 1000), cluster)
            resp = self.random.choice([2, 3])
            talk = [[b"HELLO", b"%d" % resp]] + [manners.args() for _ in range(REQUESTS_EACH)]
            if self.random.random() < 0.1:
                talk = [*talk[:5], [b"quit"]]  # what is behind it isn't answered
            self.converse(talk, cluster, follower)

    def converse(self, talk: list[list[bytes]], cluster: bool, follower: bool) -> None:
        """Both are sent these requests in one pipeline; an ECHO marks the end."""
        here, there = self.ask(talk, follower, cluster)
        at = {"any", "follower" if follower else "master"} | ({"cluster"} if cluster else set())
        for args, ours, theirs in zip(talk, here, there, strict=False):
            if (difference := differ(args, ours, theirs)) is not None:
                self._judge(at, difference)
        if len(here) != len(there):
            self._judge(at, Difference(f"{len(talk)} requests", f"{len(here)} replies", f"{len(there)} replies"))

    def ask(
        self, talk: list[list[bytes]], follower: bool, cluster: bool = False
    ) -> tuple[list[bytes], list[bytes]]:
        """What the cell and the witness reply."""
        data = b"".join(request(*args) for args in [*talk, [b"ECHO", END]])
        there = self._ask_redis(data, cluster)
        self.asked += len(talk)
        return self._ask_cell(data, follower), there

    def _judge(self, at: set[str], difference: Difference) -> None:
        for rule in self.rules:
            if rule.fits(at, difference):
                self.used[rule] += 1
                return
        self.undocumented.append(difference)

    def _ask_redis(self, data: bytes, cluster: bool) -> list[bytes]:
        redis = Redis(self.ports.cluster if cluster else self.ports.plain)
        redis.send(data)
        found = []
        while (reply := redis.reply()) and END not in reply:
            found.append(reply)
        redis.close()
        return found

    def _ask_cell(self, data: bytes, follower: bool) -> list[bytes]:
        found = split(self.target.talk(follower, pieces(self.random, data), self.random))
        return found[:-1] if found and END in found[-1] else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--core", choices=["cython", "python"], default="cython")
    parser.add_argument("--shown", type=int, default=40, help="differences that are printed, each kind once")
    options = parser.parse_args()
    with witnesses() as ports:
        comparison = Comparison(InProcess(options.core), options.seed, ports)
        comparison.run_samples()
        comparison.run(options.requests)
    kinds: dict[str, Difference] = {}
    for difference in comparison.undocumented:
        kinds.setdefault(f"{' '.join(difference.request.split()[:2])} {difference.here[:20]}".lower(), difference)
    for difference in list(kinds.values())[: options.shown]:
        print(difference)
    print(
        f"seed {options.seed}: {comparison.asked} requests, {sum(comparison.used.values())} documented differences, "
        f"{len(comparison.undocumented)} others"
    )
    return 1 if comparison.undocumented else 0


if __name__ == "__main__":
    sys.exit(main())
