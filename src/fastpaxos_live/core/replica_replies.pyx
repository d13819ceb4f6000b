# What becomes of requests: their replies, and the ends of connections that are owed one. reference/replica_replies.py
# has the words. A reply is written where client_say says, which counts it, and nowhere else.

cdef enum:                 # why a request has no result
    CHANGED
    LATE
    CUT_OFF
    NOT_TAKEN              # not told to a replica that forwards

cdef extern from *:
    """
    #define NOT_DONE(reason) "-TRYAGAIN " reason ", nothing was done\\r\\n"
    #define UNKNOWN(reason) "-UNKNOWN " reason ", it is not known whether this was done\\r\\n"
    #define ERRORS(text) { \\
        text("the master changed"), text("no majority answered within write_timeout_ms"), \\
        text("the connection to the master broke"), text("the replies were not taken")}
    static const char *const ERR_NOT_DONE[] = ERRORS(NOT_DONE);
    static const char *const ERR_UNKNOWN[] = ERRORS(UNKNOWN);
    """
    const char **ERR_NOT_DONE
    const char **ERR_UNKNOWN


cdef inline Buf *client_say(Client *c) noexcept nogil:
    # Where the next reply is written, at once and whole. NULL: the connection ends, and takes no more.
    if not c.alive or c.closing:
        return NULL
    c.replies += 1
    return &c.output


cdef inline void client_write(Client *c, const char *reply, size_t size) noexcept nogil:
    cdef Buf *output = client_say(c)
    if output != NULL:
        buf_add(output, reply, size)
        if reply[0] == c'-':
            count_error(c.counts, reply)


cdef inline void client_relay(Client *c, const char *payload, size_t size, uint32_t count) noexcept nogil:
    # Replies that another replica wrote: the last bytes of `count` of them, and perhaps more.
    buf_add(&c.output, payload, size)
    c.replies += count
    c.partial = not count and (c.partial or size > 0)


cdef inline void client_drop_replies(Client *c) noexcept nogil:
    # Replies that must never be sent; the connection has to end.
    buf_trim(&c.output, 0)
    c.replies = 0
    c.holding = False


# The outcome of a batch.
cdef void core_apply_with_hooks(Core *core, const char *value, size_t size, Batch *b) noexcept nogil:
    cdef size_t at = VALUE_BYTES
    cdef size_t next = b.hooks.start
    cdef Hook *hook
    cdef Client *c
    cdef Buf *output
    cdef size_t before
    cdef const char *op
    cdef FdbAhead ahead
    fdb_ahead_begin(&core.store, &ahead, value + at, value + size)
    while next < b.hooks.end:
        hook = <Hook *>(b.hooks.data + next)
        c = hook.client
        output = client_say(c)
        before = buf_size(output) if output != NULL else 0
        op = NULL
        if hook.kind == WRITE_HOOK:
            op = value + at
            fdb_ahead_step(&core.store, &ahead)
            fdb_run(&core.store, op, core.time_ms, c.resp, output)
            at += fdb_op_size(op)
        elif output != NULL:
            if hook.kind == LITERAL_HOOK:
                buf_add(output, b.extra.data + hook.offset, hook.size)
            elif hook.kind == LATE_READ_HOOK and not core_serving(core):
                # It may have been asked after others saw newer values.
                buf_add(output, ERR_NOT_DONE[CHANGED], strlen(ERR_NOT_DONE[CHANGED]))
            else:
                op = b.extra.data + hook.offset
                fdb_run(&core.store, op, core_hooked_ms(core), c.resp, output)
                core.reads += 1
                if hook.kind == LATE_READ_HOOK:
                    core_hold(core, c)  # so may this one, if the lease has ended
        count_reply(&core.counts, &core.store, op, output, before)
        core_hooked(core, c)
        next += sizeof(Hook)


cdef bint core_hook_read(Core *core, Client *c, Batch *b, int kind) noexcept nogil:
    # Gives the client's read its place in this batch, as soon as both have room for it and its reply.
    cdef uint64_t bound
    if c.hooked_reads == HOOKED_READS_MAX:
        return False
    bound = core_reply_bound(core, c) + buf_size(&c.data)
    if (c.pending and c.hooked_bytes + bound > HOOKED_BYTES_MAX) or not batch_gives(b, bound):
        return False
    c.hooked_reads += 1
    c.hooked_bytes += bound
    batch_open_at(b, core.now)
    batch_hook(b, kind, c, c.data.data, buf_size(&c.data))
    return True


cdef inline const char *hook_error(const Batch *b, const Hook *hook, int reason, size_t *size) noexcept nogil:
    # What a hook of a batch without effect says.
    if hook.kind == LITERAL_HOOK:
        size[0] = hook.size
        return b.extra.data + hook.offset
    size[0] = strlen(ERR_NOT_DONE[reason])
    return ERR_NOT_DONE[reason]


