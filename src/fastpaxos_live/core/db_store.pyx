# The store: an open-addressing table of entries, a heap of deadlines, a checksum over all of it.
#
# 1. A slot is empty or holds an entry and the hash of its key; every slot from an entry's home to
#    its place is in use.
# 2. At most two thirds of the slots are in use.
# 3. An entry is in the heap if and only if it has a deadline; `heap_at` is its place there.
# 4. No parent in the heap has a later deadline than its children; `next_deadline` is that of the
#    root, 0 without one.
# 5. `state_sum` is the sum of fdb_sum over all entries.

cdef enum:
    FDB_SLOTS_MIN = 64
    FDB_SWEEP = 64        # cleared slots whose entries one write frees
    FDB_SPARE_MIN = 1024  # an entry keeps this much unused room when its value shrinks


# Key and value follow the header.
cdef struct Entry:
    uint64_t digest      # XXH64 of the value, seeded with that of the key
    uint64_t deadline    # ms, 0 none
    uint32_t key_size
    uint32_t value_size
    uint32_t capacity    # bytes that the value may take before the entry must move
    uint32_t heap_at     # place in the heap, if there is a deadline

cdef struct Slot:
    uint64_t hash
    Entry *entry         # NULL: empty

cdef struct Due:
    uint64_t deadline    # that of the entry
    Entry *entry

cdef struct Store:
    uint64_t seed
    Slot *slots
    size_t mask          # slots - 1, a power of two less one
    uint64_t size        # keys
    Due *heap
    size_t heap_capacity
    uint64_t expiring    # keys with a deadline: as many as there are in the heap
    uint64_t state_sum
    uint64_t next_deadline
    Slot *cleared        # a table that was cleared, whose entries are freed bit by bit; or NULL
    size_t cleared_left  # its first so many slots are still to be freed


cdef inline char *fdb_key(Entry *entry) noexcept nogil:
    return <char *>entry + sizeof(Entry)


cdef inline char *fdb_value(Entry *entry) noexcept nogil:
    return <char *>entry + sizeof(Entry) + entry.key_size


cdef void *fdb_allocate(void *old, size_t size) noexcept nogil:
    # As in buf_reserve: no replica can go on rightly without memory.
    cdef void *new = realloc(old, size)
    if new == NULL:
        abort()
    return new


cdef void fdb_slots(Store *s, size_t count) noexcept nogil:
    s.slots = <Slot *>calloc(count, sizeof(Slot))
    if s.slots == NULL:
        abort()
    s.mask = count - 1


cdef void fdb_init(Store *s, uint64_t seed) noexcept nogil:
    memset(s, 0, sizeof(Store))
    s.seed = seed
    fdb_slots(s, FDB_SLOTS_MIN)


cdef void fdb_sweep(Store *s, size_t count) noexcept nogil:
    # Frees what is in the next `count` cleared slots. Each write does some of it, because millions
    # at once would stop the replica for seconds.
    while s.cleared_left and count:
        s.cleared_left -= 1
        count -= 1
        free(s.cleared[s.cleared_left].entry)
    if not s.cleared_left:
        free(s.cleared)
        s.cleared = NULL


cdef void fdb_clear(Store *s) noexcept nogil:
    cdef Slot *slots = s.slots
    cdef size_t count = s.mask + 1
    cdef uint64_t seed = s.seed
    fdb_sweep(s, s.cleared_left)
    free(s.heap)
    fdb_init(s, seed)
    s.cleared = slots
    s.cleared_left = count


cdef void fdb_free(Store *s) noexcept nogil:
    # Also of a store that is all zeros.
    if s.slots == NULL:
        return
    fdb_clear(s)
    fdb_sweep(s, s.cleared_left)
    free(s.slots)
    memset(s, 0, sizeof(Store))


cdef inline uint64_t fdb_hash(Store *s, const char *key, size_t size) noexcept nogil:
    return xxh64(key, size, s.seed)


cdef inline Slot *fdb_slot_of(Store *s, const char *key, size_t size, uint64_t hash) noexcept nogil:
    # The slot of the key, or the empty one where it would go.
    cdef size_t i = hash & s.mask
    cdef Slot *slot
    while True:
        slot = &s.slots[i]
        if slot.entry == NULL or (
            slot.hash == hash
            and slot.entry.key_size == size
            and memcmp(fdb_key(slot.entry), key, size) == 0
        ):
            return slot
        i = (i + 1) & s.mask


cdef inline Entry *fdb_entry(Store *s, const char *key, size_t size) noexcept nogil:
    return fdb_slot_of(s, key, size, fdb_hash(s, key, size)).entry


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


cdef inline void fdb_heap_place(Store *s, size_t at, Due due) noexcept nogil:
    s.heap[at] = due
    due.entry.heap_at = <uint32_t>at


cdef void fdb_heap_up(Store *s, size_t at, Due due) noexcept nogil:
    # Puts `due` at the free place `at` or above.
    cdef size_t parent
    while at:
        parent = (at - 1) // 2
        if s.heap[parent].deadline <= due.deadline:
            break
        fdb_heap_place(s, at, s.heap[parent])
        at = parent
    fdb_heap_place(s, at, due)


cdef void fdb_heap_down(Store *s, size_t at, Due due) noexcept nogil:
    # Puts `due` at the free place `at` or below.
    cdef size_t child
    while True:
        child = 2 * at + 1
        if child >= s.expiring:
            break
        if child + 1 < s.expiring and s.heap[child + 1].deadline < s.heap[child].deadline:
            child += 1
        if due.deadline <= s.heap[child].deadline:
            break
        fdb_heap_place(s, at, s.heap[child])
        at = child
    fdb_heap_place(s, at, due)


