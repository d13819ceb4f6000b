# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The load generator's loop: one thread, one epoll set, no GIL. Its face is generator.py.

A connection sends a burst of `depth` requests in one go and waits for all their replies, as redis-benchmark does.

* Closed loop: the next burst follows at once; latency counts from its sending.
* Fixed rate (open loop): burst i is due at start + i * depth / rate. It is sent then, or as soon as a connection is
  free, and latency counts from when it was due: a server that stalls can't hide that by not being asked meanwhile
  (coordinated omission). Bursts that were due and never answered count with their age at the end.

Latencies go into log-linear buckets: exact below 256 ns, then 128 for each power of two, so that the middle of a
bucket is at most 0.4 % off.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcpy, memset

import numpy as np

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec *)
    int CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)
    int MSG_NOSIGNAL, MSG_DONTWAIT

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    uint32_t EPOLLIN, EPOLLOUT, EPOLLET

cdef extern from "<sys/timerfd.h>" nogil:
    struct itimerspec:
        timespec it_interval
        timespec it_value
    int timerfd_create(int, int)
    int timerfd_settime(int, int, const itimerspec *, itimerspec *)
    int TFD_NONBLOCK, TFD_CLOEXEC, TFD_TIMER_ABSTIME

cdef extern from "<unistd.h>" nogil:
    int close(int)

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil

cdef enum:
    SUB_BITS = 7
    SUB = 1 << SUB_BITS
    BUCKETS = (64 - SUB_BITS) * SUB + SUB
    KINDS = 2  # a write and a read
    FAILED = 2  # in place of a kind: its reply was an error
    KEY_DIGITS = 12
    LINE_BYTES = 128
    ZOOKEEPER_HEAD = 20  # length, xid, zxid, error
    IN_BYTES = 1 << 18
    EVENTS = 256
    TICK_MS = 100  # how often signals are looked at
    SPIN_NS = 25_000  # what a timer takes in a virtual machine: bursts closer than this are waited for without one
    TIMER = 0xFFFFFFFF  # epoll's data of the timer; a connection's is its index


ctypedef struct Conn:
    int fd
    bint is_open
    bint wants_out
    uint32_t unanswered  # replies still to come of this burst, that of the tail included
    uint32_t at  # the request whose reply comes next
    int64_t since_ns
    uint8_t *kinds
    uint8_t *out
    size_t out_bytes
    size_t out_sent
    uint64_t skip  # bytes of the reply's body that have not come yet
    uint32_t line_bytes
    char line[LINE_BYTES]  # of a reply's first line, what came so far; longer ones are cut


ctypedef struct Run:
    int epoll
    int timer
    int64_t timer_ns  # when it goes off
    Conn *conns
    uint32_t count
    uint32_t connected
    uint32_t busy
    uint32_t *idle  # a queue, so that all connections are used alike
    uint32_t idle_from
    uint32_t idle_count
    uint32_t depth
    const uint8_t *request[KINDS]
    size_t request_bytes[KINDS]
    size_t key_at[KINDS]
    double read_share
    const uint8_t *tail  # a request after each burst, whose reply must be an integer of at least tail_min
    size_t tail_bytes
    int64_t tail_min
    uint64_t keys
    bint zookeeper
    double period_ns  # between bursts; 0: closed loop
    uint64_t bursts
    int64_t start_ns
    int64_t end_ns
    uint64_t random
    uint64_t *counts[KINDS]
    uint64_t max_ns[KINDS]
    double sum_ns[KINDS]
    uint64_t errors
    uint64_t misses
    uint64_t late  # due and not answered when the run ended
    uint32_t lost
    int64_t last_ns
    char first_error[LINE_BYTES]
    uint8_t *inbox


# --- time and buckets

cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef inline uint32_t bucket_of(uint64_t value) noexcept nogil:
    cdef uint32_t shift
    if value < 2 * SUB:
        return <uint32_t> value
    shift = 63 - SUB_BITS - <uint32_t> __builtin_clzll(value)
    return shift * SUB + <uint32_t> (value >> shift)


def bucket(uint64_t nanoseconds):
    """Index of the bucket that counts a latency."""
    return bucket_of(nanoseconds)


def lowest():
    """The lowest latency of each bucket, in nanoseconds, as an array."""
    index = np.arange(BUCKETS, dtype=np.uint64)
    shift = np.maximum(index >> np.uint64(SUB_BITS), np.uint64(1)) - np.uint64(1)
    return (index - (shift << np.uint64(SUB_BITS))) << shift


