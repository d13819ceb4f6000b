# Clients of the edge: the queue of those to be read from and that of those to be sent to. A round takes from each as
# much as is done in about a millisecond, in the order in which they came; the rest goes on in the next round, behind
# what peers and the disk have to say. So many clients, or long replies, delay each other and no heartbeat.

cdef enum:
    CLIENT_READ_BYTES = 256 << 10  # of one client in one round; how much of all says the core
    CLIENT_SEND_BYTES = 1 << 20    # to one client in one round ...
    ROUND_SEND_BYTES = 4 << 20     # ... and to all
    ROUND_CLIENTS = 512            # read from, and sent to

cdef enum:                         # what a client is queued for
    TO_READ
    TO_SEND
    WISHES

cdef struct Socket:
    int file            # -1: none
    uint8_t readable    # there may be bytes to read
    uint8_t hung_up     # the other side sends no more: read until the end is seen
    uint8_t watched     # and Python counts the time
    uint8_t blocked     # the kernel took no more; wait for EPOLLOUT
    uint8_t lingering   # to be closed, and Python counts the time
    uint8_t queued[WISHES]   # stands in that queue
    uint32_t next[WISHES]    # behind it
    uint32_t generation  # tells users of this place apart
    uint64_t sent       # bytes so far

cdef struct Queue:
    uint32_t head       # NOBODY: it is empty
    uint32_t tail
    uint32_t length