cdef void fdb_heap_add(Store *s, Entry *entry) noexcept nogil:
    cdef Due due
    if s.expiring == s.heap_capacity:
        s.heap_capacity = 2 * s.heap_capacity if s.heap_capacity else 64
        s.heap = <Due *>fdb_allocate(s.heap, s.heap_capacity * sizeof(Due))
    due.deadline = entry.deadline
    due.entry = entry
    s.expiring += 1
    fdb_heap_up(s, s.expiring - 1, due)
    s.next_deadline = s.heap[0].deadline


cdef void fdb_heap_remove(Store *s, Entry *entry) noexcept nogil:
    cdef size_t at = entry.heap_at
    cdef Due last
    s.expiring -= 1
    if at != s.expiring:
        last = s.heap[s.expiring]
        if at and last.deadline < s.heap[(at - 1) // 2].deadline:
            fdb_heap_up(s, at, last)
        else:
            fdb_heap_down(s, at, last)
    s.next_deadline = s.heap[0].deadline if s.expiring else 0


cdef void fdb_set_deadline(Store *s, Entry *entry, uint64_t deadline) noexcept nogil:
    if entry.deadline == deadline:
        return
    s.state_sum -= fdb_sum(entry)
    if entry.deadline:
        fdb_heap_remove(s, entry)
    entry.deadline = deadline
    if deadline:
        fdb_heap_add(s, entry)
    s.state_sum += fdb_sum(entry)


cdef void fdb_grow(Store *s) noexcept nogil:
    # Hashes are in the slots, so this reads no entry.
    cdef Slot *old = s.slots
    cdef size_t count = s.mask + 1
    cdef size_t i, to
    fdb_slots(s, 2 * count)
    for i in range(count):
        if old[i].entry == NULL:
            continue
        to = old[i].hash & s.mask
        while s.slots[to].entry != NULL:
            to = (to + 1) & s.mask
        s.slots[to] = old[i]
    free(old)


cdef Entry *fdb_resize(Store *s, Slot *slot, uint32_t capacity) noexcept nogil:
    # Moves the slot's entry to a block with room for `capacity` bytes of value.
    cdef size_t size = sizeof(Entry) + slot.entry.key_size + capacity
    cdef Entry *entry = <Entry *>fdb_allocate(slot.entry, size)
    entry.capacity = capacity
    slot.entry = entry
    if entry.deadline:
        s.heap[entry.heap_at].entry = entry
    return entry


cdef Entry *fdb_insert(
    Store *s, Slot *slot, const char *key, size_t size, uint64_t hash, uint32_t capacity
) noexcept nogil:
    # A new entry with an empty value, in no sum yet; `slot` is where fdb_slot_of says that it goes.
    cdef Entry *entry = <Entry *>fdb_allocate(NULL, sizeof(Entry) + size + capacity)
    if 3 * (s.size + 1) > 2 * (s.mask + 1):
        fdb_grow(s)
        slot = fdb_slot_of(s, key, size, hash)
    memset(entry, 0, sizeof(Entry))
    entry.key_size = <uint32_t>size
    entry.capacity = capacity
    memcpy(fdb_key(entry), key, size)
    slot.hash = hash
    slot.entry = entry
    s.size += 1
    return entry


cdef void fdb_put(
    Store *s, const char *key, size_t key_size, const char *value, size_t value_size,
    uint64_t deadline,
) noexcept nogil:
    # Insert or replace. `value` must not lie in the store.
    cdef uint64_t hash = fdb_hash(s, key, key_size)
    cdef Slot *slot = fdb_slot_of(s, key, key_size, hash)
    cdef Entry *entry = slot.entry
    if entry == NULL:
        entry = fdb_insert(s, slot, key, key_size, hash, <uint32_t>value_size)
    else:
        s.state_sum -= fdb_sum(entry)
        if value_size > entry.capacity or value_size + FDB_SPARE_MIN < entry.capacity // 2:
            entry = fdb_resize(s, slot, <uint32_t>value_size)
    memcpy(fdb_value(entry), value, value_size)
    entry.value_size = <uint32_t>value_size
    entry.digest = xxh64(value, value_size, hash)
    s.state_sum += fdb_sum(entry)
    fdb_set_deadline(s, entry, deadline)


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
        entry = fdb_resize(s, slot, <uint32_t>(2 * size))
    memcpy(fdb_value(entry) + entry.value_size, tail, tail_size)
    entry.value_size = <uint32_t>size
    entry.digest = xxh64(fdb_value(entry), size, hash)
    s.state_sum += fdb_sum(entry)


cdef bint fdb_delete(Store *s, const char *key, size_t size) noexcept nogil:
    # False if the key was not there. What lies behind it moves up, so that invariant 1 holds
    # without tombstones.
    cdef Slot *slot = fdb_slot_of(s, key, size, fdb_hash(s, key, size))
    cdef Entry *entry = slot.entry
    cdef size_t hole, i
    if entry == NULL:
        return False
    s.state_sum -= fdb_sum(entry)
    if entry.deadline:
        fdb_heap_remove(s, entry)
    free(entry)
    s.size -= 1
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
    return True


cdef void fdb_expire(Store *s, uint64_t time_ms) noexcept nogil:
    # Removes every key whose deadline is at or before `time_ms`.
    cdef Entry *entry
    while s.expiring and s.next_deadline <= time_ms:
        entry = s.heap[0].entry
        fdb_delete(s, fdb_key(entry), entry.key_size)
