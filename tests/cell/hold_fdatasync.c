/* Preloaded into a replica: while the file named by FPL_HOLD_FILE exists, fdatasync and fsync wait. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void hold(void)
{
    const char *file = getenv("FPL_HOLD_FILE");
    while (file && access(file, F_OK) == 0)
        usleep(2000);
}

int fdatasync(int fd)
{
    hold();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int fsync(int fd)
{
    hold();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
