"""What becomes of requests: their replies, and the ends of connections that are owed one.

A reply is written where `Client.say` says, which counts it. Who can't be given a reply that is known to be right is
told so, if that is possible, and the connection ends: nothing follows a reply that is missing.
"""

from typing import TYPE_CHECKING

from .db_apply import run
from .db_ops import op_size
from .limits import HOOKED_BYTES_MAX, HOOKED_READS_MAX
from .log_frame import VALUE_BYTES
from .log_machines import REIGN_SERVING
from .replica_client import LATE_READ_HOOK, LITERAL_HOOK, WRITE_HOOK, Batch, Client

if TYPE_CHECKING:
    from .replica import Replica

# Why a request has no result. Only what nobody else can have taken was certainly not done.
CHANGED, LATE, CUT_OFF, NOT_TAKEN = range(4)  # the last is not told to a replica that forwards
REASONS = (
    b"the master changed", b"no majority answered within write_timeout_ms", b"the connection to the master broke",
    b"the replies were not taken",
)  # fmt: skip
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
            if kind == WRITE_HOOK:
                self._run(client, value, at, replica.time_ms)
                at += op_size(value, at)
            elif kind == LITERAL_HOOK:
                client.write(data)
            elif kind == LATE_READ_HOOK and replica.log.reign.state != REIGN_SERVING:
                client.write(ERR_NOT_DONE[CHANGED])  # it may have been asked after others saw newer values
            elif self._run(client, data, 0, replica.hooked_ms()):
                replica.reads += 1
                if kind == LATE_READ_HOOK:
                    replica.hold(client)  # so may this one, if the lease has ended
            self._hooked(client)

    def hook_read(self, client: Client, batch: Batch, kind: int) -> bool:
        """Gives the client's read its place in this batch, as soon as both have room for it and its reply."""
        if client.hooked_reads == HOOKED_READS_MAX:
            return False
        bound = self.replica.keeping.reply_bound(client) + len(client.data)
        if client.pending and client.hooked_bytes + bound > HOOKED_BYTES_MAX or not batch.gives(bound):
            return False
        client.hooked_reads += 1
        client.hooked_bytes += bound
        batch.open_at(self.replica.now)
        batch.hook(kind, client, client.data)
        return True

    def _run(self, client: Client, data: bytes, at: int, time_ms: int) -> bool:
        # Whether anybody is there who gets the reply.
        replica = self.replica
        output = client.say()
        if output is None:
            run(replica.store, data, at, time_ms, client.resp, None)
            return False
        before = len(output)
        run(replica.store, data, at, time_ms, client.resp, output)
        replica.counted.reply(replica.store, data, at, bytes(output[before:]))
        return True

    def read(self, client: Client, time_ms: int) -> None:
        """The reply to a read that waits for nothing."""
        self._run(client, client.data, 0, time_ms)
        self.replica.reads += 1

    def fail(self, batch: Batch) -> None:
        """Another value was chosen in its place: these operations were definitely not applied."""
        for kind, client, data in batch.hooks:
            client.write(data if kind == LITERAL_HOOK else ERR_NOT_DONE[CHANGED])
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
                client.write(reply)
        for _, client, _ in batch.hooks:  # when all their replies are written: this may be the end
            self.replica.touch(client)
            self.settle(client)

    def _hooked(self, client: Client) -> None:
        client.pending -= 1
        self.replica.touch(client)
        self.settle(client)

    def settle(self, client: Client) -> None:
        """Nothing before the client's next request is outstanding any more: it may go on."""
        if client.pending or client.forwarded or client.outbox_count or not client.alive:
            return
        client.batch = None
        client.hooked_reads = client.hooked_bytes = 0
        client.forward_bytes = 0
        if client.broken is not None and not client.closing:
            if client.broken:
                client.write(client.broken)
            client.closing = True
            self.replica.touch(client)
        elif client.blocked:
            self.replica.queue(client)

    # --- ends
    def not_done(self, client: Client, count: int, reason: int) -> None:
        """The next `count` requests, which nobody has seen, are answered."""
        for _ in range(count):
            client.write(ERR_NOT_DONE[reason])
        self.replica.touch(client)
        self.settle(client)

    def lose(self, client: Client, reason: int) -> None:
        """What became of the client's requests is not known: the only honest answer is the last one."""
        if not client.alive or client.closing:
            return
        if not (client.holding or client.partial or client.peer):  # a stream's end is told by its replica
            client.write(ERR_UNKNOWN[reason])
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
