# Memory of the store. Giving a large block back takes long, for each of its pages is taken from the process; so large
# ones are laid aside, and given back bit by bit, from their ends on. Of those of some pages each the allocator joins
# many before it gives all of them back at once; so their pages go back before them, block by block. Nobody can tell, so
# the reference has none of it.

cdef enum:
    LARGE_BYTES = 256 << 10
    PAGED_BYTES = 16 << 10
    PAGE_BYTES = 4 << 10     # where pages are larger, the system refuses, and takes them back later
    BURIED_BYTES = 4 << 20   # so much is given back by a step
    TIDIED_BYTES = 2 << 20   # in smaller blocks, in a turn

# Lies at the beginning of a block that was laid aside.
cdef struct Grave:
    Grave *next
    size_t size

cdef struct Blocks:
    Grave *graves
    size_t bytes              # of all of them


cdef void *fdb_allocate(void *old, size_t size) noexcept nogil:
    # As in buf_reserve: no replica can go on rightly without memory.
    cdef void *new = realloc(old, size)
    if new == NULL:
        abort()
    return new


cdef void blocks_bury(Blocks *b, size_t bytes) noexcept nogil:
    # Gives so many bytes back.
    cdef Grave *grave
    while b.graves != NULL:
        grave = b.graves
        if grave.size > LARGE_BYTES and grave.size - LARGE_BYTES > bytes:
            b.bytes -= bytes
            grave.size -= bytes
            b.graves = <Grave *>fdb_allocate(grave, grave.size)
            return
        b.graves = grave.next
        b.bytes -= grave.size
        bytes -= u64_min(bytes, grave.size)
        free(grave)


cdef void blocks_give_back(void *block, size_t size) noexcept nogil:
    # The pages that are the block's alone. What was in them is lost.
    cdef size_t first = (<size_t>block + PAGE_BYTES - 1) & ~<size_t>(PAGE_BYTES - 1)
    cdef size_t end = (<size_t>block + size) & ~<size_t>(PAGE_BYTES - 1)
    madvise(<void *>first, end - first, MADV_DONTNEED)


cdef inline void blocks_release(Blocks *b, void *block, size_t size) noexcept nogil:
    cdef Grave *grave = <Grave *>block
    if size < LARGE_BYTES:
        if size >= PAGED_BYTES:
            blocks_give_back(block, size)
        free(block)
        return
    grave.next = b.graves
    grave.size = size
    b.graves = grave
    b.bytes += size


cdef inline void *blocks_allocate(Blocks *b, size_t size) noexcept nogil:
    # A new one. What lies aside shrinks by more than that, so both together never take more than there was before.
    if size >= LARGE_BYTES and b.graves != NULL:
        blocks_bury(b, 2 * size)
    return fdb_allocate(NULL, size)
