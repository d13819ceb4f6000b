"""What the figures depend on: the machine, its disk, the versions."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import fastpaxos_live

SYNC_SAMPLES = 200
SYNC_BYTES = 512  # a small append, as a write of one client makes it
SYNC_FILE_BYTES = 4 << 20


def describe(directory: Path) -> dict[str, Any]:
    """The machine; `directory` says which disk."""
    p50, p99 = sync_latency_us(directory)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "file_system": file_system(directory),
        "fdatasync_us_p50": p50,
        "fdatasync_us_p99": p99,
        "python": platform.python_version(),
        "fastpaxos_live": fastpaxos_live.__version__,
        "cython": version("cython"),
        "uvloop": version("uvloop"),
        "redis_server": first_line("redis-server", "--version"),
        "redis_benchmark": first_line("redis-benchmark", "--version"),
    }


def processor() -> str:
    """Model of the first processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def file_system(directory: Path) -> str:
    """Type of the file system that holds `directory`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = str(directory.resolve())
    holding = [m for m in mounts if path == m[0] or path.startswith(m[0].rstrip("/") + "/")]
    return max(holding, key=lambda m: len(m[0]))[1]


def sync_latency_us(directory: Path) -> tuple[int, int]:
    """Median and 99th percentile of a small append with fdatasync to a preallocated file."""
    path = directory / "sync"
    samples = [taken // 1000 for taken in islice(syncs_ns(path, SYNC_BYTES), SYNC_SAMPLES)]
    path.unlink()
    return int(statistics.median(samples)), sorted(samples)[SYNC_SAMPLES * 99 // 100]


def syncs_ns(path: Path, size: int) -> Iterator[int]:
    """Nanoseconds of each append with fdatasync, without end; from the beginning again when the file is full."""
    data, place = b"x" * size, 0
    with path.open("wb", buffering=0) as file:
        file.write(bytes(SYNC_FILE_BYTES))
        os.fsync(file)
        while True:
            since = time.perf_counter_ns()
            os.pwrite(file.fileno(), data, place)
            os.fdatasync(file)
            yield time.perf_counter_ns() - since
            place = place + size if place + 2 * size <= SYNC_FILE_BYTES else 0


def commit() -> str:
    """The commit of the checkout, with a mark when files differ from it; "" outside of one."""
    root = Path(__file__).parent
    commit = first_line("git", "-C", str(root), "rev-parse", "HEAD")
    changed = first_line("git", "-C", str(root), "status", "--porcelain")
    return f"{commit}-changed" if commit and changed else commit


def first_line(*command: str) -> str:
    """First line that a command prints; "" when it fails or there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0] if done.returncode == 0 else ""


def lines(result: dict[str, Any]) -> list[str]:
    """What stands below the table of any result."""
    facts = result["machine"]
    return [
        f"{facts['processors']} x {facts['processor']}, {facts['memory_bytes'] / 2**30:.0f} GiB, {facts['system']}",
        f"{facts['file_system']}, fdatasync of a small append: "
        f"{facts['fdatasync_us_p50']} us (p99 {facts['fdatasync_us_p99']} us)",
        f"Python {facts['python']}, Cython {facts['cython']}, uvloop {facts['uvloop']}; {facts['redis_server']}",
        f"fastpaxos_live {facts['fastpaxos_live']}, commit {result['commit'] or 'unknown'}",
    ]


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))
