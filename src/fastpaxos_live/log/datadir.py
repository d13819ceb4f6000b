"""The directory of one replica: formatted once, locked while in use, never taken for another.

`meta.json` names the format, cell, replica and disk, and remembers how the last process ended.
Beside it lie the lock file, a block of reserve and the segment files of the log. Anything else in there is refused: it
is not ours to ignore.
"""

import json
from contextlib import suppress
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
from xxhash import xxh64_hexdigest

from ..reference.limits import GROUP_ALIGN, REPLICAS_MAX
from .files import LACKS, Directory
from .segments import SEGMENT_BYTES, SegmentHeader, file_number

FORMAT = 1
UNFINISHED = ".new"  # ends the name of a file while it is written; void after a crash

_META = "meta.json"
_LOCK = "lock"
_RESERVE = "reserve"  # room for meta.json on a full disk
_RESERVE_BYTES = 4096
_FOREIGN = {"lost+found"}  # made by mkfs where the directory is a file system of its own


class DataDirError(Exception):
    """The directory can't be used; the text is one line for the operator."""


class Identity(NamedTuple):
    """Whose directory it is, as the configuration says."""

    cell_id: int
    cell: str
    replica_id: int
    replica: str


U64 = Annotated[int, msgspec.Meta(ge=0)]  # its upper end is the identity's to check: msgspec's numbers end at 2^63


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `meta.json`."""

    format: int
    cell_id: U64
    cell: str
    replica_id: Annotated[int, msgspec.Meta(ge=1, le=REPLICAS_MAX)]
    replica: str
    disk_id: U64  # random: tells a replaced disk from this one
    incarnation: Annotated[int, msgspec.Meta(ge=1, lt=1 << 16)]
    segment_bytes: Annotated[int, msgspec.Meta(ge=GROUP_ALIGN, le=(1 << 63) - 1)]
    fsync: str  # the policy of the last start
    boots: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]  # starts so far; 0: formatted, and the log has no file yet
    boot_id: str  # of the kernel, at the last start
    clean: bool  # the last process synced everything before it ended
    # No grant that may outlive a process lasts longer; 0: written by a program that kept none.
    lease_us: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class DataDir:
    """The locked directory of a replica that runs. Made by `open_data_dir`."""

    def __init__(self, directory: Directory, meta: Meta) -> None:
        self.directory = directory
        self.meta = meta

    def segment_header(self) -> SegmentHeader:
        """What the header of the log's first file says."""
        meta = self.meta
        return SegmentHeader(meta.cell_id, meta.replica_id, meta.disk_id, 0, meta.segment_bytes)

    def begin(self, fsync: str, boot_id: str, lease_us: int) -> None:
        """Make durable that a process runs with this policy on this kernel, before it serves.

        What earlier ones granted may last longer than `lease_us`, which this one is set to grant at least.
        """
        self._spend_reserve()
        self._save(
            fsync=fsync, boot_id=boot_id, clean=False, boots=self.meta.boots + 1,
            lease_us=max(lease_us, self.meta.lease_us),
        )
        try:
            self._keep_reserve()
        except OSError as error:
            if error.errno not in LACKS:
                raise

    def keep_span(self, lease_us: int) -> None:
        """Make durable that grants last so long at most; never at the same time as `begin` or `end`."""
        self._save(lease_us=lease_us)

    def end(self) -> None:
        """Make durable that everything was synced: the last act of a process that was stopped."""
        self._spend_reserve()
        self._save(clean=True)

    def close(self) -> None:
        """Release the lock."""
        self.directory.close()

    def _keep_reserve(self) -> None:
        # A disk that is full by the end of the process must not make a good end a crash.
        file = self.directory.create(_RESERVE)
        try:
            file.pwrite(bytes(_RESERVE_BYTES), 0)
            file.sync()
        except OSError:
            self._spend_reserve()
            raise
        finally:
            file.close()

    def _spend_reserve(self) -> None:
        with suppress(FileNotFoundError):
            self.directory.unlink(_RESERVE)

    def _save(self, **changes: Any) -> None:
        self.meta = msgspec.structs.replace(self.meta, **changes)
        _write_meta(self.directory, self.meta)


