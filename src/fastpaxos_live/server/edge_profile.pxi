# Where the loop's time goes: always on, so it must cost next to nothing. One clock read ends a stage
# and begins the next, once in a round, never for an operation.

cdef extern from *:
    """
    static uint64_t profile_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    /* Log-linear: below 8 exact; then 8 buckets for each power of two. */
    static unsigned int profile_bucket(uint64_t value) {
        unsigned int power = 63 - __builtin_clzll(value | 1);
        return power < 3 ? value : (power - 2) * 8 + (value >> (power - 3) & 7);
    }
    """
    uint64_t profile_ns() nogil
    unsigned int profile_bucket(uint64_t) nogil

cdef enum Stage:
    STAGE_IDLE           # waits in epoll_wait
    STAGE_SORT           # events, and what a finished disk write sets free
    STAGE_PEERS          # reads peers: recv and feed
    STAGE_CLIENTS        # reads clients: recv, parse, execute
    STAGE_CALLS          # requests that Python answers
    STAGE_TURN           # seals, chooses, applies
    STAGE_DISK           # hands a group to the writer
    STAGE_SEND_PEERS
    STAGE_SEND_CLIENTS
    STAGE_OUTSIDE        # the event loop between two sections, its own waiting included
    STAGES

cdef enum:
    BUCKETS = 496        # of profile_bucket for all 64 bits

cdef enum Measure:
    HANDED_TO_DURABLE    # us from a group's way to the writer until the loop sees it durable
    SEALED_TO_CHOSEN     # us from a batch's seal until a majority has it; only where it was sealed, as the rest
    SEALED_TO_SENT       # us until its replies were sent, as far as the sockets took them
    BATCH_OPERATIONS
    BATCH_BYTES
    MEASURES

cdef struct Histogram:
    uint64_t sum
    uint64_t buckets[BUCKETS]

cdef struct Profile:
    uint64_t lap_ns      # when the running stage began; 0: never
    uint64_t stage_ns[STAGES]
    uint64_t rounds
    uint64_t recv_calls
    uint64_t recv_bytes
    uint64_t send_calls
    uint64_t send_bytes
    uint64_t wait_calls      # of epoll_wait
    uint64_t handed_ns       # when the running group was handed to the writer
    Histogram histograms[MEASURES]

STAGE_NAMES = (
    "idle", "sort", "peers", "clients", "calls", "turn", "disk", "send_peers", "send_clients", "outside",
)

MEASURE_NAMES = ("durable_us", "chosen_us", "replied_us", "batch_operations", "batch_bytes")


cdef inline void profile_count(Profile *p, Measure measure, uint64_t value) noexcept nogil:
    cdef Histogram *h = &p.histograms[<int>measure]
    h.sum += value
    h.buckets[profile_bucket(value)] += 1


cdef inline void profile_lap(Profile *p, Stage stage) noexcept nogil:
    # The time since the last lap belongs to this stage.
    cdef uint64_t now = profile_ns()
    if p.lap_ns:
        p.stage_ns[<int>stage] += now - p.lap_ns
    p.lap_ns = now


def bucket_of(uint64_t value):
    """The number of the bucket that counts this value."""
    return profile_bucket(value)


def lap_cost_ns(int count=100_000):
    """What one lap costs on this machine."""
    cdef Profile profile
    cdef int i
    memset(&profile, 0, sizeof(Profile))
    cdef uint64_t begin = profile_ns()
    with nogil:
        for i in range(count):
            profile_lap(&profile, STAGE_SORT)
    return (profile_ns() - begin) / count
