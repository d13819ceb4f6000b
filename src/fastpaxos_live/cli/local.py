"""The directory of a local cell: its configuration and secret, and beside them the directory of each replica.

`cell.toml` is there once every replica's directory has been formatted. Until then it is a draft,
so that a first start that was cut short is completed by the next one, and no directory that
belongs to a cell is ever formatted.
"""

import fcntl
import os
import re
import secrets
import shutil
from pathlib import Path

from ..log.datadir import DataDirError, Identity, open_data_dir
from ..server.config import CellConfig, ConfigError, FsyncPolicy, load_config
from ..server.files import OsDirectory
from ..server.secret import make_secret
from .failure import CommandFailed

CONFIG = "cell.toml"
DRAFT = "cell.toml.new"
SECRET = "secret"
HOST = "127.0.0.1"
PEER_OFFSET = 1000  # replica i's peers connect to port + 1000 + i - 1,
ADMIN_OFFSET = 2000  # its admin HTTP is at port + 2000 + i - 1


def lock_directory(directory: Path) -> int:
    """Makes the directory if need be, and keeps every other `up` out of it for as long as the
    returned descriptor is open. Raises CommandFailed.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandFailed(f"another `up` runs on {directory}") from None
    except OSError as error:
        raise CommandFailed(f"{directory}: {error.strerror}") from None
    return descriptor


def open_cell(
    directory: Path, replicas: int | None, port: int | None, fsync: FsyncPolicy | None
) -> CellConfig:
    """The cell of that directory, made on first use; None is "as it is", or the default.

    Raises ConfigError for a file that can't be used or says otherwise than asked, CommandFailed
    when it can't be made.
    """
    path = directory / CONFIG
    if not path.exists():
        create_cell(directory, replicas or 3, port or 7001, fsync or FsyncPolicy("always"))
    cell = load_config(path)
    if cell.secret is None:
        cell = add_secret(cell)
    asked = {
        "--replicas": (replicas, len(cell.replicas)),
        "--port": (port, cell.replicas[0].client.port),
        "--fsync": (fsync, cell.fsync),
    }
    for option, (wanted, there) in asked.items():
        if wanted is not None and wanted != there:
            raise ConfigError(
                f"{path} was made with {option} {there}, not {wanted}: "
                "leave the option out, edit the file, or choose another --data"
            )
    return cell


def create_cell(directory: Path, replicas: int, port: int, fsync: FsyncPolicy) -> None:
    """Writes the file and formats each replica's directory. Raises CommandFailed."""
    try:
        draft = directory / DRAFT
        if not draft.exists():
            if any(directory.iterdir()):
                raise CommandFailed(f"{directory} is neither empty nor the directory of a cell")
            write(draft, config_text(replicas, port, fsync))
        cell = load_config(draft)
        if cell.secret is not None:
            make_secret(cell.secret)
        for replica in cell.replicas:
            if not (replica.data / "meta.json").exists():
                identity = Identity(cell.id, cell.name, replica.id, replica.name)
                disk = secrets.randbits(64)
                directory_of = OsDirectory(replica.data)
                open_data_dir(directory_of, identity, new=True, fsync=str(cell.fsync), disk_id=disk).close()
        draft.rename(directory / CONFIG)
        sync(directory)
    except OSError as error:
        raise CommandFailed(f"{error.filename or directory}: {error.strerror}") from None
    except DataDirError as error:
        raise CommandFailed(str(error)) from None


def config_text(replicas: int, port: int, fsync: FsyncPolicy) -> str:
    """The file of a new cell."""
    lines = [
        "# A local cell, made by `fastpaxos-live up`. docs/operations.md explains each key.",
        "[cell]",
        'name = "local"',
        f'id = "{secrets.randbelow((1 << 64) - 1) + 1:#018x}"',
        f'fsync = "{fsync}"',
        f'secret = "{SECRET}"',
    ]
    for i in range(1, replicas + 1):
        lines += [
            "",
            "[[replica]]",
            f'name = "r{i}"',
            f'client = "{HOST}:{port + i - 1}"',
            f'peer = "{HOST}:{port + PEER_OFFSET + i - 1}"',
            f'admin = "{HOST}:{port + ADMIN_OFFSET + i - 1}"',
            f'data = "r{i}"',
        ]
    return "\n".join(lines) + "\n"


def add_secret(cell: CellConfig) -> CellConfig:
    """Gives a cell of an earlier version a secret, since all of its replicas are about to start. A file without a line
    "[cell]" stays as it is. Raises CommandFailed, or ConfigError.
    """
    text = cell.path.read_text(encoding="utf-8")
    changed = re.sub(r"^\[cell\][ \t]*(#.*)?$", rf'\g<0>\nsecret = "{SECRET}"', text, count=1, flags=re.M)
    if changed == text:
        return cell
    try:
        make_secret(cell.path.absolute().parent / SECRET)
        write(cell.path, changed)
    except OSError as error:
        raise CommandFailed(f"{error.filename or cell.path}: {error.strerror}") from None
    return load_config(cell.path)


def write(path: Path, content: str) -> None:
    """Makes the file appear whole and durably, or not at all."""
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8") as file:
        if path.exists():
            shutil.copymode(path, unfinished)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Makes what was created and renamed in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
