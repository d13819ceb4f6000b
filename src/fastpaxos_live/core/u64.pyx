# Unsigned arithmetic; the generated machines need it, too.
cdef inline uint64_t u64_max(uint64_t a, uint64_t b) noexcept nogil:
    return a if a > b else b


cdef inline uint64_t u64_min(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b
