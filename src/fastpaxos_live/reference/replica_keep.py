"""What clients may keep here, and who has to go when it is too much.

Many clients write a pipeline whole before they take a reply. Were nothing read of one whose replies wait, it would
wait for ever. So its requests are kept, up to client_bytes_max, while no more of them is executed than one reply is
above OUTPUT_BYTES_MAX: what a client can make this replica keep is what it has sent itself.
"""

from typing import TYPE_CHECKING

from .db_reply import reply_bound
from .limits import EVICTIONS_MAX
from .replica_client import CROWDED, FORWARDED, UNTAKEN, Client
from .replica_replies import CUT_OFF, ERR_NOT_DONE, NOT_TAKEN

if TYPE_CHECKING:
    from .replica import Replica

IDLE_US = 1_000_000  # between two looks for idle clients


class Keeping:
    """What one replica keeps for its clients, and for the streams that others forward."""

    def __init__(self, replica: "Replica") -> None:
        self.replica = replica
        self.bytes = 0  # for all, as counted last
        self.complaints: list[tuple[int, int]] = []

    def weigh(self, client: Client) -> None:
        """Counts anew what is kept for this client."""
        size = client.kept_bytes() if client.alive else 0
        self.bytes += size - client.counted
        client.counted = size

    def forget(self, client: Client) -> None:
        """It is gone; whoever still names it finds it empty."""
        client.alive = False
        client.empty()
        self.weigh(client)

    def complain(self, client: Client, what: int) -> None:
        """To be told by the driver: this connection is ended for its own fault."""
        self.complaints.append((FORWARDED if client.peer else client.id, what))

    def overfed(self, client: Client) -> None:
        """It neither takes its replies nor stops asking."""
        if client.closing or not client.alive:
            return
        replica = self.replica
        self.complain(client, UNTAKEN)
        replica.forwarding.hang_up(client)
        if client.pending or client.forwarded:
            replica.replies.lose(client, NOT_TAKEN)
        else:
            if not (client.holding or client.partial):
                client.write(ERR_NOT_DONE[NOT_TAKEN])
            replica.replies.close(client, NOT_TAKEN)
        self._drop_input(client)

    def _drop_input(self, client: Client) -> None:
        # Of a connection that ends.
        client.input.clear()
        client.outbox.clear()
        client.data = b""
        client.parser.forget()
        client.outbox_count = 0
        client.parsed = client.calling = False
        self.weigh(client)

    def relieve(self) -> None:
        """Who holds most has to go, until there is room."""
        replica = self.replica
        for _ in range(EVICTIONS_MAX):
            if self.bytes <= replica.clients_bytes_max:
                return
            largest: Client | None = None
            for clients in (replica.clients, *replica.forwarding.streams[1:]):
                for _, client in sorted(clients.items()):
                    if client.alive and client.counted:
                        if largest is None or client.counted > largest.counted:
                            largest = client
            if largest is None:
                return
            self.complain(largest, CROWDED)
            replica.forwarding.hang_up(largest)
            largest.drop_replies()
            replica.replies.close(largest, CUT_OFF)
            self._drop_input(largest)

    def end_idle(self) -> None:
        """As Redis's `timeout`: a client that neither sends nor takes anything, and waits for nothing."""
        replica = self.replica
        if not replica.idle_us or replica.now < replica.idle_at:
            return
        replica.idle_at = replica.now + IDLE_US
        for _, client in sorted(replica.clients.items()):
            waits = client.batch is not None or client.forwarded or client.outbox_count or client.calling
            waits = waits or client.blocked or client.delayed
            if replica.now - client.active_at > replica.idle_us and not (waits or client.closing):
                client.closing = True
                replica.touch(client)

    def reply_bound(self, client: Client) -> int:
        """No reply to the client's request is longer, whatever of what is under way was applied before."""
        replica = self.replica
        batches = [replica.open, *replica.flights.values()]
        growth = max(batch.largest for batch in batches) + sum(batch.appended for batch in batches)
        return reply_bound(replica.store, client.data, growth)
