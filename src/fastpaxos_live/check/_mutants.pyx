# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The same as _explore with machines that can be mutated: Explorer.mutant says how. A table of contents."""
include "common.pxi"
include "../generated/mutants.pxi"
include "world.pxi"
include "explore.pxi"
