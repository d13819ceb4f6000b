# Reading from clients and sending to them, a round at a time: edge_clients.pxi says in which order, and how much.

cdef inline void edge_push(Edge self, int wish, uint32_t conn) noexcept nogil:
    cdef Queue *queue = &self.queues[wish]
    if self.conns[conn].queued[wish]:
        return
    self.conns[conn].queued[wish] = 1
    self.conns[conn].next[wish] = NOBODY
    if queue.length:
        self.conns[queue.tail].next[wish] = conn
    else:
        queue.head = conn
    queue.tail = conn
    queue.length += 1


cdef inline uint32_t edge_pop(Edge self, int wish) noexcept nogil:
    cdef Queue *queue = &self.queues[wish]
    cdef uint32_t conn = queue.head
    queue.head = self.conns[conn].next[wish]
    queue.length -= 1
    self.conns[conn].queued[wish] = 0
    return conn


cdef inline void edge_queue(Edge self, uint32_t conn) noexcept nogil:
    # Read from this client in the next round, if there is anything to read and the core wants it.
    cdef Socket *client = &self.conns[conn]
    if client.readable and client.file >= 0 and core_client_wants(self.core, conn):
        edge_push(self, TO_READ, conn)


cdef void edge_read_clients(Edge self) noexcept nogil:
    # Who stands in the queue now, once, until the core has enough; who has more to say queues again.
    cdef uint32_t conn, count = min(self.queues[TO_READ].length, <uint32_t>ROUND_CLIENTS)
    while count and not core_is_busy(self.core):
        count -= 1
        conn = edge_pop(self, TO_READ)
        if self.conns[conn].file >= 0:
            edge_read_client(self, conn)


cdef void edge_read_client(Edge self, uint32_t conn) noexcept nogil:
    cdef Socket *client = &self.conns[conn]
    cdef size_t room = 0, taken = 0
    cdef ssize_t size
    cdef char *space
    while (
        client.readable and taken < CLIENT_READ_BYTES and core_client_wants(self.core, conn)
        and not core_is_busy(self.core)
    ):
        space = core_client_space(self.core, conn, &room)
        room = min(room, <size_t>RECV_BYTES)
        profile_part_begins(&self.profiled)
        size = recv(client.file, space, room, MSG_DONTWAIT)
        profile_part_ends(&self.profiled, PART_RECV)
        self.profiled.recv_calls += 1
        if size > 0:
            self.profiled.recv_bytes += size
            core_client_fed(self.core, conn, size)
            taken += size
            if <size_t>size < room:
                # The kernel has no more, and will say so when it has. Or it has only the end: that
                # is for the next round, when the requests before it are answered.
                client.readable = client.hung_up
                break
        elif size == 0:
            core_client_end(self.core, conn)
        elif errno == EAGAIN:
            client.readable = 0
        elif errno != EINTR:
            edge_close_client(self, conn)
            return
    edge_queue(self, conn)


cdef void edge_send_clients(Edge self) noexcept nogil:
    # As edge_read_clients.
    cdef uint32_t conn = 0, count
    cdef size_t sent = 0
    while core_touched_next(self.core, &conn):
        edge_push(self, TO_SEND, conn)
    count = min(self.queues[TO_SEND].length, <uint32_t>ROUND_CLIENTS)
    while count and sent < ROUND_SEND_BYTES:
        count -= 1
        conn = edge_pop(self, TO_SEND)
        if self.conns[conn].file >= 0:
            sent += edge_send_client(self, conn)


cdef size_t edge_send_client(Edge self, uint32_t conn) noexcept nogil:
    # Send what is released, and return how much went; then close the connection if that was its last, or read on if it
    # may be read again.
    cdef Socket *client = &self.conns[conn]
    cdef const char *data = NULL
    cdef size_t size = 0, total = 0
    cdef ssize_t sent
    while not client.blocked:
        if total >= CLIENT_SEND_BYTES:
            edge_push(self, TO_SEND, conn)
            return total
        size = core_client_output(self.core, conn, &data)
        if not size:
            break
        sent = send(client.file, data, min(size, <size_t>CLIENT_SEND_BYTES), MSG_DONTWAIT | MSG_NOSIGNAL)
        self.profiled.send_calls += 1
        if sent >= 0:
            self.profiled.send_bytes += sent
            client.sent += sent
            total += sent
            core_client_sent(self.core, conn, sent)
        elif errno == EAGAIN:
            client.blocked = 1
        elif errno != EINTR:
            edge_close_client(self, conn)
            return total
    if core_client_closing(self.core, conn):
        if not client.blocked:
            edge_close_client(self, conn)
        elif not client.lingering:
            client.lingering = 1
            with gil:
                self._linger(conn)
        return total
    edge_queue(self, conn)
    return total


cdef void edge_close_client(Edge self, uint32_t conn) noexcept nogil:
    core_client_close(self.core, conn)
    close(self.conns[conn].file)
    self.conns[conn].file = -1
    with gil:
        self._gone.append(conn)
