# XXH64, the published algorithm, for little-endian machines (setup.py refuses others). It is tested bit for bit
# against the `xxhash` package, which the reference uses.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define XXP1 0x9E3779B185EBCA87ULL
    #define XXP2 0xC2B2AE3D27D4EB4FULL
    #define XXP3 0x165667B19E3779F9ULL
    #define XXP4 0x85EBCA77C2B2AE63ULL
    #define XXP5 0x27D4EB2F165667C5ULL
    static inline uint64_t xx_rotl(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }
    static inline uint64_t xx_u64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline uint32_t xx_u32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    """
    uint64_t XXP1, XXP2, XXP3, XXP4, XXP5
    uint64_t xx_rotl(uint64_t x, int r) noexcept nogil
    uint64_t xx_u64(const void *p) noexcept nogil
    uint32_t xx_u32(const void *p) noexcept nogil


cdef inline uint64_t xx_round(uint64_t lane, uint64_t word) noexcept nogil:
    return xx_rotl(lane + word * XXP2, 31) * XXP1


cdef inline uint64_t xx_merge(uint64_t h, uint64_t lane) noexcept nogil:
    return (h ^ xx_round(0, lane)) * XXP1 + XXP4


cdef uint64_t xxh64(const void *data, size_t size, uint64_t seed) noexcept nogil:
    cdef const uint8_t *p = <const uint8_t *>data
    cdef const uint8_t *end = p + size
    cdef uint64_t h, a, b, c, d
    if size >= 32:
        a = seed + XXP1 + XXP2
        b = seed + XXP2
        c = seed
        d = seed - XXP1
        while end - p >= 32:
            a = xx_round(a, xx_u64(p))
            b = xx_round(b, xx_u64(p + 8))
            c = xx_round(c, xx_u64(p + 16))
            d = xx_round(d, xx_u64(p + 24))
            p += 32
        h = xx_rotl(a, 1) + xx_rotl(b, 7) + xx_rotl(c, 12) + xx_rotl(d, 18)
        h = xx_merge(xx_merge(xx_merge(xx_merge(h, a), b), c), d)
    else:
        h = seed + XXP5
    h += size
    while end - p >= 8:
        h = xx_rotl(h ^ xx_round(0, xx_u64(p)), 27) * XXP1 + XXP4
        p += 8
    if end - p >= 4:
        h = xx_rotl(h ^ (xx_u32(p) * XXP1), 23) * XXP2 + XXP3
        p += 4
    while p < end:
        h = xx_rotl(h ^ (p[0] * XXP5), 11) * XXP1
        p += 1
    h = (h ^ (h >> 33)) * XXP2
    h = (h ^ (h >> 29)) * XXP3
    return h ^ (h >> 32)
