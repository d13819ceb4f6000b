/* Preloaded into a replica: direct I/O is refused, at open or (FPL_REFUSE=use) when a block is read or written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int at_use(void)
{
    const char *when = getenv("FPL_REFUSE");
    return when && strcmp(when, "use") == 0;
}

static int refused(int fd)
{
    if (!at_use() || !(fcntl(fd, F_GETFL) & O_DIRECT))
        return 0;
    errno = EINVAL;
    return 1;
}

int openat(int directory, const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if ((flags & O_DIRECT) && !at_use()) {
        errno = EINVAL;
        return -1;
    }
    return ((int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat"))(directory, name, flags, mode);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (refused(fd))
        return -1;
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    if (refused(fd))
        return -1;
    return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, data, size, offset);
}

/* As modules call them that were built with large files. */
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));
ssize_t pread64(int, void *, size_t, off64_t) __attribute__((alias("pread")));
