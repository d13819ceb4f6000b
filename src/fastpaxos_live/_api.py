"""The interface of a replica, which both cores implement with the same names and the same bytes.

One turn of a driver (the edge or the simulator): `clock`, any number of feeds, `turn`, then the drains.
A replica never calls back; it is asked. Everything is single-threaded.
"""

from typing import Protocol, TypedDict

# Why a connection was ended, as `drain_complaints` numbers it.
COMPLAINTS = (
    "it does not take its replies, and its requests exceed client_bytes_max",
    "all clients together exceed clients_bytes_max, and this one holds most",
    "it speaks HTTP",
    "it speaks TLS",
)
UNTAKEN, CROWDED, HTTP, TLS = range(len(COMPLAINTS))
FORWARDED = 0xFFFFFFFF  # stands for a connection that is another replica's


class Config(TypedDict, total=False):
    """Settings of one replica; `make_config` in `config.py` fills in what is missing."""

    cell_id: int  # u64, seeds every checksum
    hash_seed: int  # u64, seeds the hash of the table, equal at all replicas; absent: the cell id
    replica: int  # own id, 1..replicas
    replicas: int  # members are 1..replicas
    incarnation: int
    seed: int  # u64, all randomness of the replica comes from it
    clients: list[str]  # "host:port" where each replica listens for clients, by id - 1 (for MOVED)
    lease_us: int  # how long a grant binds a replica
    silence_us: int  # what an earlier life granted may last so long, if that is longer than lease_us (absent: 0)
    lease_master_us: int  # how long the master relies on it: shorter by the drift bound
    beat_us: int  # heartbeat period
    boost_us: int  # how long a master stays at one number
    election_us: int  # upper end of the random wait on top of the lease
    window: int  # instances in flight, 1..WINDOW_MAX
    batch_bytes: int  # a batch takes operations until it is this large
    value_bytes_max: int  # the largest argument of a request
    wait_master_us: int  # how long a request waits for a master before -CLUSTERDOWN
    write_timeout_us: int  # after that the outcome of a write is unknown
    redirect: int  # 0 auto, 1 always MOVED, 2 always forward
    request_bytes_max: int  # of a request as it arrives (absent: REQUEST_SLACK above value_bytes_max)
    client_bytes_max: int  # requests kept of a client that does not take its replies (absent: CLIENT_BYTES_MAX)
    clients_bytes_max: int  # what all clients may have waiting here, requests and replies (absent: no bound)
    work_max: int  # of clients' requests in one turn, in what is fed and again in what goes on (absent: WORK_MAX)


class Status(TypedDict):
    """What INFO and `status` show; all of it as of the last turn."""

    role: str  # "master", "candidate" or "replica"
    serving: bool  # a master whose epoch instance is applied
    master: int  # replica id, 0 when unknown
    last_master: int  # the last one that was known, 0 while none was
    sequence_number: int
    epoch: int
    instance_committed: int
    instance_applied: int
    lease_us_left: int  # of the master's lease; 0 on others
    voting: bool
    heard: list[int]  # replica ids that acknowledged within one lease (only the master knows), own included
    followers: dict[int, tuple[int, int]]  # by id what the master knows: durable up to this instance, heard us ago
    linked: list[int]  # replica ids that this one has both channels to, own included: a stopped process has them too
    keys: int
    keys_expiring: int
    state_sum: int  # order-independent sum over all entries
    operations: int  # operations applied
    reads: int  # reads answered
    clients: int
    log_position: int
    disk_full: bool  # writes are refused, or will be soon
    time_ms: int  # the time in force
    promised: int
    elections: int  # times this replica became serving master
    clock_refused_ms: int  # so far ahead was a clock that was not believed, when this replica last became master
    disk_stalled_ms: int  # so long the disk has not answered, if that is too long; else 0


class Counts(TypedDict):
    """What a replica has counted since its start. Requests are counted where their client is connected; errors and
    whether a key was there where the reply is made: of what is forwarded that is the master."""

    requests: int
    requests_per_s: int
    calls: dict[str, int]  # of each command, "" for what is none; those that were never asked for are missing
    errors: dict[str, int]  # by code; those that were never said are missing
    hits: int
    misses: int
    expired: int
    bytes_in: int  # of clients
    bytes_out: int


