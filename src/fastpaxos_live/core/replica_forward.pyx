# Forwarding: a replica that is not the master passes the requests of a connection on as one numbered stream.
# reference/replica_forward.py has the words.

cdef bint core_forward(Core *core, Client *c, uint32_t master) noexcept nogil:
    cdef bint busy = c.forwarded or c.outbox_count
    cdef const char *data
    cdef size_t before
    cdef uint32_t i
    if c.forward_peer != master:
        if busy:
            return False
        core_hang_up(core, c)
        core.generation += 1
        c.stream = core.generation << 32 | c.id
        c.forward_peer = master
        c.forward_seq = c.answered = c.received = c.reported = 0
        c.partial = False
    if busy and c.forward_bytes > FORWARD_BYTES_MAX:
        return False
    if not busy:
        c.forward_at = core.now
    before = buf_size(&c.outbox)
    data = c.input.data + c.input.start
    fdb_say_number(&c.outbox, b'*', c.parser.argc)
    for i in range(c.parser.argc):
        fdb_say_bulk(&c.outbox, resp_arg(&c.parser, data, i), c.parser.args[i].size)
    c.outbox_count += 1
    c.forward_bytes += buf_size(&c.outbox) - before
    return True


cdef void core_follow(Core *core) noexcept nogil:
    # Ends the streams to a replica that is not followed any more.
    cdef Machines *s = &core.log.machines
    cdef uint32_t leader = s.acceptor.master if s.reign.state == REIGN_IDLE else core.log.me
    cdef Client *c
    cdef uint32_t i
    if leader == core.leader:
        return
    core.leader = leader
    for i in range(core.clients.capacity):
        c = core.clients.items[i]
        if c != NULL and c.forward_peer and c.forward_peer != leader:
            core_end_stream(core, c, CHANGED)


cdef void core_end_stream(Core *core, Client *c, int reason) noexcept nogil:
    # What was sent is unknown, what was not is not done.
    cdef uint32_t unsent = c.outbox_count
    core_hang_up(core, c)
    c.outbox_count = 0
    buf_trim(&c.outbox, 0)
    if c.forwarded:
        core_lose(core, c, reason)
    elif unsent:
        core_not_done(core, c, unsent, reason)


cdef void core_time_out_streams(Core *core, uint64_t limit) noexcept nogil:
    cdef Client *c
    cdef uint32_t i
    for i in range(core.clients.capacity):
        c = core.clients.items[i]
        if c != NULL and (c.forwarded or c.outbox_count) and core.now - c.forward_at > limit:
            core_end_stream(core, c, LATE)


cdef void core_forward_outbox(Core *core, Client *c) noexcept nogil:
    # Sends what core_forward collected, as soon as the channel has room.
    if c.outbox_count and not c.posted and not c.closing:
        core_post(core, c)


cdef inline void core_wait_to_post(Core *core, Client *c) noexcept nogil:
    if not c.posted:
        c.posted = True
        client_push(&core.posts, c)


cdef void core_post(Core *core, Client *c) noexcept nogil:
    cdef Head h = log_head(&core.log, FORWARD, c.forward_seq)
    h.instance = c.outbox_count
    h.flags = <uint8_t>c.resp
    h.extra = c.stream
    if not log_send(&core.log, c.forward_peer, 1, &h, c.outbox.data + c.outbox.start, buf_size(&c.outbox)):
        core_wait_to_post(core, c)
        return
    if not c.forwarded:
        c.forward_at = core.now
    c.forward_seq += c.outbox_count
    c.forwarded += c.outbox_count
    c.outbox_count = 0
    buf_trim(&c.outbox, IDLE_BYTES)


cdef inline bint core_must_report(Client *c) noexcept nogil:
    # The master sends no more than OUTPUT_BYTES_MAX of replies ahead of what the client takes.
    return c.forward_peer and not buf_size(&c.output) and c.received - c.reported >= OUTPUT_BYTES_MAX // 4


cdef void core_report(Core *core, Client *c) noexcept nogil:
    # Tells the master how much the client has taken, now and then, as soon as the channel has room.
    cdef Head h
    if not core_must_report(c):
        return
    h = log_head(&core.log, TAKEN, 0)
    h.sent = c.received
    h.extra = c.stream
    if log_send(&core.log, c.forward_peer, 1, &h, NULL, 0):
        c.reported = c.received
    else:
        core_wait_to_post(core, c)


cdef void core_hang_up(Core *core, Client *c) noexcept nogil:
    cdef Head h
    if c.forward_peer:
        h = log_head(&core.log, HANGUP, 0)
        h.extra = c.stream
        log_send(&core.log, c.forward_peer, 1, &h, NULL, 0)
        c.forward_peer = 0


cdef bint core_is_sound(void *self, const char *value, size_t size) noexcept nogil:
    return fdb_value_is_sound((<Core *>self).settings.cell_id, value, size)


