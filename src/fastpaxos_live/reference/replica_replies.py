"""What becomes of requests: their replies, and the ends of connections that are owed one.

A reply is written where `Client.say` says, which counts it. Who can't be given a reply that is known to be right is
told so, if that is possible, and the connection ends: nothing follows a reply that is missing.
"""

from typing import TYPE_CHECKING

from .db_apply import run
from .db_ops import op_size
from .log_frame import VALUE_BYTES
from .log_machines import REIGN_SERVING
from .replica_client import LATE_READ_HOOK, LITERAL_HOOK, WRITE_HOOK, Batch, Client

if TYPE_CHECKING:
    from .replica import Replica

# Why a request has no result. Only what nobody else can have taken was certainly not done.
CHANGED, LATE, CUT_OFF = range(3)
REASONS = b"the master changed", b"no majority answered within write_timeout_ms", b"the connection to the master broke"
ERR_NOT_DONE = tuple(b"-TRYAGAIN %b, nothing was done\r\n" % reason for reason in REASONS)
ERR_UNKNOWN = tuple(b"-UNKNOWN %b, it is not known whether this was done\r\n" % reason for reason in REASONS)


class Replies:
    """The replies of one replica to its clients, and to the streams that others forward."""

    def __init__(self, replica: "Replica") -> None:
        self.replica = replica

    # --- the outcome of a batch
    def apply(self, value: bytes, batch: Batch) -> None:
        """Applies an own value and answers whoever waits for it."""
        replica = self.replica
        at = VALUE_BYTES
        for kind, client, data in batch.hooks:
            output = client.say()
            if kind == WRITE_HOOK:
                run(replica.store, value, at, replica.time_ms, client.resp, output)
                at += op_size(value, at)
            elif output is not None:
                if kind == LITERAL_HOOK:
                    output += data
                elif kind == LATE_READ_HOOK and replica.log.reign.state != REIGN_SERVING:
                    output += ERR_NOT_DONE[CHANGED]  # it may have been asked after others saw newer values
                else:
                    run(replica.store, data, 0, replica.time_ms, client.resp, output)
                    replica.reads += 1
                    if kind == LATE_READ_HOOK:
                        replica.hold(client)  # so may this one, if the lease has ended
            self._hooked(client)

    def fail(self, batch: Batch) -> None:
        """Another value was chosen in its place: these operations were definitely not applied."""
        for kind, client, data in batch.hooks:
            self._write(client, data if kind == LITERAL_HOOK else ERR_NOT_DONE[CHANGED])
            self._hooked(client)

    def fail_open(self, reason: int) -> None:
        """Nothing of the open batch will be proposed. A client that still waits for what is in flight is told after
        that.
        """
        flights = self.replica.flights
        last = flights[max(flights)] if flights else None
        batch, self.replica.open = self.replica.open, Batch()
        for _, client, _ in batch.hooks:
            client.pending -= 1
        for kind, client, data in batch.hooks:
            reply = data if kind == LITERAL_HOOK else ERR_NOT_DONE[reason]
            if client.pending and last is not None:
                last.hook(LITERAL_HOOK, client, reply)
            else:
                self._write(client, reply)
        for _, client, _ in batch.hooks:  # when all their replies are written: this may be the end
            self.replica.touch(client)
            self.settle(client)

    def _write(self, client: Client, reply: bytes) -> None:
        output = client.say()
        if output is not None:
            output += reply

    def _hooked(self, client: Client) -> None:
        client.pending -= 1
        self.replica.touch(client)
        self.settle(client)

    def settle(self, client: Client) -> None:
        """Nothing before the client's next request is outstanding any more: it may go on."""
        if client.pending or client.forwarded or client.outbox_count or not client.alive:
            return
        client.batch = None
        client.hooked_reads = 0
        client.forward_bytes = 0
        if client.broken is not None and not client.closing:
            if client.broken:
                self._write(client, client.broken)
            client.closing = True
            self.replica.touch(client)
        elif client.blocked:
            self.replica.queue(client)

    # --- ends
    def not_done(self, client: Client, count: int, reason: int) -> None:
        """The next `count` requests, which nobody has seen, are answered."""
        for _ in range(count):
            self._write(client, ERR_NOT_DONE[reason])
        self.replica.touch(client)
        self.settle(client)

    def lose(self, client: Client, reason: int) -> None:
        """What became of the client's requests is not known: the only honest answer is the last one."""
        if not client.alive or client.closing:
            return
        if not (client.holding or client.partial or client.peer):  # a stream's end is told by its replica
            self._write(client, ERR_UNKNOWN[reason])
        self.close(client, reason)

    def close(self, client: Client, reason: int) -> None:
        """The connection ends; reads that no lease covered are never sent."""
        if client.holding:
            client.drop_replies()
        client.closing = True
        client.reason = reason
        self.replica.touch(client)

    # --- time
    def time_out(self) -> None:
        """Nobody waits for much longer than write_timeout. What was proposed may still be chosen; what was not is
        dropped.
        """
        replica = self.replica
        if replica.now < replica.check_at:
            return
        limit = replica.config["write_timeout_us"]
        replica.check_at = replica.now + limit // 10
        for instance in sorted(replica.flights):
            if replica.now - replica.flights[instance].sealed_us > limit:
                for _, client, _ in replica.flights.pop(instance).hooks:
                    self.lose(client, LATE)
        if replica.open.hooks and replica.now - replica.open.opened_us > limit:
            self.fail_open(LATE)
        replica.forwarding.time_out(limit + limit // 8)  # the master's own answer first: it knows more
