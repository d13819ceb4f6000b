# What a replica knows of each client, and the batch that collects their operations. reference/replica_client.py has the
# words. Clients are counted references: the maps, every list and every hook hold one.

cdef enum HookKind:
    WRITE_HOOK
    READ_HOOK
    LATE_READ_HOOK         # asked when its batch was sealed already
    LITERAL_HOOK

cdef struct Batch:
    Buf body               # a value whose header is still empty
    uint32_t count
    Buf hooks              # of Hook
    Buf extra              # read operations and literal replies of the hooks
    uint64_t opened_us     # when the first hook came
    bint force             # seal even without operations: a value that carries the time
    uint64_t checksum      # of the value, once sealed
    uint64_t sealed_us
    uint64_t instance

cdef struct Answers:       # batches applied here and not taken yet, for whoever profiles
    Answer items[SLOTS]
    uint32_t first
    uint32_t count

cdef struct Client:
    uint32_t refs
    uint32_t id
    uint32_t peer          # of a stream: the replica that forwards it, else 0
    uint64_t stream        # generation << 32 | id, as the forwarding replica numbers it
    int resp
    bint alive
    bint redirect
    bint parsed            # `kind` and `data` hold a request that is not executed yet
    bint holding           # `output` has the reply of a read that waits for the lease check
    bint blocked
    bint full
    bint queued
    bint touched
    bint calling
    bint ended             # the driver has no more input
    bint broken            # no request is taken any more: garbage came (parser.error), or the end
    bint closing
    int reason             # ... why, for the replica that forwards this stream
    bint posted            # in the list of those that wait for room in the channel
    bint partial           # the last bytes that came on the stream are of a reply that is not whole yet
    int kind
    Buf data
    Buf input
    size_t consume         # bytes at the head of `input` that the parsed request takes
    RespParser parser
    Buf output
    uint32_t replies
    uint32_t pending
    uint32_t hooked_reads
    Batch *batch
    uint64_t held_since
    uint64_t waiting_since  # when its request found no room, 0 if it did
    uint64_t late_at        # when one had waited too long, 0 if nobody's did since
    Buf outbox
    uint32_t outbox_count
    uint32_t forward_peer
    uint64_t forward_seq
    uint64_t forwarded
    uint64_t forward_bytes
    uint64_t forward_at
    uint64_t received
    uint64_t reported
    uint64_t expected
    uint64_t answered
    uint64_t shipped
    uint64_t taken

cdef struct Hook:          # a place in the order of a connection's replies
    int kind
    Client *client
    size_t offset          # in the batch's extra bytes
    size_t size

cdef struct Clients:       # by id
    Client **items
    uint32_t capacity


cdef Client *client_new(uint32_t id, uint32_t peer, uint64_t stream, size_t value_bytes_max) noexcept nogil:
    cdef Client *c = <Client *>calloc(1, sizeof(Client))
    if c == NULL:
        abort()
    c.refs = 1
    c.id = id
    c.peer = peer
    c.stream = stream
    c.alive = True
    c.resp = 2
    resp_init(&c.parser, value_bytes_max)
    return c


cdef void client_unref(Client *c) noexcept nogil:
    c.refs -= 1
    if c.refs:
        return
    resp_free(&c.parser)
    buf_free(&c.data)
    buf_free(&c.input)
    buf_free(&c.output)
    buf_free(&c.outbox)
    free(c)


cdef inline uint64_t client_waiting_bytes(Client *c) noexcept nogil:
    # Bytes of replies that the client has not taken, here and on their way.
    return buf_size(&c.output) + c.shipped - c.taken


cdef void client_too_large(Client *c) noexcept nogil:
    # The request just parsed is answered so.
    cdef char text[128]
    cdef uint64_t argument = c.parser.value_bytes_max
    snprintf(
        text, sizeof(text), b"-ERR request too large: at most %llu bytes an argument and %llu in all\r\n",
        <unsigned long long>argument, <unsigned long long>(argument + REQUEST_SLACK))
    c.kind = RESP_REPLY
    buf_add(&c.data, text, strlen(text))


cdef inline void client_push(Buf *list, Client *c) noexcept nogil:
    c.refs += 1
    buf_add(list, &c, sizeof(Client *))


