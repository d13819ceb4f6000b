# The store: open-addressing tables of entries, their deadlines in order, a checksum over all of it.
# reference/db_store.py says by which rules it grows, is cleared and forgets what is due: no step of that has more than
# a bounded number of slots or keys to do.
#
# 1. A slot is empty or holds an entry and the hash of its key; every slot of `slots` from an entry's home to its place
#    is in use.
# 2. At most two thirds of the slots are in use, those for the entries of `old` included.
# 3. From half of the slots in use on there is a table for the next growth, `next`, whose first `next_ready` bytes are
#    zeros: the pages of a large one take too long all at once.
# 4. While it grows, `old` is the table before: from its end on what was in it is moved, so that `old_left` slots are
#    left. A key is in one of the two tables. Nothing is added to `old`, and what is deleted
#    there leaves GONE behind: for whoever looks, GONE and all behind `old_left` count as in use.
# 5. An entry's deadline is in `dues` with the hash of its key and its serial if and only if it has one;
#    `next_deadline` is the first of them, 0 without one.
# 6. `state_sum` is the sum of fdb_sum over all entries, those that are due and still held included.
# 7. An entry whose deadline is not above `time_ms` is hidden: fdb_entry does not find it.

cdef enum:
    FDB_SPARE_MIN = 1024  # an entry keeps this much unused room when its value shrinks
    FDB_CLEARED = 256     # bytes of `next` that each new key makes ready


# Key and value follow the header.
cdef struct Entry:
    uint64_t digest      # XXH64 of the value, seeded with that of the key
    uint64_t deadline    # ms, 0 none
    uint64_t serial      # no two entries ever have the same
    uint32_t key_size
    uint32_t value_size
    uint32_t capacity    # bytes that the value may take before the entry must move

cdef struct Slot:
    uint64_t hash
    Entry *entry         # NULL: empty

# A table that was cleared, whose entries are freed bit by bit.
cdef struct Junk:
    Junk *next
    Slot *slots
    size_t bytes
    size_t left          # its first so many slots are still to be freed
    DueNode *dues

# New keys, and what was done beside what the operations themselves ask for, ever.
cdef struct Work:
    uint64_t added       # keys
    uint64_t moved       # slots of a table that grows
    uint64_t swept       # slots of tables that were cleared
    uint64_t removed     # keys that were due
    uint64_t bytes       # of these

cdef struct Store:
    uint64_t seed
    Slot *slots
    size_t mask          # slots - 1, a power of two less one
    uint64_t size        # entries
    uint64_t state_sum
    uint64_t next_deadline
    uint64_t time_ms     # what is due by then is hidden
    Slot *next
    size_t next_ready
    Slot *old
    size_t old_mask
    size_t old_left
    Junk *junk           # or NULL
    DueNode *dues
    uint64_t expiring    # entries with a deadline
    Blocks blocks
    Work work
    uint64_t checks      # how often a debugging build was asked to check itself

cdef extern from *:
    """
    #define FDB_GONE ((struct __pyx_t_14fastpaxos_live_5_core_Entry *)1)
    #ifdef FPL_DEBUG
    #define FDB_CHECKS 1
    #else
    #define FDB_CHECKS 0
    #endif
    """
    Entry *FDB_GONE
    bint FDB_CHECKS


cdef inline char *fdb_key(Entry *entry) noexcept nogil:
    return <char *>entry + sizeof(Entry)


cdef inline char *fdb_value(Entry *entry) noexcept nogil:
    return <char *>entry + sizeof(Entry) + entry.key_size


cdef inline void fdb_release(Store *s, Entry *entry) noexcept nogil:
    blocks_release(&s.blocks, entry, sizeof(Entry) + entry.key_size + entry.capacity)


cdef void fdb_begin(Store *s) noexcept nogil:
    # With the smallest table.
    cdef size_t size = SLOTS_OF_STORE_MIN * sizeof(Slot)
    s.slots = <Slot *>fdb_allocate(NULL, size)
    s.mask = SLOTS_OF_STORE_MIN - 1
    memset(s.slots, 0, size)


cdef void fdb_init(Store *s, uint64_t seed) noexcept nogil:
    memset(s, 0, sizeof(Store))
    s.seed = seed
    fdb_begin(s)


# Tables that were cleared.
cdef void fdb_abandon(Store *s, Slot *slots, size_t count, size_t left, DueNode *dues) noexcept nogil:
    cdef Junk *junk = <Junk *>fdb_allocate(NULL, sizeof(Junk))
    junk.slots = slots
    junk.bytes = count * sizeof(Slot)
    junk.left = left
    junk.dues = dues
    junk.next = s.junk
    s.junk = junk


