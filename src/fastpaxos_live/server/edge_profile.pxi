# Where the loop's time goes: always on, so it must cost next to nothing. One clock read ends a stage
# and begins the next, once in a round, never for an operation. What is shorter and more frequent, a
# part of a stage, is timed in one round of CLOSELY.

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
    STAGE_PEERS          # reads peers: recv, verify, choose, apply
    STAGE_CLIENTS        # reads clients: recv, parse, execute
    STAGE_CALLS          # requests that Python answers
    STAGE_TURN           # seals, appends
    STAGE_DISK           # hands a group to the writer
    STAGE_SEND_PEERS
    STAGE_SEND_CLIENTS
    STAGE_OUTSIDE        # the event loop between two sections, its own waiting included
    STAGES

cdef enum Part:
    PART_RECV            # the calls
    PART_APPLY           # chosen values: the store, and the replies
    PARTS

cdef enum:
    BUCKETS = 496        # of profile_bucket for all 64 bits
    CLOSELY = 17         # a prime: rounds of different kinds may take turns

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
    int stage            # runs ...
    uint64_t since_ns    # ... since; 0: none
    uint64_t stage_ns[STAGES]
    bint closely         # is this round looked at?
    uint64_t part_since_ns
    uint64_t part_ns[STAGES][PARTS]  # in such rounds ...
    uint64_t close_ns[STAGES]        # ... and all of the stage in them
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

PART_NAMES = ("recv", "apply")

MEASURE_NAMES = ("durable_us", "chosen_us", "replied_us", "batch_operations", "batch_bytes")


cdef inline void profile_count(Profile *p, Measure measure, uint64_t value) noexcept nogil:
    cdef Histogram *h = &p.histograms[<int>measure]
    h.sum += value
    h.buckets[profile_bucket(value)] += 1


cdef inline void profile_stage(Profile *p, Stage stage) noexcept nogil:
    # The running stage ends, and this one begins.
    cdef uint64_t now = profile_ns()
    if p.since_ns:
        p.stage_ns[p.stage] += now - p.since_ns
        if p.closely:
            p.close_ns[p.stage] += now - p.since_ns
    p.since_ns = now
    p.stage = <int>stage


cdef inline void profile_round(Profile *p) noexcept nogil:
    p.rounds += 1
    p.closely = p.rounds % CLOSELY == 0


cdef inline void profile_part_begins(Profile *p) noexcept nogil:
    if p.closely:
        p.part_since_ns = profile_ns()


cdef inline void profile_part_ends(Profile *p, Part part) noexcept nogil:
    if p.closely:
        p.part_ns[p.stage][<int>part] += profile_ns() - p.part_since_ns


cdef void profile_applying(void *profile, bint begins) noexcept nogil:
    # The core's word (core_watch).
    if begins:
        profile_part_begins(<Profile *>profile)
    else:
        profile_part_ends(<Profile *>profile, PART_APPLY)


def bucket_of(uint64_t value):
    """The number of the bucket that counts this value."""
    return profile_bucket(value)
