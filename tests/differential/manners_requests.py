"""Requests to every command of COMMAND, as applications and as nobody would send them.

What is asked never depends on the moment at which it is executed: times to live are far away or over.
"""

from random import Random

from tests.differential.resp_requests import INTEGERS, KEYS, NAMES, VALUES, Sensible

from fastpaxos_live.server.command_table import COMMANDS

LARGE = [b"L" * 20_000, b"\0\r\n\xff" * 5_000]
CONNECTS = [  # what libraries and tools ask before anything else
    [b"HELLO 3", b"CLIENT SETINFO LIB-NAME redis-py", b"CLIENT SETINFO LIB-VER 8.0", b"CLUSTER SLOTS", b"COMMAND"],
    [b"HELLO 3 AUTH default x SETNAME jedis", b"CLIENT SETINFO lib-name jedis", b"PING", b"CLUSTER NODES"],
    [b"HELLO 3", b"CLIENT SETNAME lettuce", b"CLUSTER NODES", b"CLIENT ID", b"INFO", b"CLUSTER MYID", b"READONLY"],
    [b"HELLO 3 SETNAME go", b"CLIENT MAINT_NOTIFICATIONS ON", b"CLIENT SETINFO LIB-NAME go-redis", b"CLUSTER SHARDS"],
    [b"INFO", b"CLUSTER SLOTS", b"READONLY", b"CLIENT SETNAME ioredis", b"CLUSTER INFO", b"READWRITE"],
    [b"COMMAND DOCS", b"COMMAND COUNT", b"COMMAND INFO get", b"COMMAND LIST", b"CLIENT LIST", b"CLIENT TRACKING ON"],
    [b"CONFIG GET save", b"CONFIG GET appendonly", b"CLIENT NO-EVICT on", b"CLUSTER KEYSLOT a", b"ROLE", b"RESET"],
    [b"HELLO 2", b"CLIENT CAPA redirect", b"CLIENT IMPORT-SOURCE ON", b"SELECT 0", b"CLIENT REPLY", b"CLUSTER LINKS"],
]
# What follows the name of a command or subcommand that is about no data, beside anything at all.
WORDS = {
    "auth": [b"default", b"", b"secret", b"joe", b"x" * 200],
    "client|getname": [],
    "client|id": [],
    "client|info": [],
    "client|list": [
        b"TYPE", b"normal", b"pubsub", b"master", b"replica", b"slave", b"ID", b"0", b"-1", b"x", b"type\0",
    ],
    "client|no-evict": [b"ON", b"OFF", b"MAYBE", b"on\0"],
    "client|setname": [b"", b"me", b"a b", b"tab\t", b"\xff", b"new\nline", b"n" * 64],
    "cluster|info": [],
    "cluster|keyslot": [b"foo", b"{a}b", b"", b"{}a", b"a{b}c{d}", b"\xff\0"],
    "command|getkeys": [
        b"GET", b"MSET", b"DEL", b"PING", b"SET", b"nosuch", b"a", b"1", b"SETEX", b"CLIENT", b"GETEX", b"EXPIRE",
    ],
    "command|info": [name.upper().encode() for name in sorted(COMMANDS)] + [b"nosuch", b"client|id", b"get|x", b""],
    "command|list": [b"FILTERBY", b"MODULE", b"ACLCAT", b"PATTERN", b"x", b"nosuch*"],
    "config|get": [
        b"maxmemory", b"SAVE", b"appendonly", b"timeout", b"nosuch", b"maxmem[a-o]ry", b"", b"\\m", b"data?ases",
    ],
    "config|resetstat": [],
    "config|set": [
        b"timeout", b"0", b"timeout", b"70", b"0", b"-1", b"2147483648", b"x", b"daemonize", b"yes", b"nosuch",
        b"databases", b"cluster-enabled", b"no", b"SAVE", b"", b"maxmemory-policy", b"noeviction", b"TIMEOUT",
    ],
    "config|rewrite": [],
    "dbsize": [],
    "hello": [
        b"2", b"3", b"2", b"3", b"4", b"1", b"x", b"AUTH", b"default", b"pass", b"SETNAME", b"me", b"setname\0", b"a b",
        b"", b"03",
    ],
    "info": [
        b"server", b"CLIENTS", b"memory", b"persistence", b"stats", b"replication", b"cpu", b"cluster", b"keyspace",
        b"nosuch", b"all", b"default", b"everything", b"commandstats", b"errorstats",
    ],
    "select": [*INTEGERS, b"4294967296", b"-2147483648", b"2147483647", b"-2147483649", b"15"],
    "wait": [b"0", b"0", b"x", b"-1", b"", b"9223372036854775808", b"1.5"],
}  # fmt: skip
CLUSTER = ["cluster|info", "cluster|keyslot", "cluster|myid", "cluster|nodes", "cluster|shards", "cluster|slots"]
CLUSTER += ["readonly", "readwrite", "cluster", "hello", "reset", "select", "command|info", "info", "client|id"]
NO_PLAIN = {"readonly", "readwrite", "cluster", "quit"}  # other than on a server alone
# A witness of 7.0 has no such command, or knows it with another arity or other flags.
OF_7_2 = {"client|setinfo", "client|no-touch", "cluster|myshardid", "command|getkeys", "wait"}
ONLY_7_2 = OF_7_2 - {"command|getkeys", "wait"}
OTHERS = [  # commands that there are not; such as leave a witness as it is
    b"SCAN 0", b"KEYS nosuch*", b"TIME", b"RANDOMKEY", b"LLEN nosuch", b"GETRANGE a 0 1", b"MEMORY USAGE nosuch",
    b"OBJECT HELP", b"SLOWLOG LEN", b"LATENCY LATEST", b"ACL WHOAMI", b"LASTSAVE", b"PUBSUB CHANNELS", b"LOLWUT",
    b"CLIENT GETREDIR", b"CLIENT TRACKINGINFO", b"COMMAND GETKEYSANDFLAGS GET a",
]  # fmt: skip
SAMPLES = [  # (of a cluster, at a follower, request): together they show each row of the table
    (cluster, follower, line.split(b" "))
    for cluster, follower, line in [
        (False, False, b"LLEN nosuch"),
        (False, True, b"ROLE"),
        (False, True, b"SCAN 0"),
        (False, False, b"CLIENT GETREDIR"),
        (False, False, b"CLIENT SETINFO LIB-NAME x"),
        (False, False, b"CLIENT NO-TOUCH on"),
        (True, False, b"CLUSTER MYSHARDID"),
        (True, True, b"SELECT 1"),
        (False, False, b"COMMAND COUNT"),
        (False, False, b"COMMAND HELP"),
        (True, False, b"CLUSTER HELP"),
        (False, True, b"CLIENT HELP"),
        (False, False, b"CONFIG HELP"),
        (False, False, b"COMMAND GETKEYS nosuch"),
        (False, False, b"WAIT 0 0"),
        (False, False, b"CONFIG SET appendonly no"),
        (False, False, b"CONFIG SET save x"),
    ]
]


