# Assertions. Those of `expect` stay on: a replica whose state makes no sense must stop before it answers. Those of
# `debug_expect` are for what costs too much, or is looked at too often; without FPL_DEBUG=1 nothing is left of them, if
# what they ask has no effect. A loop or a call goes behind `if DEBUGGING:`.

cdef extern from *:
    """
    #ifdef FPL_DEBUG
    #define FPL_DEBUGGING 1
    #else
    #define FPL_DEBUGGING 0
    #endif
    """
    const bint DEBUGGING "FPL_DEBUGGING"


cdef inline void expect(bint holds, const char *what) noexcept nogil:
    if not holds:
        fprintf(stderr, "FATAL fastpaxos_live: %s\n", what)
        abort()


cdef inline void debug_expect(bint holds, const char *what) noexcept nogil:
    if DEBUGGING:
        expect(holds, what)
