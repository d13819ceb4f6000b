# What both explorers stand on: the bounds of their machines, and what generated code needs.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from time import monotonic

cdef enum:
    REPLICAS_MAX = 3
    SLOTS = 4
    ELECTION_MACHINE = 1

cdef int mutant = 0        # which mistake is made, where the machines have some

include "../core/u64.pyx"
include "../core/xxh64.pyx"
