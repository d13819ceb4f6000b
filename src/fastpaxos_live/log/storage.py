"""The segment files of one replica's log.

Files exist in full length, filled with zeros and synced, before anything is written to them, so that a write needs no
change of metadata. A file under preparation has another name, so that every `log.*` is whole.

Before a group is written that reaches the end of a file, the next file is there: a log that ends where its last file
ends has lost a file. Of the files written to only the last two may hold anything that was not synced.

Where a file can't be prepared for want of room or of descriptors (NoRoom), nothing of the log was written, and it may
be tried again; all other errors are final. `limit` is where the log should end then. A prepared file stays open until
it is written to: by then there may be no descriptor left.

Appending (`write`, `sync`) and reading (`read`) may run in two threads; each of the two in one at a time.
"""

from contextlib import AbstractContextManager, nullcontext
from errno import ENOMEM

from .datadir import UNFINISHED
from .files import LACKS, PASSES, Directory, File
from .recovery import Recovery
from .segments import (
    SEGMENT_HEADER_BYTES,
    BadSegment,
    Piece,
    SegmentHeader,
    check_header,
    encode_header,
    file_name,
    file_number,
    pieces,
    reserve_bytes,
)

SLICE_BYTES = 1 << 20  # synced at a time where much is written, so that no other sync waits long


class StorageError(Exception):
    """The log's files are not as they should be; the text is one line."""


def log_damaged(instance: int) -> StorageError:
    """What ends a replica that finds an instance not as it wrote it (PML 5.1)."""
    return StorageError(f"log corrupt: instance {instance} is damaged")


class SyncFailed(OSError):
    """A sync of a new file."""


class NoRoom(OSError):
    """The next file can't be prepared for now."""


