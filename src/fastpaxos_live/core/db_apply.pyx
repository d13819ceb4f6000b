# What each operation does to the store, and its reply. Everything here has its explanation in
# reference/db_apply.py. `out` is NULL when nobody waits for the reply.

cdef extern from *:
    """
    static const char FDB_OK[] = "+OK\\r\\n";
    static const char FDB_ERR_INTEGER[] = "-ERR value is not an integer or out of range\\r\\n";
    static const char FDB_ERR_OVERFLOW[] = "-ERR increment or decrement would overflow\\r\\n";
    static const char FDB_ERR_TOO_LONG[] =
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\\r\\n";
    static const char FDB_ERR_REPLY[] = "-ERR reply too large: at most 67108864 bytes of values\\r\\n";
    static const char FDB_ERR_TIME[] = "-ERR invalid expire time in 'getex' command\\r\\n";
    static const char FDB_ERR_OPERATION[] = "-ERR unknown operation\\r\\n";
    """
    const char *FDB_OK
    const char *FDB_ERR_INTEGER
    const char *FDB_ERR_OVERFLOW
    const char *FDB_ERR_TOO_LONG
    const char *FDB_ERR_REPLY
    const char *FDB_ERR_TIME
    const char *FDB_ERR_OPERATION

cdef enum:
    SLOTS_OF_CLUSTER = 16384


# One operation under way.
cdef struct FdbCall:
    Store *store
    const char *items    # where the first item starts
    uint32_t count       # items
    uint8_t flags
    int64_t arg
    int64_t time_ms
    int resp
    Buf *out


cdef void fdb_say(Buf *out, const char *text) noexcept nogil:
    if out != NULL:
        buf_add(out, text, strlen(text))


cdef void fdb_say_number(Buf *out, char marker, int64_t number) noexcept nogil:
    # A line of a marker and a number: an integer reply, or the head of a bulk string or an array.
    cdef char *to
    cdef size_t size
    if out == NULL:
        return
    buf_reserve(out, 24)
    to = out.data + out.end
    to[0] = marker
    size = 1 + fdb_format_integer(number, to + 1)
    to[size] = c'\r'
    to[size + 1] = c'\n'
    out.end += size + 2


cdef inline void fdb_say_integer(Buf *out, int64_t number) noexcept nogil:
    fdb_say_number(out, c':', number)


cdef void fdb_say_bulk(Buf *out, const char *value, size_t size) noexcept nogil:
    if out == NULL:
        return
    buf_reserve(out, size + 32)
    fdb_say_number(out, c'$', <int64_t>size)
    memcpy(out.data + out.end, value, size)
    out.end += size
    fdb_say(out, b"\r\n")


cdef void fdb_say_null(FdbCall *call) noexcept nogil:
    fdb_say(call.out, b"_\r\n" if call.resp == 3 else b"$-1\r\n")


cdef void fdb_say_value(FdbCall *call, Entry *entry) noexcept nogil:
    if entry == NULL:
        fdb_say_null(call)
    else:
        fdb_say_bulk(call.out, fdb_value(entry), entry.value_size)


cdef inline int64_t fdb_deadline(FdbCall *call) noexcept nogil:
    # The deadline that flags and `arg` ask for; it may have passed already.
    if not call.flags & FLAG_RELATIVE:
        return call.arg
    if call.arg > FDB_INTEGER_MAX - call.time_ms:
        return FDB_INTEGER_MAX
    return call.time_ms + call.arg


cdef inline Entry *fdb_first(FdbCall *call, Item *item) noexcept nogil:
    # Reads the first item, and finds what the store has under its key.
    fdb_item(call.items, item)
    return fdb_entry(call.store, item.key, item.key_size)