def open_data_dir(
    directory: Directory, identity: Identity, *, new: bool, fsync: str, disk_id: int,
    segment_bytes: int = SEGMENT_BYTES,
) -> DataDir:
    """Lock the directory and check whose it is; `new` formats an empty one first.

    `disk_id` (random) and `segment_bytes` count only when it is formatted. Raises DataDirError.
    """
    meta = Meta(
        format=FORMAT, **identity._asdict(), disk_id=disk_id, incarnation=1, segment_bytes=segment_bytes, fsync=fsync,
        boots=0, boot_id="", clean=True,
    )
    try:
        return _open(directory, identity, meta if new else None)
    except OSError as error:
        raise DataDirError(f"data directory {directory.path}: {error.strerror or error}") from None


def _open(directory: Directory, identity: Identity, new: Meta | None) -> DataDir:
    path = directory.path
    try:
        directory.enter(make=new is not None)
    except FileNotFoundError:
        _refuse_lost_state(path)
    try:
        try:
            directory.lock(_LOCK)
        except BlockingIOError:
            raise DataDirError(f"data directory in use: {path}") from None
        found = _found(directory)
        if new is not None:
            if found:
                raise DataDirError(f"data directory {path} is not empty, so it can't be formatted")
            directory.claim()
            _write_meta(directory, new)
        elif not found:
            _refuse_lost_state(path)
        meta = _read_meta(directory)
        _check(path, meta, identity)
        return DataDir(directory, meta)
    except BaseException:
        directory.close()
        raise


def check_boot(path: str, meta: Meta, boot_id: str) -> None:
    """Raise DataDirError when the machine crashed while writes were not synced one by one."""
    if meta.boots and meta.fsync != "always" and not meta.clean and meta.boot_id != boot_id:
        raise DataDirError(
            f"data directory {path}: the machine went down while fsync was {meta.fsync}, so this "
            "replica may have forgotten what it promised; rebuilding it is not built yet"
        )


def _refuse_lost_state(path: str) -> NoReturn:
    raise DataDirError(
        f"lost state: data directory {path} is empty; only a new replica starts so, with --new"
    )


def _found(directory: Directory) -> set[str]:
    # The names that count, leftovers of unfinished writes removed.
    found = set()
    unknown = []
    for name in sorted(directory.names()):
        stem = name.removesuffix(UNFINISHED)
        if name in (_LOCK, _RESERVE) or name in _FOREIGN:
            continue
        if stem != _META and file_number(stem) is None:
            unknown.append(name)
        elif stem != name:
            directory.unlink(name)
        else:
            found.add(name)
    if unknown:
        raise DataDirError(f"data directory {directory.path} holds unknown files: {', '.join(unknown)}")
    return found


def _checksum(fields: dict[str, Any]) -> str:
    return xxh64_hexdigest(json.dumps(fields, sort_keys=True).encode())


def _write_meta(directory: Directory, meta: Meta) -> None:
    fields = msgspec.structs.asdict(meta)
    text = json.dumps({**fields, "checksum": _checksum(fields)}, indent=2) + "\n"
    file = directory.create(_META + UNFINISHED)
    try:
        file.pwrite(text.encode(), 0)
        file.sync()
    finally:
        file.close()
    directory.rename(_META + UNFINISHED, _META)
    directory.sync()


def _read_meta(directory: Directory) -> Meta:
    where = f"{directory.path}/{_META}"
    try:
        file = directory.open(_META)
    except FileNotFoundError:
        raise DataDirError(f"lost state: {where} is missing") from None
    try:
        text = file.pread(directory.size(_META), 0)
    finally:
        file.close()
    try:
        fields = json.loads(text)
        version, checksum = fields["format"], fields.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataDirError(f"{where} is damaged") from None
    if not isinstance(version, int) or version > FORMAT:
        raise DataDirError(f"{where}: format version {version}, this program reads up to {FORMAT}")
    if checksum != _checksum(fields):
        raise DataDirError(f"{where} is damaged: its checksum is wrong")
    try:
        return msgspec.convert(fields, Meta)
    except msgspec.ValidationError as error:
        raise DataDirError(f"{where} is damaged: {error}") from None


def _check(path: str, meta: Meta, identity: Identity) -> None:
    for field, want in identity._asdict().items():
        got = getattr(meta, field)
        if got != want:
            what = field.replace("_", " ")
            raise DataDirError(
                f"data directory {path} belongs to another {what.split()[0]}: "
                f"{what} mismatch: got {got}, want {want}"
            )
