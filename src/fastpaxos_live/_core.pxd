"""What server/_edge.pyx may use of the compiled core: the C face of `_api.Replica`, without the GIL.

None of these functions raises. Pointers stay valid until the next call for the same object.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef struct Core

ctypedef void (*Applying)(void *watcher, bint begins) noexcept nogil

cdef struct Answer:        # a batch of clients' operations, applied where it was sealed: their replies are released
    uint64_t sealed_us     # in the clock that was fed, before the turn that sealed it ...
    uint64_t chosen_us     # ... and before what completed the majority
    uint64_t operations
    uint64_t bytes         # of the value

cdef Core *core_of(object replica) except NULL

cdef void core_clock(Core *core, uint64_t boot_us, uint64_t wall_ms) noexcept nogil
cdef void core_turn(Core *core, uint64_t boot_us, uint64_t wall_ms) noexcept nogil
cdef uint64_t core_wakeup(Core *core) noexcept nogil

# Clients. `space` is where to recv to (room is at least 16 KiB), `fed` says how much arrived.
cdef void core_client_open(Core *core, uint32_t conn) noexcept nogil
cdef char *core_client_space(Core *core, uint32_t conn, size_t *room) noexcept nogil
cdef void core_client_fed(Core *core, uint32_t conn, size_t size) noexcept nogil
cdef bint core_client_wants(Core *core, uint32_t conn) noexcept nogil
cdef bint core_client_closing(Core *core, uint32_t conn) noexcept nogil
cdef size_t core_client_output(Core *core, uint32_t conn, const char **data) noexcept nogil
cdef void core_client_sent(Core *core, uint32_t conn, size_t size) noexcept nogil
cdef void core_client_end(Core *core, uint32_t conn) noexcept nogil
cdef void core_client_close(Core *core, uint32_t conn) noexcept nogil
cdef bint core_touched_next(Core *core, uint32_t *conn) noexcept nogil   # drain_clients, one by one
cdef bint core_is_busy(Core *core) noexcept nogil    # it has enough of clients for this turn: feed no more
cdef bint core_has_complaints(Core *core) noexcept nogil                 # drain_complaints has something
cdef bint core_has_calls(Core *core) noexcept nogil                      # drain_calls has something
cdef bint core_answer_next(Core *core, Answer *answer) noexcept nogil    # for profiles only; the oldest are kept
# For profiles only, too: to be told when chosen values begin to be applied, and when they are.
cdef void core_watch(Core *core, void *watcher, Applying applying) noexcept nogil

# Peers, each with two channels.
cdef void core_peer_open(Core *core, uint32_t peer, uint32_t channel) noexcept nogil
cdef char *core_peer_space(Core *core, uint32_t peer, uint32_t channel, size_t *room) noexcept nogil
cdef bint core_peer_fed(Core *core, uint32_t peer, uint32_t channel, size_t size) noexcept nogil
cdef size_t core_peer_output(Core *core, uint32_t peer, uint32_t channel, const char **data) noexcept nogil
cdef void core_peer_sent(Core *core, uint32_t peer, uint32_t channel, size_t size) noexcept nogil
cdef void core_peer_close(Core *core, uint32_t peer, uint32_t channel) noexcept nogil

# How long grants may last, to be made durable: _api.Replica has the words.
cdef uint64_t core_span_wanted(Core *core) noexcept nogil
cdef void core_span_kept(Core *core, uint64_t span_us) noexcept nogil

# Disk. The group's bytes stay put until core_durable reaches position + size.
cdef size_t core_disk_output(Core *core, uint64_t *position, const char **data, bint *sync) noexcept nogil
cdef void core_durable(Core *core, uint64_t position) noexcept nogil
cdef void core_limit_log(Core *core, uint64_t position) noexcept nogil
cdef bint core_read_next(Core *core, uint64_t *position, uint32_t *length) noexcept nogil
cdef uint64_t core_read_done(Core *core, uint64_t position, const char *data, size_t size) noexcept nogil
