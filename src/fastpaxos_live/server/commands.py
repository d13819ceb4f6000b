"""The commands that Python answers: connections, introspection, the cluster's face.

The core answers all others itself. `COMMANDS` (command_table.py) says which commands there are; a
handler here is a method named after the command, or after "container_subcommand".

A request comes with at most CALL_ARGUMENTS_MAX arguments, CALL_BYTES_MAX bytes of them. No handler may hold the event
loop for long with that: replies that are costly to make are made once, and lists have an end.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

import structlog

from .._api import Replica
from ..reference.resp_fast import unknown
from .arguments import c_text, matcher, option, parse_integer, parse_name, text
from .cluster import Cluster, key_slot, shard_id
from .command_table import CATEGORIES, COMMANDS, KEY_FLAGS, TIPS, Command
from .config import CellConfig
from .hints import DATABASES, Hints, hint_of
from .info import VERSION_OF_REDIS, Counters, View, info_text, statm
from .reply import OK, CommandError, Encoded, Members, Simple, Verbatim, encode, encode_error
from .settings import Settings

log = structlog.get_logger()

NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
BAD_INTEGER = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
CLIENTS_LISTED_MAX = 3_500  # in one reply
PATTERNS_MAX = 16  # in one request
GLOB_BYTES = frozenset(b"*?[")  # what makes a name of CONFIG GET a pattern


@dataclass(slots=True)
class Client:
    """What is known of a connection beside its bytes."""

    conn: int  # the driver's id, reused after it closes
    id: int  # never reused while this process runs
    address: str
    local: str  # where it is connected to
    since: float = field(default_factory=time.monotonic)
    last: str = ""  # the last command that Python answered
    name: str = ""
    lib_name: str = ""
    lib_version: str = ""
    resp: int = 2
    redirect: bool = False
    readonly: bool = False
    container: str = ""  # of `last`, if it is a subcommand
    head: str = ""  # parts of `line`, which seldom change
    middle: str = ""
    tail: str = ""

    def rename(self) -> None:
        """To be called when anything but `last` has changed."""
        self.head = f"id={self.id} addr={self.address} laddr={self.local} fd=-1 name={self.name} age="
        self.middle = (
            f" flags={'r' if self.readonly else 'N'} db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 "
            "multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd="
        )
        self.tail = f" user=default redir=-1 resp={self.resp} lib-name={self.lib_name} lib-ver={self.lib_version}\n"

    def line(self, now: float, seen: tuple[str, int]) -> str:
        """The line of CLIENT LIST; clients' libraries want all of Redis's fields in it."""
        command, idle_us = seen
        if command == self.container:
            command = self.last
        return (
            f"{self.head}{int(now - self.since)} idle={idle_us // 1_000_000}{self.middle}{command or 'NULL'}{self.tail}"
        )


Args = list[bytes]
Handler = Callable[[Client, Args], object]


class Commands:
    """Answers the requests that a replica hands up (`Replica.drain_calls`)."""

    def __init__(self, replica: Replica, cell: CellConfig, name: str) -> None:
        self.replica = replica
        self.cell = cell
        self.me = cell.replica(name)
        self.settings = Settings(cell, self.me, replica)
        self.cluster = Cluster(cell, self.me)
        self.counters = Counters()
        self.hints = Hints()
        statm()
        self.clients: dict[int, Client] = {}
        self.numbered: dict[int, Client] = {}  # the same, by what CLIENT ID says
        self._local = str(self.me.client)
        for command in COMMANDS.values():  # what is kept is made now, before anybody waits for it
            for resp in (2, 3):
                described(command, resp)
                documented(command, resp)

    def on_open(self, conn: int, address: str) -> None:
        """The driver accepted a connection from `address` ("host:port")."""
        self.counters.connections += 1
        client = Client(conn, self.counters.connections, address, self._local)
        client.rename()
        self.clients[conn] = self.numbered[client.id] = client

    def on_close(self, conn: int) -> None:
        """The connection is gone."""
        if (client := self.clients.pop(conn, None)) is not None:
            del self.numbered[client.id]

    def handle(self, conn: int, args: Args) -> tuple[bytes, bool]:
        """(reply, whether to close the connection after it) to one request. Raises nothing."""
        client = self.clients[conn]
        calls = self.counters.calls
        try:
            if (hint := hint_of(text(args[0]))) is not None:
                self.hints.tell(client.address, text(args[0]), hint)
            command = find(args)
            client.last, client.container = command.name, command.name.partition("|")[0]
            calls[command.name] = calls.get(command.name, 0) + 1
            value = self.handler(command)(client, args)
            return encode(value, client.resp), command.name == "quit"
        except CommandError as error:
            return encode_error(str(error)), False
        except Exception:  # a mistake here, or a want of something: nobody else has to suffer
            log.exception("a request failed", command=client.last)
            return encode_error("ERR internal error"), False

    def handler(self, command: Command) -> Handler:
        container, _, sub = command.name.partition("|")
        if sub == "help":
            return lambda client, args: help_lines(COMMANDS[container])
        return getattr(self, command.name.replace("|", "_").replace("-", "_"))

    # --- connection

    def hello(self, client: Client, args: Args) -> object:
        resp = client.resp
        if len(args) > 1:
            if (version := parse_integer(args[1])) is None:
                raise CommandError("ERR Protocol version is not an integer or out of range")
            if version not in (2, 3):
                raise CommandError("NOPROTO unsupported protocol version")
            resp = version
        rest = args[2:]
        while rest:
            word = option(rest[0])
            if word == b"AUTH" and len(rest) >= 3:
                check_user(rest[1])
                rest = rest[3:]
            elif word == b"SETNAME" and len(rest) >= 2:
                client.name = parse_name(rest[1], "Client names")  # also when an error follows, as in Redis 7.0
                client.rename()
                rest = rest[2:]
            else:
                raise CommandError(f"ERR Syntax error in HELLO option '{c_text(rest[0])}'")
        client.resp = resp
        client.rename()
        self.tell_core(client)
        return {
            "server": "redis",
            "version": VERSION_OF_REDIS,
            "proto": resp,
            "id": client.id,
            "mode": "cluster",
            "role": "master" if self.replica.status()["role"] == "master" else "replica",
            "modules": [],
        }

    def tell_core(self, client: Client) -> None:
        self.replica.set_client(client.conn, client.resp, client.redirect, client.readonly)

    def ask_redirects(self, client: Client) -> None:
        """This client knows clusters: it gets MOVED rather than being forwarded."""
        client.redirect = True
        self.tell_core(client)

    def auth(self, client: Client, args: Args) -> object:
        if len(args) > 3:
            raise CommandError(SYNTAX)
        if len(args) == 2:
            raise CommandError(NO_PASSWORD)
        check_user(args[1])
        return OK

    def quit(self, client: Client, args: Args) -> object:
        return OK

    def reset(self, client: Client, args: Args) -> object:
        client.resp, client.redirect, client.readonly, client.name = 2, False, False, ""
        client.rename()
        self.tell_core(client)
        return Simple("RESET")

    def select(self, client: Client, args: Args) -> object:
        number = parse_integer(args[1])
        if number is None:
            raise CommandError(BAD_INTEGER)
        if not -(1 << 31) <= number < 1 << 31:
            raise CommandError("ERR value is out of range, value must between -2147483648 and 2147483647")
        if number != 0:
            self.hints.tell(client.address, f"SELECT {number}", DATABASES)
            raise CommandError("ERR DB index is out of range")
        return OK

    def client_id(self, client: Client, args: Args) -> object:
        return client.id

    def client_getname(self, client: Client, args: Args) -> object:
        return client.name or None

    def client_setname(self, client: Client, args: Args) -> object:
        client.name = parse_name(args[2], "Client names")
        client.rename()
        return OK

    def client_setinfo(self, client: Client, args: Args) -> object:
        attribute = c_text(args[2])
        match attribute.lower():
            case "lib-name":
                client.lib_name = parse_name(args[3], attribute)
            case "lib-ver":
                client.lib_version = parse_name(args[3], attribute)
            case _:
                raise CommandError(f"ERR Unrecognized option '{attribute}'")
        client.rename()
        return OK

    def client_info(self, client: Client, args: Args) -> object:
        return Verbatim(client.line(time.monotonic(), self.replica.client_seen(client.conn)))

    def client_list(self, client: Client, args: Args) -> object:
        now, chosen, seen = time.monotonic(), select_clients(self.numbered, args[2:]), self.replica.client_seen
        if len(chosen) > CLIENTS_LISTED_MAX:
            raise CommandError(f"ERR more than {CLIENTS_LISTED_MAX} clients can't be listed at once, ask by ID")
        return Verbatim("".join([other.line(now, seen(other.conn)) for other in chosen]))

    def client_no_evict(self, client: Client, args: Args) -> object:
        if option(args[2]) not in (b"ON", b"OFF"):
            raise CommandError(SYNTAX)
        return OK

    client_no_touch = client_no_evict

    # --- COMMAND

    def command(self, client: Client, args: Args) -> object:
        return array(described(command, client.resp) for command in COMMANDS.values())

    def command_count(self, client: Client, args: Args) -> object:
        return len(COMMANDS)

    def command_list(self, client: Client, args: Args) -> object:
        options = args[2:]
        commands = [sub for command in COMMANDS.values() for sub in (command, *command.subcommands)]
        if not options:
            return [command.name for command in commands]
        if len(options) != 3 or option(options[0]) != b"FILTERBY":
            raise CommandError(SYNTAX)
        match option(options[1]):
            case b"MODULE":
                return []
            case b"ACLCAT":
                category = "@" + text(options[2]).lower()
                return [command.name for command in commands if category in acl(command)]
            case b"PATTERN":
                matches = matcher(options[2])
                return [command.name for command in commands if matches(command.name.encode())]
        raise CommandError(SYNTAX)

    def command_info(self, client: Client, args: Args) -> object:
        if len(args) == 2:
            return self.command(client, args)
        found = (lookup(text(name)) for name in args[2:])
        return array(described(command, client.resp) if command else encode(None, client.resp) for command in found)

    def command_docs(self, client: Client, args: Args) -> object:
        if len(args) == 2:
            found = list(COMMANDS.values())
        else:
            asked = (lookup(text(name)) for name in args[2:])
            found = list({command.name: command for command in asked if command}.values())
        head = b"%%%d\r\n" % len(found) if client.resp == 3 else b"*%d\r\n" % (2 * len(found))
        return Encoded(head + b"".join(documented(command, client.resp) for command in found))

    def command_getkeys(self, client: Client, args: Args) -> object:
        request = args[2:]
        command = lookup(text(request[0]))
        if command is not None and command.subcommands and len(request) > 1:
            command = lookup(f"{command.name}|{text(request[1])}")
        if command is None:
            raise CommandError("ERR Invalid command specified")
        if not command.keys[0]:
            raise CommandError("ERR The command has no key arguments")
        if not command.fits(len(request)):
            raise CommandError("ERR Invalid number of arguments specified for command")
        return [request[at] for at in command.key_positions(len(request))]

    # --- server

    def config_get(self, client: Client, args: Args) -> object:
        if len(args) - 2 > PATTERNS_MAX:
            raise CommandError(f"ERR at most {PATTERNS_MAX} patterns in a request")
        # Of a plain name the client's own spelling comes back.
        plain = {text(name).lower(): text(name) for name in args[2:] if not GLOB_BYTES.intersection(name)}
        patterns = [matcher(pattern.lower()) for pattern in args[2:] if GLOB_BYTES.intersection(pattern)]
        return {
            plain.get(name, name): value
            for name, value in self.settings.values.items()
            if name in plain or any(match(name.encode()) for match in patterns)
        }

    def config_set(self, client: Client, args: Args) -> object:
        if len(args) % 2:
            raise CommandError(SYNTAX)
        self.settings.set([(text(name), text(value)) for name, value in zip(args[2::2], args[3::2], strict=True)])
        return OK

    def config_resetstat(self, client: Client, args: Args) -> object:
        self.counters.reset(self.replica.counts())
        return OK

    def config_rewrite(self, client: Client, args: Args) -> object:
        raise CommandError("ERR The server is running without a config file")

    def info(self, client: Client, args: Args) -> object:
        sections = [text(section).lower() for section in args[1:]]
        counts = self.counters.since(self.replica.counts())
        view = View(self.replica.status(), counts, self.cell, self.me, self.counters)
        return Verbatim(info_text(view, sections))

    def role(self, client: Client, args: Args) -> object:
        status = self.replica.status()
        offset = status["instance_applied"]
        if status["role"] == "master":
            return [
                "master",
                offset,
                [
                    [other.client.host, str(other.client.port), str(min(status["followers"][other.id][0], offset))]
                    for other in self.cell.replicas
                    if other.id != self.me.id and other.id in status["heard"]
                ],
            ]
        master = self.cluster.master(status)
        state = "connected" if status["master"] else "connect"
        return ["slave", master.client.host, master.client.port, state, offset]

    def wait(self, client: Client, args: Args) -> object:
        # This reply goes behind those of the writes before it, each of which a majority has.
        replicas, timeout_ms = parse_integer(args[1]), parse_integer(args[2])
        if replicas is None:
            raise CommandError(BAD_INTEGER)
        if timeout_ms is None:
            raise CommandError("ERR timeout is not an integer or out of range")
        if timeout_ms < 0:
            raise CommandError("ERR timeout is negative")
        return self.cell.quorum - 1

    # --- cluster

    def readonly(self, client: Client, args: Args) -> object:
        # Reads of this connection are answered wherever it goes: another replica than the master forwards them.
        client.readonly = True
        client.rename()
        self.ask_redirects(client)
        return OK

    def readwrite(self, client: Client, args: Args) -> object:
        client.readonly = False
        client.rename()
        self.ask_redirects(client)
        return OK

    def cluster_info(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return Verbatim(self.cluster.info(self.replica.status()))

    def cluster_keyslot(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return key_slot(args[2])

    def cluster_myid(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return self.cluster.node_id(self.me)

    def cluster_myshardid(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return shard_id(self.cell)

    def cluster_nodes(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return Verbatim(self.cluster.nodes(self.replica.status()))

    def cluster_shards(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return self.cluster.shards(self.replica.status())

    def cluster_slots(self, client: Client, args: Args) -> object:
        self.ask_redirects(client)
        return self.cluster.slots(self.replica.status())


def check_user(user: bytes) -> None:
    """There is one user, "default", who needs no password. Raises CommandError."""
    if user != b"default":
        raise CommandError(WRONG_PASSWORD)


def lookup(name: str) -> Command | None:
    """The command, or the "container|subcommand", of that name."""
    name = name.lower()
    command = COMMANDS.get(name.partition("|")[0])
    if command is None or "|" not in name:
        return command
    return next((sub for sub in command.subcommands if sub.name == name), None)


def find(args: Args) -> Command:
    """The command of a request, its arity checked. Raises CommandError."""
    name = text(args[0])
    command = lookup(name) if "|" not in name else None
    if command is None:
        raise CommandError(text(unknown(args)))
    if command.subcommands and len(args) > 1:
        sub = lookup(f"{command.name}|{text(args[1])}")
        if sub is None:
            raise CommandError(
                f"ERR unknown subcommand '{text(args[1][:128])}'. Try {command.name.upper()} HELP."
            )
        command = sub
    if not command.fits(len(args)):
        raise CommandError(f"ERR wrong number of arguments for '{command.name}' command")
    return command


def select_clients(clients: dict[int, Client], options: Args) -> list[Client]:
    """CLIENT LIST's options: TYPE normal|master|replica|pubsub, ID id... Raises CommandError."""
    if not options:
        return list(clients.values())
    match option(options[0]):
        case b"TYPE" if len(options) == 2:
            kind = c_text(options[1]).lower()
            if kind not in ("normal", "master", "replica", "slave", "pubsub"):
                raise CommandError(f"ERR Unknown client type '{c_text(options[1])}'")
            return list(clients.values()) if kind == "normal" else []
        case b"ID" if len(options) > 1:
            ids = [parse_integer(argument) for argument in options[1:]]
            if None in ids:
                raise CommandError("ERR Invalid client ID")
            return [clients[id] for id in ids if id is not None and id in clients]
    raise CommandError(SYNTAX)