def names() -> list[str]:
    """Every command, and every subcommand in place of its container."""
    return [sub.name for command in COMMANDS.values() for sub in command.subcommands or (command,)]


class Manners:
    """Requests of one connection; `cluster`: to a member of a cluster, and then none about data."""

    def __init__(self, random: Random, now_ms: int, cluster: bool) -> None:
        self._random = random
        self._data = Sensible(random, now_ms)
        plain = [name for name in names() if name not in NO_PLAIN | ONLY_7_2 and not name.startswith("cluster|")]
        self._names = CLUSTER if cluster else [*plain, "client", "command", "config"]
        self._cluster = cluster

    def args(self) -> list[bytes]:
        """The next request."""
        random = self._random
        if not self._cluster and random.random() < 0.5:
            return self._cased(self._data.args())
        if random.random() < 0.03:
            return self._cased(random.choice(OTHERS).split(b" "))
        name = random.choice(self._names)
        if name.upper().encode() in NAMES:
            return self._cased(self._odd(name))
        head = [word.encode() for word in name.split("|")]
        words = WORDS.get(name, [b"x"])
        if name in ("client", "command", "config", "cluster") and random.random() < 0.8:
            return self._cased([*head, random.choice([b"nosuch", b"", b"no\r\nsuch", b"s" * 200, b"\xff"]), b"x"])
        if name == "config|set" and random.random() < 0.5:
            count = 2 * random.randrange(1, 3)
        else:
            count = random.choice([0, 0, 1, 1, 1, 2, 2, 3, 4])
        if not words:
            return self._cased(head + [b"x"] * (count if random.random() < 0.2 else 0))
        return self._cased(head + random.choices(words, k=count))

    def _cased(self, args: list[bytes]) -> list[bytes]:
        # Names and options mean the same in any case.
        random = self._random
        if random.random() < 0.3:
            args = [random.choice([args[0].lower(), args[0].upper(), args[0].title()]), *args[1:]]
        return args

    def _odd(self, name: str) -> list[bytes]:
        # Any arguments at all for a command about data, none of which can be a time that ends soon.
        random = self._random
        args = [name.upper().encode()]
        if name in ("flushall", "flushdb") and random.random() < 0.9:
            args = [b"STRLEN"]
        timed = name.startswith(("expire", "pexpire", "setex", "psetex")) and not name.endswith("time")
        numbers = [number for number in INTEGERS if number not in (b"7", b"1", b"10")]
        for i in range(random.choice([0, 1, 2, 2, 3, 3, 4, 5])):
            if i == 0:
                args.append(random.choice(KEYS))
            elif name in ("set", "getex") or timed:
                options = [b"NX", b"XX", b"GT", b"LT", b"GET", b"KEEPTTL", b"PERSIST", b"EX", b"PX", b"EXAT", b"PXAT"]
                options += [b"nx", b"Ex", b"keepTTL", b"BAD", b"ex\0", b""]
                args.append(random.choice(random.choice([options, numbers])))
            else:
                args.append(random.choice(random.choice([VALUES, INTEGERS, KEYS, LARGE])))
        return args


def pieces(random: Random, data: bytes) -> list[bytes]:
    """`data` as it may arrive: whole, cut anywhere, or byte by byte."""
    kind = random.randrange(4)
    if kind == 0 and len(data) < 4000:
        return [data[i : i + 1] for i in range(len(data))]
    cuts = sorted(random.sample(range(len(data)), min(len(data), kind * 3)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
