"""The segment files of one replica's log on a real disk.

Files exist in full length, filled with zeros and synced, before anything is written to them, so
that a write needs no change of metadata. A file under preparation has another name, so that every
`log.*` is whole.

Appending (`write`, `sync`) and reading (`read`) may run in two threads; each of the two in one at a
time.
"""

import os
from pathlib import Path
from threading import Lock

from ..log.recovery import Recovery
from ..log.segments import (
    SEGMENT_HEADER_BYTES,
    BadSegment,
    SegmentHeader,
    check_header,
    encode_header,
    file_name,
    file_number,
    pieces,
)
from .datadir import UNFINISHED

ZERO_BYTES = 1 << 20  # zeros are synced piece by piece, so that no other sync waits long


class StorageError(Exception):
    """The log's files are not as they should be; the text is one line."""


class Storage:
    """The log's files; every failing system call raises OSError and must end the process."""

    def __init__(self, directory: Path, header: SegmentHeader, *, fresh: bool) -> None:
        """Check all files; `fresh`: make the first one if missing. Raises StorageError, OSError."""
        self.directory = directory
        self.header = header
        self.segment_bytes = header.segment_bytes
        self._dir = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._preparing = Lock()
        self._open: dict[int, int] = {}  # file number -> descriptor for writing
        self._dirty: set[int] = set()  # numbers of files written to since they were synced
        self._reading: tuple[int, int] | None = None  # number and descriptor of the last read
        count = self._check_files()
        if count == 0:
            if not fresh:
                raise StorageError(f"lost state: {directory / file_name(0)} is missing")
            self.prepare(0)
            count = 1
        self.files = count  # at the start; more are made while it runs

    @property
    def end(self) -> int:
        """First position behind the files that were there at the start."""
        return self.files * self.segment_bytes

    def _check_files(self) -> int:
        numbers = sorted(
            number for number in map(file_number, os.listdir(self._dir)) if number is not None
        )
        for expected, number in enumerate(numbers):
            path = self.directory / file_name(expected)
            if number != expected:
                raise StorageError(f"lost state: {path} is missing")
            size = os.stat(path).st_size
            if size != SEGMENT_HEADER_BYTES + self.segment_bytes:
                raise StorageError(
                    f"{path} has {size} bytes, want {SEGMENT_HEADER_BYTES + self.segment_bytes}"
                )
            with path.open("rb") as stream:
                try:
                    check_header(
                        stream.read(SEGMENT_HEADER_BYTES), self.header._replace(number=number)
                    )
                except BadSegment as error:
                    raise StorageError(f"{path}: {error}") from None
        return len(numbers)

    def read(self, position: int, size: int) -> bytes:
        """Exactly these bytes of the log. Raises OSError, also when there are fewer."""
        parts = []
        for piece in pieces(position, size, self.segment_bytes):
            data = os.pread(self._file_to_read(piece.number), piece.size, piece.offset)
            if len(data) != piece.size:
                raise OSError(f"short read of {file_name(piece.number)} at {piece.offset}")
            parts.append(data)
        return b"".join(parts)

    def _file_to_read(self, number: int) -> int:
        if self._reading is None or self._reading[0] != number:
            file = os.open(file_name(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._dir)
            if self._reading is not None:
                os.close(self._reading[1])
            self._reading = (number, file)
        return self._reading[1]

    def write(self, position: int, data: bytes) -> None:
        """Write all of `data` there; `sync` makes it durable."""
        view = memoryview(data)
        for piece in pieces(position, len(data), self.segment_bytes):
            file = self._file_to_write(piece.number)
            self._dirty.add(piece.number)
            _write_all(file, view[: piece.size], piece.offset)
            view = view[piece.size :]

    def sync(self) -> None:
        """Make everything written so far durable, older files first: a log must not have holes."""
        for number in sorted(self._dirty):
            os.fdatasync(self._open[number])
            self._dirty.discard(number)
        for number in sorted(self._open)[:-2]:
            os.close(self._open.pop(number))

    def _file_to_write(self, number: int) -> int:
        if number not in self._open:
            self.prepare(number)
            self._open[number] = os.open(
                file_name(number), os.O_RDWR | os.O_CLOEXEC, dir_fd=self._dir
            )
        return self._open[number]

    def prepare(self, number: int) -> None:
        """Make file `number`, whole and durable, unless it is there. Any thread may call it."""
        name = file_name(number)
        with self._preparing:
            if os.path.exists(self.directory / name):
                return
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            file = os.open(name + UNFINISHED, flags, 0o600, dir_fd=self._dir)
            try:
                _write_all(file, encode_header(self.header._replace(number=number)), 0)
                _zero(file, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + self.segment_bytes)
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(name + UNFINISHED, name, src_dir_fd=self._dir, dst_dir_fd=self._dir)
            os.fsync(self._dir)

    def settle(self, found: Recovery) -> None:
        """Make what recovery accepted durable, and zero what it rejected.

        The accepted part may still wait to be written back: the process that wrote it may have been
        killed before it synced. The rejected part must not be read as the tail of a later write.
        """
        if found.dirty > found.position:
            piece = next(pieces(found.position, found.dirty - found.position, self.segment_bytes))
            _zero(self._file_to_write(piece.number), piece.offset, piece.offset + piece.size)
            for number in range(self.files - 1, piece.number, -1):
                os.unlink(file_name(number), dir_fd=self._dir)
            os.fsync(self._dir)
            self.files = piece.number + 1
        for number in range(self.files):
            file = os.open(file_name(number), os.O_RDWR | os.O_CLOEXEC, dir_fd=self._dir)
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    def close(self) -> None:
        """Close all files; nothing is synced."""
        if self._reading is not None:
            os.close(self._reading[1])
        for file in self._open.values():
            os.close(file)
        os.close(self._dir)


def _write_all(file: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view = view[written:]
        offset += written


def _zero(file: int, start: int, end: int) -> None:
    zeros = memoryview(bytes(min(ZERO_BYTES, end - start)))
    while start < end:
        size = min(len(zeros), end - start)
        _write_all(file, zeros[:size], start)
        os.fdatasync(file)
        start += size
