# The log writer: one thread that never holds the GIL. It writes and syncs one group at a time, and
# between groups prepares the next segment file in small synced slices: no group waits for more of
# it than was written since the last one, unless the file is needed now.
#
# Invariants:
#  1. `lock` guards the fields above "the thread's own"; the thread alone touches those below.
#  2. From `busy` being set until it is cleared the bytes at `data` stay put.
#  3. The first error is kept in `error` and ends all work: nothing is ever tried again.
#  4. A sync syncs every file written to, older files first: a log must not have holes.
#  5. Before a group that reaches the end of a file the next file is whole, as log/storage.py says.
#  6. Want of room or of descriptors while a file is prepared is no error: nothing of the log is written then. It is
#     told (`lack`, `limit`), and tried again; a group that can't be written without the file waits.
#
# When each group is synced, files are written past the page cache (O_DIRECT), whose copying, dirtying and
# cleaning of pages costs more than all of our own work on a group. That takes whole blocks: `stage` holds
# the block in which the log ends, and a group is written from there on. The bytes before it are what the
# file already has, those behind it are zeros, as there; so a torn block can't harm an earlier group more
# than a page that is written twice can. Relaxed policies keep the page cache: there it is what saves the waiting.

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/eventfd.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>

    static int writer_create_thread(pthread_t *thread, void *(*run)(void *), void *writer) {
        /* The thread inherits a mask that blocks everything: signals are for Python's thread. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(thread, NULL, run, writer);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return error;
    }
    static void writer_init_cond(pthread_cond_t *cond) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(cond, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    static void writer_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us) {
        struct timespec until;
        if (until_us == 0) {
            pthread_cond_wait(cond, lock);
            return;
        }
        until.tv_sec = until_us / 1000000;
        until.tv_nsec = until_us % 1000000 * 1000;
        pthread_cond_timedwait(cond, lock, &until);
    }
    static uint64_t writer_clock_us(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    }
    /* Not every file system can do without its cache, and some say so only at the first access. */
    static int writer_open(int directory, const char *name, int flags) {
        int file = openat(directory, name, flags, 0600);
        return file < 0 && errno == EINVAL ? openat(directory, name, flags & ~O_DIRECT, 0600) : file;
    }
    static int writer_use_cache(int file) {
        int flags = fcntl(file, F_GETFL);
        return flags >= 0 && (flags & O_DIRECT) && fcntl(file, F_SETFL, flags & ~O_DIRECT) == 0;
    }
    static int writer_pwrite(int file, const char *data, size_t size, uint64_t offset) {
        while (size) {
            ssize_t written = pwrite(file, data, size, offset);
            if (written < 0) {
                if (errno == EINTR || (errno == EINVAL && writer_use_cache(file))) continue;
                return errno;
            }
            data += written;
            offset += written;
            size -= written;
        }
        return 0;
    }
    static int writer_pread(int file, char *data, size_t size, uint64_t offset) {
        for (;;) {
            ssize_t got = pread(file, data, size, offset);
            if (got == (ssize_t)size) return 0;
            if (got >= 0) return EIO;  /* files are made whole before they are used */
            if (errno != EINTR && !(errno == EINVAL && writer_use_cache(file))) return errno;
        }
    }
    """
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *) nogil
    int pthread_mutex_lock(pthread_mutex_t *) nogil
    int pthread_mutex_unlock(pthread_mutex_t *) nogil
    int pthread_mutex_destroy(pthread_mutex_t *) nogil
    int pthread_cond_signal(pthread_cond_t *) nogil
    int pthread_cond_destroy(pthread_cond_t *) nogil
    int pthread_join(pthread_t, void **) nogil
    int writer_create_thread(pthread_t *, void *(*)(void *) noexcept nogil, void *) nogil
    void writer_init_cond(pthread_cond_t *) nogil
    void writer_wait(pthread_cond_t *, pthread_mutex_t *, uint64_t) nogil
    uint64_t writer_clock_us() nogil
    int writer_open(int, const char *, int) nogil
    int writer_pwrite(int, const char *, size_t, uint64_t) nogil
    int writer_pread(int, char *, size_t, uint64_t) nogil
    int posix_memalign(void **, size_t, size_t) nogil
    int fdatasync(int) nogil
    int fsync(int) nogil
    int close(int) nogil
    int renameat(int, const char *, int, const char *) nogil
    int eventfd(unsigned int, int) nogil
    int eventfd_write(int, uint64_t) nogil
    int snprintf(char *, size_t, const char *, ...) nogil
    int fcntl(int, int, ...) nogil
    int errno, EAGAIN, EINTR, ENOSPC, EDQUOT, EMFILE, ENFILE, F_DUPFD_CLOEXEC
    int EFD_NONBLOCK, EFD_CLOEXEC, O_RDWR, O_CREAT, O_TRUNC, O_CLOEXEC, O_DIRECT

cdef enum:
    SEGMENT_HEADER = 4096
    SEGMENT_NUMBER_AT = 32   # where a segment header has its file number
    SLICE_BYTES = 1 << 20
    BLOCK_BYTES = 4096       # what direct writes are multiples of; divides a segment, and is its header's size
    FILES_OPEN = 2           # the file written to and the one before it
    RETRY_US = 1000000       # before a file that could not be prepared is tried again

cdef enum Policy:
    SYNC_ALWAYS
    SYNC_INTERVAL
    SYNC_NEVER

cdef struct SegmentFile:
    int file          # -1: none
    uint64_t number
    bint dirty        # written to since it was last synced

cdef struct Writer:
    pthread_mutex_t lock
    pthread_cond_t wake       # a group was handed over, or the end
    pthread_cond_t idle       # the group is done
    bint busy                 # a group waits or is being written
    bint short                # the group waits for room
    bint stopping
    const char *data          # of the group
    size_t size
    uint64_t position
    bint sync                 # the group is synced whatever the policy
    int error                 # errno of the first failure
    const char *failed        # and what it happened to
    uint64_t submitted_us     # when the group was handed over
    uint64_t groups           # written so far
    uint64_t group_bytes
    uint64_t wait_us          # groups waited for the thread
    uint64_t service_us       # it wrote and synced them
    int lack                  # errno of what the next file can't be prepared for; 0: it can
    uint64_t limit            # then: where the log should end; else 0
    # Constants while the thread runs.
    pthread_t thread
    int directory
    int event                 # an eventfd, raised whenever a group is done
    Policy policy
    uint64_t interval_us
    uint64_t segment_bytes
    int open_flags            # of log files
    char *header              # of a segment file; number and checksum are filled in
    char *zeros               # SLICE_BYTES
    uint64_t reserve          # of the last file, not to be used where the next one can't be made
    # The thread's own.
    char *stage               # SLICE_BYTES, written from
    uint64_t staged           # its first block is the one in which the log ends, if it ends at this position
    SegmentFile files[FILES_OPEN]
    SegmentFile made          # the last file that was prepared, until it is written to
    int spare                 # a descriptor that is given up where there is no other
    uint64_t end              # of the last group
    uint64_t ready            # files with a lower number than this one are whole
    int preparing             # descriptor of file `ready`, under its unfinished name; -1: not begun
    uint64_t prepared         # bytes of it that are zeroed and synced
    uint64_t credit           # bytes that may still be zeroed before the group that waits
    uint64_t sync_at_us       # when an interval ends; 0: nothing to sync
    uint64_t retry_at_us      # nothing is prepared before; 0: it may be


cdef int writer_fail(Writer *w, const char *what, int error) noexcept nogil:
    w.failed = what
    return error


cdef inline bint writer_lacks(int error) noexcept nogil:
    return error == ENOSPC or error == EDQUOT or error == EMFILE or error == ENFILE


cdef int writer_get(Writer *w, const char *name, int flags) noexcept nogil:
    # Opens a file of the log, if need be with the spare descriptor.
    cdef int file = writer_open(w.directory, name, flags)
    if file < 0 and (errno == EMFILE or errno == ENFILE) and w.spare >= 0:
        close(w.spare)
        w.spare = -1
        file = writer_open(w.directory, name, flags)
    return file


cdef int writer_prepare_slice(Writer *w) noexcept nogil:
    # One step towards file `ready` being whole. Returns an errno; after one of want (writer_lacks) it may be called
    # again.
    cdef char name[24]
    cdef char unfinished[32]
    cdef uint64_t size
    cdef int error
    snprintf(name, sizeof(name), b"log.%08llx", <unsigned long long>w.ready)
    snprintf(unfinished, sizeof(unfinished), b"%s.new", <char *>name)
    if w.preparing < 0:
        w.preparing = writer_get(w, unfinished, w.open_flags | O_CREAT | O_TRUNC)
        if w.preparing < 0:
            return writer_fail(w, b"open of a log file", errno)
        w.prepared = 0
        memcpy(w.header + SEGMENT_NUMBER_AT, &w.ready, 8)
        (<uint64_t *>w.header)[0] = xxh64(w.header + 8, SEGMENT_HEADER - 8, 0)
        error = writer_pwrite(w.preparing, w.header, SEGMENT_HEADER, 0)
        if error:
            return writer_begin_again(w, b"write of a new log file", error)
    size = min(<uint64_t>SLICE_BYTES, w.segment_bytes - w.prepared)
    error = writer_pwrite(w.preparing, w.zeros, size, SEGMENT_HEADER + w.prepared)
    if error:
        return writer_fail(w, b"write of a new log file", error)
    if fdatasync(w.preparing):
        return writer_begin_again(w, b"fdatasync of a new log file", errno)
    w.prepared += size
    w.credit -= min(size, w.credit)
    if w.prepared < w.segment_bytes:
        return 0
    if fsync(w.preparing):
        return writer_begin_again(w, b"fsync of a new log file", errno)
    if renameat(w.directory, unfinished, w.directory, name):
        return writer_begin_again(w, b"rename of a new log file", errno)
    if fsync(w.directory):
        return writer_fail(w, b"fsync of the log's directory", errno)
    if w.made.file >= 0:
        close(w.made.file)
    w.made.file = w.preparing  # kept: when it is needed there may be no descriptor left
    w.made.number = w.ready
    w.preparing = -1
    w.prepared = 0
    w.ready += 1
    return 0


cdef int writer_begin_again(Writer *w, const char *what, int error) noexcept nogil:
    # What was written to the new file can't be trusted: the next step begins with an empty one.
    close(w.preparing)
    w.preparing = -1
    w.prepared = 0
    return writer_fail(w, what, error)


cdef inline bint writer_fits(Writer *w) noexcept nogil:
    # Are all files there that the group needs?
    return (w.position + w.size) // w.segment_bytes < w.ready


cdef bint writer_slice_due(Writer *w) noexcept nogil:
    # The next file grows twice as fast as the present one fills, and as fast while groups wait.
    cdef uint64_t inside = w.end % w.segment_bytes
    if w.busy and not writer_fits(w):
        return True
    if w.ready > w.end // w.segment_bytes + 1:
        return False
    if w.busy:
        return w.credit > 0 and w.prepared < inside
    return w.lack or w.prepared < 2 * inside


cdef int writer_prepare(Writer *w) noexcept nogil:
    # A step, or the next attempt at one; called with the lock, which is free meanwhile. Returns an errno.
    cdef int error, lack
    cdef uint64_t limit, ready = w.ready
    pthread_mutex_unlock(&w.lock)
    error = writer_prepare_slice(w)
    pthread_mutex_lock(&w.lock)
    lack = error if writer_lacks(error) else 0
    w.retry_at_us = writer_clock_us() + RETRY_US if lack else 0
    if error and not lack:
        return error
    if lack or w.ready > ready:  # once short of something, a part of a file is not enough
        limit = w.ready * w.segment_bytes - w.reserve if lack else 0
        if limit != w.limit:
            eventfd_write(w.event, 1)
        w.lack = lack
        w.limit = limit
    return 0


cdef int writer_sync(Writer *w) noexcept nogil:
    # Syncs every dirty file, older first. Returns an errno.
    cdef SegmentFile *first = &w.files[0]
    cdef SegmentFile *second = &w.files[1]
    w.sync_at_us = 0
    if first.number > second.number:
        first, second = second, first
    if first.dirty:
        if fdatasync(first.file):
            return writer_fail(w, b"fdatasync of the log", errno)
        first.dirty = False
    if second.dirty:
        if fdatasync(second.file):
            return writer_fail(w, b"fdatasync of the log", errno)
        second.dirty = False
    if first.file >= 0 and second.file >= 0:
        writer_close(w, first)  # it is not written to any more
    return 0


cdef void writer_close(Writer *w, SegmentFile *slot) noexcept nogil:
    close(slot.file)
    slot.file = -1
    if w.spare < 0:
        w.spare = fcntl(w.event, F_DUPFD_CLOEXEC, 0)


cdef int writer_file(Writer *w, uint64_t number, SegmentFile **found) noexcept nogil:
    # The file of that number, open; it has been prepared. Returns an errno.
    cdef char name[24]
    cdef SegmentFile *slot
    cdef int i
    for i in range(FILES_OPEN):
        if w.files[i].file >= 0 and w.files[i].number == number:
            found[0] = &w.files[i]
            return 0
    slot = &w.files[0] if w.files[0].number <= w.files[1].number else &w.files[1]
    if slot.dirty and fdatasync(slot.file):
        return writer_fail(w, b"fdatasync of the log", errno)
    if slot.file >= 0:
        writer_close(w, slot)
    if w.made.file >= 0 and w.made.number == number:
        slot.file = w.made.file
        w.made.file = -1
    else:
        snprintf(name, sizeof(name), b"log.%08llx", <unsigned long long>number)
        slot.file = writer_get(w, name, w.open_flags)
    slot.number = number
    slot.dirty = False
    found[0] = slot
    return writer_fail(w, b"open of a log file", errno) if slot.file < 0 else 0


cdef int writer_put(Writer *w, int file, const char *data, size_t size, uint64_t position) noexcept nogil:
    # Writes this part of a group, which lies in this file. Returns an errno.
    cdef uint64_t at = SEGMENT_HEADER + position % w.segment_bytes
    cdef size_t before = position % BLOCK_BYTES
    cdef size_t part, whole
    cdef int error
    if not w.open_flags & O_DIRECT:
        return writer_pwrite(file, data, size, at)
    if before and w.staged != position:
        error = writer_pread(file, w.stage, BLOCK_BYTES, at - before)
        if error:
            return error
    while size:
        part = min(size, SLICE_BYTES - before)
        whole = (before + part + BLOCK_BYTES - 1) & ~<size_t>(BLOCK_BYTES - 1)
        memcpy(w.stage + before, data, part)
        memset(w.stage + before + part, 0, whole - before - part)
        error = writer_pwrite(file, w.stage, whole, at - before)
        if error:
            return error
        memmove(w.stage, w.stage + whole - BLOCK_BYTES, BLOCK_BYTES)
        data += part
        at += part
        position += part
        size -= part
        before = position % BLOCK_BYTES
    w.staged = position
    return 0


cdef int writer_write(Writer *w) noexcept nogil:
    # Writes the group, and syncs it when the policy or the group says so. Returns an errno.
    cdef SegmentFile *file = NULL
    cdef const char *data = w.data
    cdef uint64_t position = w.position
    cdef uint64_t end = position + w.size
    cdef uint64_t part
    cdef int error
    while position < end:
        error = writer_file(w, position // w.segment_bytes, &file)
        if error:
            return error
        part = min(end - position, w.segment_bytes - position % w.segment_bytes)
        file.dirty = True
        error = writer_put(w, file.file, data, part, position)
        if error:
            return writer_fail(w, b"write of the log", error)
        data += part
        position += part
    w.end = end
    w.credit = max(w.size, <size_t>SLICE_BYTES)
    if w.sync or w.policy == SYNC_ALWAYS:
        return writer_sync(w)
    if w.policy == SYNC_INTERVAL and w.sync_at_us == 0:
        w.sync_at_us = writer_clock_us() + w.interval_us
    return 0


cdef inline uint64_t writer_wakeup(Writer *w, bint due) noexcept nogil:
    # When there is something to do if nothing happens; 0: never.
    if not due or (w.sync_at_us and w.sync_at_us < w.retry_at_us):
        return w.sync_at_us
    return w.retry_at_us


cdef void *writer_main(void *argument) noexcept nogil:
    cdef Writer *w = <Writer *>argument
    cdef int error = 0
    cdef bint due
    cdef uint64_t began
    pthread_mutex_lock(&w.lock)
    while not error and (w.busy or not w.stopping):
        due = writer_slice_due(w)
        if w.sync_at_us and writer_clock_us() >= w.sync_at_us:
            pthread_mutex_unlock(&w.lock)
            error = writer_sync(w)
            pthread_mutex_lock(&w.lock)
        elif due and (w.retry_at_us == 0 or writer_clock_us() >= w.retry_at_us):
            error = writer_prepare(w)
        elif w.busy and writer_fits(w):
            began = writer_clock_us()
            w.wait_us += began - w.submitted_us
            pthread_mutex_unlock(&w.lock)
            error = writer_write(w)
            pthread_mutex_lock(&w.lock)
            if not error:
                w.service_us += writer_clock_us() - began
                w.groups += 1
                w.group_bytes += w.size
                w.busy = False
                pthread_mutex_unlock(&w.lock)
                pthread_cond_signal(&w.idle)
                eventfd_write(w.event, 1)
                pthread_mutex_lock(&w.lock)
        else:
            w.short = w.busy
            if w.short:
                pthread_cond_signal(&w.idle)
            writer_wait(&w.wake, &w.lock, writer_wakeup(w, due))
            w.short = False
    if not error:
        error = writer_sync(w)
    w.error = error
    pthread_cond_signal(&w.idle)
    pthread_mutex_unlock(&w.lock)
    eventfd_write(w.event, 1)
    return NULL


cdef void writer_submit(
    Writer *w, uint64_t position, const char *data, size_t size, bint sync
) noexcept nogil:
    # Hands over a group; the writer must not be busy.
    pthread_mutex_lock(&w.lock)
    w.position = position
    w.data = data
    w.size = size
    w.sync = sync
    w.submitted_us = writer_clock_us()
    w.busy = True
    pthread_mutex_unlock(&w.lock)
    pthread_cond_signal(&w.wake)  # after the lock is free, or the thread wakes only to wait for it


cdef int writer_poll(Writer *w, bint *busy, int *lack, uint64_t *limit) noexcept nogil:
    # Whether the writer is at work, and what it can't prepare the next file for; returns the errno of a failure.
    cdef int error
    pthread_mutex_lock(&w.lock)
    busy[0] = w.busy
    lack[0] = w.lack
    limit[0] = w.limit
    error = w.error
    pthread_mutex_unlock(&w.lock)
    return error


cdef int writer_settle(Writer *w, bint *dropped) noexcept nogil:
    # Waits until no group is under way; returns the errno of a failure. A group for which there is no room is dropped:
    # nobody was told of it.
    cdef int error
    pthread_mutex_lock(&w.lock)
    while w.busy and not w.short and not w.error:
        writer_wait(&w.idle, &w.lock, 0)
    dropped[0] = w.busy and w.short
    if dropped[0]:
        w.busy = False
    error = w.error
    pthread_mutex_unlock(&w.lock)
    return error


cdef int writer_stop(Writer *w) noexcept nogil:
    # Ends the thread after it has synced everything; returns the errno of a failure.
    pthread_mutex_lock(&w.lock)
    w.stopping = True
    pthread_mutex_unlock(&w.lock)
    pthread_cond_signal(&w.wake)
    pthread_join(w.thread, NULL)
    return w.error


cdef void writer_free(Writer *w) noexcept nogil:
    # The thread has ended, or was never started.
    cdef int i
    cdef int[7] files = [
        w.files[0].file, w.files[1].file, w.made.file, w.preparing, w.spare, w.directory, w.event
    ]
    for i in range(7):
        if files[i] >= 0:
            close(files[i])
    pthread_cond_destroy(&w.wake)
    pthread_cond_destroy(&w.idle)
    pthread_mutex_destroy(&w.lock)
    free(w.header)
    free(w)