class Storage:
    """The log's files; every failing operation raises OSError and must end the process, NoRoom apart."""

    def __init__(
        self, directory: Directory, header: SegmentHeader, *, fresh: bool,
        preparing: AbstractContextManager[object] | None = None,
    ) -> None:
        """Check all files; `fresh`: make the first one if missing. `preparing` is a lock, for `prepare` in a thread
        of its own. Raises StorageError, OSError.
        """
        self.directory = directory
        self.header = header
        self.segment_bytes = header.segment_bytes
        self._preparing = preparing or nullcontext()
        self._begun: tuple[File, int] | None = None  # the file under preparation, and what of it is done
        self._made: dict[int, File] = {}  # files that are prepared and not written to yet, by number
        self._open: dict[int, File] = {}  # files being written, by number
        self._dirty: set[int] = set()  # numbers of files written to since they were synced
        self._failed: OSError | None = None  # of the first sync that failed
        self._reading: tuple[int, File] | None = None  # number and file of the last read
        self.files = self._check_files()  # that are there
        if self.files == 0:
            if not fresh:
                raise StorageError(f"lost state: {self._path(0)} is missing")
            self.prepare(0)

    @property
    def end(self) -> int:
        """First position behind the files that are there."""
        return self.files * self.segment_bytes

    @property
    def limit(self) -> int:
        """Where the log should end while no file can be prepared."""
        return self.end - reserve_bytes(self.segment_bytes)

    def _path(self, number: int) -> str:
        return f"{self.directory.path}/{file_name(number)}"

    def _check_files(self) -> int:
        numbers = sorted(number for number in map(file_number, self.directory.names()) if number is not None)
        for expected, number in enumerate(numbers):
            path = self._path(expected)
            if number != expected:
                raise StorageError(f"lost state: {path} is missing")
            size, want = self.directory.size(file_name(number)), SEGMENT_HEADER_BYTES + self.segment_bytes
            if size != want:
                raise StorageError(f"lost state: {path} has {size} bytes, want {want}")
            file = self.directory.open(file_name(number))
            try:
                check_header(file.pread(SEGMENT_HEADER_BYTES, 0), self.header._replace(number=number))
            except BadSegment as error:
                raise StorageError(f"log corrupt: {path}: {error}") from None
            finally:
                file.close()
        return len(numbers)

    def read(self, position: int, size: int) -> bytes:
        """Exactly these bytes of the log. Raises OSError for want of what may be there again (PASSES), and StorageError
        where a file is no more, is shorter or can't be read: nobody can rely on what this replica says then.
        """
        try:
            return b"".join(self._read(piece) for piece in pieces(position, size, self.segment_bytes))
        except MemoryError:
            raise OSError(ENOMEM, "Cannot allocate memory") from None

    def _read(self, piece: Piece) -> bytes:
        path = self._path(piece.number)
        try:
            data = self._file_to_read(piece.number).pread(piece.size, piece.offset)
        except OSError as error:
            if error.errno in PASSES:
                raise
            raise StorageError(f"lost state: {path} can't be read: {error.strerror or error}") from None
        if len(data) != piece.size:
            raise StorageError(f"lost state: {path} ends at byte {piece.offset + len(data)}")
        return data

    def _file_to_read(self, number: int) -> File:
        if self._reading is None or self._reading[0] != number:
            try:
                file = self.directory.open(file_name(number))
            except FileNotFoundError:
                raise StorageError(f"lost state: {self._path(number)} is missing") from None
            self._stop_reading()
            self._reading = (number, file)
        return self._reading[1]

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading[1].close()
            self._reading = None

    def write(self, position: int, data: bytes) -> None:
        """Write all of `data` there; `sync` makes it durable. After NoRoom nothing is written."""
        if (position + len(data)) // self.segment_bytes >= self.files:
            self.prepare((position + len(data)) // self.segment_bytes)
        parts = list(pieces(position, len(data), self.segment_bytes))
        if self._dirty and min(self._dirty) < parts[-1].number - 1:
            self.sync()
        files = [self._file_to_write(piece.number) for piece in parts]  # all are there before one is written to
        view = memoryview(data)
        for piece, file in zip(parts, files, strict=True):
            self._dirty.add(piece.number)
            file.pwrite(view[: piece.size], piece.offset)
            view = view[piece.size :]

    def sync(self) -> None:
        """Make everything written so far durable, older files first: a log must not have holes."""
        if self._failed is not None:
            raise self._failed  # the kernel tells of it once, and takes for written what was not
        for number in sorted(self._dirty):
            try:
                self._open[number].sync()
            except OSError as error:
                self._failed = error
                raise
            self._dirty.discard(number)
        for number in sorted(self._open)[:-1]:
            self._open.pop(number).close()

    def _file_to_write(self, number: int) -> File:
        if number not in self._open:
            made = self._made.pop(number, None)
            self._open[number] = self.directory.open(file_name(number)) if made is None else made
        return self._open[number]

    def prepare(self, number: int) -> None:
        """Make the files up to that number, each whole and durable, unless they are there. Raises NoRoom."""
        with self._preparing:
            while self.files <= number:
                try:
                    self._made[self.files] = self._make(self.files)
                except OSError as error:
                    if error.errno in LACKS:
                        raise NoRoom(error.errno, error.strerror) from None
                    raise
                self.files += 1

    def _make(self, number: int) -> File:
        name = file_name(number)
        if self._begun is None:
            self._begun = self.directory.create(name + UNFINISHED), 0
        file, done = self._begun
        if not done:
            file.pwrite(encode_header(self.header._replace(number=number)), 0)
            done = SEGMENT_HEADER_BYTES
        try:
            while done < SEGMENT_HEADER_BYTES + self.segment_bytes:
                done = _zero(file, done, SEGMENT_HEADER_BYTES + self.segment_bytes)
                self._begun = file, done
        except SyncFailed:
            # What was written can't be trusted: the next attempt begins with an empty file.
            self._begun = None
            file.close()
            raise
        self.directory.rename(name + UNFINISHED, name)
        self.directory.sync()
        self._begun = None
        return file

    def settle(self, found: Recovery, doubtful: int) -> None:
        """Make what recovery accepted durable, and zero what it rejected.

        The accepted part may still wait to be written back: the process that wrote it may have been killed before it
        synced. From position `doubtful` on it may not even wait: when a sync failed, the kernel takes what was not
        written for written, and the next sync succeeds for nothing. It is written again. The rejected part must not be
        read as the tail of a later write.
        """
        if found.dirty > found.position:
            self._cut(found.position, found.dirty)
        while doubtful < found.position:
            size = min(SLICE_BYTES, found.position - doubtful)
            for piece in pieces(doubtful, size, self.segment_bytes):
                file = self._file_to_write(piece.number)
                file.pwrite(file.pread(piece.size, piece.offset), piece.offset)
                file.sync()
            doubtful += size
        for number in range(self.files):
            file = self.directory.open(file_name(number))
            try:
                file.sync()
            finally:
                file.close()

    def _cut(self, position: int, dirty: int) -> None:
        piece = next(pieces(position, dirty - position, self.segment_bytes))
        at, end = piece.offset, piece.offset + piece.size
        while at < end:
            at = _zero(self._file_to_write(piece.number), at, end)
        self._stop_reading()  # recovery read to the end, and another file will have that number
        while self.files > piece.number + 1:
            self.directory.unlink(file_name(self.files - 1))
            self.directory.sync()  # one by one: a machine that goes down now must not leave a gap
            self.files -= 1

    def close(self) -> None:
        """Close all files; nothing is synced."""
        self._stop_reading()
        for file in (*self._open.values(), *self._made.values()):
            file.close()
        if self._begun is not None:
            self._begun[0].close()


def _zero(file: File, start: int, end: int) -> int:
    # Makes a slice from `start` on zeros, durably; returns its end.
    size = min(SLICE_BYTES, end - start)
    file.pwrite(bytes(size), start)
    try:
        file.sync()
    except OSError as error:
        raise SyncFailed(error.errno, error.strerror) from None
    return start + size