class Replica(Protocol):
    """A replica, fed and drained. Connection ids are small integers that the driver assigns and may reuse after
    `close_client`; streams of forwarded clients are the replica's own affair."""

    def __init__(self, config: Config) -> None: ...

    # --- start: the log is replayed before anything else is fed
    def feed_log(self, data: bytes | memoryview) -> int:
        """Replay whole groups from the start of `data`; returns the bytes consumed (a multiple of 64). Stops before
        the first byte that does not begin a complete valid group; what that means is `log/recovery.py`'s affair."""

    def start(self, boot_us: int, wall_ms: int) -> None:
        """End of replay: begins the silence, of one lease or `silence_us`."""

    # --- feeds
    def clock(self, boot_us: int, wall_ms: int) -> None:
        """The time. To be sampled anew after bytes were received and before they are fed: a grant must never seem
        older than the frame that it answers."""

    def open_client(self, conn: int) -> None: ...
    def feed_client(self, conn: int, data: bytes) -> None: ...
    def end_client(self, conn: int) -> None:
        """No more input will come. What came is answered as far as it is whole; then `is_closing` says so."""

    def close_client(self, conn: int) -> None:
        """The connection is gone. Never called back by the replica; ids may be reused at once."""

    def open_peer(self, peer: int, channel: int) -> None:
        """A handshake succeeded; whatever was queued for an older connection is dropped."""

    def feed_peer(self, peer: int, channel: int, data: bytes) -> bool:
        """Bytes after the handshake. False: a bad frame; the driver closes that connection."""

    def close_peer(self, peer: int, channel: int) -> None: ...
    def durable(self, position: int) -> None:
        """Everything below this log position is as durable as the policy asks."""

    def limit_log(self, position: int) -> None:
        """For want of room the log should not grow behind this position: what can be refused is refused before, and
        what must be written in any case may go on a little. 0: there is room."""

    def read_done(self, position: int, data: bytes) -> int:
        """Answer to one of `drain_reads`, in order; empty `data` when the read failed. Returns an instance that is not
        there as it was written, or 0: the replica has lost what it promised to keep (PML 5.1), and must end."""

    def span_wanted(self) -> int:
        """How long grants may last (us), to be made durable as the `silence_us` of the next start; 0: nothing to do.
        A grant longer than what is durable is not given before `span_kept`."""

    def span_kept(self, span_us: int) -> None:
        """What `span_wanted` returned is durable, and nothing newer was written."""

    def turn(self, boot_us: int, wall_ms: int) -> None:
        """End of a turn, with a freshly sampled clock: timers, sealing, then the lease check that releases reads."""

    # --- drains
    def drain_clients(self) -> list[int]:
        """Connections that have output, want to be closed, or may be read again, each once."""

    def drain_client(self, conn: int, most: int = 0) -> bytes:
        """Released output, at most so many bytes of it (0: all). What is returned counts as taken by the client: a
        driver should keep little of it, since the limits on what clients keep here count only the rest."""

    def wants_client(self, conn: int) -> bool:
        """May the driver read from this connection? False is back-pressure."""

    def is_closing(self, conn: int) -> bool:
        """True once the driver should close the connection after sending its output; it then calls close_client."""

    def drain_complaints(self) -> list[tuple[int, int]]:
        """Connections that were ended for their own fault, each with its place in COMPLAINTS. They are still open."""

    def drain_calls(self) -> list[tuple[int, list[bytes]]]:
        """The next request that Python answers (`server/commands.py`); it pauses its connection until `answer`.

        Empty: there is none, or enough were answered until the next turn.
        """

    def answer(self, conn: int, reply: bytes, close: bool = False) -> None: ...
    def set_client(self, conn: int, resp: int, redirect: bool, readonly: bool = False) -> None:
        """RESP version (2 or 3), whether this connection asked for redirects (CLUSTER, READONLY), and whether its
        reads are answered all the same (READONLY)."""

    def client_seen(self, conn: int) -> tuple[str, int]:
        """Its last command, "" if that is none, and how many us ago something came or went."""

    def limit_idle(self, us: int) -> None:
        """A client that neither sends nor takes anything for so long, and waits for nothing, is closed; 0: never."""

    def drain_peers(self) -> list[tuple[int, int]]:
        """(peer, channel) of each connection between replicas that has output, in this order."""

    def drain_peer(self, peer: int, channel: int) -> bytes: ...
    def drain_disk(self) -> tuple[int, bytes, bool] | None:
        """The next group: (position, bytes, must be synced whatever the policy). None while one is under way
        (until `durable` reached its end) or when there is nothing to write."""

    def drain_reads(self) -> list[tuple[int, int]]:
        """Disk reads wanted: (log position, length)."""

    def wakeup(self) -> int:
        """When `turn` must be called at the latest (boot_us). The compiled core says now and then an earlier time than
        the reference: while it has memory to give back, which it does bit by bit.
        """

    # --- looking
    def status(self) -> Status: ...
    def counts(self) -> Counts: ...
    def effort(self) -> tuple[int, int]:
        """Work done for clients' requests so far, and the largest part of it that one request took: for tests and the
        simulator, which hold it against `work_max`.
        """

    def glance(self) -> tuple[int, int, int, int, int, bool, int]:
        """Of `status` what a check after every turn needs: instance_applied, instance_committed, promised, epoch,
        state_sum, serving, lease_us_left."""

    def work(self) -> tuple[int, int, int, int, int, int]:
        """Operations applied, new keys, and what was done beside what operations ask for: slots moved of a table that
        grows, slots swept of tables that were cleared, keys removed that were due, and their bytes.
        """

    def rows(self) -> dict[str, int]:
        """How often each named row of the acceptor and the coordinator was taken."""

    def trace_rows(self, on: bool) -> None:
        """From now on each row taken is noted for `drain_rows`, or no longer; what was noted is forgotten when off."""

    def drain_rows(self) -> list[tuple[int, str, str, dict[str, tuple[int, int]]]]:
        """The rows taken since the last call, at most the last 4096, rows of a replay apart: the time (boot_us), the
        row, the message that it took, and each variable that it changed (maps apart) with its values before and after.
        """

    def get(self, key: bytes) -> bytes | None:
        """The stored value, without lease or order: for tests and inspection only."""

    def applied(self) -> list[tuple[int, int]]:
        """(instance, value checksum) applied since the last call, at most 4096 kept: for the simulator's checks."""