cdef size_t fdb_sweep(Store *s, size_t count, size_t bytes) noexcept nogil:
    # Frees what is in the next `count` slots of tables that were cleared, or a part with so many bytes; how many slots
    # there were.
    cdef Junk *junk = s.junk
    cdef Entry *entry
    cdef size_t swept = 0, freed = 0
    while junk != NULL and swept < count and freed < bytes:
        swept += 1
        junk.left -= 1
        entry = junk.slots[junk.left].entry
        if entry != NULL and entry != FDB_GONE:
            freed += entry.capacity
            fdb_release(s, entry)
        if junk.dues != NULL:   # there are fewer leaves than slots
            due_free_leaf(&junk.dues)
        if not junk.left:
            blocks_release(&s.blocks, junk.slots, junk.bytes)
            expect(junk.dues == NULL, b"the deadlines of a cleared table are more than its slots")
            s.junk = junk.next
            free(junk)
            junk = s.junk
    return swept


cdef inline size_t fdb_next_bytes(Store *s) noexcept nogil:
    return 2 * (s.mask + 1) * sizeof(Slot)


cdef void fdb_clear(Store *s) noexcept nogil:
    s.work.swept += fdb_sweep(s, FLUSHED_SLOTS, <size_t>-1)
    if s.old == NULL and not s.size and s.mask + 1 == SLOTS_OF_STORE_MIN:
        return
    fdb_abandon(s, s.slots, s.mask + 1, s.mask + 1, s.dues)
    if s.old != NULL:
        fdb_abandon(s, s.old, s.old_mask + 1, s.old_left, NULL)
    if s.next != NULL:
        blocks_release(&s.blocks, s.next, fdb_next_bytes(s))
    s.old = s.next = NULL
    s.old_left = s.next_ready = 0
    s.dues = NULL
    s.size = s.expiring = s.state_sum = s.next_deadline = 0
    fdb_begin(s)


cdef void fdb_free(Store *s) noexcept nogil:
    # Also of a store that is all zeros.
    if s.slots == NULL:
        return
    fdb_clear(s)
    fdb_sweep(s, <size_t>-1, <size_t>-1)
    blocks_bury(&s.blocks, <size_t>-1)
    free(s.slots)
    memset(s, 0, sizeof(Store))


# Where a key is.
cdef inline uint64_t fdb_hash(Store *s, const char *key, size_t size) noexcept nogil:
    return xxh64(key, size, s.seed)


cdef inline bint fdb_holds(const Slot *slot, const char *key, size_t size, uint64_t hash) noexcept nogil:
    return (
        slot.hash == hash and slot.entry != FDB_GONE and slot.entry.key_size == size
        and memcmp(fdb_key(slot.entry), key, size) == 0
    )


cdef Slot *fdb_old_slot(Store *s, const char *key, size_t size, uint64_t hash) noexcept nogil:
    # The slot of the key in the table before; NULL if it is not there. What began before the end of the table may
    # stand at its beginning.
    cdef size_t at = hash & s.old_mask
    cdef int rounds = 2
    if at >= s.old_left:
        at = 0
        rounds = 1
    while rounds:
        while at < s.old_left:
            if s.old[at].entry == NULL:
                return NULL
            if fdb_holds(&s.old[at], key, size, hash):
                return &s.old[at]
            at += 1
        at = 0
        rounds -= 1
    return NULL


cdef inline Slot *fdb_slot_of(Store *s, const char *key, size_t size, uint64_t hash) noexcept nogil:
    # The slot of the key, hidden or not, or the empty one where it would go.
    cdef size_t i = hash & s.mask
    cdef Slot *slot
    cdef Slot *other
    while True:
        slot = &s.slots[i]
        if slot.entry == NULL:
            if s.old != NULL:
                other = fdb_old_slot(s, key, size, hash)
                if other != NULL:
                    return other
            return slot
        if fdb_holds(slot, key, size, hash):
            return slot
        i = (i + 1) & s.mask


cdef inline bint fdb_hidden(Store *s, const Entry *entry) noexcept nogil:
    return entry.deadline and entry.deadline <= s.time_ms


cdef inline Entry *fdb_entry(Store *s, const char *key, size_t size) noexcept nogil:
    # What whoever asks finds under a key.
    cdef Entry *entry = fdb_slot_of(s, key, size, fdb_hash(s, key, size)).entry
    return NULL if entry != NULL and fdb_hidden(s, entry) else entry


