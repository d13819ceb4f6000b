"""The directory of one replica: formatted once, locked while in use, never taken for another.

`meta.json` names the format, cell, replica and disk, and remembers how the last process ended.
Beside it lie the lock file and the segment files of the log. Anything else in there is refused: it
is not ours to ignore.
"""

import errno
import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
from xxhash import xxh64_hexdigest

from ..log.segments import SEGMENT_BYTES, SegmentHeader, file_number

FORMAT = 1
UNFINISHED = ".new"  # ends the name of a file while it is written; void after a crash

_META = "meta.json"
_LOCK = "lock"
_FOREIGN = {"lost+found"}  # made by mkfs where the directory is a file system of its own


class DataDirError(Exception):
    """The directory can't be used; the text is one line for the operator."""


class Identity(NamedTuple):
    """Whose directory it is, as the configuration says."""

    cell_id: int
    cell: str
    replica_id: int
    replica: str


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `meta.json`."""

    format: int
    cell_id: int
    cell: str
    replica_id: int
    replica: str
    disk_id: int  # u64, random: tells a replaced disk from this one
    incarnation: int
    segment_bytes: int
    fsync: str  # the policy of the last start
    boots: int  # starts so far; 0: formatted, and the log has no file yet
    boot_id: str  # of the kernel, at the last start
    clean: bool  # the last process synced everything before it ended


def kernel_boot_id() -> str:
    """A string that changes whenever the machine is started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class DataDir:
    """The locked directory of a replica that runs. Made by `open_data_dir`."""

    def __init__(self, path: Path, directory: int, lock: int, meta: Meta) -> None:
        self.path = path
        self.meta = meta
        self._directory = directory
        self._lock = lock

    def segment_header(self) -> SegmentHeader:
        """What the header of the log's first file says."""
        meta = self.meta
        return SegmentHeader(meta.cell_id, meta.replica_id, meta.disk_id, 0, meta.segment_bytes)

    def begin(self, fsync: str, boot_id: str) -> None:
        """Make durable that a process runs with this policy on this kernel, before it serves."""
        self._save(fsync=fsync, boot_id=boot_id, clean=False, boots=self.meta.boots + 1)

    def end(self) -> None:
        """Make durable that everything was synced: the last act of a process that was stopped."""
        self._save(clean=True)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)
        os.close(self._directory)

    def _save(self, **changes: Any) -> None:
        self.meta = msgspec.structs.replace(self.meta, **changes)
        _write_meta(self._directory, self.meta)


def open_data_dir(
    path: Path, identity: Identity, *, new: bool, fsync: str, segment_bytes: int = SEGMENT_BYTES
) -> DataDir:
    """Lock the directory and check whose it is; `new` formats an empty one first.

    `segment_bytes` counts only when it is formatted. Raises DataDirError.
    """
    try:
        return _open(path, identity, new, fsync, segment_bytes)
    except OSError as error:
        raise DataDirError(f"data directory {path}: {error.strerror or error}") from None


def _open(path: Path, identity: Identity, new: bool, fsync: str, segment_bytes: int) -> DataDir:
    if new:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        _refuse_lost_state(path)
    lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirError(f"data directory in use: {path}") from None
        found = _found(path, directory)
        if new:
            if found:
                raise DataDirError(f"data directory {path} is not empty, so it can't be formatted")
            os.chmod(path, 0o700)
            _write_meta(directory, _new_meta(identity, fsync, segment_bytes))
            _sync_directory(path.parent)
        elif not found:
            _refuse_lost_state(path)
        meta = _read_meta(path, directory)
        _check(path, meta, identity)
        return DataDir(path, directory, lock, meta)
    except BaseException:
        os.close(lock)
        os.close(directory)
        raise


def check_boot(path: Path, meta: Meta, boot_id: str) -> None:
    """Raise DataDirError when the machine crashed while writes were not synced one by one."""
    if meta.boots and meta.fsync != "always" and not meta.clean and meta.boot_id != boot_id:
        raise DataDirError(
            f"data directory {path}: the machine went down while fsync was {meta.fsync}, so this "
            "replica may have forgotten what it promised; rebuilding it is not built yet"
        )


def _refuse_lost_state(path: Path) -> NoReturn:
    raise DataDirError(
        f"lost state: data directory {path} is empty; only a new replica starts so, with --new"
    )


def _found(path: Path, directory: int) -> set[str]:
    # The names that count, leftovers of unfinished writes removed.
    found = set()
    unknown = []
    for name in sorted(os.listdir(directory)):
        stem = name.removesuffix(UNFINISHED)
        if name == _LOCK or name in _FOREIGN:
            continue
        if stem != _META and file_number(stem) is None:
            unknown.append(name)
        elif stem != name:
            os.unlink(name, dir_fd=directory)
        else:
            found.add(name)
    if unknown:
        raise DataDirError(f"data directory {path} holds unknown files: {', '.join(unknown)}")
    return found


def _new_meta(identity: Identity, fsync: str, segment_bytes: int) -> Meta:
    return Meta(
        format=FORMAT, cell_id=identity.cell_id, cell=identity.cell, replica_id=identity.replica_id,
        replica=identity.replica, disk_id=secrets.randbits(64), incarnation=1,
        segment_bytes=segment_bytes, fsync=fsync, boots=0, boot_id="", clean=True,
    )


def _checksum(fields: dict[str, Any]) -> str:
    return xxh64_hexdigest(json.dumps(fields, sort_keys=True).encode())


def _write_meta(directory: int, meta: Meta) -> None:
    fields = msgspec.structs.asdict(meta)
    text = json.dumps({**fields, "checksum": _checksum(fields)}, indent=2) + "\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    file = os.open(_META + UNFINISHED, flags, 0o600, dir_fd=directory)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(file)
    os.rename(_META + UNFINISHED, _META, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems sync no directories
            raise
    finally:
        os.close(directory)


def _read_meta(path: Path, directory: int) -> Meta:
    where = path / _META
    try:
        file = os.open(_META, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise DataDirError(f"lost state: {where} is missing") from None
    with os.fdopen(file, "rb") as stream:
        text = stream.read()
    try:
        fields = json.loads(text)
        version, checksum = fields["format"], fields.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataDirError(f"{where} is damaged") from None
    if not isinstance(version, int) or version > FORMAT:
        raise DataDirError(f"{where}: format version {version}, this program reads up to {FORMAT}")
    if checksum != _checksum(fields):
        raise DataDirError(f"{where} is damaged: its checksum is wrong")
    try:
        return msgspec.convert(fields, Meta)
    except msgspec.ValidationError as error:
        raise DataDirError(f"{where} is damaged: {error}") from None


def _check(path: Path, meta: Meta, identity: Identity) -> None:
    for field, want in identity._asdict().items():
        got = getattr(meta, field)
        if got != want:
            what = field.replace("_", " ")
            raise DataDirError(
                f"data directory {path} belongs to another {what.split()[0]}: "
                f"{what} mismatch: got {got}, want {want}"
            )
