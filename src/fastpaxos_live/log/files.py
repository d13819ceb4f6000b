"""What the log needs of a file system. `server/files.py` is the real one, the simulator has another.

Every failing operation raises OSError. What was written to a file is durable once `File.sync` returned; names that were
made, changed or removed are durable once `Directory.sync` returned.
"""

from errno import EAGAIN, EDQUOT, EINTR, EMFILE, ENFILE, ENOMEM, ENOSPC
from typing import Protocol

LACKS = frozenset({ENOSPC, EDQUOT, EMFILE, ENFILE})  # there may be room again
PASSES = frozenset({ENOMEM, EMFILE, ENFILE, EINTR, EAGAIN})  # a read may succeed later; of any other error it won't


class File(Protocol):
    """An open file."""

    def pread(self, size: int, offset: int) -> bytes:
        """What lies there; less at the end of the file."""

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` there."""

    def sync(self) -> None:
        """Make everything written so far durable, by whomever."""

    def close(self) -> None: ...


class Directory(Protocol):
    """A flat directory of files. Only `path` may be used before `enter`."""

    path: str

    def enter(self, *, make: bool) -> None:
        """Open it; `make`: first make it, if it is not there. Raises FileNotFoundError."""

    def claim(self) -> None:
        """Let nobody else read it, and make its own name durable."""

    def lock(self, name: str) -> None:
        """Lock the file of that name, made if need be, until `close`. Raises BlockingIOError: somebody else has it."""

    def names(self) -> list[str]: ...

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> File:
        """To be read and written."""

    def create(self, name: str) -> File:
        """The same, made, or emptied if it is there."""

    def rename(self, old: str, new: str) -> None:
        """Replaces a file that has the new name."""

    def unlink(self, name: str) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None:
        """Close the directory, not its files, and release the lock."""