cdef bint core_on_frame(void *self, uint32_t peer, const Head *h, const char *payload, size_t size) noexcept nogil:
    cdef Core *core = <Core *>self
    cdef Client *c
    if h.type == FORWARD:
        # A request takes more than a byte.
        if h.instance > size or not 2 <= h.flags <= 3 or <uint32_t>h.extra >= <uint32_t>STREAMS_MAX:
            return False
        core_on_forward(core, peer, h, payload, size)
    elif h.type == REPLIES:
        core_on_replies(core, peer, h, payload, size)
    elif h.type == HANGUP:
        c = clients_get(&core.streams[peer], <uint32_t>h.extra)
        if c != NULL and c.stream == h.extra:
            core_forget(core, c)   # its place stays taken: what comes late must not begin it again
    elif h.type == TAKEN:
        c = clients_get(&core.streams[peer], <uint32_t>h.extra)
        if c != NULL and c.stream == h.extra:
            c.taken = u64_max(c.taken, u64_min(h.sent, c.shipped))
            if c.full:
                core_queue(core, c)
    return True


cdef void core_on_forward(
    Core *core, uint32_t peer, const Head *h, const char *payload, size_t size
) noexcept nogil:
    # A stream begins with request 0 and has no gaps; what came twice is ignored.
    cdef uint32_t id = <uint32_t>h.extra
    cdef Client *c = clients_get(&core.streams[peer], id)
    if c == NULL or c.stream < h.extra:
        if c != NULL:
            core_forget(core, c)
        c = core_client_new(core, id, peer, h.extra)
        clients_set(&core.streams[peer], id, c)
    if c.stream != h.extra or not c.alive or c.closing or h.number < c.expected:
        return
    if h.number > c.expected:
        core_close(core, c, CUT_OFF)
        return
    c.expected += h.instance
    c.resp = h.flags
    buf_add(&c.input, payload, size)
    core_weigh(core, c)
    if not c.blocked:
        core_queue(core, c)   # never at once: a peer's clients shall not take what is meant for those here


cdef void core_send_streams(Core *core) noexcept nogil:
    # What waits for room in the channels is tried once a turn: what the master is told, then replies.
    cdef size_t count = buf_size(&core.posts) // sizeof(Client *)
    cdef Client *c
    while count:
        count -= 1
        c = client_pop(&core.posts)
        c.posted = False
        if c.alive and not c.closing:
            core_report(core, c)
            if c.outbox_count:
                core_post(core, c)
        client_unref(c)
    count = buf_size(&core.virtual_) // sizeof(Client *)
    while count:
        count -= 1
        c = client_pop(&core.virtual_)
        c.touched = False
        if c.alive and not c.holding and not core_send_replies(core, c):
            core_touch(core, c)
        core_weigh(core, c)
        client_unref(c)


cdef bint core_send_replies(Core *core, Client *c) noexcept nogil:
    # A reply may be long, a frame not: all but the last frame have only bytes. False: the channel is full.
    cdef Head h
    cdef size_t size
    cdef bint last
    while c.alive and (buf_size(&c.output) or c.closing):
        size = buf_size(&c.output)
        last = size <= REPLIES_BYTES_MAX
        if not last:
            size = REPLIES_BYTES_MAX
        h = log_head(&core.log, REPLIES, c.answered)
        h.instance = c.replies if last else 0
        h.sent = c.shipped
        h.flags = <uint8_t>(1 + c.reason) if last and c.closing else 0
        h.extra = c.stream
        if not log_send(&core.log, c.peer, 1, &h, c.output.data + c.output.start, size):
            return False
        buf_take(&c.output, size)
        c.shipped += size
        if last:
            c.answered += c.replies
            c.replies = 0
            buf_trim(&c.output, IDLE_BYTES)
            if c.closing:
                core_forget(core, c)   # its place stays taken
    return True


cdef void core_on_replies(
    Core *core, uint32_t peer, const Head *h, const char *payload, size_t size
) noexcept nogil:
    cdef Client *c = clients_get(&core.clients, <uint32_t>h.extra)
    if c == NULL or c.stream != h.extra or c.forward_peer != peer or c.closing:
        return
    if h.number < c.answered:
        return
    if h.number > c.answered or h.sent != c.received or h.instance > c.forwarded:
        core_end_stream(core, c, CUT_OFF)
        return
    client_relay(c, payload, size, <uint32_t>h.instance)
    c.received += size
    c.answered += h.instance
    c.forwarded -= h.instance
    c.forward_at = core.now
    core_touch(core, c)
    if h.flags:
        c.forward_peer = 0   # it ended the stream: no need to tell it
        core_end_stream(core, c, min(h.flags - 1, CUT_OFF))
    core_settle(core, c)
