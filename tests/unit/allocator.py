"""What glibc's allocator says of itself; other libraries have no mallinfo2(3), and glibc has it from 2.33 on."""

import ctypes

import pytest


class Mallinfo(ctypes.Structure):
    """Of mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def mallinfo() -> Mallinfo:
    """All of it; zeros under AddressSanitizer, which has an allocator of its own."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        pytest.skip("no mallinfo2")  # glibc has it since 2.33; without it nobody tells what was allocated
    ask.restype = Mallinfo
    info: Mallinfo = ask()
    return info


def in_use() -> int:
    """Bytes that were asked for and not freed; unlike resident ones they don't depend on what lies beside them."""
    info = mallinfo()
    used: int = info.uordblks + info.hblkhd
    return used
