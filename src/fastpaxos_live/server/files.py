"""`log/files.py` on the operating system's files."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from threading import Lock


class OsFile:
    """A descriptor."""

    __slots__ = ("_directory", "_file")

    def __init__(self, directory: "OsDirectory", file: int) -> None:
        self._directory = directory
        self._file = file

    def pread(self, size: int, offset: int) -> bytes:
        """See `File`."""
        return os.pread(self._file, size, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """See `File`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view = view[written:]
            offset += written

    def sync(self) -> None:
        """fdatasync: the size is synced with the data."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """See `File`."""
        os.close(self._file)
        self._directory.spare()


class OsDirectory:
    """A directory, by its descriptor. It has a spare one, so that where there is no other a file can be opened, if one
    is closed each time."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._directory = -1
        self._lock = -1
        self._spare = -1
        self._sparing = Lock()  # two threads that give up one descriptor would end somebody else's

    def spare(self) -> None:
        """Get the spare descriptor back, if there is one to be had."""
        with self._sparing, suppress(OSError):
            if self._spare < 0 <= self._directory:
                self._spare = os.dup(self._directory)

    def enter(self, *, make: bool) -> None:
        """See `Directory`."""
        if make:
            Path(self.path).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.spare()

    def claim(self) -> None:
        """See `Directory`."""
        os.fchmod(self._directory, 0o700)
        parent = os.open(Path(self.path).parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems sync no directories
                raise
        finally:
            os.close(parent)

    def lock(self, name: str) -> None:
        """See `Directory`."""
        self._lock = self._open(name, os.O_CREAT)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def names(self) -> list[str]:
        """See `Directory`."""
        return os.listdir(self._directory)

    def size(self, name: str) -> int:
        """See `Directory`."""
        return os.stat(name, dir_fd=self._directory).st_size

    def open(self, name: str) -> OsFile:
        """See `Directory`."""
        return OsFile(self, self._open(name, 0))

    def create(self, name: str) -> OsFile:
        """See `Directory`."""
        return OsFile(self, self._open(name, os.O_CREAT | os.O_TRUNC))

    def _open(self, name: str, flags: int) -> int:
        flags |= os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(name, flags, 0o600, dir_fd=self._directory)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        with self._sparing:
            if self._spare >= 0:
                os.close(self._spare)
                self._spare = -1
            return os.open(name, flags, 0o600, dir_fd=self._directory)

    def rename(self, old: str, new: str) -> None:
        """See `Directory`."""
        os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def unlink(self, name: str) -> None:
        """See `Directory`."""
        os.unlink(name, dir_fd=self._directory)

    def sync(self) -> None:
        """See `Directory`."""
        os.fsync(self._directory)

    def close(self) -> None:
        """See `Directory`."""
        with self._sparing:
            for file in (self._lock, self._spare, self._directory):
                if file >= 0:
                    os.close(file)
            self._lock = self._spare = self._directory = -1


def kernel_boot_id() -> str:
    """A string that changes whenever the machine is started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
