"""Every command of the product, as data: arity checks, COMMAND and the docs derive from this table.

Arity counts the command's name; a negative one is a minimum. Keys are (first, last, step), counted
from the name; last -1 is the last argument, and (0, 0, 0) means that there are none.
"""

from typing import NamedTuple

NO_KEYS = (0, 0, 0)
ONE_KEY = (1, 1, 1)
ALL_KEYS = (1, -1, 1)
PAIRS = (1, -1, 2)

READ = "readonly fast"
WRITE = "write denyoom fast"
DELETE = "write fast"
CONNECTION = "noscript loading stale fast"
DESCRIBING = "noscript loading stale"
ADMIN = "admin noscript loading stale"


class Command(NamedTuple):
    """One command, or one subcommand (then the name is "container|name")."""

    name: str
    arity: int
    flags: str
    keys: tuple[int, int, int]
    group: str
    since: str  # the version of Redis that brought it
    summary: str
    subcommands: tuple["Command", ...] = ()

    def fits(self, count: int) -> bool:
        """May a request of `count` arguments, its name included, be this command?"""
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    def key_positions(self, count: int) -> range:
        """Where the keys are in a request of `count` arguments."""
        first, last, step = self.keys
        if not first:
            return range(0)
        return range(first, (last if last > 0 else count + last) + 1, step)


def container(
    name: str, group: str, since: str, summary: str, *subcommands: tuple[str, int, str, str, str]
) -> Command:
    """A command of subcommands, each (name, arity, flags, since, summary); all have HELP."""
    help_ = ("help", 2, "loading stale", "5.0.0", "Lists the subcommands.")
    return Command(
        name, -2, "", NO_KEYS, group, since, summary,
        tuple(
            Command(f"{name}|{sub}", arity, flags, NO_KEYS, group, sub_since, sub_summary)
            for sub, arity, flags, sub_since, sub_summary in (*subcommands, help_)
        ),
    )


STRING = [
    ("append", 3, WRITE, ONE_KEY, "2.0.0", "Appends to a value, or creates it."),
    ("decr", 2, WRITE, ONE_KEY, "1.0.0", "Subtracts one from an integer; no key counts as 0."),
    ("decrby", 3, WRITE, ONE_KEY, "1.0.0", "Subtracts a number from an integer."),
    ("get", 2, READ, ONE_KEY, "1.0.0", "Returns the value of a key."),
    ("getdel", 2, DELETE, ONE_KEY, "6.2.0", "Returns the value of a key and deletes it."),
    ("getex", -2, DELETE, ONE_KEY, "6.2.0", "Returns a value and sets when its key expires."),
    ("getset", 3, WRITE, ONE_KEY, "1.0.0", "Returns the old value and sets a new one."),
    ("incr", 2, WRITE, ONE_KEY, "1.0.0", "Adds one to an integer; no key counts as 0."),
    ("incrby", 3, WRITE, ONE_KEY, "1.0.0", "Adds a number to an integer."),
    ("mget", -2, READ, ALL_KEYS, "1.0.0", "Returns the values of several keys at one moment."),
    ("mset", -3, "write denyoom", PAIRS, "1.0.1", "Sets several keys at once."),
    ("msetnx", -3, "write denyoom", PAIRS, "1.0.1", "Sets several keys if none of them exists."),
    ("psetex", 4, "write denyoom", ONE_KEY, "2.6.0", "Sets a value and its time in milliseconds."),
    ("set", -3, "write denyoom", ONE_KEY, "1.0.0", "Sets the value of a key."),
    ("setex", 4, "write denyoom", ONE_KEY, "2.0.0", "Sets a value and its time in seconds."),
    ("setnx", 3, WRITE, ONE_KEY, "1.0.0", "Sets a value if the key does not exist."),
    ("strlen", 2, READ, ONE_KEY, "2.2.0", "Returns the length of a value."),
]

