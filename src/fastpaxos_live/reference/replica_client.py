"""What a replica knows of each client, and the batch that collects their operations. PML 4.2 (batching)."""

from collections.abc import Iterator

from .db_apply import OK
from .db_ops import OP_APPEND, op_code, op_size
from .limits import ARGUMENT_BYTES, BATCH_REPLIES_MAX
from .replica_counts import Counts
from .resp_fast import CALL, DISCARD, EXEC, MULTI, REPLY, frees
from .resp_parse import Parser

# What a hook is: a place in the order of a connection's replies.
WRITE_HOOK, READ_HOOK, LATE_READ_HOOK, LITERAL_HOOK = range(4)  # late: asked when its batch was sealed already


ERR_MULTI = b"-ERR MULTI is not supported: all up to EXEC or DISCARD is refused\r\n"
ERR_NESTED = b"-ERR MULTI calls can not be nested\r\n"
ERR_REFUSED = b"-ERR not done, since MULTI is not supported\r\n"
ERR_ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
ERR_EXEC = b"-ERR EXEC without MULTI\r\n"
ERR_EXEC_ARITY = b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
ERR_DISCARD = b"-ERR DISCARD without MULTI\r\n"

# Why a connection was ended, as `_api.COMPLAINTS` has them, and a stream in place of a connection.
UNTAKEN, CROWDED, HTTP, TLS = range(4)
FORWARDED = 0xFFFFFFFF


class Client:
    """A connection, or the stream of one that another replica forwards (`peer` is that replica, else 0)."""

    __slots__ = (
        "id", "peer", "stream", "alive", "resp", "redirect", "readonly", "counts", "command", "active_at", "input",
        "parser", "parsed", "kind", "data", "consumed", "output", "replies", "pending", "hooked_reads", "hooked_bytes",
        "counted", "refusing", "batch", "holding", "held_since", "blocked", "full", "queued", "delayed", "touched",
        "calling", "ended", "broken", "closing", "reason", "waiting_since", "late_at", "outbox", "outbox_count",
        "posted", "forward_peer", "forward_seq", "forwarded", "forward_bytes", "forward_at", "received", "partial",
        "reported", "expected", "answered", "shipped", "taken",
    )

    def __init__(
        self, id: int, peer: int, stream: int, value_bytes_max: int, request_bytes_max: int, counts: Counts
    ) -> None:
        self.id = id
        self.peer = peer
        self.stream = stream  # generation << 32 | id, as the forwarding replica numbers it
        self.alive = True
        self.resp = 2
        self.redirect = False  # asked for MOVED by sending CLUSTER or READONLY ...
        self.readonly = False  # ... but reads are answered
        self.counts = counts  # of its replica
        self.command = ""  # the last one that came, if there is such a command
        self.active_at = 0  # when something came or went last
        self.input = bytearray()
        self.parser = Parser(value_bytes_max, request_bytes_max)
        self.parsed = False  # `kind` and `data` hold a request that is not executed yet
        self.kind = 0
        self.data = b""
        self.consumed = 0  # bytes of input that it was
        self.output = bytearray()
        self.replies = 0  # requests answered in `output`
        self.pending = 0  # hooks that are not run yet
        self.hooked_bytes = 0  # of replies in them, at most: writes that say no more than that they are done apart
        self.counted = 0  # bytes of it in Keeping.bytes
        self.refusing = False  # since MULTI: until EXEC or DISCARD nothing is done
        self.hooked_reads = 0  # reads hooked since nothing was outstanding
        self.batch: Batch | None = None  # holds the last of them; None without any
        self.holding = False  # `output` has the reply of a read that waits for the lease check
        self.held_since = 0  # when a check failed after that read, 0 if none has
        self.blocked = False  # the request has to wait; nothing more is executed
        self.full = False  # ... because the client doesn't take its replies
        self.queued = False  # in the replica's ready queue
        self.delayed = False  # others have their turn first, and no more is read meanwhile
        self.touched = False  # in the list that the driver drains
        self.calling = False  # Python works on a request
        self.ended = False  # the driver has no more input
        # No request is taken any more: garbage came, or the end. What is said when all before it is answered.
        self.broken: bytes | None = None
        self.closing = False
        self.reason = 0  # ... why, for the replica that forwards this stream
        self.waiting_since = 0  # when its request found no room, 0 if it did
        self.late_at = 0  # when one had waited too long, 0 if nobody's did since
        # Forwarding, at the client's own replica.
        self.outbox = bytearray()  # requests to be forwarded
        self.outbox_count = 0
        self.posted = False  # in the list of those that wait for room in the channel
        self.forward_peer = 0  # the stream goes to this replica
        self.forward_seq = 0  # requests forwarded on this stream
        self.forwarded = 0  # of them not answered
        self.forward_bytes = 0
        self.forward_at = 0  # when the oldest unanswered one may have left, or found no room in the channel
        self.received = 0  # bytes of replies that came on this stream ...
        self.partial = False  # ... the last of them of a reply that is not whole yet
        self.reported = 0  # ... and of these, what the master was told the client has taken
        # Forwarding: at the master `expected` is the next request's number; at both ends `answered` counts replies.
        self.expected = 0
        self.answered = 0
        # At the master: bytes of replies sent on the stream, and of these, what its client has taken.
        self.shipped = 0
        self.taken = 0

    def say(self) -> bytearray | None:
        """Where the next reply is written, at once and whole. It is counted here and nowhere else, so that replies and
        their number can't part. None: the connection ends, and takes no more.
        """
        if not self.alive or self.closing:
            return None
        self.replies += 1
        return self.output

    def write(self, reply: bytes) -> None:
        """`reply` to the next request, unless the connection ends."""
        output = self.say()
        if output is not None:
            output += reply
            self.counts.reply(None, b"", 0, reply)

    def relay(self, payload: bytes, count: int) -> None:
        """Replies that another replica wrote: the last bytes of `count` of them, and perhaps more."""
        self.output += payload
        self.replies += count
        self.partial = not count and (self.partial or bool(payload))

    def drop_replies(self) -> None:
        """Replies that must never be sent; the connection has to end."""
        self.output.clear()
        self.replies = 0
        self.holding = False

    def kept_bytes(self) -> int:
        """What is kept for it: the same figure in both cores."""
        size = len(self.input) + len(self.output) + len(self.outbox)
        if self.parser.under_way() or self.parsed or self.calling:
            size += ARGUMENT_BYTES * len(self.parser.args)
        if self.parsed or self.calling:
            size += self.consumed  # its arguments are in there
        if self.parsed:
            size += len(self.data)
        return size

    def empty(self) -> None:
        """Nothing of it is needed any more, though hooks may still name it."""
        self.input.clear()
        self.output.clear()
        self.outbox.clear()
        self.outbox_count = 0
        self.parsed = False

    def waiting_bytes(self) -> int:
        """Bytes of replies that the client has not taken, here and on their way."""
        return len(self.output) + self.shipped - self.taken