cdef void core_fail(Core *core, Batch *b) noexcept nogil:
    # Another value was chosen in its place: these operations were definitely not applied.
    cdef size_t next = b.hooks.start, size
    cdef Hook *hook
    cdef const char *reply
    while next < b.hooks.end:
        hook = <Hook *>(b.hooks.data + next)
        reply = hook_error(b, hook, CHANGED, &size)
        client_write(hook.client, reply, size)
        core_hooked(core, hook.client)
        next += sizeof(Hook)


cdef void core_fail_open(Core *core, int reason) noexcept nogil:
    # Nothing of the open batch will be proposed. A client that still waits for what is in flight is told after that.
    cdef Batch *b = core.open
    cdef Batch *last = NULL
    cdef size_t next = b.hooks.start, size
    cdef Hook *hook
    cdef Client *c
    cdef uint32_t i
    cdef const char *reply
    core.open = batch_new()
    for i in range(SLOTS):
        if core.flights[i] != NULL and (last == NULL or last.instance < core.flights[i].instance):
            last = core.flights[i]
    while next < b.hooks.end:
        (<Hook *>(b.hooks.data + next)).client.pending -= 1
        next += sizeof(Hook)
    next = b.hooks.start
    while next < b.hooks.end:
        hook = <Hook *>(b.hooks.data + next)
        c = hook.client
        reply = hook_error(b, hook, reason, &size)
        if c.pending and last != NULL:
            batch_hook(last, LITERAL_HOOK, c, reply, size)
        else:
            client_write(c, reply, size)
        next += sizeof(Hook)
    next = b.hooks.start
    while next < b.hooks.end:   # when all their replies are written: this may be the end
        c = (<Hook *>(b.hooks.data + next)).client
        core_touch(core, c)
        core_settle(core, c)
        next += sizeof(Hook)
    batch_free(b)


cdef inline void core_hooked(Core *core, Client *c) noexcept nogil:
    c.pending -= 1
    core_touch(core, c)
    core_settle(core, c)


cdef void core_settle(Core *core, Client *c) noexcept nogil:
    # Nothing before the client's next request is outstanding any more: it may go on.
    cdef Buf *output
    if c.pending or c.forwarded or c.outbox_count or not c.alive:
        return
    c.batch = NULL
    c.hooked_reads = 0
    c.hooked_bytes = 0
    c.forward_bytes = 0
    if c.broken and not c.closing:
        if c.parser.error != NULL:
            output = client_say(c)
            count_error(c.counts, b"-ERR ")
            buf_add(output, b"-ERR ", 5)
            buf_add(output, c.parser.error, strlen(c.parser.error))
            buf_add(output, b"\r\n", 2)
        c.closing = True
        core_touch(core, c)
    elif c.blocked:
        core_queue(core, c)


# Ends.
cdef void core_not_done(Core *core, Client *c, uint32_t count, int reason) noexcept nogil:
    # The next `count` requests, which nobody has seen, are answered.
    cdef uint32_t _
    for _ in range(count):
        client_write(c, ERR_NOT_DONE[reason], strlen(ERR_NOT_DONE[reason]))
    core_touch(core, c)
    core_settle(core, c)


cdef void core_lose(Core *core, Client *c, int reason) noexcept nogil:
    # What became of this client's requests is not known: the only honest answer is the last one.
    if not c.alive or c.closing:
        return
    if not (c.holding or c.partial or c.peer):   # a stream's end is told by its replica
        client_write(c, ERR_UNKNOWN[reason], strlen(ERR_UNKNOWN[reason]))
    core_close(core, c, reason)


cdef void core_close(Core *core, Client *c, int reason) noexcept nogil:
    # The connection ends; reads that no lease covered are never sent.
    if c.holding:
        client_drop_replies(c)
    c.closing = True
    c.reason = reason
    core_touch(core, c)


# Time.
cdef void core_time_out(Core *core) noexcept nogil:
    # Nobody waits for much longer than write_timeout. What was proposed may still be chosen; what was not is dropped.
    cdef uint64_t limit = core.settings.write_timeout_us, instance
    cdef Batch *b
    cdef size_t at
    if core.now < core.check_at:
        return
    core.check_at = core.now + limit // 10
    for instance in range(core.log.applied + 1, core.log.applied + 1 + SLOTS):
        b = core.flights[instance % SLOTS]
        if b == NULL or core.now - b.sealed_us <= limit:
            continue
        core.flights[instance % SLOTS] = NULL
        at = b.hooks.start
        while at < b.hooks.end:
            core_lose(core, (<Hook *>(b.hooks.data + at)).client, LATE)
            at += sizeof(Hook)
        batch_free(b)
    if buf_size(&core.open.hooks) and core.now - core.open.opened_us > limit:
        core_fail_open(core, LATE)
    core_time_out_streams(core, limit + limit // 8)   # the master's own answer first: it knows more
