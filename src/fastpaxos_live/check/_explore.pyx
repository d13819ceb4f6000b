# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Explores the generated machines, as they ship, in a small world (PML 9). A table of contents."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from time import monotonic

cdef enum:
    REPLICAS_MAX = 3
    SLOTS = 4
    ELECTION_MACHINE = 1

cdef inline uint64_t u64_max(uint64_t a, uint64_t b) noexcept nogil:
    return a if a > b else b

cdef inline uint64_t u64_min(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b

cdef int mutant = 0        # of the mutants' copy of the machines

include "../core/xxh64.pyx"
include "../generated/machines.pxi"
include "world.pxi"
include "explore.pxi"
include "step.pxi"
