# cython: language_level=3, boundscheck=False, wraparound=False
"""Round trips over a connected socket, and a processor's stalls, without the cost of Python in them."""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec *)
    int CLOCK_MONOTONIC

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)
    int MSG_NOSIGNAL, MSG_WAITALL

cdef enum:
    BYTES_MAX = 4096


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


def echo(int descriptor):
    """Sends back what comes until the other side closes."""
    cdef uint8_t data[BYTES_MAX]
    cdef ssize_t got
    with nogil:
        while True:
            got = recv(descriptor, data, BYTES_MAX, 0)
            if got <= 0 or send(descriptor, data, got, MSG_NOSIGNAL) != got:
                break


def round_trips(int descriptor, int count, int size):
    """Nanoseconds of each of `count` round trips of `size` bytes, as an array. Raises OSError."""
    cdef uint8_t data[BYTES_MAX]
    cdef int64_t[::1] taken = np.zeros(count, dtype=np.int64)
    cdef int64_t since
    cdef int i
    cdef bint good = True
    if not 0 < size <= BYTES_MAX:
        raise ValueError(f"1 to {BYTES_MAX} bytes")
    for i in range(size):
        data[i] = 0
    with nogil:
        for i in range(count):
            since = now_ns()
            good = send(descriptor, data, size, MSG_NOSIGNAL) == size
            good = good and recv(descriptor, data, size, MSG_WAITALL) == size
            if not good:
                break
            taken[i] = now_ns() - since
    if not good:
        raise OSError("the echo ended")
    return np.asarray(taken)


def stalled_ns(int64_t during_ns, int64_t least_ns):
    """Of so many nanoseconds of running without a pause, how many passed in gaps of at least `least_ns`.

    Somebody else had the processor then: another process, or another virtual machine.
    """
    cdef int64_t stalled = 0, now, before = now_ns()
    cdef int64_t end = before + during_ns
    with nogil:
        while before < end:
            now = now_ns()
            if now - before >= least_ns:
                stalled += now - before
            before = now
    return stalled