class Batch:
    """Operations that will be, or are, one value, and who waits for them."""

    __slots__ = (
        "body", "count", "hooks", "opened_us", "expected", "largest", "appended", "force", "checksum", "sealed_us",
    )  # fmt: skip

    def __init__(self) -> None:
        self.body = bytearray()
        self.count = 0
        self.hooks: list[tuple[int, Client, bytes]] = []  # kind, client, read operation or literal reply
        self.opened_us = 0  # when the first of them came
        self.expected = 0  # bytes of replies with values that it will give at most
        self.largest = 0  # bytes of one of its operations
        self.appended = 0  # bytes of those that make a value longer
        self.force = False  # seal even without operations: a value that carries the time
        self.checksum = 0  # of the value, once sealed
        self.sealed_us = 0

    def add(self, operation: bytes) -> None:
        self.body += operation
        self.count += 1
        self.largest = max(self.largest, len(operation))
        if op_code(operation, 0) == OP_APPEND:
            self.appended += len(operation)

    def gives(self, size: int) -> bool:
        """Takes a reply of so many bytes into account; False: it gives too many already."""
        if self.expected and size and self.expected + size > BATCH_REPLIES_MAX:
            return False
        self.expected += size
        return True

    def open_at(self, now: int) -> None:
        """Somebody is about to wait for this batch."""
        if not self.hooks:
            self.opened_us = now

    def hook(self, kind: int, client: Client, data: bytes) -> None:
        """Puts a reply of `client` in line behind everything in this batch."""
        self.hooks.append((kind, client, data))
        client.pending += 1
        client.batch = self


def screen(client: Client) -> None:
    """There are no transactions, and what was meant to be one must not be done in parts."""
    refusing, kind = client.refusing, client.kind
    if kind == CALL and frees(client.parser.args):
        client.refusing = False
        return
    if kind == MULTI:
        client.refusing = True
        reply = ERR_NESTED if refusing else ERR_MULTI
    elif kind in (EXEC, DISCARD):
        client.refusing = False
        done, never = (ERR_ABORTED, ERR_EXEC) if kind == EXEC else (OK, ERR_DISCARD)
        reply = done if refusing else never
        if len(client.parser.args) > 1:  # it is EXEC, and Redis says so also where there was no MULTI
            reply = ERR_EXEC_ARITY
    elif kind == REPLY and client.data.startswith(b"-"):
        return  # what is wrong by itself says so
    else:
        reply = ERR_REFUSED
    client.kind, client.data = REPLY, reply


def operations(value: bytes, at: int) -> Iterator[int]:
    """The positions of the operations of a value whose first is at `at`."""
    while at < len(value):
        yield at
        at += op_size(value, at)