cdef inline Client *client_pop(Buf *list) noexcept nogil:
    # The first client of a list, with the list's reference; NULL if it is empty.
    cdef Client *c
    if not buf_size(list):
        return NULL
    memcpy(&c, list.data + list.start, sizeof(Client *))
    buf_take(list, sizeof(Client *))
    return c


cdef inline Client *clients_get(Clients *clients, uint32_t id) noexcept nogil:
    return clients.items[id] if id < clients.capacity else NULL


cdef void clients_set(Clients *clients, uint32_t id, Client *c) noexcept nogil:
    # Takes the reference; drops that of a client in the same place.
    cdef uint32_t capacity = clients.capacity if clients.capacity else 64
    if id >= clients.capacity:
        while capacity <= id:
            capacity *= 2
        clients.items = <Client **>realloc(clients.items, capacity * sizeof(Client *))
        if clients.items == NULL:
            abort()
        memset(clients.items + clients.capacity, 0, (capacity - clients.capacity) * sizeof(Client *))
        clients.capacity = capacity
    if clients.items[id] != NULL:
        client_unref(clients.items[id])
    clients.items[id] = c


cdef void clients_drop(Clients *clients) noexcept nogil:
    cdef uint32_t i
    for i in range(clients.capacity):
        if clients.items[i] != NULL:
            client_unref(clients.items[i])
    free(clients.items)
    clients.items = NULL
    clients.capacity = 0


cdef void list_drop(Buf *list) noexcept nogil:
    cdef Client *c = client_pop(list)
    while c != NULL:
        client_unref(c)
        c = client_pop(list)
    buf_free(list)


cdef Batch *batch_new() noexcept nogil:
    cdef Batch *b = <Batch *>calloc(1, sizeof(Batch))
    if b == NULL:
        abort()
    buf_reserve(&b.body, VALUE_BYTES)
    b.body.end += VALUE_BYTES
    return b


cdef void batch_free(Batch *b) noexcept nogil:
    # Without running its hooks.
    cdef Hook *hook
    while buf_size(&b.hooks):
        hook = <Hook *>(b.hooks.data + b.hooks.start)
        client_unref(hook.client)
        buf_take(&b.hooks, sizeof(Hook))
    buf_free(&b.body)
    buf_free(&b.hooks)
    buf_free(&b.extra)
    free(b)


cdef inline void batch_answered(Batch *b, Answers *answers, uint64_t now, size_t size) noexcept nogil:
    cdef Answer *answer = &answers.items[(answers.first + answers.count) % SLOTS]
    if answers.count == SLOTS:
        return
    answers.count += 1
    answer.sealed_us = b.sealed_us
    answer.chosen_us = now
    answer.operations = b.count
    answer.bytes = size


cdef inline void batch_open_at(Batch *b, uint64_t now) noexcept nogil:
    # Somebody is about to wait for this batch.
    if not buf_size(&b.hooks):
        b.opened_us = now


cdef inline void batch_hook(Batch *b, int kind, Client *c, const char *data, size_t size) noexcept nogil:
    # Puts a reply of the client in line behind everything in this batch.
    cdef Hook hook
    hook.kind = kind
    hook.client = c
    hook.offset = buf_size(&b.extra)
    hook.size = size
    if size:
        buf_add(&b.extra, data, size)
    buf_add(&b.hooks, &hook, sizeof(Hook))
    c.refs += 1
    c.pending += 1
    c.batch = b


cdef inline void client_look_ahead(Client *c, Store *s, FdbAhead *a) noexcept nogil:
    # As fdb_ahead_step, for the keys of reads that have not been parsed yet.
    cdef const char *key
    cdef size_t key_size, length
    cdef const char *here = c.input.data + c.input.start
    cdef uint32_t slots = 1, entries = 1
    a.end = c.input.data + c.input.end
    if not here <= a.next < a.end:
        a.next = here
        a.slots = a.entries = 0
        slots, entries = FDB_AHEAD_SLOTS, FDB_AHEAD_ENTRIES
    while slots:
        length = resp_peek(a.next, <size_t>(a.end - a.next), &key, &key_size)
        if not length:
            break
        fdb_ahead_slot(s, a, key, key_size)
        a.next += length
        slots -= 1
    while entries:
        fdb_ahead_entry(s, a)
        entries -= 1
