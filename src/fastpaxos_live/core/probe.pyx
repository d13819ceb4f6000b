# The way of a request through the lower layers, without a replica: for tests and small benchmarks.
# The class is that of reference/probe.py.

cdef class Probe:
    """A parser and a store; whatever is fed is executed at once."""
    cdef Store store
    cdef RespParser parser
    cdef Buf data
    cdef Buf op
    cdef Buf out
    cdef int resp
    cdef bint broken

    def __cinit__(self, seed: int, value_bytes_max: int, resp: int):
        fdb_init(&self.store, seed)
        resp_init(&self.parser, value_bytes_max)
        self.resp = resp

    def __dealloc__(self):
        fdb_free(&self.store)
        resp_free(&self.parser)
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
        buf_clear(&self.op)
        kind = resp_encode(&self.parser, start, self.resp, &self.op, &self.out)
        if kind == RESP_CALL:
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
        cdef Buf *to = &self.op
        resp_init(&parser, len(request))
        resp_next(&parser, request, len(request))
        buf_clear(&self.op)
        kind = resp_encode(&parser, request, self.resp, &self.op, &self.op)
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
        """Remove every key whose deadline is at or before `time_ms`."""
        fdb_expire(&self.store, time_ms)

    def is_due(self, operation: bytes, clock_ms: int) -> bool:
        """Would this read touch a key whose deadline the clock has reached?"""
        return fdb_is_due(&self.store, operation, clock_ms)

    def slot(self, operation: bytes) -> int:
        """Cluster slot of the operation's first key."""
        return fdb_slot(operation)

    def state(self) -> tuple:
        """(keys, keys with a deadline, sum over the state, next deadline)"""
        return self.store.size, self.store.expiring, self.store.state_sum, self.store.next_deadline