GENERIC = [
    ("del", -2, "write", ALL_KEYS, "1.0.0", "Deletes keys."),
    ("exists", -2, READ, ALL_KEYS, "1.0.0", "Counts how many of the keys exist."),
    ("expire", -3, DELETE, ONE_KEY, "1.0.0", "Sets the time to live in seconds."),
    ("expireat", -3, DELETE, ONE_KEY, "1.2.0", "Sets when a key expires, as Unix seconds."),
    ("expiretime", 2, READ, ONE_KEY, "7.0.0", "Returns when a key expires, as Unix seconds."),
    ("persist", 2, DELETE, ONE_KEY, "2.2.0", "Takes the time to live from a key."),
    ("pexpire", -3, DELETE, ONE_KEY, "2.6.0", "Sets the time to live in milliseconds."),
    ("pexpireat", -3, DELETE, ONE_KEY, "2.6.0", "Sets when a key expires, as Unix milliseconds."),
    ("pexpiretime", 2, READ, ONE_KEY, "7.0.0", "Returns when a key expires, in milliseconds."),
    ("pttl", 2, READ, ONE_KEY, "2.6.0", "Returns the time to live in milliseconds."),
    ("touch", -2, READ, ALL_KEYS, "3.2.1", "Counts how many of the keys exist."),
    ("ttl", 2, READ, ONE_KEY, "1.0.0", "Returns the time to live in seconds."),
    ("type", 2, READ, ONE_KEY, "1.0.0", "Returns the type of a value."),
    ("unlink", -2, DELETE, ALL_KEYS, "4.0.0", "Deletes keys."),
    (
        "wait", 3, "blocking", NO_KEYS, "3.0.0",
        "Returns on how many other replicas the writes before it are, at least.",
    ),
]

SERVER = [
    ("dbsize", 1, READ, NO_KEYS, "1.0.0", "Returns the number of keys."),
    ("flushall", -1, "write", NO_KEYS, "1.0.0", "Deletes all keys."),
    ("flushdb", -1, "write", NO_KEYS, "1.0.0", "Deletes all keys."),
    ("info", -1, "loading stale", NO_KEYS, "1.0.0", "Describes the replica and its cell."),
    ("role", 1, CONNECTION, NO_KEYS, "2.8.12", "Tells whether this is the master, and the others."),
]

CONNECTIONS = [
    ("auth", -2, f"{CONNECTION} no_auth allow_busy", NO_KEYS, "1.0.0", "Authenticates the connection."),
    ("echo", 2, "loading stale fast", NO_KEYS, "1.0.0", "Returns its argument."),
    ("hello", -1, f"{CONNECTION} no_auth allow_busy", NO_KEYS, "6.0.0", "Chooses the version of RESP."),
    ("ping", -1, "fast", NO_KEYS, "1.0.0", "Answers PONG, or its argument."),
    ("quit", -1, f"{CONNECTION} no_auth allow_busy", NO_KEYS, "1.0.0", "Closes the connection."),
    ("reset", 1, f"{CONNECTION} no_auth allow_busy", NO_KEYS, "6.2.0", "Makes the connection like a new one."),
    ("select", 2, "loading stale fast", NO_KEYS, "1.0.0", "Chooses the database: there is only 0."),
]

CLUSTER = [
    ("readonly", 1, "loading stale fast", NO_KEYS, "3.0.0", "Has reads answered at any replica, writes redirected."),
    ("readwrite", 1, "loading stale fast", NO_KEYS, "3.0.0", "Asks for redirects to the master."),
]

CONTAINERS = [
    container(
        "client", "connection", "2.4.0", "Tells about and names connections.",
        ("getname", 2, DESCRIBING, "2.6.9", "Returns the connection's name."),
        ("id", 2, DESCRIBING, "5.0.0", "Returns the connection's number."),
        ("info", 2, DESCRIBING, "6.2.0", "Describes this connection."),
        ("list", -2, ADMIN, "2.4.0", "Describes all connections of this replica."),
        ("no-evict", 3, ADMIN, "7.0.0", "Has no effect: no client is ever evicted."),
        ("no-touch", 3, DESCRIBING, "7.2.0", "Has no effect: accesses are not recorded."),
        ("setinfo", 4, DESCRIBING, "7.2.0", "Names the client's library and its version."),
        ("setname", 3, DESCRIBING, "2.6.9", "Names the connection."),
    ),
    container(
        "cluster", "cluster", "3.0.0", "Describes the cell as a cluster of one shard.",
        ("info", 2, "stale", "3.0.0", "Describes the state of the cluster."),
        ("keyslot", 3, "stale", "3.0.0", "Returns the hash slot of a key."),
        ("myid", 2, "stale", "3.0.0", "Returns the node id of this replica."),
        ("myshardid", 2, "stale", "7.2.0", "Returns the id of the one shard."),
        ("nodes", 2, "stale", "3.0.0", "Lists the replicas as nodes."),
        ("shards", 2, "stale", "7.0.0", "Returns the one shard and its nodes."),
        ("slots", 2, "stale", "3.0.0", "Maps all slots to the master and the other replicas."),
    ),
    container(
        "config", "server", "2.0.0", "Shows settings in the words of Redis.",
        ("get", -3, ADMIN, "2.0.0", "Returns the settings whose names match."),
        ("resetstat", 2, ADMIN, "2.0.0", "Sets the counters of INFO to zero."),
        ("rewrite", 2, ADMIN, "2.8.0", "Is refused: the cell's file is the operator's."),
        ("set", -4, ADMIN, "2.0.0", "Accepts what already holds; nothing changes while running."),
    ),
]

