# What a replica knows of each client, and the batch that collects their operations. reference/replica_client.py has the
# words. Clients are counted references: the maps, every list and every hook hold one.

cdef enum HookKind:
    WRITE_HOOK
    READ_HOOK
    LATE_READ_HOOK         # asked when its batch was sealed already
    LITERAL_HOOK

cdef enum Calling:
    CALL_WAITS = 1         # in the list of calls
    CALL_GIVEN             # by drain_calls, until `answer`

cdef const char *ERR_MULTI = b"-ERR MULTI is not supported: all up to EXEC or DISCARD is refused\r\n"
cdef const char *ERR_NESTED = b"-ERR MULTI calls can not be nested\r\n"
cdef const char *ERR_REFUSED = b"-ERR not done, since MULTI is not supported\r\n"
cdef const char *ERR_ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
cdef const char *ERR_EXEC = b"-ERR EXEC without MULTI\r\n"
cdef const char *ERR_EXEC_ARITY = (
    b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n")
cdef const char *ERR_DISCARD = b"-ERR DISCARD without MULTI\r\n"

cdef struct Batch:
    Buf body               # a value whose header is still empty
    uint32_t count
    Buf hooks              # of Hook
    Buf extra              # read operations and literal replies of the hooks
    uint64_t opened_us     # when the first hook came
    uint64_t expected      # bytes of replies with values that it will give at most
    uint64_t largest       # bytes of one of its operations
    uint64_t appended      # bytes of those that make a value longer
    bint force             # seal even without operations: a value that carries the time
    uint64_t checksum      # of the value, once sealed
    uint64_t sealed_us
    uint64_t instance

cdef struct Answers:       # batches applied here and not taken yet, for whoever profiles
    Answer items[SLOTS]
    uint32_t first
    uint32_t count

cdef enum:                 # why a connection was ended, as _api.COMPLAINTS
    COMPLAINT_UNTAKEN
    COMPLAINT_CROWDED
    COMPLAINT_HTTP
    COMPLAINT_TLS
    COMPLAINT_FORWARDED = 0xFFFFFFFF

cdef struct Complaint:
    uint32_t conn
    uint32_t what

cdef struct Client:
    uint32_t refs
    Counts *counts         # of its replica
    uint32_t id
    uint32_t peer          # of a stream: the replica that forwards it, else 0
    uint64_t stream        # generation << 32 | id, as the forwarding replica numbers it
    int resp
    bint alive
    bint redirect
    bint readonly          # ... but its reads are answered
    bint refusing          # since MULTI: until EXEC or DISCARD nothing is done
    bint parsed            # `kind` and `data` hold a request that is not executed yet
    bint holding           # `output` has the reply of a read that waits for the lease check
    bint blocked
    bint full
    bint queued
    bint delayed           # others have their turn first, and no more is read meanwhile
    bint touched
    int calling            # Python answers its request: CALL_WAITS, CALL_GIVEN; 0: none
    bint ended             # the driver has no more input
    bint broken            # no request is taken any more: garbage came (parser.error), or the end
    bint closing
    int reason             # ... why, for the replica that forwards this stream
    bint posted            # in the list of those that wait for room in the channel
    bint partial           # the last bytes that came on the stream are of a reply that is not whole yet
    uint16_t command       # the last one that came, as resp_encode numbers it
    uint64_t active_at     # when something came or went last
    int kind
    Buf data
    Buf input
    size_t consume         # bytes at the head of `input` that the parsed request takes
    RespParser parser
    Buf output
    uint32_t replies
    uint32_t pending
    uint32_t hooked_reads
    uint64_t hooked_bytes
    Batch *batch
    uint64_t counted       # bytes of it in Core.clients_bytes
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
    uint32_t hooked        # its hooks, ...
    uint32_t places        # ... its places in lists, ...
    uint32_t listed        # ... and in which, as core_check counts them

cdef struct Hook:          # a place in the order of a connection's replies
    int kind
    Client *client
    size_t offset          # in the batch's extra bytes
    size_t size

cdef struct Clients:       # by id
    Client **items
    uint32_t capacity


cdef Client *client_new(
    uint32_t id, uint32_t peer, uint64_t stream, size_t value_bytes_max, size_t request_bytes_max,
    Counts *counts
) noexcept nogil:
    cdef Client *c = <Client *>calloc(1, sizeof(Client))
    if c == NULL:
        abort()
    c.refs = 1
    c.counts = counts
    c.id = id
    c.peer = peer
    c.stream = stream
    c.alive = True
    c.resp = 2
    resp_init(&c.parser, value_bytes_max, request_bytes_max)
    return c


cdef inline uint64_t client_bytes(const Client *c) noexcept nogil:
    # What is kept for it: the same figure in both cores.
    cdef uint64_t bytes = buf_size(&c.input) + buf_size(&c.output) + buf_size(&c.outbox)
    if c.parser.left or c.parsed or c.calling:
        bytes += <uint64_t>ARGUMENT_BYTES * c.parser.argc
    if c.parsed:
        bytes += buf_size(&c.data)
    return bytes


cdef void client_rest(Client *c) noexcept nogil:
    # Gives back what only a large request or a long reply needed.
    buf_rest(&c.input, IDLE_BYTES)
    buf_rest(&c.output, IDLE_BYTES)
    buf_rest(&c.outbox, IDLE_BYTES)
    if not (c.parsed or c.calling):
        if c.data.capacity > IDLE_BYTES:
            buf_trim(&c.data, IDLE_BYTES)
        resp_rest(&c.parser)


cdef void client_empty(Client *c) noexcept nogil:
    # Nothing of it is needed any more, though hooks may still name it.
    resp_free(&c.parser)
    buf_free(&c.data)
    buf_free(&c.input)
    buf_free(&c.output)
    buf_free(&c.outbox)
    c.consume = c.outbox_count = 0
    c.parsed = False


cdef void client_unref(Client *c) noexcept nogil:
    c.refs -= 1
    if c.refs:
        return
    client_empty(c)
    free(c)


cdef inline uint64_t client_waiting_bytes(Client *c) noexcept nogil:
    # Bytes of replies that the client has not taken, here and on their way.
    return buf_size(&c.output) + c.shipped - c.taken


cdef void client_too_large(Client *c) noexcept nogil:
    # The request just parsed is answered so.
    cdef char text[128]
    snprintf(
        text, sizeof(text), b"-ERR request too large: at most %llu bytes an argument and %llu in all\r\n",
        <unsigned long long>c.parser.value_bytes_max, <unsigned long long>c.parser.request_bytes_max)
    c.kind = RESP_REPLY
    buf_add(&c.data, text, strlen(text))


cdef void client_refuse(Client *c, const char *text) noexcept nogil:
    # The request just parsed is answered so.
    c.kind = RESP_REPLY
    buf_clear(&c.data)
    buf_add(&c.data, text, strlen(text))


cdef void client_screen(Client *c, const char *data) noexcept nogil:
    # There are no transactions, and what was meant to be one must not be done in parts.
    cdef bint refusing = c.refusing
    if c.kind == RESP_MULTI:
        c.refusing = True
        client_refuse(c, ERR_NESTED if refusing else ERR_MULTI)
    elif c.kind == RESP_EXEC:
        c.refusing = False
        if c.parser.argc > 1:   # Redis says so also where there was no MULTI
            client_refuse(c, ERR_EXEC_ARITY)
        else:
            client_refuse(c, ERR_ABORTED if refusing else ERR_EXEC)
    elif c.kind == RESP_DISCARD:
        c.refusing = False
        client_refuse(c, FDB_OK if refusing else ERR_DISCARD)
    elif c.kind == RESP_CALL and resp_frees(&c.parser, data):
        c.refusing = False
    elif c.kind != RESP_REPLY or c.data.data[c.data.start] != c'-':   # what is wrong by itself says so
        client_refuse(c, ERR_REFUSED)


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


cdef inline void batch_add(Batch *b, const Buf *operation) noexcept nogil:
    cdef const char *op = operation.data + operation.start
    buf_add(&b.body, op, buf_size(operation))
    b.count += 1
    b.largest = u64_max(b.largest, buf_size(operation))
    if fdb_op_code(op) == OP_APPEND:
        b.appended += buf_size(operation)


cdef inline bint batch_gives(Batch *b, uint64_t bytes) noexcept nogil:
    # Takes a reply of so many bytes into account; False: it gives too many already.
    if b.expected and bytes and b.expected + bytes > BATCH_REPLIES_MAX:
        return False
    b.expected += bytes
    return True


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