cdef inline void record(Run *run, uint8_t kind, int64_t now_ns, int64_t since_ns) noexcept nogil:
    cdef uint64_t latency = <uint64_t> (now_ns - since_ns) if now_ns > since_ns else 0
    run.counts[kind][bucket_of(latency)] += 1
    run.sum_ns[kind] += latency
    if latency > run.max_ns[kind]:
        run.max_ns[kind] = latency


cdef inline uint64_t draw(Run *run) noexcept nogil:
    """xorshift64*."""
    run.random ^= run.random >> 12
    run.random ^= run.random << 25
    run.random ^= run.random >> 27
    return run.random * 0x2545F4914F6CDD1DULL


cdef inline uint8_t draw_kind(Run *run) noexcept nogil:
    if run.read_share <= 0:
        return 0
    return run.read_share >= 1 or (draw(run) >> 11) * (1.0 / (1ULL << 53)) < run.read_share


# --- sending

cdef void put_key(uint8_t *at, uint64_t key) noexcept nogil:
    cdef int digit
    for digit in range(KEY_DIGITS - 1, -1, -1):
        at[digit] = c'0' + <uint8_t> (key % 10)
        key //= 10


cdef void watch(Run *run, uint32_t index, bint out) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN | (EPOLLOUT if out else 0)
    event.data.u64 = index
    epoll_ctl(run.epoll, EPOLL_CTL_MOD, run.conns[index].fd, &event)
    run.conns[index].wants_out = out


cdef void lose(Run *run, uint32_t index) noexcept nogil:
    """The other side closed: what was under way counts as late at the end."""
    cdef Conn *conn = &run.conns[index]
    if conn.is_open:
        epoll_ctl(run.epoll, EPOLL_CTL_DEL, conn.fd, NULL)
        conn.is_open = False
        run.connected -= 1
        run.lost += 1
        if conn.unanswered:
            run.busy -= 1


