# What holds between the clients, the lists and the batches of a replica at the end of each turn. Debugging builds look
# at all of it, which takes as long as there are clients and hooks.

cdef enum Listed:          # bits of Client.listed
    IN_READY = 1
    IN_WAITING = 2
    IN_HOLDS = 4
    IN_POSTS = 8
    IN_TOUCHED = 16
    IN_CALLS = 32


cdef void check_begin(Clients *clients) noexcept nogil:
    cdef uint32_t i
    for i in range(clients.capacity):
        if clients.items[i] != NULL:
            clients.items[i].hooked = clients.items[i].places = clients.items[i].listed = 0


cdef void check_list(const Buf *list, uint32_t bit) noexcept nogil:
    cdef Client **items = <Client **>(list.data + list.start)
    cdef size_t i
    for i in range(buf_size(list) // sizeof(Client *)):
        expect(items[i].refs > 0, b"a list names a client that was freed")
        items[i].places += 1
        if not items[i].alive:
            continue   # nobody's place is its own any more: nothing was set back
        # Who waits may stand there again when it was cut short; all else has a flag against that.
        expect(not items[i].listed & bit or bit == IN_WAITING, b"a client stands in a list twice")
        items[i].listed |= bit


cdef void check_batch(const Batch *b) noexcept nogil:
    cdef Hook *hooks = <Hook *>(b.hooks.data + b.hooks.start)
    cdef size_t i, used = 0
    for i in range(buf_size(&b.hooks) // sizeof(Hook)):
        expect(hooks[i].client.refs > 0, b"a hook names a client that was freed")
        if hooks[i].size:
            expect(hooks[i].offset == used, b"two hooks have the same bytes, or bytes belong to none")
            used += hooks[i].size
        hooks[i].client.hooked += 1
    expect(used == buf_size(&b.extra), b"a batch keeps bytes that belong to no hook")


cdef uint64_t check_clients(Clients *clients, uint32_t peer) noexcept nogil:
    # The sum of what is counted for them.
    cdef Client *c
    cdef uint64_t sum = 0
    cdef uint32_t i
    for i in range(clients.capacity):
        c = clients.items[i]
        if c == NULL:
            continue
        expect(c.id == i and c.peer == peer, b"a client stands in another's place")
        # Between two turns nobody else has one: neither does the driver, which says numbers.
        expect(c.refs == 1 + c.places + c.hooked, b"a client is not named as often as it has references")
        sum += c.counted
        if not c.alive:
            expect(c.counted == 0, b"something is counted for a client that is gone")
            continue
        check_client(c)
    return sum


cdef void check_client(Client *c) noexcept nogil:
    # What was lost with the mastership leaves its clients with replies that never come, and ends them.
    expect(c.pending >= c.hooked, b"a client has places in batches that it does not wait for")
    expect(c.pending == c.hooked or c.closing, b"a client waits for replies that have no place in a batch")
    expect(not c.pending or not (c.forwarded or c.outbox_count), b"a client is owed replies here and elsewhere")
    expect(c.queued == ((c.listed & IN_READY) != 0), b"`queued` is not what the list says")
    expect(c.posted == ((c.listed & IN_POSTS) != 0), b"`posted` is not what the list says")
    expect(c.touched == ((c.listed & IN_TOUCHED) != 0), b"`touched` is not what the list says")
    # What was dropped with the input of a client that ends stays in the list until it is drained.
    expect((c.calling == CALL_WAITS) == ((c.listed & IN_CALLS) != 0) or (c.closing and not c.calling),
           b"`calling` is not what the list says")
    expect(not c.calling or (c.consume > 0 and not c.parsed), b"Python answers a request that is not there")
    expect(not c.calling or not (c.pending or c.forwarded or c.outbox_count or c.blocked or c.delayed),
           b"Python answers a client that waits for something else")
    expect(not c.holding or c.listed & IN_HOLDS, b"a reply is held that nobody releases")
    expect(not c.delayed or c.queued or c.closing, b"a client whose turn was put off is not in line")
    expect(not c.outbox_count or c.posted or c.closing, b"requests are kept to be sent, and nobody sends them")
    expect(
        not c.blocked or c.full or c.closing or c.queued or c.listed & IN_WAITING or c.pending or c.forwarded
        or c.outbox_count > 0,
        b"a client waits for nothing")
    expect(
        not c.full or c.closing or c.queued or client_waiting_bytes(c) > 0,
        b"a client waits until replies are taken that nobody has")
    expect(c.consume <= buf_size(&c.input), b"a request takes more than came")


cdef void core_spoil(Core *core) noexcept nogil:
    # Makes wrong what FPL_SPOIL names, so that a test sees the checks fail.
    cdef const char *what = getenv(b"FPL_SPOIL")
    cdef Client *c = NULL
    cdef uint32_t i
    if what == NULL:
        return
    for i in range(core.clients.capacity):
        if core.clients.items[i] != NULL:
            c = core.clients.items[i]
    if c == NULL:
        return
    if strcmp(what, b"refs") == 0:
        c.refs += 1
    elif strcmp(what, b"calls") == 0:
        client_push(&core.calls, c)
    elif strcmp(what, b"given") == 0:
        c.calling = CALL_WAITS   # and nobody hands it out
    elif strcmp(what, b"pending") == 0:
        c.pending += 1
    elif strcmp(what, b"hooks") == 0:
        batch_hook(core.open, LITERAL_HOOK, c, NULL, 0)
        c.pending -= 1
        c.closing = True   # which excuses only the other direction
    elif strcmp(what, b"bytes") == 0:
        core.clients_bytes += 1


cdef void core_check(Core *core) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t sum
    core_spoil(core)
    check_begin(&core.clients)
    for i in range(REPLICAS_MAX + 1):
        check_begin(&core.streams[i])
    check_list(&core.ready, IN_READY)
    check_list(&core.waiting, IN_WAITING)
    check_list(&core.holds, IN_HOLDS)
    check_list(&core.posts, IN_POSTS)
    check_list(&core.touched, IN_TOUCHED)
    check_list(&core.virtual_, IN_TOUCHED)
    check_list(&core.calls, IN_CALLS)
    check_batch(core.open)
    for i in range(SLOTS):
        if core.flights[i] != NULL:
            check_batch(core.flights[i])
    sum = check_clients(&core.clients, 0)
    for i in range(1, REPLICAS_MAX + 1):
        sum += check_clients(&core.streams[i], i)
    expect(sum == core.clients_bytes, b"what is kept for all clients is not what is kept for each")
