# The way of a request through the lower layers, without a replica: for tests and small benchmarks.
# The class is that of reference/probe.py. What benchmarks time has its loop in C: `count` repetitions
# a call, each on other input, so that the compiler can't do one for all.

cdef class Probe:
    """A parser and a store, whatever is fed is executed at once; and the steps of the log, one by one."""
    cdef Store store
    cdef RespParser parser
    cdef LogDisk disk
    cdef Buf data
    cdef Buf op
    cdef Buf out
    cdef int resp
    cdef bint broken

    def __cinit__(self, seed: int, value_bytes_max: int, resp: int):
        fdb_init(&self.store, seed)
        resp_init(&self.parser, value_bytes_max, value_bytes_max + REQUEST_SLACK)
        self.disk.seed = seed
        self.disk.replica = self.disk.incarnation = 1
        self.disk.group = 1
        self.resp = resp

    def __dealloc__(self):
        fdb_free(&self.store)
        resp_free(&self.parser)
        disk_free(&self.disk)
        buf_free(&self.data)
        buf_free(&self.op)
        buf_free(&self.out)

    def feed(self, data: bytes, time_ms: int) -> bytes:
        """The replies to all requests that `data` completes, at the time in force `time_ms`."""
        cdef uint64_t time = time_ms
        buf_clear(&self.out)
        buf_add(&self.data, <const char *>data, len(data))
        with nogil:
            self.go(time)
        return self.out.data[self.out.start:self.out.end] if buf_size(&self.out) else b""

    cdef void go(self, uint64_t time_ms) noexcept nogil:
        cdef const char *start
        cdef int state
        while not self.broken:
            start = self.data.data + self.data.start
            state = resp_next(&self.parser, start, buf_size(&self.data))
            if state == RESP_BROKEN:
                self.broken = True
                if self.parser.error != NULL:
                    fdb_say(&self.out, b"-ERR ")
                    fdb_say(&self.out, self.parser.error)
                    fdb_say(&self.out, b"\r\n")
                break
            if state == RESP_TOO_LARGE:
                fdb_say(&self.out, b"-TOO_LARGE\r\n")
            elif state == RESP_REQUEST:
                self.execute(start, time_ms)
            buf_take(&self.data, self.parser.consumed)
            if state == RESP_MORE:
                break

    cdef void execute(self, const char *start, uint64_t time_ms) noexcept nogil:
        cdef int kind
        cdef uint16_t command
        buf_clear(&self.op)
        kind = resp_encode(&self.parser, start, self.resp, &self.op, &self.out, &command)
        if kind >= RESP_CALL:
            fdb_say(&self.out, b"-CALL\r\n")
        elif kind != RESP_REPLY:
            if kind == RESP_WRITE:
                fdb_expire(&self.store, time_ms)
            fdb_run(&self.store, self.op.data, time_ms, self.resp, &self.out)

    def waiting(self) -> int:
        """Bytes that are kept for a request which is not complete."""
        return buf_size(&self.data)

    def encode(self, request: bytes) -> tuple:
        """Kind and bytes of one whole request."""
        cdef RespParser parser
        cdef int kind
        cdef uint16_t command
        cdef Buf *to = &self.op
        resp_init(&parser, len(request), len(request))
        resp_next(&parser, request, len(request))
        buf_clear(&self.op)
        kind = resp_encode(&parser, request, self.resp, &self.op, &self.op, &command)
        resp_free(&parser)
        return kind, self.op.data[self.op.start:self.op.end] if buf_size(to) else b""

    def run(self, operations: bytes, time_ms: int) -> bytes:
        """The replies to whole operations."""
        cdef const char *data = operations
        cdef size_t at = 0, end = len(operations)
        buf_clear(&self.out)
        while at < end:
            fdb_run(&self.store, data + at, time_ms, self.resp, &self.out)
            at += fdb_op_size(data + at)
        return self.out.data[self.out.start:self.out.end] if buf_size(&self.out) else b""

    def expire(self, time_ms: int) -> None:
        """A value takes effect at that time: every key whose deadline is at or before it is gone."""
        fdb_expire(&self.store, time_ms)

    def is_due(self, operation: bytes, clock_ms: int) -> bool:
        """Would this read touch a key whose deadline the clock has reached?"""
        return fdb_is_due(&self.store, operation, clock_ms)

    def slot(self, operation: bytes) -> int:
        """Cluster slot of the operation's first key."""
        return fdb_slot(operation)

    def state(self) -> tuple:
        """(keys, keys with a deadline, sum over the state, next deadline)"""
        return fdb_size(&self.store), fdb_expiring(&self.store), self.store.state_sum, self.store.next_deadline

    def work(self) -> tuple:
        """(new keys, slots moved, slots of cleared tables swept, keys removed that were due, their bytes), by writes"""
        cdef Work *work = &self.store.work
        return work.added, work.moved, work.swept, work.removed, work.bytes

    def tidy(self) -> bool:
        """What a turn does of the work that needs no place in the log; is some left?"""
        fdb_tidy(&self.store)
        return bool(fdb_untidy(&self.store))

    def check(self) -> None:
        """Ends the process if the store contradicts itself."""
        fdb_check(&self.store)

    # --- the steps of a request, apart
    def parse(self, requests: bytes) -> int:
        """How many whole requests these are; each is made an operation."""
        cdef RespParser parser
        cdef const char *data = requests
        cdef size_t at = 0, size = len(requests)
        cdef uint64_t count = 0
        cdef uint16_t command
        resp_init(&parser, size, size)
        with nogil:
            while resp_next(&parser, data + at, size - at) == RESP_REQUEST:
                buf_clear(&self.op)
                resp_encode(&parser, data + at, self.resp, &self.op, &self.op, &command)
                at += parser.consumed
                count += 1
        resp_free(&parser)
        return count

    def get(self, keys: list) -> int:
        """Bytes of all values that the store has under these keys."""
        cdef bytes key
        cdef size_t size
        cdef uint64_t total = 0
        for key in keys:
            if fdb_get(&self.store, key, len(key), &size) != NULL:
                total += size
        return total

    def put(self, keys: list, value: bytes) -> None:
        """Stores the value under each of the keys."""
        cdef bytes key
        cdef const char *data = value
        cdef size_t size = len(value)
        for key in keys:
            fdb_put(&self.store, key, len(key), data, size, 0)

    def apply(self, value: bytes) -> int:
        """Applies a value as a follower does, without replies; how many operations it has."""
        cdef const char *data = value
        cdef size_t at = VALUE_BYTES, end = len(value)
        cdef ValueHead v
        cdef FdbAhead ahead
        memcpy(&v, data, VALUE_BYTES)
        with nogil:
            fdb_expire(&self.store, v.time_ms)
            fdb_ahead_begin(&self.store, &ahead, data + at, data + end)
            while at < end:
                fdb_ahead_step(&self.store, &ahead)
                fdb_run(&self.store, data + at, v.time_ms, 2, NULL)
                at += fdb_op_size(data + at)
        return v.count

    def is_sound(self, value: bytes) -> bool:
        """May this value, which a peer sent, be applied?"""
        return fdb_value_is_sound(self.store.seed, value, len(value))

    def reply(self, value: bytes, count: int) -> int:
        """Bytes of all replies with this value."""
        cdef const char *data = value
        cdef size_t size = len(value)
        cdef uint64_t total = 0, n = count, _
        with nogil:
            for _ in range(n):
                buf_clear(&self.out)
                fdb_say_bulk(&self.out, data, size)
                total += buf_size(&self.out)
        return total

    # --- the steps of the log
    def checksum(self, data: bytes, count: int) -> int:
        """Sum of the XXH64 with seeds from 0 on."""
        cdef const char *at = data
        cdef size_t size = len(data)
        cdef uint64_t total = 0, n = count, i
        with nogil:
            for i in range(n):
                total += xxh64(at, size, i)
        return total

    def encode_frames(self, payload: bytes, count: int) -> int:
        """Sum of the checksums of ACCEPT frames for instances from 1 on."""
        cdef const char *data = payload
        cdef size_t size = len(payload)
        cdef uint64_t total = 0, n = count, i
        cdef Head h
        memset(&h, 0, sizeof(h))
        h.type = ACCEPT
        h.sender = 1
        h.incarnation = 1
        with nogil:
            for i in range(1, n + 1):
                h.instance = i
                buf_clear(&self.out)
                flog_frame_add(&self.out, self.store.seed, &h, data, size)
                total += h.checksum
        return total

    def verify_frames(self, frames: bytes) -> int:
        """How many frames at the start are whole and valid."""
        cdef const char *data = frames
        cdef size_t at = 0, size = len(frames)
        cdef uint64_t seed = self.store.seed, count = 0
        cdef int64_t n
        with nogil:
            while True:
                n = flog_frame_length(seed, data + at, size - at)
                if n <= 0 or <size_t>n > size - at or not flog_frame_valid(seed, data + at, <size_t>n):
                    break
                at += n
                count += 1
        return count

    def append(self, frame: bytes, count: int) -> int:
        """A group of that many frames; the log position behind it."""
        cdef const char *data = frame
        cdef const char *group
        cdef size_t size = len(frame)
        cdef uint64_t n = count, position, _
        cdef bint sync
        with nogil:
            for _ in range(n):
                disk_append(&self.disk, data, size)
            disk_drain(&self.disk, 0, 0, &position, &group, &sync)
            disk_durable(&self.disk, self.disk.writing_end)
        return self.disk.base

    def accept(self, count: int) -> tuple:
        """An acceptor takes ACCEPTs for instances from 1 on: (accepted up to, chosen up to, actions asked for)."""
        cdef Machines machines
        cdef Message m
        cdef Out out
        cdef uint64_t actions = 0, n = count, i
        memset(&machines, 0, sizeof(machines))
        memset(&m, 0, sizeof(m))
        machines.replicas = 3
        machines.quorum = machines.me = 2
        m.type = M_ACCEPT
        m.sender = 1
        m.number = 1
        with nogil:
            for i in range(1, n + 1):
                m.now = m.sent = m.instance = i
                m.mark = i - 1
                out.count = 0
                acceptor_step(&machines, &m, &out)
                actions += out.count
        return machines.acceptor.last, machines.acceptor.chosen, actions

    def seal(self, operations: bytes, count: int) -> int:
        """Sum of the checksums of values with these operations, sealed at times from 0 ms on."""
        cdef uint64_t total = 0, n = count, i
        cdef ValueHead v
        memset(&v, 0, sizeof(v))
        v.count = 1
        buf_clear(&self.out)
        buf_reserve(&self.out, VALUE_BYTES)
        self.out.end += VALUE_BYTES
        buf_add(&self.out, <const char *>operations, len(operations))
        with nogil:
            for i in range(n):
                v.time_ms = i
                flog_value_seal(&self.out, self.store.seed, &v)
                total += v.checksum
        return total
