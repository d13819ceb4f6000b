"""How much memory this process may count on, and that what it frees goes back to the system, bit by bit."""

import ctypes
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")
SHARE = 4  # of the memory, this part may be kept for clients

# Of mallopt(3). Left alone, glibc raises the first two with each large buffer that is freed, and keeps what is freed
# later; and small blocks that are freed it keeps apart, until one free of a larger one has to join all of them at once.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MXFAST = -1, -3, 1
MMAP_BYTES = 1 << 20  # larger blocks are mapped by themselves
TRIM_BYTES = 8 << 20  # more than that is not left unused at the end of the heap


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Of the machine, or of the container if that is less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        text = cgroup.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(text)) if text.isdigit() else machine


def give_back() -> None:
    """From now on freed memory goes back, never much of it at once. Systems without mallopt have other allocators."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
        mallopt(M_MXFAST, 0)
