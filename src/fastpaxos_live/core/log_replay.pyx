# Does what a whole group of the log says make sense? reference/log_replay.py has the words.


cdef bint log_group_is_sound(Log *log, const char *frames, size_t size, uint64_t mark) noexcept nogil:
    cdef uint64_t held[SLOTS]
    cdef uint64_t chosen = log.applied
    cdef size_t at = 0
    cdef uint32_t i
    cdef Head h
    for i in range(SLOTS):
        held[i] = log.slots[i].instance
    while at < size:
        memcpy(&h, frames + at, HEADER_BYTES)
        if h.type == ACCEPT or h.type == LEARN:
            if not h.instance or h.instance > <uint64_t>INSTANCE_MAX:
                return False
            if not log_reaches(held, &chosen, log_known_before(&h)) or h.instance <= chosen:
                return False
            if not log.host.is_sound(log.host.self, frames + at + HEADER_BYTES, h.length - HEADER_BYTES):
                return False
            held[h.instance % SLOTS] = h.instance
            if h.type == LEARN:
                chosen = h.instance
        elif h.type != PROMISED:
            return False
        at += h.length
    return log_reaches(held, &chosen, mark)


cdef inline uint64_t log_known_before(const Head *h) noexcept nogil:
    # An entry was only taken within SLOTS of the chosen mark, a learned one only next to it.
    cdef uint64_t behind = 1 if h.type == LEARN else SLOTS
    return h.instance - behind if h.instance > behind else 0


cdef bint log_reaches(const uint64_t *held, uint64_t *chosen, uint64_t mark) noexcept nogil:
    # Can everything up to the mark be applied?
    while chosen[0] < mark:
        if held[(chosen[0] + 1) % SLOTS] != chosen[0] + 1:
            return False
        chosen[0] += 1
    return True
