# The master's clock. reference/replica_clock.py has the words.

cdef enum:
    CLOCK_BOUND_MS = 1000

cdef struct MasterClock:
    uint64_t base_ms
    uint64_t base_us
    uint64_t refused_ms


cdef void mclock_begin(
    MasterClock *c, uint64_t in_force, uint64_t wall, const uint64_t *walls, uint32_t count, uint32_t quorum,
    uint64_t now
) noexcept nogil:
    cdef uint64_t sorted[REPLICAS_MAX]   # the highest first
    cdef uint64_t agreed
    cdef uint32_t i, j
    expect(quorum <= count <= REPLICAS_MAX, b"a mastership begins without a majority's clocks")
    for i in range(count):
        j = i
        while j > 0 and sorted[j - 1] < walls[i]:
            sorted[j] = sorted[j - 1]
            j -= 1
        sorted[j] = walls[i]
    agreed = sorted[quorum - 1]
    c.base_ms = u64_max(in_force, wall if wall <= agreed else u64_min(wall, agreed + CLOCK_BOUND_MS))
    c.base_us = now
    c.refused_ms = sorted[0] - c.base_ms if sorted[0] > c.base_ms else 0
    c.refused_ms -= u64_min(c.refused_ms, CLOCK_BOUND_MS)


cdef inline uint64_t mclock_at(const MasterClock *c, uint64_t now) noexcept nogil:
    return c.base_ms + (now - c.base_us + 999) // 1000
