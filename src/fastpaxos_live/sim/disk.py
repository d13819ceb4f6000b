"""The disk of one replica: files and names as the page cache shows them, and what of that a loss of power spares.

It is a `log/files.py` Directory. When a process dies the page cache stays. When the power goes, each sector that was
written and not synced is there or not, and so is each name that was made, changed or removed since the directory was
synced. When a sync fails, what it should have written is taken for written: the page cache goes on showing it, no
later sync writes it, and it is lost with the power unless somebody writes it again.
"""

from collections.abc import Callable, Mapping
from errno import EIO, ENOENT
from random import Random

from .chosen import Violation

SECTOR = 512
PAGE = 4096  # what the kernel writes back at once

Trouble = Callable[[str], Exception | None]
"""Asked before each operation, by its name: None lets it happen, an error ends it."""


class Died(Exception):
    """The process ends in the middle of an operation on its files."""


class SimFile:
    """A file, open or not. Whoever removes a file must not use it any more: another one may have its name by then."""

    __slots__ = ("data", "removed", "unreadable", "_dirty", "_disk", "_lost", "_size")

    def __init__(self, disk: "Disk") -> None:
        self._disk = disk
        self.data = bytearray()  # what a read returns
        self.removed = ""  # by its own process: the name that it had
        self.unreadable = -1  # a byte that the disk can't read
        self._size = 0  # on the disk
        self._dirty: list[tuple[int, bytes, int]] = []  # writes not synced: offset, what was there, end
        self._lost: dict[int, bytes] = {}  # sectors that a failed sync did not write, as they are on the disk

    def pread(self, size: int, offset: int) -> bytes:
        """See `File`."""
        self._is_there()
        self._disk.meet("read")
        if offset <= self.unreadable < offset + size:
            raise OSError(EIO, "Input/output error")
        return bytes(self.data[offset : offset + size])

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """See `File`; an error leaves half of it written."""
        self._is_there()
        error = self._disk.error("write")
        if error is not None:
            data = data[: len(data) // 2]
        if len(self.data) < offset:
            self.data.extend(bytes(offset - len(self.data)))
        end = offset + len(data)
        self._dirty.append((offset, bytes(self.data[offset:end]), end))
        self.data[offset:end] = data
        if error is not None:
            raise error

    def _is_there(self) -> None:
        if self.removed:
            raise Violation(f"{self._disk.path}/{self.removed} is used after it was removed")

    def sync(self) -> None:
        """See `File`."""
        error = self._disk.error("sync")
        if isinstance(error, OSError):
            self._lost = self._on_disk() | self._lost
            self._dirty.clear()
        if error is not None:
            raise error
        if self._lost:
            for offset, _, end in self._dirty:
                for page in range(offset // PAGE, -(-end // PAGE)):
                    for sector in range(page * PAGE, (page + 1) * PAGE, SECTOR):
                        self._lost.pop(sector, None)
        self._dirty.clear()
        self._size = len(self.data)

    def close(self) -> None:
        """See `File`."""

    def _on_disk(self) -> dict[int, bytes]:
        # What the disk has where something was written that was not synced, by the offset of each sector.
        if not self._dirty:
            return {}
        image = bytearray(self.data)
        for offset, before, end in reversed(self._dirty):
            image[offset:end] = before.ljust(end - offset, b"\0")
        sectors = sorted({
            sector
            for offset, _, end in self._dirty
            for sector in range(offset - offset % SECTOR, end, SECTOR)
        })  # fmt: skip
        return {sector: bytes(image[sector : sector + SECTOR]) for sector in sectors}

    def power_cut(self, random: Random) -> None:
        """Only the disk is left, its name among it."""
        self.removed = ""
        unsynced = self._on_disk()
        kept = random.choice((0.0, 0.5, 1.0))  # of the sectors
        size = self._size
        for sector, before in unsynced.items():
            if sector not in self._lost and random.random() < kept:
                size = max(size, min(sector + SECTOR, len(self.data)))
            else:
                self._put(sector, before)
        for sector, before in self._lost.items():
            self._put(sector, before)
        del self.data[size:]
        self._dirty.clear()
        self._lost.clear()
        self._size = size

    def _put(self, sector: int, data: bytes) -> None:
        self.data[sector : sector + len(data)] = data

    def flip(self, at: int, mask: int) -> None:
        """Changes a byte, on the disk and in the page cache."""

        def flipped(data: bytes, start: int) -> bytes:
            if not start <= at < start + len(data):
                return data
            changed = bytearray(data)
            changed[at - start] ^= mask
            return bytes(changed)

        self.data[at] ^= mask
        self._dirty = [(offset, flipped(before, offset), end) for offset, before, end in self._dirty]
        self._lost = {sector: flipped(before, sector) for sector, before in self._lost.items()}

    def damage(self, data: bytes | bytearray) -> None:
        """Replaces the contents, on the disk and in the page cache."""
        self.data[:] = data
        self._dirty.clear()
        self._lost.clear()
        self._size = len(data)


class Disk:
    """One directory on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.files: dict[str, SimFile] = {}  # as the page cache has them
        self.trouble: Trouble | None = None
        self._kept: dict[str, SimFile] = {}  # on the disk
        self._changes: list[Mapping[str, SimFile | None]] = []  # of names, not synced; None: it is no more
        self._locked = False

    # --- what goes wrong
    def error(self, operation: str) -> Exception | None:
        """What ends an operation of that name now, if anything."""
        return None if self.trouble is None else self.trouble(operation)

    def meet(self, operation: str) -> None:
        """Raises what ends it."""
        if self.trouble is not None and (error := self.trouble(operation)) is not None:
            raise error

    def release(self) -> None:
        """The process died: its lock is gone."""
        self._locked = False

    def power_cut(self, random: Random) -> None:
        """Only what was synced is certain, and no process is left."""
        for change in self._changes:
            if random.random() < 0.5:
                _apply(self._kept, change)
        self._changes.clear()
        self._locked = False
        self.files = dict(self._kept)
        for file in self.files.values():
            file.power_cut(random)

    def lose(self, names: list[str]) -> None:
        """These names vanish; a process that has the files open keeps them."""
        gone = dict.fromkeys(names)
        self._changes.append(gone)
        _apply(self.files, gone)
        _apply(self._kept, gone)

    # --- Directory
    def enter(self, *, make: bool) -> None:
        """See `Directory`."""

    def claim(self) -> None:
        """See `Directory`."""

    def lock(self, name: str) -> None:
        """See `Directory`."""
        if self._locked:
            raise BlockingIOError
        self._locked = True
        if name not in self.files:
            self._change({name: SimFile(self)})

    def names(self) -> list[str]:
        """See `Directory`."""
        return list(self.files)

    def size(self, name: str) -> int:
        """See `Directory`."""
        return len(self._file(name).data)

    def open(self, name: str) -> SimFile:
        """See `Directory`."""
        self.meet("open")
        return self._file(name)

    def _file(self, name: str) -> SimFile:
        if name not in self.files:
            raise FileNotFoundError(ENOENT, f"{self.path}/{name} is not there")
        return self.files[name]

    def create(self, name: str) -> SimFile:
        """See `Directory`. A file of that name is replaced, not emptied: nobody has it open."""
        self.meet("create")
        file = SimFile(self)
        self._change({name: file})
        return file

    def rename(self, old: str, new: str) -> None:
        """See `Directory`."""
        self.meet("rename")
        self._change({old: None, new: self._file(old)})

    def unlink(self, name: str) -> None:
        """See `Directory`."""
        self.meet("unlink")
        self._file(name).removed = name
        self._change({name: None})

    def _change(self, change: Mapping[str, SimFile | None]) -> None:
        self._changes.append(change)
        _apply(self.files, change)

    def sync(self) -> None:
        """See `Directory`. A failed one leaves the changes to the next one: file systems have a journal for names."""
        self.meet("sync_directory")
        self._kept = dict(self.files)
        self._changes.clear()

    def close(self) -> None:
        """See `Directory`."""
        self._locked = False


def _apply(names: dict[str, SimFile], change: Mapping[str, SimFile | None]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file