cdef const char *fdb_get(
    Store *s, const char *key, size_t key_size, size_t *value_size
) noexcept nogil:
    # The value, valid until the next write; NULL without the key.
    cdef Entry *entry = fdb_entry(s, key, key_size)
    if entry == NULL:
        return NULL
    value_size[0] = entry.value_size
    return fdb_value(entry)


cdef inline uint64_t fdb_sum(Entry *entry) noexcept nogil:
    if not entry.deadline:
        return entry.digest
    return xxh64(&entry.deadline, 8, entry.digest)


cdef void fdb_set_deadline(Store *s, Entry *entry, uint64_t hash, uint64_t deadline) noexcept nogil:
    cdef Mark mark
    cdef Mark *first
    if entry.deadline == deadline:
        return
    mark.hash = hash
    mark.serial = entry.serial
    s.state_sum -= fdb_sum(entry)
    if entry.deadline:
        mark.deadline = entry.deadline
        due_remove(&s.dues, &mark)
        s.expiring -= 1
    if deadline:
        mark.deadline = deadline
        due_add(&s.dues, &mark)
        s.expiring += 1
    entry.deadline = deadline
    first = due_first(s.dues)
    s.next_deadline = first.deadline if first != NULL else 0
    s.state_sum += fdb_sum(entry)


cdef inline uint64_t fdb_due_count(Store *s, uint64_t time_ms) noexcept nogil:
    # How many entries are due at that time, hidden ones included.
    return due_count(s.dues, time_ms) if s.next_deadline <= time_ms else 0


cdef inline uint64_t fdb_expiring(Store *s) noexcept nogil:
    # Keys that are there and have a deadline.
    return s.expiring - fdb_due_count(s, s.time_ms)


cdef inline uint64_t fdb_size(Store *s) noexcept nogil:
    # Keys that are there.
    return s.size - fdb_due_count(s, s.time_ms)


# Growth.
cdef size_t fdb_move(Store *s, size_t count) noexcept nogil:
    # Moves what is in the last `count` slots of the table before; how many there were. Hashes are in the slots, so
    # this reads no entry.
    cdef Slot *slot
    cdef size_t to, moved = 0
    while s.old_left and moved < count:
        moved += 1
        s.old_left -= 1
        slot = &s.old[s.old_left]
        if slot.entry != NULL and slot.entry != FDB_GONE:
            to = slot.hash & s.mask
            while s.slots[to].entry != NULL:
                to = (to + 1) & s.mask
            s.slots[to] = slot[0]
    if s.old != NULL and not s.old_left:
        blocks_release(&s.blocks, s.old, (s.old_mask + 1) * sizeof(Slot))
        s.old = NULL
    return moved


cdef void fdb_prepare(Store *s) noexcept nogil:
    # With each new key from half of the slots on: a sixth of them are still to come, and they need an eighth.
    cdef size_t size = u64_min(FDB_CLEARED, fdb_next_bytes(s) - s.next_ready)
    if s.next == NULL:
        s.next = <Slot *>fdb_allocate(NULL, fdb_next_bytes(s))
    memset(<char *>s.next + s.next_ready, 0, size)
    s.next_ready += size


cdef void fdb_grow(Store *s) noexcept nogil:
    expect(
        s.old == NULL and s.next != NULL and s.next_ready == fdb_next_bytes(s), b"the store grows before it is ready")
    s.old = s.slots
    s.old_mask = s.mask
    s.old_left = s.mask + 1
    s.slots = s.next
    s.mask = 2 * s.old_left - 1
    s.next = NULL
    s.next_ready = 0


cdef Entry *fdb_resize(Slot *slot, uint32_t capacity) noexcept nogil:
    # Moves the slot's entry to a block with room for `capacity` bytes of value.
    slot.entry = <Entry *>fdb_allocate(slot.entry, sizeof(Entry) + slot.entry.key_size + capacity)
    slot.entry.capacity = capacity
    return slot.entry


