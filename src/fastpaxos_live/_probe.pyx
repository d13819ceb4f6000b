# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The lower layers of the compiled core, step by step, for tests and small benchmarks. A table of contents, the same as
`_core.pyx` has up to where replicas begin.

Wheels are without it.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.mman cimport MADV_DONTNEED, madvise

from ._core cimport Applying

include "core/limits.pxi"
include "core/expect.pyx"
include "core/u64.pyx"
include "core/buf.pyx"
include "core/xxh64.pyx"
include "core/log_frame.pyx"
include "generated/machines.pxi"
include "core/log_disk.pyx"
include "core/log_paxos.pyx"
include "core/log_replay.pyx"
include "core/log_stall.pyx"
include "core/log_arrival.pyx"
include "core/log_catchup.pyx"
include "core/db_ops.pxi"
include "core/db_check.pyx"
include "core/db_block.pyx"
include "core/db_due.pyx"
include "core/db_store.pyx"
include "core/db_apply.pyx"
include "core/db_reply.pyx"
include "core/resp_parse.pyx"
include "core/resp_fast.pyx"
include "core/probe.pyx"