def acl(command: Command) -> list[str]:
    """The categories that Redis gives to this command."""
    flags = command.flags.split()
    named = ["@" + flag for flag in ("write", "admin", "blocking") if flag in flags]
    if "readonly" in flags:
        named.append("@read")
    named.append("@fast" if "fast" in flags else "@slow")
    if "admin" in flags:
        named.append("@dangerous")
    more = CATEGORIES.get(command.name)
    if more is None:
        more = CATEGORIES.get(command.group, "")
    return named + more.split()


def array(entries: Iterable[bytes]) -> Encoded:
    """An array of replies that are encoded already."""
    found = list(entries)
    return Encoded(b"*%d\r\n" % len(found) + b"".join(found))


@cache
def described(command: Command, resp: int) -> bytes:
    """The entry of COMMAND INFO, encoded."""
    return encode(describe(command), resp)


@cache
def documented(command: Command, resp: int) -> bytes:
    """The name and the entry of COMMAND DOCS, encoded."""
    return encode(command.name, resp) + encode(document(command), resp)


def describe(command: Command) -> list[object]:
    """The entry of COMMAND INFO."""
    first, last, step = command.keys
    return [
        command.name,
        command.arity,
        frozenset(Simple(flag) for flag in command.flags.split()),
        first,
        last,
        step,
        frozenset(Simple(category) for category in acl(command)),
        Members(TIPS.get(command.name, "").split()),
        Members([key_specification(command)] if first else []),
        [describe(sub) for sub in command.subcommands] or Members(),  # so it is in Redis
    ]


def key_specification(command: Command) -> dict[str, object]:
    first, last, step = command.keys
    return {
        "flags": frozenset(Simple(flag) for flag in KEY_FLAGS[command.name].split()),
        "begin_search": {"type": "index", "spec": {"index": first}},
        "find_keys": {
            "type": "range",
            "spec": {"lastkey": last if last < 0 else last - first, "keystep": step, "limit": 0},
        },
    }


def document(command: Command) -> dict[str, object]:
    """The entry of COMMAND DOCS."""
    entry: dict[str, object] = {
        "summary": command.summary,
        "since": command.since,
        "group": command.group,
    }
    if command.subcommands:
        entry["subcommands"] = {sub.name: document(sub) for sub in command.subcommands}
    return entry


def help_lines(command: Command) -> list[Simple]:
    """The reply to a container's HELP."""
    lines = [
        f"{command.name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ]
    for sub in command.subcommands:
        lines += [sub.name.partition("|")[2].upper(), f"    {sub.summary}"]
    return [Simple(line) for line in lines]
