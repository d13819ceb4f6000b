# A disk that hangs without an error. reference/log_stall.py has the words.

cdef enum:
    STALL_US_MIN = 1000000
    STALL_LEASES = 4


cdef size_t log_drain(Log *log, uint64_t *position, const char **data, bint *sync) noexcept nogil:
    # The next group is handed to the disk; 0: there is none.
    cdef Acceptor *a = &log.machines.acceptor
    cdef size_t size = disk_drain(&log.disk, a.promised, a.chosen, position, data, sync)
    if size:
        log.writing_since = log.now
        memcpy(log.writing_acked, log.machines.reign.acked, sizeof(log.writing_acked))
    return size


cdef inline uint64_t log_stall_limit(Log *log) noexcept nogil:
    return u64_max(STALL_US_MIN, STALL_LEASES * log.settings.lease_us)


cdef bint log_stalled(Log *log) noexcept nogil:
    # Does the disk hang?
    return log.disk.writing and log.now > log.writing_since + log_stall_limit(log)


cdef void log_watch_disk(Log *log) noexcept nogil:
    # Ends a mastership that others can do without.
    cdef Reign *r = &log.machines.reign
    cdef uint32_t peer, moved = 0
    if r.state == REIGN_IDLE or not log_stalled(log):
        return
    for peer in range(1, log.replicas + 1):
        moved += peer != log.me and r.acked[peer] > log.writing_acked[peer]
    if moved >= log.machines.quorum:
        log_happen(log, M_STALLED)
