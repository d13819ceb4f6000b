"""What a replica counts of its clients' requests, for INFO.

A request is counted where its client is connected; an error, and whether a key was there, where the reply was made: of
what is forwarded that is the master.
"""

from .db_ops import (
    FLAG_GET,
    OP_EXISTS,
    OP_GET,
    OP_GETDEL,
    OP_GETEX,
    OP_MGET,
    OP_SET,
    OP_STRLEN,
    OP_TTL,
    OP_TYPE,
    op_decode,
)
from .db_store import Store

RATE_US = 1_000_000
ERRORS = b"ERR MOVED TRYAGAIN CLUSTERDOWN UNKNOWN NOPROTO WRONGPASS OTHER".split()


class Counts:
    """Since the start."""

    def __init__(self) -> None:
        self.requests = 0  # of the own clients
        self.calls: dict[str, int] = {}  # of them by command
        self.errors = dict.fromkeys(ERRORS, 0)
        self.hits = 0
        self.misses = 0
        self.expired = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.rate = 0  # requests a second, in the last whole period
        self.rate_at = 0  # when this period began ...
        self.rate_from = 0  # ... and how many there had been then

    def request(self, command: str) -> None:
        """`command` is empty for one that there is not."""
        self.requests += 1
        self.calls[command] = self.calls.get(command, 0) + 1

    def reply(self, store: Store | None, op: bytes, at: int, reply: bytes) -> None:
        """`reply` is that to the operation at `op[at:]`; without one there is no store."""
        if reply[:1] == b"-":
            code = reply[1:].partition(b" ")[0]
            self.errors[code if code in self.errors else b"OTHER"] += 1
        elif store is not None:
            self._lookup(store, op, at, reply)

    def _lookup(self, store: Store, op: bytes, at: int, reply: bytes) -> None:
        opcode, flags, _, items = op_decode(op, at)
        if opcode == OP_MGET:
            hits = self._values(reply)
        elif opcode == OP_EXISTS:
            hits = int(reply[1:])
        elif opcode in (OP_GET, OP_GETEX, OP_GETDEL) or opcode == OP_SET and flags & FLAG_GET:
            hits = reply[:1] != b"_" and reply[:2] != b"$-"
        elif opcode == OP_TTL:
            hits = reply != b":-2\r\n"
        elif opcode == OP_TYPE:
            hits = reply != b"+none\r\n"
        elif opcode == OP_STRLEN:
            hits = reply != b":0\r\n" or store.get(items[0][0]) is not None
        else:
            return
        self.hits += hits
        self.misses += len(items) - hits

    def _values(self, reply: bytes) -> int:
        at = reply.index(b"\r\n") + 2
        hits = 0
        while at < len(reply):
            end = reply.index(b"\r\n", at)
            size = int(reply[at + 1 : end] or b"-1")
            hits += size >= 0
            at = end + 2 + (size + 2 if size >= 0 else 0)
        return hits

    def look(self, now: int) -> None:
        """Once a turn."""
        if now - self.rate_at >= RATE_US:
            self.rate = (self.requests - self.rate_from) * RATE_US // (now - self.rate_at)
            self.rate_at = now
            self.rate_from = self.requests

    def shown(self) -> dict:
        """As `_api.Counts` has it."""
        return {
            "requests": self.requests,
            "requests_per_s": self.rate,
            "calls": dict(self.calls),
            "errors": {code.decode(): count for code, count in self.errors.items() if count},
            "hits": self.hits,
            "misses": self.misses,
            "expired": self.expired,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }
