"""The file with the cell's secret: 64 hex digits, the same on every replica's machine, for the owner's eyes only.

The secret itself is in no setting, argument, log line or answer; only what is derived from it goes further.
"""

import os
import secrets
import stat
from pathlib import Path
from tempfile import mkstemp

import structlog

from ..log.handshake import SECRET_BYTES
from .config import CellConfig, ConfigError

log = structlog.get_logger()

TEXT_BYTES = 2 * SECRET_BYTES


def cell_secret(cell: CellConfig, *, new: bool) -> bytes | None:
    """The secret that the configuration names, made first if there is none and the replica is new; None when it names
    none. Raises ConfigError.
    """
    path = cell.secret
    if path is None:
        log.warning("[cell] secret is not set: whoever reaches the peer port may speak as a replica")
        return None
    if new and make_secret(path):
        log.info("made the cell's secret: the same file belongs on every replica's machine", file=str(path))
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """What the file holds. Raises ConfigError."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe would wait for ever
    except FileNotFoundError:
        raise ConfigError(
            f"[cell] secret: {path} is missing: copy it from another replica's machine (only `serve --new` makes one)"
        ) from None
    except OSError as error:
        raise ConfigError(f"[cell] secret: {path}: {error.strerror}") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"[cell] secret: {path} is not a file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise ConfigError(f"[cell] secret: {path} is open to others (mode {mode:04o}): chmod 600 {path}")
        text = os.read(file, TEXT_BYTES + 2)
    except OSError as error:
        raise ConfigError(f"[cell] secret: {path}: {error.strerror}") from None
    finally:
        os.close(file)
    digits = text.removesuffix(b"\n")
    if len(digits) != TEXT_BYTES or digits.strip(b"0123456789abcdefABCDEF"):
        raise ConfigError(f"[cell] secret: {path} must hold {TEXT_BYTES} hexadecimal digits and nothing else")
    return bytes.fromhex(digits.decode())


def make_secret(path: Path) -> bool:
    """Make the file durably if it is not there: whole or not at all, also when several do so at once. Returns whether
    this made it. Raises ConfigError.
    """
    if os.path.lexists(path):
        return False
    try:
        file, unfinished = mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            os.write(file, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
            os.fsync(file)
            os.link(unfinished, path)
        finally:
            os.close(file)
            os.unlink(unfinished)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(f"[cell] secret: {path}: {error.strerror}") from None
    return True