cdef Entry *fdb_insert(
    Store *s, Slot *slot, const char *key, size_t size, uint64_t hash, uint32_t capacity
) noexcept nogil:
    # A new entry with an empty value, in no sum yet; `slot` is where fdb_slot_of says that it goes.
    cdef Entry *entry = <Entry *>blocks_allocate(&s.blocks, sizeof(Entry) + size + capacity)
    if s.junk != NULL:
        s.work.swept += fdb_sweep(s, SWEPT_SLOTS, <size_t>-1)
    if 2 * (s.size + 1) > s.mask + 1:
        if s.next_ready < fdb_next_bytes(s):
            fdb_prepare(s)
        if 3 * (s.size + 1) > 2 * (s.mask + 1):
            fdb_grow(s)
    if s.old != NULL:
        s.work.moved += fdb_move(s, MOVED_SLOTS)
        slot = fdb_slot_of(s, key, size, hash)
    memset(entry, 0, sizeof(Entry))
    entry.key_size = <uint32_t>size
    entry.capacity = capacity
    memcpy(fdb_key(entry), key, size)
    slot.hash = hash
    slot.entry = entry
    s.size += 1
    s.work.added += 1
    entry.serial = s.work.added
    return entry


cdef void fdb_put(
    Store *s, const char *key, size_t key_size, const char *value, size_t value_size,
    uint64_t deadline,
) noexcept nogil:
    # Insert or replace, also what is hidden. `value` must not lie in the store.
    cdef uint64_t hash = fdb_hash(s, key, key_size)
    cdef Slot *slot = fdb_slot_of(s, key, key_size, hash)
    cdef Entry *entry = slot.entry
    if entry == NULL:
        entry = fdb_insert(s, slot, key, key_size, hash, <uint32_t>value_size)
    else:
        s.state_sum -= fdb_sum(entry)
        if value_size > entry.capacity or value_size + FDB_SPARE_MIN < entry.capacity // 2:
            entry = fdb_resize(slot, <uint32_t>value_size)
    memcpy(fdb_value(entry), value, value_size)
    entry.value_size = <uint32_t>value_size
    entry.digest = xxh64(value, value_size, hash)
    s.state_sum += fdb_sum(entry)
    fdb_set_deadline(s, entry, hash, deadline)


cdef void fdb_append(
    Store *s, const char *key, size_t key_size, const char *tail, size_t tail_size
) noexcept nogil:
    # Adds to the value of a present key. Room grows by doubling, so that many small tails cost no
    # many moves.
    cdef uint64_t hash = fdb_hash(s, key, key_size)
    cdef Slot *slot = fdb_slot_of(s, key, key_size, hash)
    cdef Entry *entry = slot.entry
    cdef size_t size = entry.value_size + tail_size
    s.state_sum -= fdb_sum(entry)
    if size > entry.capacity:
        entry = fdb_resize(slot, <uint32_t>(2 * size))
    memcpy(fdb_value(entry) + entry.value_size, tail, tail_size)
    entry.value_size = <uint32_t>size
    entry.digest = xxh64(fdb_value(entry), size, hash)
    s.state_sum += fdb_sum(entry)


cdef void fdb_empty(Store *s, Slot *slot) noexcept nogil:
    # Removes the slot's entry. In the table that is added to, what lies behind it moves up, so that invariant 1 holds
    # without tombstones.
    cdef Entry *entry = slot.entry
    cdef size_t hole, i
    fdb_set_deadline(s, entry, slot.hash, 0)
    s.state_sum -= fdb_sum(entry)
    s.size -= 1
    fdb_release(s, entry)
    if s.old != NULL and s.old <= slot < s.old + s.old_left:
        slot.entry = FDB_GONE
        return
    hole = i = <size_t>(slot - s.slots)
    while True:
        i = (i + 1) & s.mask
        if s.slots[i].entry == NULL:
            break
        # The entry at i may fill the hole unless its home lies behind the hole.
        if ((i - s.slots[i].hash) & s.mask) >= ((i - hole) & s.mask):
            s.slots[hole] = s.slots[i]
            hole = i
    s.slots[hole].entry = NULL


cdef bint fdb_delete(Store *s, const char *key, size_t size) noexcept nogil:
    # False if the key was not there. What is hidden is left to fdb_remove_due.
    cdef Slot *slot = fdb_slot_of(s, key, size, fdb_hash(s, key, size))
    if slot.entry == NULL or fdb_hidden(s, slot.entry):
        return False
    fdb_empty(s, slot)
    return True


# What is due.
cdef Slot *fdb_due_slot(Store *s, const Mark *mark) noexcept nogil:
    # The slot of that entry; there is one.
    cdef size_t i = mark.hash & s.mask
    while s.slots[i].entry != NULL:
        if s.slots[i].hash == mark.hash and s.slots[i].entry.serial == mark.serial:
            return &s.slots[i]
        i = (i + 1) & s.mask
    i = mark.hash & s.old_mask
    if i >= s.old_left:
        i = 0
    while True:
        if (
            s.old[i].hash == mark.hash and s.old[i].entry != NULL and s.old[i].entry != FDB_GONE
            and s.old[i].entry.serial == mark.serial
        ):
            return &s.old[i]
        i += 1
        if i == s.old_left:
            i = 0


