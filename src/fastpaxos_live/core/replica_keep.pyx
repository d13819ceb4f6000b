# What clients may keep here, and who has to go when it is too much. reference/replica_keep.py has the words.

cdef enum:
    IDLE_US = 1_000_000        # between two looks for idle clients


cdef inline void core_weigh(Core *core, Client *c) noexcept nogil:
    # Counts anew what is kept for this client.
    cdef uint64_t bytes = client_bytes(c) if c.alive else 0
    core.clients_bytes += bytes - c.counted
    c.counted = bytes


cdef void core_forget(Core *core, Client *c) noexcept nogil:
    # It is gone; whoever still names it finds it empty.
    c.alive = False
    client_empty(c)
    core_weigh(core, c)


cdef void core_complain(Core *core, Client *c, uint32_t what) noexcept nogil:
    cdef Complaint complaint
    complaint.conn = COMPLAINT_FORWARDED if c.peer else c.id
    complaint.what = what
    buf_add(&core.complaints, &complaint, sizeof(Complaint))


cdef bint core_has_complaints(Core *core) noexcept nogil:
    return buf_size(&core.complaints) > 0


cdef void core_overfed(Core *core, Client *c) noexcept nogil:
    # It neither takes its replies nor stops asking.
    if c.closing or not c.alive:
        return
    core_complain(core, c, COMPLAINT_UNTAKEN)
    core_hang_up(core, c)
    if c.pending or c.forwarded:
        core_lose(core, c, NOT_TAKEN)
    else:
        if not (c.holding or c.partial):
            client_write(c, ERR_NOT_DONE[NOT_TAKEN], strlen(ERR_NOT_DONE[NOT_TAKEN]))
        core_close(core, c, NOT_TAKEN)
    core_drop_input(core, c)


cdef void core_drop_input(Core *core, Client *c) noexcept nogil:
    # Of a connection that ends.
    buf_trim(&c.input, 0)
    buf_trim(&c.outbox, 0)
    buf_trim(&c.data, 0)
    resp_forget(&c.parser)
    c.outbox_count = 0
    c.consume = 0
    c.parsed = False
    c.calling = 0
    core_weigh(core, c)


cdef void core_relieve(Core *core) noexcept nogil:
    # Who holds most has to go, until there is room.
    cdef uint32_t left = EVICTIONS_MAX
    cdef uint32_t peer
    cdef Client *c
    while left and core.clients_bytes > core.settings.clients_bytes_max:
        left -= 1
        c = clients_largest(&core.clients, NULL)
        for peer in range(1, core.settings.replicas + 1):
            c = clients_largest(&core.streams[peer], c)
        if c == NULL:
            return
        core_complain(core, c, COMPLAINT_CROWDED)
        core_hang_up(core, c)
        client_drop_replies(c)
        core_close(core, c, CUT_OFF)
        core_drop_input(core, c)


cdef Client *clients_largest(Clients *clients, Client *largest) noexcept nogil:
    # The one that most is kept for, or `largest`.
    cdef Client *c
    cdef uint32_t i
    for i in range(clients.capacity):
        c = clients.items[i]
        if c != NULL and c.alive and c.counted:
            if largest == NULL or c.counted > largest.counted:
                largest = c
    return largest


cdef void core_end_idle(Core *core) noexcept nogil:
    # As Redis's `timeout`: a client that neither sends nor takes anything, and waits for nothing.
    cdef Client *c
    cdef uint32_t i
    if not core.idle_us or core.now < core.idle_at:
        return
    core.idle_at = core.now + IDLE_US
    for i in range(core.clients.capacity):
        c = core.clients.items[i]
        if (
            c != NULL and core.now - c.active_at > core.idle_us
            and not (c.pending or c.forwarded or c.outbox_count or c.calling or c.blocked or c.delayed or c.closing)
        ):
            c.closing = True
            core_touch(core, c)


cdef uint64_t core_reply_bound(Core *core, const Client *c) noexcept nogil:
    # No reply to the client's request is longer, whatever of what is under way was applied before.
    cdef uint64_t largest = core.open.largest, appended = core.open.appended, instance
    cdef Batch *b
    for instance in range(core.log.applied + 1, core.log.machines.reign.proposed + 1):
        b = core.flights[instance % SLOTS]
        if b != NULL:
            largest = u64_max(largest, b.largest)
            appended += b.appended
    return fdb_reply_bound(&core.store, c.data.data, largest + appended)
