"""What isn't here though clients ask for it, and what to use instead: a line in the log, once for each client.

The reply stays Redis's for an unknown command. The names are those of ABSENT in reference/resp_fast.py: the core hands
these requests up, so that they are noticed. docs/commands.md has the same sentences (a test compares them).
"""

import structlog

log = structlog.get_logger()

HINTED_MAX = 1000  # (host, sentence) pairs that are remembered: then nothing more is logged

DATABASES = "there is one database, 0: begin keys with a prefix, or run a cell for each"
HINTS = {
    "SYNC PSYNC REPLCONF SAVE BGSAVE BGREWRITEAOF": (
        "no replica sends or writes a dump (redis-cli --rdb, --replica, --cluster backup): the cell's replicas are the "
        "copies"
    ),
    "LPUSH RPUSH LPOP RPOP LRANGE SADD SPOP HSET ZADD ZPOPMIN XADD": (
        "values are strings: encode other types in them; redis-benchmark needs -t set,get,incr,mset"
    ),
    "WATCH UNWATCH": (
        "there are no transactions: MSET and MSETNX write several keys at once, redis-py needs "
        "pipeline(transaction=False)"
    ),
    "EVAL EVALSHA SCRIPT FUNCTION FCALL": "there are no scripts: SET with NX, XX or GET, GETDEL and INCR are atomic",
    "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE PUBLISH SPUBLISH": "there is no publishing: ask again for the value of a key",
    "SCAN KEYS RANDOMKEY": "keys can't be listed: keep a list of them in a value",
    "MONITOR SLOWLOG LATENCY": "requests are not recorded: use INFO, and fastpaxos-live profile",
    "ACL": "there is one user, who needs no password: let only those reach the port who may",
}


def hint_of(name: str) -> str | None:
    """The sentence for the command of that name."""
    return next((text for names, text in HINTS.items() if name.upper() in names.split()), None)


class Hints:
    """Logs each sentence once for each host."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, address: str, name: str, text: str | None) -> None:
        """The client at `address` asked for `name`."""
        told = (address.rpartition(":")[0], text or "")
        if text is None or told in self._told or len(self._told) >= HINTED_MAX:
            return
        self._told.add(told)
        log.warning("a client asks for what isn't here", client=address, command=name, hint=text)
