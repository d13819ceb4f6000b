"""Every bound, with its reason. `core/limits.pxi` holds the same figures; a test compares them."""

REPLICAS_MAX = 9  # the paper's cells have 5; replica sets fit a small array
WINDOW_MAX = 64  # instances in flight; more adds latency, not throughput
SLOTS = 128  # entries kept in memory by instance: two windows, so that a short lag needs no disk
BATCH_BYTES = 1 << 20  # larger batches gain nothing and delay their first operation
VALUE_BYTES_MAX = 8 << 20  # default for the largest argument
REQUEST_SLACK = 1 << 20  # a request, as it arrives, may exceed the largest argument by this much (keys, options)
FRAME_BYTES_MAX = 64 << 20  # nothing longer is ever read as a frame
ARGUMENTS_MAX = 1 << 20  # as Redis
INLINE_BYTES_MAX = 64 << 10  # as Redis
CALL_ARGUMENTS_MAX = 256  # of a request that Python answers: none may hold the loop for long ...
CALL_BYTES_MAX = 64 << 10  # ... and their bytes
BULK_BYTES_MAX = 512 << 20  # beyond this the stream is taken for garbage, as Redis does
OUTPUT_BYTES_MAX = 1 << 20  # replies waiting for a client; above it the client's requests wait
CHANNEL_BYTES_MAX = 32 << 20  # frames waiting for a peer; above it frames are dropped and fetched later
FETCH_BYTES = 1 << 20  # one read of catch-up
STALLED_BYTES_MAX = 64 << 10  # read ahead from a client whose request has to wait
FLIGHT_BYTES_MAX = 16 << 20  # values in flight: a promise must be able to carry them over one channel
HOOKED_READS_MAX = 64  # reads of one client behind its own writes: their replies can't be stopped half-way
SPAN_US_MAX = 600_000_000  # the longest lease that may be set, or granted because another replica is set to it
FORWARD_BYTES_MAX = 1 << 20  # requests of one client under way to the master
REPLIES_BYTES_MAX = 1 << 20  # replies to a forwarded connection in one frame: none may keep the others waiting
GROUP_ALIGN = 64
GROUP_BYTES_MAX = 256 << 20  # open log bytes; a disk this far behind stops the clients at DISK_BYTES_HIGH
DISK_BYTES_HIGH = 32 << 20  # log bytes not yet durable, above which clients wait
TRANSITIONS_MAX = 4096  # rows noted and not drained