COMMAND = container(
    "command", "server", "2.8.13", "Describes the commands.",
    ("count", 2, "loading stale", "2.8.13", "Returns the number of commands."),
    ("docs", -2, "loading stale", "7.0.0", "Returns the documentation of commands."),
    ("getkeys", -3, "loading stale", "2.8.13", "Returns the keys of a request."),
    ("info", -2, "loading stale", "2.8.13", "Describes commands."),
    ("list", -2, "loading stale", "7.0.0", "Returns the names of commands."),
)._replace(arity=-1, flags="loading stale")


def _table() -> dict[str, Command]:
    groups = {
        "string": STRING,
        "generic": GENERIC,
        "server": SERVER,
        "connection": CONNECTIONS,
        "cluster": CLUSTER,
    }
    commands = [
        Command(name, arity, flags, keys, group, since, summary)
        for group, rows in groups.items()
        for name, arity, flags, keys, since, summary in rows
    ]
    commands += [*CONTAINERS, COMMAND]
    return {command.name: command for command in sorted(commands)}


COMMANDS = _table()

CATEGORIES = {  # of the ACL, beside those that follow from the flags
    "string": "@string", "generic": "@keyspace", "connection": "@connection", "client": "", "wait": "@connection",
    "command": "@connection", "readonly": "@connection", "readwrite": "@connection", "role": "@admin @dangerous",
    "info": "@dangerous", "dbsize": "@keyspace", "flushall": "@keyspace @dangerous", "flushdb": "@keyspace @dangerous",
    **dict.fromkeys((sub.name for sub in COMMAND.subcommands), "@connection"),
}  # fmt: skip

KEY_FLAGS = {  # what a command does with its keys
    "append": "RW insert", "del": "RM delete", "exists": "RO", "getdel": "RW access delete", "mset": "OW update",
    "msetnx": "OW insert", "persist": "RW update", "psetex": "OW update", "set": "RW access update variable_flags",
    "setex": "OW update", "setnx": "OW insert", "strlen": "RO", "touch": "RO", "type": "RO", "unlink": "RM delete",
    **dict.fromkeys(("decr", "decrby", "getex", "getset", "incr", "incrby"), "RW access update"),
    **dict.fromkeys(("expire", "expireat", "pexpire", "pexpireat"), "RW update"),
    **dict.fromkeys(("expiretime", "get", "mget", "pexpiretime", "pttl", "ttl"), "RO access"),
}  # fmt: skip

_SUM = "request_policy:multi_shard response_policy:agg_sum"
_ALL = "request_policy:all_shards response_policy:all_succeeded"
TIPS = {  # for clients that spread requests over shards
    "config|set": "request_policy:all_nodes response_policy:all_succeeded",
    "dbsize": "request_policy:all_shards response_policy:agg_sum",
    "info": "nondeterministic_output request_policy:all_shards response_policy:special",
    "mget": "request_policy:multi_shard",
    "mset": "request_policy:multi_shard response_policy:all_succeeded",
    "msetnx": "request_policy:multi_shard response_policy:agg_min",
    "wait": "request_policy:all_shards response_policy:agg_min",
    **dict.fromkeys(("del", "exists", "touch", "unlink"), _SUM),
    **dict.fromkeys(("flushall", "flushdb", "ping"), _ALL),
    **dict.fromkeys(("command", "command|docs", "command|info", "command|list"), "nondeterministic_output_order"),
    **dict.fromkeys(("client|info", "client|list", "cluster|info", "cluster|nodes"), "nondeterministic_output"),
    **dict.fromkeys(("cluster|shards", "cluster|slots", "pttl", "ttl"), "nondeterministic_output"),
}
