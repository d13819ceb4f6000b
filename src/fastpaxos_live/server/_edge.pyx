# cython: language_level=3, boundscheck=False, wraparound=False
# cython: cdivision=True, initializedcheck=False
"""The compiled edge: an epoll set of its own inside the event loop, and the log-writer thread.

The loop sees one descriptor. When it is readable, one section without the GIL takes some *rounds*.
A round: sample the clock, collect what happened, read peers and then clients, let the replica take
its turn with a freshly sampled clock, then start the disk write, send to peers, and send to
clients. Everything is registered edge-triggered and once: a connection that was not read to its end
is remembered in a queue, one that could not be written to its end waits for its event. Python sees
connections come and go, disk reads, and the requests that it answers itself.
"""
import asyncio
import os
from heapq import heappop, heappush

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from .._core cimport *
from ..log.segments import encode_header, reserve_bytes
from ..log.storage import StorageError, log_damaged
from .edges import GONE_S, LINGER_S, EdgeFailed, SpanKeeper, report

include "../core/xxh64.pyx"
include "edge_writer.pxi"
include "edge_profile.pxi"
include "edge_clients.pxi"

cdef extern from *:
    """
    #include <linux/sockios.h>
    #include <sys/epoll.h>
    #include <sys/ioctl.h>
    #include <sys/socket.h>
    #include <sys/timerfd.h>

    static uint64_t edge_boot_us(void) {
        struct timespec now;
        clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    }
    static uint64_t edge_wall_ms(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    static int edge_add(int epoll, int file, uint64_t tag, uint32_t events) {
        struct epoll_event event = {.events = events | EPOLLET, .data.u64 = tag};
        return epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event);
    }
    static int edge_timer(void) {
        return timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    }
    static void edge_arm(int timer, uint64_t at_us) {
        struct itimerspec when = {
            .it_value = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000},
        };
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    }
    /* Bytes that the other side's system has not acknowledged. */
    static uint64_t edge_unsent(int file) {
        int size = 0;
        return ioctl(file, SIOCOUTQ, &size) ? 0 : size;
    }
    """
    uint64_t edge_boot_us() nogil
    uint64_t edge_wall_ms() nogil
    int edge_add(int, int, uint64_t, uint32_t) nogil
    int edge_timer() nogil
    void edge_arm(int, uint64_t) nogil
    uint64_t edge_unsent(int) nogil
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int) nogil
    int epoll_wait(int, epoll_event *, int, int) nogil
    ssize_t recv(int, void *, size_t, int) nogil
    ssize_t send(int, const void *, size_t, int) nogil
    uint32_t EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR
    int EPOLL_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    EVENTS_MAX = 256               # taken from the kernel in one round
    WAIT_MS = 1                    # how long a section waits for more before it ends
    SECTION_US = 2000              # how long a section may take before the event loop has its turn
    PEER_READ_BYTES = 1 << 20      # of one channel in one round
    RECV_BYTES = 256 << 10         # in one call
    PEERS = 10                     # ids are 1..9
    CHANNELS = 2

cdef enum Tag:  # the upper half of an epoll tag; the lower half is an index
    TAG_CLIENT
    TAG_PEER
    TAG_WRITER
    TAG_TIMER

cdef uint32_t NOBODY = 0xFFFFFFFF
cdef uint64_t NEVER = 0xFFFFFFFFFFFFFFFF