cdef void fdb_remove_due(Store *s, uint64_t count) noexcept nogil:
    # Removes so many keys that are due, if there are any, but not more than REMOVED_BYTES and one key.
    cdef Slot *slot
    cdef uint64_t bytes = 0, size
    while count and bytes < REMOVED_BYTES and s.next_deadline and s.next_deadline <= s.time_ms:
        slot = fdb_due_slot(s, due_first(s.dues))
        size = <uint64_t>slot.entry.key_size + slot.entry.value_size
        fdb_empty(s, slot)
        count -= 1
        bytes += size
        s.work.removed += 1
    s.work.bytes += bytes


cdef void fdb_expire(Store *s, uint64_t time_ms) noexcept nogil:
    # Every key whose deadline is at or before `time_ms` is hidden; the first of them are removed.
    s.time_ms = u64_max(s.time_ms, time_ms)
    if s.next_deadline and s.next_deadline <= s.time_ms:
        fdb_remove_due(s, REMOVED_KEYS)
    if s.blocks.graves != NULL:
        blocks_bury(&s.blocks, BURIED_BYTES)
    if FDB_CHECKS:
        s.checks += 1
        if s.size < 4096 and s.checks % 64 == 0:
            fdb_check(s)


cdef inline void fdb_step(Store *s) noexcept nogil:
    # With each write: so much that more can't come due than is removed.
    if s.next_deadline and s.next_deadline <= s.time_ms:
        fdb_remove_due(s, REMOVED_KEYS_EACH)


cdef inline bint fdb_untidy(Store *s) noexcept nogil:
    return s.old != NULL or s.junk != NULL or s.blocks.graves != NULL


cdef void fdb_tidy(Store *s) noexcept nogil:
    # Goes on with what needs no place in the log, so that it is done soon, and also where nobody writes.
    if s.junk != NULL:
        fdb_sweep(s, TIDIED_SLOTS, TIDIED_BYTES)
    if s.old != NULL:
        fdb_move(s, TIDIED_SLOTS)
    if s.blocks.graves != NULL:
        blocks_bury(&s.blocks, BURIED_BYTES)


cdef void fdb_check_table(Store *s, Slot *slots, size_t count, uint64_t *sum, uint64_t *size) noexcept nogil:
    cdef size_t i
    cdef Entry *entry
    cdef Mark mark
    for i in range(count):
        entry = slots[i].entry
        if entry == NULL or entry == FDB_GONE:
            continue
        expect(slots[i].hash == fdb_hash(s, fdb_key(entry), entry.key_size), b"store: a hash is wrong")
        expect(
            fdb_slot_of(s, fdb_key(entry), entry.key_size, slots[i].hash) == &slots[i], b"store: a key can't be found")
        expect(entry.value_size <= entry.capacity, b"store: a value is longer than its room")
        expect(
            entry.digest == xxh64(fdb_value(entry), entry.value_size, slots[i].hash), b"store: a digest is wrong")
        if entry.deadline:
            mark.deadline, mark.hash, mark.serial = entry.deadline, slots[i].hash, entry.serial
            expect(due_has(s.dues, &mark), b"store: a deadline is not among the deadlines")
        sum[0] += fdb_sum(entry)
        size[0] += 1


cdef void fdb_check(Store *s) noexcept nogil:
    # Everything that the head of this file says, the dear way.
    cdef uint64_t sum = 0, size = 0
    cdef Mark *first = due_first(s.dues)
    fdb_check_table(s, s.slots, s.mask + 1, &sum, &size)
    fdb_check_table(s, s.old, s.old_left, &sum, &size)
    expect(size == s.size and sum == s.state_sum, b"store: size or sum is wrong")
    expect(3 * s.size <= 2 * (s.mask + 1), b"store: a table is too full")
    expect((s.old == NULL) == (s.old_left == 0), b"store: the table before is lost")
    if s.dues != NULL:
        expect(due_check(s.dues, NULL, NULL) == s.expiring, b"store: there are more deadlines than keys with one")
    expect(
        s.next_deadline == (first.deadline if first != NULL else 0) and (s.dues != NULL) == (s.expiring > 0),
        b"store: the next deadline is wrong")