cdef void flush(Run *run, uint32_t index) noexcept nogil:
    cdef Conn *conn = &run.conns[index]
    cdef ssize_t sent
    while conn.out_sent < conn.out_bytes:
        sent = send(conn.fd, conn.out + conn.out_sent, conn.out_bytes - conn.out_sent, MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent > 0:
            conn.out_sent += sent
        elif errno == EAGAIN:
            if not conn.wants_out:
                watch(run, index, True)
            return
        elif errno != EINTR:
            lose(run, index)
            return
    if conn.wants_out:
        watch(run, index, False)


cdef void burst(Run *run, uint32_t index, int64_t since_ns) noexcept nogil:
    cdef Conn *conn = &run.conns[index]
    cdef uint8_t *out = conn.out
    cdef uint32_t i
    cdef uint8_t kind
    for i in range(run.depth):
        kind = draw_kind(run)
        conn.kinds[i] = kind
        memcpy(out, run.request[kind], run.request_bytes[kind])
        put_key(out + run.key_at[kind], draw(run) % run.keys)
        out += run.request_bytes[kind]
    if run.tail_bytes:
        memcpy(out, run.tail, run.tail_bytes)
        out += run.tail_bytes
    conn.out_bytes = out - conn.out
    conn.out_sent = 0
    conn.unanswered = run.depth + (1 if run.tail_bytes else 0)
    conn.at = 0
    conn.since_ns = since_ns
    run.busy += 1
    run.bursts += 1
    flush(run, index)


cdef inline int64_t due_ns(Run *run) noexcept nogil:
    """When the next burst is due."""
    return run.start_ns + <int64_t> (run.bursts * run.period_ns)


cdef void send_due(Run *run, int64_t now_ns) noexcept nogil:
    cdef int64_t due = due_ns(run)
    cdef uint32_t index
    while run.idle_count and due <= now_ns and due < run.end_ns:
        index = run.idle[run.idle_from]
        run.idle_from = (run.idle_from + 1) % run.count
        run.idle_count -= 1
        if run.conns[index].is_open:
            burst(run, index, due)
            due = due_ns(run)


cdef void rest(Run *run, uint32_t index, int64_t now_ns) noexcept nogil:
    """A connection has all its replies."""
    run.busy -= 1
    if run.period_ns == 0:
        if now_ns < run.end_ns:
            burst(run, index, now_ns)
        return
    run.idle[(run.idle_from + run.idle_count) % run.count] = index
    run.idle_count += 1


# --- replies

cdef void fail(Run *run, Conn *conn, uint32_t requests) noexcept nogil:
    if run.errors == 0:
        memcpy(run.first_error, conn.line, LINE_BYTES)
        run.first_error[min(conn.line_bytes, LINE_BYTES - 1)] = 0
    run.errors += requests


cdef void answered(Run *run, Conn *conn, bint good, int64_t number, int64_t now_ns) noexcept nogil:
    """One reply is complete."""
    cdef uint32_t i
    conn.unanswered -= 1
    if conn.at < run.depth:
        if not good:
            fail(run, conn, 1)
            conn.kinds[conn.at] = FAILED
        elif run.tail_bytes == 0:
            record(run, conn.kinds[conn.at], now_ns, conn.since_ns)
        conn.at += 1
        return
    if not good or number < run.tail_min:
        fail(run, conn, run.depth)
        return
    for i in range(run.depth):
        if conn.kinds[i] != FAILED:
            record(run, conn.kinds[i], now_ns, conn.since_ns)


cdef int64_t number_of(const char *line, uint32_t size) noexcept nogil:
    cdef int64_t value = 0
    cdef uint32_t i
    for i in range(1, size):
        if c'0' <= line[i] <= c'9':
            value = value * 10 + line[i] - c'0'
    return -value if size > 1 and line[1] == c'-' else value


cdef bint take_line(Run *run, Conn *conn, int64_t now_ns) noexcept nogil:
    """A first line of RESP is complete. False when it is none that such requests can have."""
    cdef char kind = conn.line[0]
    cdef int64_t number = number_of(conn.line, conn.line_bytes) if kind == c':' or kind == c'$' else 0
    if kind == c'$' and number >= 0:
        conn.skip = number + 2
        conn.line_bytes = 0
        return True
    if kind == c'$' or kind == c'_':
        run.misses += 1
    elif kind != c'+' and kind != c':' and kind != c'-':
        fail(run, conn, 1)
        return False
    answered(run, conn, kind != c'-', number, now_ns)
    conn.line_bytes = 0
    return True


cdef void keep(Conn *conn, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t room = min(size, <size_t> (LINE_BYTES - conn.line_bytes))
    memcpy(conn.line + conn.line_bytes, data, room)
    conn.line_bytes += <uint32_t> room


cdef bint take_resp(Run *run, Conn *conn, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef const uint8_t *end = data + size
    cdef const uint8_t *line_end
    cdef size_t passed
    while data < end:
        if conn.unanswered == 0:
            return False  # nobody asked
        if conn.skip:
            passed = min(conn.skip, <size_t> (end - data))
            data += passed
            conn.skip -= passed
            if conn.skip == 0:
                answered(run, conn, True, 0, now_ns)
            continue
        line_end = <const uint8_t *> memchr(data, c'\n', end - data)
        if line_end == NULL:
            keep(conn, data, end - data)
            return True
        keep(conn, data, line_end - data)
        data = line_end + 1
        if not take_line(run, conn, now_ns):
            return False
    return True


cdef inline uint32_t big_endian(const uint8_t *at) noexcept nogil:
    return <uint32_t> at[0] << 24 | <uint32_t> at[1] << 16 | <uint32_t> at[2] << 8 | at[3]


cdef bint take_zookeeper(Run *run, Conn *conn, const uint8_t *data, size_t size, int64_t now_ns) noexcept nogil:
    cdef const uint8_t *end = data + size
    cdef const uint8_t *head = <const uint8_t *> conn.line
    cdef size_t passed
    while data < end:
        if conn.line_bytes < ZOOKEEPER_HEAD:
            if conn.unanswered == 0:
                return False
            passed = min(<size_t> (ZOOKEEPER_HEAD - conn.line_bytes), <size_t> (end - data))
            keep(conn, data, passed)
            data += passed
            if conn.line_bytes < ZOOKEEPER_HEAD:
                return True
            if big_endian(head) < ZOOKEEPER_HEAD - 4:
                return False
            conn.skip = big_endian(head) - (ZOOKEEPER_HEAD - 4)
        passed = min(conn.skip, <size_t> (end - data))
        data += passed
        conn.skip -= passed
        if conn.skip == 0:
            answered(run, conn, big_endian(head + ZOOKEEPER_HEAD - 4) == 0, 0, now_ns)
            conn.line_bytes = 0
    return True


cdef void receive(Run *run, uint32_t index) noexcept nogil:
    cdef Conn *conn = &run.conns[index]
    cdef ssize_t got = recv(conn.fd, run.inbox, IN_BYTES, MSG_DONTWAIT)
    cdef int64_t now_ns = clock_ns(CLOCK_MONOTONIC)
    cdef bint good
    if got <= 0:
        if got == 0 or (errno != EAGAIN and errno != EINTR):
            lose(run, index)
        return
    if run.zookeeper:
        good = take_zookeeper(run, conn, run.inbox, got, now_ns)
    else:
        good = take_resp(run, conn, run.inbox, got, now_ns)
    run.last_ns = now_ns
    if conn.unanswered == 0 and good:
        rest(run, index, now_ns)
    elif not good:
        lose(run, index)


# --- the loop

cdef void set_timer(Run *run, int64_t at_ns) noexcept nogil:
    """Not twice for the same time: in a virtual machine that is the dearest call here."""
    cdef itimerspec when
    if run.timer_ns == at_ns:
        return
    run.timer_ns = at_ns
    memset(&when, 0, sizeof(when))
    when.it_value.tv_sec = at_ns // 1000000000
    when.it_value.tv_nsec = at_ns % 1000000000
    timerfd_settime(run.timer, TFD_TIMER_ABSTIME, &when, NULL)


cdef int turn(Run *run, int wait_ms) noexcept nogil:
    """Waits once, so long at most, and handles what came. Returns how many sockets or timers were ready."""
    cdef epoll_event events[EVENTS]
    cdef uint32_t index
    cdef int i
    cdef int ready = epoll_wait(run.epoll, events, EVENTS, wait_ms)
    for i in range(ready):
        if events[i].data.u64 == TIMER:
            continue  # edge-triggered: setting it again is enough
        index = <uint32_t> events[i].data.u64
        if run.conns[index].is_open and events[i].events & EPOLLOUT:
            flush(run, index)
        if run.conns[index].is_open and events[i].events & ~EPOLLOUT:
            receive(run, index)
    return ready


cdef bint drive(Run *run, int64_t drain_ns) except -1 nogil:
    """Until all that is due before the end is answered, or drain_ns after it."""
    cdef int64_t now_ns, looked_ns = 0
    cdef bint spin = 0 < run.period_ns < SPIN_NS
    cdef uint32_t index
    run.last_ns = run.start_ns
    for index in range(run.count):
        if run.period_ns == 0:
            burst(run, index, clock_ns(CLOCK_MONOTONIC))
        else:
            run.idle[index] = index
    run.idle_count = 0 if run.period_ns == 0 else run.count
    while run.connected:
        now_ns = clock_ns(CLOCK_MONOTONIC)
        if run.period_ns:
            send_due(run, now_ns)
            if not spin and run.idle_count and due_ns(run) < run.end_ns:
                set_timer(run, due_ns(run))
        if run.busy == 0 and (now_ns >= run.end_ns or (run.period_ns and due_ns(run) >= run.end_ns)):
            return True
        if now_ns >= run.end_ns + drain_ns:
            return True
        if now_ns - looked_ns > TICK_MS * 1000000:
            looked_ns = now_ns
            with gil:
                PyErr_CheckSignals()
        turn(run, 0 if spin else TICK_MS)
    return True


cdef void count_late(Run *run) noexcept nogil:
    """What was due and is not answered, with its age: leaving it out would flatter."""
    cdef int64_t now_ns = clock_ns(CLOCK_MONOTONIC)
    cdef int64_t due
    cdef uint32_t index, i, _i
    cdef Conn *conn
    for index in range(run.count):
        conn = &run.conns[index]
        if conn.unanswered == 0:
            continue
        for i in range(0 if run.tail_bytes else conn.at, run.depth):
            if conn.kinds[i] != FAILED:
                record(run, conn.kinds[i], now_ns, conn.since_ns)
                run.late += 1
    if run.period_ns:
        due = due_ns(run)
        while due < run.end_ns:
            for _i in range(run.depth):
                record(run, draw_kind(run), now_ns, due)
            run.late += run.depth
            run.bursts += 1
            due = due_ns(run)


cdef bint allocate(Run *run, list descriptors) except False:
    cdef size_t largest = max(run.request_bytes[0], run.request_bytes[1])
    cdef epoll_event event
    cdef uint32_t index
    run.epoll = epoll_create1(EPOLL_CLOEXEC)
    run.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
    run.count = run.connected = <uint32_t> len(descriptors)
    run.conns = <Conn *> calloc(run.count, sizeof(Conn))
    run.idle = <uint32_t *> calloc(run.count, sizeof(uint32_t))
    run.inbox = <uint8_t *> malloc(IN_BYTES)
    if run.epoll < 0 or run.timer < 0:
        raise OSError(errno, "epoll or timer")
    if run.conns == NULL or run.idle == NULL or run.inbox == NULL:
        raise MemoryError
    event.events = EPOLLIN | EPOLLET
    event.data.u64 = TIMER
    epoll_ctl(run.epoll, EPOLL_CTL_ADD, run.timer, &event)
    event.events = EPOLLIN
    for index in range(run.count):
        run.conns[index].fd = descriptors[index]
        run.conns[index].is_open = True
        run.conns[index].kinds = <uint8_t *> calloc(run.depth, 1)
        run.conns[index].out = <uint8_t *> malloc(run.depth * largest + run.tail_bytes)
        if run.conns[index].kinds == NULL or run.conns[index].out == NULL:
            raise MemoryError
        event.data.u64 = index
        if epoll_ctl(run.epoll, EPOLL_CTL_ADD, run.conns[index].fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
    return True


cdef void release(Run *run) noexcept:
    cdef uint32_t index
    if run.conns != NULL:
        for index in range(run.count):
            free(run.conns[index].kinds)
            free(run.conns[index].out)
    free(run.conns)
    free(run.idle)
    free(run.inbox)
    if run.epoll >= 0:
        close(run.epoll)
    if run.timer >= 0:
        close(run.timer)


def run(list descriptors, *, list requests, double read_share, uint32_t depth, uint64_t keys, double rate,
        double seconds, double drain_seconds, uint64_t seed, bytes tail=b"", int64_t tail_min=0, bint zookeeper=False):
    """Loads a server over connected sockets; a mapping of what came out.

    `requests` are the write and the read, each (bytes, where its key's twelve digits stand). `rate` 0 is the closed
    loop. Interrupted by signals, and by nothing else before `seconds` and what is needed to drain are over.
    """
    cdef Run r
    cdef uint64_t[:, ::1] counts = np.zeros((KINDS, BUCKETS), dtype=np.uint64)
    cdef int64_t cpu_ns
    cdef int kind
    memset(&r, 0, sizeof(r))
    r.epoll = r.timer = -1
    for kind in range(KINDS):
        data, r.key_at[kind] = requests[kind]
        r.request[kind] = <const uint8_t *> <char *> <bytes> data
        r.request_bytes[kind] = len(data)
        r.counts[kind] = &counts[kind, 0]
        if r.key_at[kind] + KEY_DIGITS > r.request_bytes[kind]:
            raise ValueError("no key in the request")
    if not descriptors or depth < 1 or keys < 1 or not seconds > 0 or not rate >= 0:
        raise ValueError("connections, depth, keys and seconds must be above 0, rate not below")
    r.read_share, r.depth, r.keys, r.zookeeper = read_share, depth, keys, zookeeper
    r.tail, r.tail_bytes, r.tail_min = <const uint8_t *> <char *> tail, len(tail), tail_min
    r.period_ns = depth * 1e9 / rate if rate else 0
    r.random = seed * 2 + 1
    try:
        allocate(&r, descriptors)
        cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
        r.start_ns = clock_ns(CLOCK_MONOTONIC)
        r.end_ns = r.start_ns + <int64_t> (seconds * 1e9)
        with nogil:
            drive(&r, <int64_t> (drain_seconds * 1e9))
            count_late(&r)
        cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns
    finally:
        release(&r)
    return {
        "counts": np.asarray(counts), "max_ns": [r.max_ns[0], r.max_ns[1]], "sum_ns": [r.sum_ns[0], r.sum_ns[1]],
        "errors": r.errors, "misses": r.misses, "late": r.late, "lost": r.lost, "cpu_ns": cpu_ns,
        "elapsed_ns": r.last_ns - r.start_ns, "first_error": (<bytes> r.first_error).decode(errors="replace").strip(),
    }  # fmt: skip
