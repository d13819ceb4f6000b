# The bounds of reference/limits.py, which gives the reason of each. A test compares the two files.
cdef enum:
    REPLICAS_MAX = 9
    WINDOW_MAX = 64
    SLOTS = 128
    BATCH_BYTES = 1 << 20
    VALUE_BYTES_MAX = 8 << 20
    REQUEST_SLACK = 1 << 20
    FRAME_BYTES_MAX = 64 << 20
    ARGUMENTS_MAX = 1 << 20
    INLINE_BYTES_MAX = 64 << 10
    CALL_ARGUMENTS_MAX = 256
    CALL_BYTES_MAX = 64 << 10
    BULK_BYTES_MAX = 512 << 20
    OUTPUT_BYTES_MAX = 1 << 20
    CHANNEL_BYTES_MAX = 32 << 20
    FETCH_BYTES = 1 << 20
    STALLED_BYTES_MAX = 64 << 10
    FLIGHT_BYTES_MAX = 16 << 20
    HOOKED_READS_MAX = 64
    SPAN_US_MAX = 600_000_000
    FORWARD_BYTES_MAX = 1 << 20
    REPLIES_BYTES_MAX = 1 << 20
    GROUP_ALIGN = 64
    GROUP_BYTES_MAX = 256 << 20
    DISK_BYTES_HIGH = 32 << 20
    TRANSITIONS_MAX = 4096
