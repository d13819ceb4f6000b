# Assertions that stay on: a replica whose state makes no sense must stop before it answers.


cdef inline void expect(bint holds, const char *what) noexcept nogil:
    if not holds:
        fprintf(stderr, "FATAL fastpaxos_live: %s\n", what)
        abort()
