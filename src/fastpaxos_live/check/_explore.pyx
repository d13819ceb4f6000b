# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Explores the generated machines, as they ship, in a small world (PML 9). A table of contents."""
include "common.pxi"
include "../generated/machines.pxi"
include "world.pxi"
include "explore.pxi"
include "step.pxi"
