"""From a replica's locked directory to the state that its log says it has."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, TypeVar

from .datadir import DataDir, DataDirError, check_boot
from .recovery import LogCorrupt, Progress, Recovery, Replays, recover
from .storage import Storage, StorageError

REFUSALS = (DataDirError, StorageError, LogCorrupt)  # the replica must not start, and trying again does not help


R = TypeVar("R", bound=Replays)


class Started(NamedTuple, Generic[R]):
    """A replica that has replayed its log, and the files that it goes on with."""

    storage: Storage
    replica: R
    found: Recovery


def start_up(
    data_dir: DataDir, boot_id: str, make_replica: Callable[[int], R],
    preparing: AbstractContextManager[object] | None = None, progress: Progress | None = None,
) -> Started[R]:
    """Check the files, replay the log, settle its tail. `make_replica` is given the incarnation.

    Whoever calls it calls `data_dir.begin` before the replica serves. Raises one of REFUSALS, or OSError.
    """
    meta = data_dir.meta
    check_boot(data_dir.directory.path, meta, boot_id)
    storage = Storage(
        data_dir.directory, data_dir.segment_header(), fresh=meta.boots == 0, preparing=preparing
    )
    replica = make_replica(meta.incarnation)
    found = recover(replica, storage.read, storage.end, meta.cell_id, meta.replica_id, progress)
    storage.settle(found, _doubtful(data_dir, found))
    return Started(storage, replica, found)


def _doubtful(data_dir: DataDir, found: Recovery) -> int:
    # From where on a sync of the last process may have failed.
    meta = data_dir.meta
    if meta.clean:
        return found.position
    if meta.fsync == "always":
        return found.last
    before = found.position // meta.segment_bytes - 1
    return min(found.last, max(0, before * meta.segment_bytes))
