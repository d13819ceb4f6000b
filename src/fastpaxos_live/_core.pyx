# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled core. A table of contents: the files below are included in order of dependency, lowest first.

No system call is made here, and nothing in here needs the GIL but the classes at the end.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, calloc, free, getenv, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strcmp, strlen
from posix.mman cimport MADV_DONTNEED, madvise

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
include "core/replica_counts.pyx"
include "core/replica_client.pyx"
include "core/replica_clock.pyx"
include "core/replica.pyx"
include "core/replica_replies.pyx"
include "core/replica_keep.pyx"
include "core/replica_forward.pyx"
include "core/replica_check.pyx"
include "core/replica_face.pyx"