cdef void fdb_run_mget(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry
    cdef const char *at = call.items
    cdef uint64_t total = 0
    cdef uint32_t _
    for _ in range(call.count):
        at = fdb_item(at, &item)
        entry = fdb_entry(call.store, item.key, item.key_size)
        if entry != NULL:
            total += entry.value_size
    if total > REPLY_BYTES_MAX:
        fdb_say(call.out, FDB_ERR_REPLY)
        return
    fdb_say_number(call.out, c'*', call.count)
    at = call.items
    for _ in range(call.count):
        at = fdb_item(at, &item)
        fdb_say_value(call, fdb_entry(call.store, item.key, item.key_size))


cdef int64_t fdb_count_present(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef const char *at = call.items
    cdef int64_t present = 0
    cdef uint32_t _
    for _ in range(call.count):
        at = fdb_item(at, &item)
        present += fdb_entry(call.store, item.key, item.key_size) != NULL
    return present


cdef void fdb_run_ttl(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry = fdb_first(call, &item)
    cdef uint64_t ms, unit = <uint64_t>call.arg
    if entry == NULL:
        fdb_say_integer(call.out, -2)
    elif not entry.deadline:
        fdb_say_integer(call.out, -1)
    else:
        ms = entry.deadline
        if not call.flags & FLAG_ABSOLUTE:
            ms = ms - call.time_ms if ms > <uint64_t>call.time_ms else 0
        fdb_say_integer(call.out, <int64_t>((ms + unit // 2) // unit))


cdef void fdb_run_set(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef int64_t deadline = 0
    cdef bint late = False
    cdef Entry *entry = NULL
    fdb_item(call.items, &item)
    if call.flags & (FLAG_NX | FLAG_XX | FLAG_GET | FLAG_KEEP):
        entry = fdb_entry(call.store, item.key, item.key_size)
        if call.flags & FLAG_GET:
            fdb_say_value(call, entry)
        if (call.flags & FLAG_NX and entry != NULL) or (call.flags & FLAG_XX and entry == NULL):
            if not call.flags & FLAG_GET:
                fdb_say_null(call)
            return
        if call.flags & FLAG_KEEP and entry != NULL:
            deadline = <int64_t>entry.deadline
    if call.flags & (FLAG_RELATIVE | FLAG_ABSOLUTE):
        deadline = fdb_deadline(call)
        late = deadline <= call.time_ms
    if late:
        fdb_delete(call.store, item.key, item.key_size)
    else:
        fdb_put(
            call.store, item.key, item.key_size, item.value, item.value_size, <uint64_t>deadline
        )
    if not call.flags & FLAG_GET:
        fdb_say(call.out, FDB_OK)


cdef void fdb_put_all(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef const char *at = call.items
    cdef uint32_t _
    for _ in range(call.count):
        at = fdb_item(at, &item)
        fdb_put(call.store, item.key, item.key_size, item.value, item.value_size, 0)


cdef void fdb_put_all_new(FdbCall *call) noexcept nogil:
    # SETNX and MSETNX.
    if fdb_count_present(call):
        fdb_say_integer(call.out, 0)
        return
    fdb_put_all(call)
    fdb_say_integer(call.out, 1)


cdef void fdb_run_del(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef const char *at = call.items
    cdef int64_t removed = 0
    cdef uint32_t _
    for _ in range(call.count):
        at = fdb_item(at, &item)
        removed += fdb_delete(call.store, item.key, item.key_size)
    fdb_say_integer(call.out, removed)


cdef void fdb_run_incrby(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef char text[20]
    cdef int64_t number = 0
    cdef Entry *entry = fdb_first(call, &item)
    if entry != NULL and not fdb_parse_integer(fdb_value(entry), entry.value_size, &number):
        fdb_say(call.out, FDB_ERR_INTEGER)
        return
    if (call.arg > 0 and number > FDB_INTEGER_MAX - call.arg) or (
        call.arg < 0 and number < FDB_INTEGER_MIN - call.arg
    ):
        fdb_say(call.out, FDB_ERR_OVERFLOW)
        return
    number += call.arg
    fdb_put(
        call.store, item.key, item.key_size, text, fdb_format_integer(number, text),
        entry.deadline if entry != NULL else 0,
    )
    fdb_say_integer(call.out, number)


cdef void fdb_run_append(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry = fdb_first(call, &item)
    cdef uint64_t size = item.value_size
    if entry != NULL:
        size += entry.value_size
    if size > <uint64_t>(min(call.arg, BULK_BYTES_MAX) if call.arg > 0 else VALUE_BYTES_MAX):
        fdb_say(call.out, FDB_ERR_TOO_LONG)
        return
    if entry == NULL:
        fdb_put(call.store, item.key, item.key_size, item.value, item.value_size, 0)
    else:
        fdb_append(call.store, item.key, item.key_size, item.value, item.value_size)
    fdb_say_integer(call.out, <int64_t>size)


cdef void fdb_move_deadline(
    FdbCall *call, Item *item, Entry *entry, int64_t deadline
) noexcept nogil:
    if deadline <= call.time_ms:
        fdb_delete(call.store, item.key, item.key_size)
    else:
        fdb_set_deadline(call.store, entry, fdb_hash(call.store, item.key, item.key_size), <uint64_t>deadline)


cdef void fdb_run_expire(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry = fdb_first(call, &item)
    cdef int64_t deadline = fdb_deadline(call)
    cdef int64_t old
    if entry == NULL:
        fdb_say_integer(call.out, 0)
        return
    old = <int64_t>entry.deadline
    if (
        (call.flags & FLAG_NX and old)
        or (call.flags & FLAG_XX and not old)
        or (call.flags & FLAG_GT and (not old or deadline <= old))
        or (call.flags & FLAG_LT and old and deadline >= old)
    ):
        fdb_say_integer(call.out, 0)
        return
    fdb_move_deadline(call, &item, entry, deadline)
    fdb_say_integer(call.out, 1)


cdef void fdb_run_persist(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry = fdb_first(call, &item)
    if entry == NULL or not entry.deadline:
        fdb_say_integer(call.out, 0)
        return
    fdb_set_deadline(call.store, entry, fdb_hash(call.store, item.key, item.key_size), 0)
    fdb_say_integer(call.out, 1)


cdef void fdb_run_getdel(FdbCall *call) noexcept nogil:
    cdef Item item
    fdb_say_value(call, fdb_first(call, &item))
    fdb_delete(call.store, item.key, item.key_size)


cdef void fdb_run_getex(FdbCall *call) noexcept nogil:
    cdef Item item
    cdef Entry *entry = fdb_first(call, &item)
    fdb_say_value(call, entry)
    if entry == NULL:
        return
    if call.flags & (FLAG_RELATIVE | FLAG_ABSOLUTE):
        fdb_move_deadline(call, &item, entry, fdb_deadline(call))
    else:
        fdb_set_deadline(call.store, entry, fdb_hash(call.store, item.key, item.key_size), 0)


cdef void fdb_run_read(FdbCall *call, uint8_t opcode) noexcept nogil:
    cdef Item item
    cdef Entry *entry
    if opcode == OP_GET:
        entry = fdb_first(call, &item)
        if call.arg and entry != NULL:
            fdb_say(call.out, FDB_ERR_INTEGER if call.arg == MISTAKE_INTEGER else FDB_ERR_TIME)
        else:
            fdb_say_value(call, entry)
    elif opcode == OP_MGET:
        fdb_run_mget(call)
    elif opcode == OP_EXISTS:
        fdb_say_integer(call.out, fdb_count_present(call))
    elif opcode == OP_STRLEN:
        entry = fdb_first(call, &item)
        fdb_say_integer(call.out, entry.value_size if entry != NULL else 0)
    elif opcode == OP_TYPE:
        entry = fdb_first(call, &item)
        fdb_say(call.out, b"+none\r\n" if entry == NULL else b"+string\r\n")
    elif opcode == OP_TTL:
        fdb_run_ttl(call)
    elif opcode == OP_DBSIZE:
        fdb_say_integer(call.out, <int64_t>fdb_size(call.store))
    else:
        fdb_say(call.out, FDB_ERR_OPERATION)


cdef void fdb_run(Store *s, const char *op, uint64_t time_ms, int resp, Buf *out) noexcept nogil:
    # Before a write the caller has expired the store up to `time_ms`; of reads it decides only how much time is left.
    cdef FdbCall call
    cdef uint8_t opcode = fdb_op_code(op)
    call.store = s
    call.items = op + OP_BYTES
    call.count = fdb_op_count(op)
    call.flags = fdb_op_flags(op)
    call.arg = fdb_op_arg(op)
    call.time_ms = <int64_t>time_ms if time_ms < <uint64_t>FDB_INTEGER_MAX else FDB_INTEGER_MAX
    call.resp = resp
    call.out = out
    if opcode < OP_SET:
        fdb_run_read(&call, opcode)
        return
    fdb_step(s)
    if opcode == OP_SET:
        fdb_run_set(&call)
    elif opcode == OP_MSET:
        fdb_put_all(&call)
        fdb_say(out, FDB_OK)
    elif opcode == OP_SETNX or opcode == OP_MSETNX:
        fdb_put_all_new(&call)
    elif opcode == OP_DEL:
        fdb_run_del(&call)
    elif opcode == OP_INCRBY:
        fdb_run_incrby(&call)
    elif opcode == OP_APPEND:
        fdb_run_append(&call)
    elif opcode == OP_EXPIRE:
        fdb_run_expire(&call)
    elif opcode == OP_PERSIST:
        fdb_run_persist(&call)
    elif opcode == OP_GETDEL:
        fdb_run_getdel(&call)
    elif opcode == OP_GETEX:
        fdb_run_getex(&call)
    elif opcode == OP_FLUSH:
        fdb_clear(s)
        fdb_say(out, FDB_OK)
    else:
        fdb_say(out, FDB_ERR_OPERATION)


cdef enum:
    FDB_AHEAD_SLOTS = 8    # operations ahead of the one that runs ...
    FDB_AHEAD_ENTRIES = 4  # ... whose slot, and then whose entry, is fetched into the cache

cdef extern from *:
    """
    #define fdb_prefetch(address) __builtin_prefetch(address, 1)
    """
    void fdb_prefetch(const void *address) noexcept nogil

# Looks ahead in a row of operations: a large store is all cache misses, and these need not be waited for one by one.
cdef struct FdbAhead:
    const char *next       # the next operation, or request, whose slot is to be fetched
    const char *end
    uint64_t hashes[16]    # of keys whose slots were fetched
    uint32_t slots         # how many were
    uint32_t entries


cdef inline void fdb_ahead_slot(Store *s, FdbAhead *a, const char *key, size_t size) noexcept nogil:
    a.hashes[a.slots & 15] = fdb_hash(s, key, size)
    fdb_prefetch(&s.slots[a.hashes[a.slots & 15] & s.mask])
    a.slots += 1


cdef inline void fdb_ahead_entry(Store *s, FdbAhead *a) noexcept nogil:
    cdef const char *entry
    if a.entries == a.slots:
        return
    entry = <const char *>s.slots[a.hashes[a.entries & 15] & s.mask].entry
    fdb_prefetch(entry)
    fdb_prefetch(entry + 64)
    fdb_prefetch(entry + 128)
    a.entries += 1


cdef inline void fdb_ahead_operation(Store *s, FdbAhead *a) noexcept nogil:
    cdef Item item
    if a.next >= a.end:
        return
    if fdb_op_count(a.next):
        fdb_item(a.next + OP_BYTES, &item)
        fdb_ahead_slot(s, a, item.key, item.key_size)
    a.next += fdb_op_size(a.next)


cdef void fdb_ahead_begin(Store *s, FdbAhead *a, const char *first, const char *end) noexcept nogil:
    cdef int _
    a.next = first
    a.end = end
    a.slots = a.entries = 0
    for _ in range(FDB_AHEAD_SLOTS):
        fdb_ahead_operation(s, a)
    for _ in range(FDB_AHEAD_ENTRIES):
        fdb_ahead_entry(s, a)


cdef inline void fdb_ahead_step(Store *s, FdbAhead *a) noexcept nogil:
    # Before each operation that runs.
    fdb_ahead_operation(s, a)
    fdb_ahead_entry(s, a)


cdef inline bint fdb_asks_time(const char *op) noexcept nogil:
    # Does this read answer how much time is left?
    return fdb_op_code(op) == OP_TTL and not fdb_op_flags(op) & FLAG_ABSOLUTE


cdef bint fdb_is_left_time(Store *s, const char *op) noexcept nogil:
    # The same, of a key that has a deadline.
    cdef Item item
    cdef Entry *entry
    if not fdb_asks_time(op):
        return False
    fdb_item(op + OP_BYTES, &item)
    entry = fdb_entry(s, item.key, item.key_size)
    return entry != NULL and entry.deadline > 0


cdef bint fdb_is_due(Store *s, const char *op, uint64_t clock_ms) noexcept nogil:
    # Would this read touch a key that is not hidden yet, but whose deadline the clock has reached?
    cdef Item item
    cdef Entry *entry
    cdef const char *at = op + OP_BYTES
    cdef uint32_t _
    if not s.expiring or s.next_deadline > clock_ms:
        return False
    if fdb_op_code(op) == OP_DBSIZE:
        return fdb_due_count(s, clock_ms) > fdb_due_count(s, s.time_ms)
    for _ in range(fdb_op_count(op)):
        at = fdb_item(at, &item)
        entry = fdb_entry(s, item.key, item.key_size)
        if entry != NULL and entry.deadline and entry.deadline <= clock_ms:
            return True
    return False


cdef uint32_t fdb_slot(const char *op) noexcept nogil:
    # The cluster slot of the first key; a part of it in braces, if there is one, decides alone.
    # Asked once for each redirect only, so CRC16 (XMODEM) needs no table.
    cdef Item item
    cdef const char *opening
    cdef const char *closing
    cdef uint32_t crc = 0
    cdef uint32_t i
    cdef int _
    if not fdb_op_count(op):
        return 0
    fdb_item(op + OP_BYTES, &item)
    opening = <const char *>memchr(item.key, c'{', item.key_size)
    if opening != NULL:
        opening += 1
        closing = <const char *>memchr(opening, c'}', <size_t>(item.key + item.key_size - opening))
        if closing != NULL and closing != opening:
            item.key = opening
            item.key_size = <uint32_t>(closing - opening)
    for i in range(item.key_size):
        crc ^= <uint32_t><uint8_t>item.key[i] << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc % SLOTS_OF_CLUSTER