cdef class Edge:
    """One replica's sockets, disk and clock; see `edges.Edge`."""

    cdef readonly int clients
    cdef object loop, replica, storage, hooks, _reads, _spans
    cdef list _free, _gone, _lost
    cdef Core *core
    cdef Writer *writer
    cdef Socket *conns
    cdef Socket links[PEERS][CHANNELS]
    cdef uint32_t conns_room, conns_used
    cdef Queue queues[WISHES]
    cdef int peers, epoll, timer
    cdef bint started, writing, halted, scheduled
    cdef uint64_t write_end, armed_us
    cdef int lack
    cdef epoll_event events[EVENTS_MAX]
    cdef Profile profiled

    def __cinit__(self):
        cdef int peer, channel
        self.epoll = self.timer = -1
        self.armed_us = NEVER
        for peer in range(PEERS):
            for channel in range(CHANNELS):
                self.links[peer][channel].file = -1

    def __init__(self, loop, replica, replicas, own, storage, position, fsync, hooks):
        self.loop = loop
        self.replica = replica
        self.core = core_of(replica)
        self.storage = storage
        self.hooks = hooks
        self.peers = replicas
        core_watch(self.core, &self.profiled, profile_applying)
        self._free = []
        self._gone = []
        self._lost = []
        self._reads = asyncio.Lock()
        self._spans = SpanKeeper(loop, replica, hooks, self._schedule, self._fail)
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.timer = edge_timer()
        if self.epoll < 0 or self.timer < 0:
            raise OSError(errno, os.strerror(errno))
        self._make_writer(storage, position, fsync)
        if edge_add(self.epoll, self.timer, <uint64_t>TAG_TIMER << 32, EPOLLIN) or edge_add(
            self.epoll, self.writer.event, <uint64_t>TAG_WRITER << 32, EPOLLIN
        ):
            raise OSError(errno, os.strerror(errno))

    cdef int _make_writer(self, storage, uint64_t position, fsync) except -1:
        cdef bytes header = encode_header(storage.header)
        cdef Writer *w = <Writer *>calloc(1, sizeof(Writer))
        if w == NULL:
            raise MemoryError
        self.writer = w
        pthread_mutex_init(&w.lock, NULL)
        writer_init_cond(&w.wake)
        writer_init_cond(&w.idle)
        w.files[0].file = w.files[1].file = w.made.file = w.preparing = w.directory = w.event = w.spare = -1
        w.directory = os.open(storage.directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        w.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if w.event < 0:
            raise OSError(errno, os.strerror(errno))
        w.spare = fcntl(w.event, F_DUPFD_CLOEXEC, 0)
        w.policy = {
            "always": SYNC_ALWAYS, "interval": SYNC_INTERVAL, "never": SYNC_NEVER
        }[fsync.kind]
        w.interval_us = fsync.interval_ms * 1000
        w.segment_bytes = storage.segment_bytes
        w.reserve = reserve_bytes(w.segment_bytes)
        w.end = position
        w.ready = storage.files
        w.open_flags = O_RDWR | O_CLOEXEC | (O_DIRECT if w.policy == SYNC_ALWAYS else 0)
        if posix_memalign(<void **>&w.header, BLOCK_BYTES, SEGMENT_HEADER + 2 * SLICE_BYTES):
            raise MemoryError
        memcpy(w.header, <const char *>header, SEGMENT_HEADER)
        w.zeros = w.header + SEGMENT_HEADER
        w.stage = w.zeros + SLICE_BYTES
        memset(w.zeros, 0, SLICE_BYTES)
        return 0

    def start(self):
        """Take the first turn."""
        cdef int error = writer_create_thread(&self.writer.thread, writer_main, self.writer)
        if error:
            raise OSError(error, os.strerror(error))
        self.started = True
        self.loop.add_reader(self.epoll, self._on_ready)
        self._schedule()

    def adopt_client(self, sock, address):
        """Serve this connection; the edge owns the socket from now on."""
        cdef uint32_t conn
        cdef Socket *client
        if self._free:
            conn = heappop(self._free)
        else:
            conn = self.conns_used
            self._make_room(conn)
            self.conns_used += 1
        client = &self.conns[conn]
        client.file = sock.detach()
        client.readable = client.hung_up = client.watched = client.blocked = client.lingering = 0
        client.generation += 1
        self.clients += 1
        core_client_open(self.core, conn)
        self.hooks.on_open(conn, address)
        if edge_add(
            self.epoll, client.file, <uint64_t>TAG_CLIENT << 32 | conn,
            EPOLLIN | EPOLLOUT | EPOLLRDHUP,
        ):
            edge_close_client(self, conn)
            self._tell()

    def adopt_peer(self, sock, uint32_t peer, uint32_t channel):
        """The handshake is done; an older connection of the same channel is closed."""
        cdef Socket *link = &self.links[peer][channel]
        if link.file >= 0:
            core_peer_close(self.core, peer, channel)
            close(link.file)
        link.file = sock.detach()
        link.readable = link.hung_up = link.blocked = 0
        core_peer_open(self.core, peer, channel)
        if edge_add(
            self.epoll, link.file, <uint64_t>TAG_PEER << 32 | peer * CHANNELS + channel,
            EPOLLIN | EPOLLOUT | EPOLLRDHUP,
        ):
            edge_close_peer(self, peer, channel)
        self._schedule()

    def profile(self):
        """What was counted since the start; `edges.Edge` has the keys."""
        cdef Profile *p = &self.profiled
        cdef Writer *w = self.writer
        cdef int i, j
        pthread_mutex_lock(&w.lock)
        writer = {
            "groups": w.groups, "bytes": w.group_bytes, "wait_us": w.wait_us, "write_us": w.service_us,
        }
        pthread_mutex_unlock(&w.lock)
        return {
            "stages_ns": {STAGE_NAMES[i]: p.stage_ns[i] for i in range(STAGES)},
            # In one of CLOSELY rounds.
            "closely_ns": {
                STAGE_NAMES[i]: {
                    "stage": p.close_ns[i],
                    "parts": {PART_NAMES[j]: p.part_ns[i][j] for j in range(PARTS) if p.part_ns[i][j]},
                }
                for i in range(STAGES)
            },
            "rounds": p.rounds,
            "calls": {"epoll_wait": p.wait_calls, "recv": p.recv_calls, "send": p.send_calls},
            "bytes": {"recv": p.recv_bytes, "send": p.send_bytes},
            "writer": writer,
            "histograms": {
                MEASURE_NAMES[i]: {
                    "sum": p.histograms[i].sum, "buckets": [p.histograms[i].buckets[j] for j in range(BUCKETS)],
                }
                for i in range(MEASURES)
            },
        }

    async def stop(self):
        """Stop feeding, finish and sync the disk writes, close everything. Raises EdgeFailed."""
        self.halted = True
        self.loop.remove_reader(self.epoll)
        await self._spans.stop()
        reason = await self.loop.run_in_executor(None, self._finish)
        async with self._reads:
            pass  # whoever reads is done, and its files can be closed
        self._close_sockets()
        core_watch(self.core, NULL, NULL)  # the replica may outlive this object
        if reason:
            raise EdgeFailed(reason)

    def _finish(self):
        # In another thread, while the loop's thread leaves the core alone. Returns why it failed,
        # or None.
        cdef int error
        cdef bint dropped = False
        with nogil:
            error = writer_settle(self.writer, &dropped)
            while not error and self.writing and not dropped:
                core_durable(self.core, self.write_end)
                self.writing = False
                edge_write(self)
                error = writer_settle(self.writer, &dropped)
            error = writer_stop(self.writer)
            self.started = False
        return self._reason(error) if error else None

    def __dealloc__(self):
        self._close_sockets()
        free(self.conns)
        if self.writer != NULL and not self.started:
            writer_free(self.writer)
        if self.epoll >= 0:
            close(self.epoll)
        if self.timer >= 0:
            close(self.timer)

    cdef void _close_sockets(self) noexcept:
        cdef uint32_t conn
        cdef int peer, channel
        for conn in range(self.conns_used):
            if self.conns[conn].file >= 0:
                close(self.conns[conn].file)
                self.conns[conn].file = -1
        for peer in range(PEERS):
            for channel in range(CHANNELS):
                if self.links[peer][channel].file >= 0:
                    close(self.links[peer][channel].file)
                    self.links[peer][channel].file = -1

    cdef str _reason(self, int error):
        return f"{(<bytes>self.writer.failed).decode()} failed: {os.strerror(error)}"

    cdef int _make_room(self, uint32_t conn) except -1:
        cdef uint32_t room = 2 * self.conns_room if self.conns_room else 64
        cdef Socket *conns
        if conn >= self.conns_room:
            conns = <Socket *>realloc(self.conns, room * sizeof(Socket))
            if conns == NULL:
                raise MemoryError
            memset(conns + self.conns_room, 0, (room - self.conns_room) * sizeof(Socket))
            self.conns = conns
            self.conns_room = room
        return 0

    def _schedule(self):
        # Take a turn soon, whatever the sockets say.
        if not self.scheduled and not self.halted:
            self.scheduled = True
            self.loop.call_soon(self._on_schedule)

    def _on_schedule(self):
        self.scheduled = False
        self._run(True)

    def _on_ready(self):
        self._run(False)

    cdef void _run(self, bint forced) noexcept:
        if not self.halted:
            try:
                self._take_rounds(forced)
            except Exception as error:
                self._report(error)

    cdef int _take_rounds(self, bint forced) except -1:
        cdef int error = 0
        cdef bint again = False
        with nogil:
            error = edge_rounds(self, forced, &again)
        if error:
            self._fail(self._reason(error))
        self._tell()
        self._start_reads()
        if core_span_wanted(self.core):
            self._spans.look()
        if again:
            self._schedule()
        return 0

    def _report(self, error):
        self.halted = True
        self.loop.remove_reader(self.epoll)
        report(self.loop, error)

    def _fail(self, reason):
        if not self.halted:
            self.halted = True
            self.loop.remove_reader(self.epoll)
            self.hooks.on_failed(EdgeFailed(reason))

    cdef int _tell(self) except -1:
        # Report who is gone; their places may be taken again from now on.
        while self._gone:
            conn = self._gone.pop()
            self.clients -= 1
            self.hooks.on_close(conn)
            heappush(self._free, conn)
        while self._lost:
            self.hooks.on_peer_lost(*self._lost.pop())
        return 0

    cdef int _start_reads(self) except -1:
        cdef uint64_t position = 0
        cdef uint32_t length = 0
        while not self.halted and core_read_next(self.core, &position, &length):
            self.loop.create_task(self._read(position, length))
        return 0

    async def _read(self, position, length):
        async with self._reads:  # in order, one at a time
            try:
                data = await self.loop.run_in_executor(None, self.storage.read, position, length)
            except StorageError as error:
                self._fail(str(error))
                return
            except (OSError, RuntimeError):  # the latter for want of a thread
                data = b""
        if not self.halted:
            damaged = core_read_done(self.core, position, <const char *><bytes>data, len(data))
            if damaged:
                self._fail(str(log_damaged(damaged)))
            else:
                self._schedule()

    cdef void _answer_calls(self) noexcept:
        try:
            while calls := self.replica.drain_calls():
                for conn, arguments in calls:
                    self.replica.answer(conn, *self.hooks.handle_call(conn, arguments))
        except Exception as error:
            self._report(error)

    cdef void _complain(self) noexcept:
        try:
            for conn, what in self.replica.drain_complaints():
                self.hooks.on_complaint(conn, what)
        except Exception as error:
            self._report(error)

    cdef void _linger(self, uint32_t conn) noexcept:
        self.loop.call_later(LINGER_S, self._end_linger, conn, self.conns[conn].generation)

    def _end_linger(self, uint32_t conn, uint32_t generation):
        cdef Socket *client = &self.conns[conn]
        if client.file >= 0 and client.generation == generation and not self.halted:
            edge_close_client(self, conn)
            self._tell()

    cdef void _watch(self, uint32_t conn) noexcept:
        cdef Socket *client = &self.conns[conn]
        self.loop.call_later(
            GONE_S, self._end_watch, conn, client.generation, client.sent - edge_unsent(client.file)
        )

    def _end_watch(self, uint32_t conn, uint32_t generation, uint64_t taken):
        cdef Socket *client = &self.conns[conn]
        cdef bint here = client.file >= 0 and client.generation == generation and not self.halted
        if here and client.sent - edge_unsent(client.file) != taken:
            self._watch(conn)
        else:
            self._end_linger(conn, generation)


cdef int edge_rounds(Edge self, bint forced, bint *again) noexcept nogil:
    # Rounds until nothing happens for WAIT_MS, or the event loop must have its turn. A forced round
    # is taken even if nothing has happened. Returns an errno; `again`: more is left to do.
    cdef int count, error = 0
    cdef uint64_t now, until = 0
    again[0] = forced
    while True:
        profile_stage(&self.profiled, STAGE_IDLE)
        # Waiting here is cheaper than in the event loop, and whoever speaks often speaks again soon.
        count = epoll_wait(
            self.epoll, self.events, EVENTS_MAX, 0 if until == 0 or again[0] else WAIT_MS
        )
        self.profiled.wait_calls += 1
        if count <= 0 and not again[0]:
            break
        now = edge_boot_us()
        if until == 0:
            until = now + SECTION_US
        core_clock(self.core, now, edge_wall_ms())
        error = edge_round(self, count, again)
        if error or now >= until:
            break
    profile_stage(&self.profiled, STAGE_OUTSIDE)
    return error


cdef int edge_round(Edge self, int count, bint *again) noexcept nogil:
    cdef uint64_t now, wakeup
    cdef bint more
    cdef int error
    cdef Profile *p = &self.profiled
    profile_stage(p, STAGE_SORT)
    profile_round(p)
    error = edge_sort(self, count)
    if error:
        return error
    profile_stage(p, STAGE_PEERS)
    # Peers before clients: what they bring finishes work, what clients bring is new work.
    more = edge_read_peers(self)
    profile_stage(p, STAGE_CLIENTS)
    edge_read_clients(self)
    if core_has_calls(self.core):
        profile_stage(p, STAGE_CALLS)
        with gil:
            self._answer_calls()
    profile_stage(p, STAGE_TURN)
    # The lease is checked in the turn, by a clock that was read after the requests were executed.
    now = edge_boot_us()
    core_turn(self.core, now, edge_wall_ms())
    if core_has_complaints(self.core):
        with gil:
            self._complain()
    profile_stage(p, STAGE_DISK)
    # The disk first: it works while the rest is sent.
    edge_write(self)
    profile_stage(p, STAGE_SEND_PEERS)
    edge_send_peers(self)
    profile_stage(p, STAGE_SEND_CLIENTS)
    edge_send_clients(self)
    edge_count_batches(self)
    wakeup = core_wakeup(self.core)
    again[0] = (
        more or self.queues[TO_READ].length > 0 or self.queues[TO_SEND].length > 0 or wakeup <= now
        or core_has_calls(self.core)
    )
    if wakeup > now and wakeup < self.armed_us:
        edge_arm(self.timer, wakeup)
        self.armed_us = wakeup
    return 0


cdef void edge_count_batches(Edge self) noexcept nogil:
    # Of the batches whose replies this round has sent.
    cdef Answer answer
    cdef uint64_t now = 0
    while core_answer_next(self.core, &answer):
        if not now:
            now = edge_boot_us()
        profile_count(&self.profiled, SEALED_TO_CHOSEN, answer.chosen_us - answer.sealed_us)
        profile_count(&self.profiled, SEALED_TO_SENT, now - answer.sealed_us)
        profile_count(&self.profiled, BATCH_OPERATIONS, answer.operations)
        profile_count(&self.profiled, BATCH_BYTES, answer.bytes)


cdef int edge_sort(Edge self, int count) noexcept nogil:
    # Note what happened to whom. Returns the errno of a failed write.
    cdef int i, error
    cdef uint32_t kind, index, events
    cdef bint busy = False
    for i in range(count):
        kind = self.events[i].data.u64 >> 32
        index = <uint32_t>self.events[i].data.u64
        events = self.events[i].events
        if kind == TAG_CLIENT:
            if self.conns[index].file < 0:
                continue
            if events & (EPOLLHUP | EPOLLERR):  # nobody is there any more, whatever is left to read
                edge_close_client(self, index)
                continue
            edge_note(&self.conns[index], events)
            if self.conns[index].hung_up and not self.conns[index].watched:
                self.conns[index].watched = 1
                with gil:
                    self._watch(index)
            edge_queue(self, index)
            if events & EPOLLOUT:
                edge_push(self, TO_SEND, index)
        elif kind == TAG_PEER:
            edge_note(&self.links[index // CHANNELS][index % CHANNELS], events)
        elif kind == TAG_TIMER:
            self.armed_us = NEVER
        else:
            error = edge_ask_writer(self, &busy)
            if error:
                return error
            if self.writing and not busy:
                self.writing = False
                profile_count(
                    &self.profiled, HANDED_TO_DURABLE, (profile_ns() - self.profiled.handed_ns) // 1000
                )
                core_durable(self.core, self.write_end)
    return 0


cdef int edge_ask_writer(Edge self, bint *busy) noexcept nogil:
    # Returns the errno of a failed write.
    cdef int lack = 0
    cdef uint64_t limit = 0
    cdef int error = writer_poll(self.writer, busy, &lack, &limit)
    core_limit_log(self.core, limit)
    if lack != self.lack:
        self.lack = lack
        with gil:
            self.hooks.on_room(os.strerror(lack) if lack else "")
    return error


cdef inline void edge_note(Socket *s, uint32_t events) noexcept nogil:
    if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        s.readable = 1
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        s.hung_up = 1
    if events & EPOLLOUT:
        s.blocked = 0


cdef bint edge_read_peers(Edge self) noexcept nogil:
    # Returns whether any has more to say.
    cdef int peer, channel
    cdef bint more = False
    for peer in range(1, self.peers + 1):
        for channel in range(CHANNELS):
            if self.links[peer][channel].readable and self.links[peer][channel].file >= 0:
                edge_read_peer(self, peer, channel)
                more |= self.links[peer][channel].readable
    return more


cdef void edge_read_peer(Edge self, uint32_t peer, uint32_t channel) noexcept nogil:
    cdef Socket *link = &self.links[peer][channel]
    cdef size_t room = 0, taken = 0
    cdef ssize_t size
    cdef char *space
    while link.readable and taken < PEER_READ_BYTES:
        space = core_peer_space(self.core, peer, channel, &room)
        room = min(room, <size_t>RECV_BYTES)
        profile_part_begins(&self.profiled)
        size = recv(link.file, space, room, MSG_DONTWAIT)
        profile_part_ends(&self.profiled, PART_RECV)
        self.profiled.recv_calls += 1
        if size > 0:
            self.profiled.recv_bytes += size
            taken += size
            # Sampled after the bytes came: a grant must never seem older than its frame.
            core_clock(self.core, edge_boot_us(), edge_wall_ms())
            if not core_peer_fed(self.core, peer, channel, size):
                edge_close_peer(self, peer, channel)
                return
            if <size_t>size < room:
                link.readable = link.hung_up
                break
        elif size < 0 and errno == EAGAIN:
            link.readable = 0
        elif size == 0 or errno != EINTR:
            edge_close_peer(self, peer, channel)
            return


cdef void edge_write(Edge self) noexcept nogil:
    # Hand the next group to the writer, if it is idle.
    cdef uint64_t position = 0
    cdef const char *data = NULL
    cdef bint sync = False
    cdef size_t size
    if self.writing:
        return
    size = core_disk_output(self.core, &position, &data, &sync)
    if size:
        self.writing = True
        self.write_end = position + size
        self.profiled.handed_ns = profile_ns()
        writer_submit(self.writer, position, data, size, sync)


cdef void edge_send_peers(Edge self) noexcept nogil:
    cdef int peer, channel
    for peer in range(1, self.peers + 1):
        for channel in range(CHANNELS):
            if self.links[peer][channel].file >= 0 and not self.links[peer][channel].blocked:
                edge_send_peer(self, peer, channel)


cdef void edge_send_peer(Edge self, uint32_t peer, uint32_t channel) noexcept nogil:
    cdef Socket *link = &self.links[peer][channel]
    cdef const char *data = NULL
    cdef size_t size = core_peer_output(self.core, peer, channel, &data)
    cdef ssize_t sent
    while size:
        sent = send(link.file, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        self.profiled.send_calls += 1
        if sent >= 0:
            self.profiled.send_bytes += sent
            core_peer_sent(self.core, peer, channel, sent)
            size = core_peer_output(self.core, peer, channel, &data)
        elif errno == EAGAIN:
            link.blocked = 1
            return
        elif errno != EINTR:
            edge_close_peer(self, peer, channel)
            return


cdef void edge_close_peer(Edge self, uint32_t peer, uint32_t channel) noexcept nogil:
    core_peer_close(self.core, peer, channel)
    close(self.links[peer][channel].file)
    self.links[peer][channel].file = -1
    with gil:
        self._lost.append((peer, channel))


include "edge_serve.pxi"
