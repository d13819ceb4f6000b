"""The cell's configuration: one TOML file for all of its replicas.

Whatever is wrong with it is a `ConfigError` whose text is one line that names the file, the place
and the way out. docs/operations.md describes every key.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from .._api import Config
from ..log.handshake import Terms, handshake_key, table_hash_seed
from ..log.segments import SEGMENT_VERSION
from ..reference.limits import (
    BATCH_BYTES,
    CLIENT_BYTES_MAX,
    REPLICAS_MAX,
    REQUEST_SLACK,
    SLOTS,
    SPAN_US_MAX,
    VALUE_BYTES_MAX,
    WINDOW_MAX,
)
from ..reference.log_frame import VERSION
from .lines import one_line
from .memory import SHARE, memory_bytes

# By how much the rate of a clock may be wrong, either way, generously: measured by the slowest clock
# the master's lease must still be shorter than the replicas' by the fastest, or two could serve.
DRIFT_PERMILLE = 25

DIGITS_MAX = 20  # of any number in a text: int() refuses thousands of them in a way of its own

REDIRECTS = {"auto": 0, "moved": 1, "forward": 2}


class ConfigError(ValueError):
    """The configuration can't be used; the text is one line for the operator."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


class Address(NamedTuple):
    """A host (name or IP address) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FsyncPolicy(NamedTuple):
    """When what is written is synced: "always" (before its answer), every interval, or "never"."""

    kind: Literal["always", "interval", "never"]
    interval_ms: int = 0

    def __str__(self) -> str:
        return f"interval:{self.interval_ms}" if self.kind == "interval" else self.kind


Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Limits(Struct, frozen=True):
    """`[limits]`. Sizes in bytes, times in milliseconds."""

    value_bytes_max: Annotated[int, Meta(ge=1024, le=32 << 20)] = VALUE_BYTES_MAX
    request_bytes_max: Annotated[int, Meta(ge=1 << 20, le=33 << 20)] = 16 << 20
    clients_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    client_bytes_max: Annotated[int, Meta(ge=64 << 20, le=16 << 30)] = CLIENT_BYTES_MAX
    clients_bytes_max: Annotated[int, Meta(ge=0, le=1 << 50)] = 0  # 0: a part of the memory there is
    window: Annotated[int, Meta(ge=1, le=WINDOW_MAX)] = 1
    batch_bytes: Annotated[int, Meta(ge=4096, le=16 << 20)] = BATCH_BYTES
    wait_master_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 5_000
    write_timeout_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 10_000
    # Of a log file. Counts when a directory is formatted; each file is written full of zeros.
    segment_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 30, multiple_of=4096)] = 64 << 20


class Lease(Struct, frozen=True):
    """`[lease]`, in milliseconds of CLOCK_BOOTTIME."""

    replica_ms: Annotated[int, Meta(ge=20, le=SPAN_US_MAX // 1000)] = 600
    master_ms: Annotated[int, Meta(ge=10, le=600_000)] = 500
    beat_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    election_ms: Annotated[int, Meta(ge=1, le=600_000)] = 200
    boost_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 300_000


class _Cell(Struct, frozen=True):
    """`[cell]` as it stands in the file."""

    name: Name
    id: int | str
    fsync: str = "always"
    core: Literal["cython", "python"] | None = None
    redirect: Literal["auto", "moved", "forward"] = "auto"
    secret: str | None = None
    insecure: bool = False


class _Replica(Struct, frozen=True):
    """One `[[replica]]` as it stands in the file."""

    name: Name
    client: str
    peer: str
    admin: str
    data: str


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """A member of the cell; its id is its place in the file, from 1."""

    id: int
    name: str
    client: Address
    peer: Address
    admin: Address
    data: Path  # directory of its own, absolute


@dataclass(frozen=True, slots=True)
class CellConfig:
    """The whole file, checked."""

    path: Path
    name: str
    id: int  # u64, never 0; the seed of every checksum
    replicas: tuple[ReplicaConfig, ...]
    fsync: FsyncPolicy
    core: str | None  # "cython", "python", or None: as FASTPAXOS_CORE says
    redirect: str  # "auto", "moved" or "forward"
    secret: Path | None  # file with the secret, absolute
    limits: Limits
    lease: Lease

    @property
    def quorum(self) -> int:
        """How many replicas are a majority."""
        return len(self.replicas) // 2 + 1

    def replica(self, name: str) -> ReplicaConfig:
        """The member of that name. Raises ConfigError when there is none."""
        for replica in self.replicas:
            if replica.name == name:
                return replica
        names = [replica.name for replica in self.replicas]
        raise ConfigError(f"{self.path}: no replica is called {name!r}{did_you_mean(name, names)}")


def did_you_mean(word: str, known: list[str]) -> str:
    """"; did you mean 'x'?" or the list of what there is, to end an error line with."""
    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(known)})"


def parse_address(text: str) -> Address:
    """"host:port" or "[v6]:port" as an Address. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    named = host and host.isprintable() and not set(" []") & set(host)
    if not colon or not named or not port.isascii() or not port.isdigit():
        raise ConfigError(f"{text!r} is not an address: expected host:port")
    if len(port) > DIGITS_MAX or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"{text!r} is not an address: ports are 1 to 65535")
    return Address(host, int(port))


def parse_fsync(text: str) -> FsyncPolicy:
    """"always", "interval:MS" or "never" as a policy. Raises ConfigError."""
    if text == "always":
        return FsyncPolicy("always")
    if text == "never":
        return FsyncPolicy("never")
    kind, _, interval = text.partition(":")
    if kind == "interval" and interval.isascii() and interval.isdigit():
        if len(interval) <= DIGITS_MAX and 1 <= int(interval) <= 60_000:
            return FsyncPolicy("interval", int(interval))
        raise ConfigError(f"fsync {text!r}: the interval is 1 to 60000 milliseconds")
    raise ConfigError(f"fsync {text!r}: expected always, interval:MS or never")


def load_config(path: str | Path) -> CellConfig:
    """Reads and checks the file. Raises ConfigError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        return parse_config(text, path)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(text: str, path: Path) -> CellConfig:
    """The configuration in `text`; relative directories are meant from `path`'s own.

    Raises tomllib.TOMLDecodeError, or ConfigError without the name of the file.
    """
    data = read_toml(text)
    check_keys(data, ["cell", "replica", "limits", "lease"], "the file")
    cell = convert(data.get("cell", {}), _Cell, "[cell]")
    rows = data.get("replica", [])
    if not isinstance(rows, list) or not 1 <= len(rows) <= REPLICAS_MAX:
        raise ConfigError(f"a cell has 1 to {REPLICAS_MAX} [[replica]] tables")
    base = path.absolute().parent
    replicas = tuple(parse_replica(row, number, base) for number, row in enumerate(rows, 1))
    check_distinct(replicas)
    check_reachable(replicas, cell.insecure)
    lease = convert(data.get("lease", {}), Lease, "[lease]")
    check_lease(lease)
    return CellConfig(
        path=path,
        name=cell.name,
        id=parse_cell_id(cell.id),
        replicas=replicas,
        fsync=parse_fsync(cell.fsync),
        core=cell.core,
        redirect=cell.redirect,
        secret=None if cell.secret is None else parse_path(cell.secret, "file", "[cell] secret", base),
        limits=convert(data.get("limits", {}), Limits, "[limits]"),
        lease=lease,
    )


T = TypeVar("T", bound=Struct)


def read_toml(text: str) -> dict[str, Any]:
    """Raises tomllib.TOMLDecodeError, or ConfigError for what the parser is not made for."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ConfigError("a number in it has thousands of digits") from None
    except RecursionError:
        raise ConfigError("its values are nested too deeply") from None


def convert(table: Any, kind: type[T], where: str) -> T:
    """A TOML table as a Struct. Raises ConfigError for unknown keys, wrong types and values."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    check_keys(table, list(kind.__struct_fields__), where)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        key = place.removesuffix("`")
        raise ConfigError(f"{where}{' ' + key if key else ''}: {problem}") from None


def check_keys(table: dict[str, Any], known: list[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")


def parse_cell_id(value: int | str) -> int:
    try:
        number = value if isinstance(value, int) else int(value, 16)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 64:
        raise ConfigError(f"[cell] id: {value!r} is not an integer or hexadecimal, 1 to 2**64-1")
    return number


def parse_path(text: str, what: str, where: str, base: Path) -> Path:
    if not text:
        raise ConfigError(f"{where}: the name of a {what} is missing")
    if "\0" in text:
        raise ConfigError(f"{where}: {text!r} is no name of a {what}")
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{where}: there is no home directory for {text!r}") from None


def parse_replica(row: Any, number: int, base: Path) -> ReplicaConfig:
    where = f"[[replica]] {number}"
    entry = convert(row, _Replica, where)
    addresses = {}
    for key in ("client", "peer", "admin"):
        try:
            addresses[key] = parse_address(getattr(entry, key))
        except ConfigError as error:
            raise ConfigError(f"{where} {key}: {error}") from None
    data = parse_path(entry.data, "directory", f"{where} data", base)
    return ReplicaConfig(id=number, name=entry.name, data=data, **addresses)


def places(replicas: tuple[ReplicaConfig, ...]) -> Iterator[tuple[str, object]]:
    """What must differ between any two, with a name for the error line."""
    for replica in replicas:
        yield f"name of replica {replica.id}", replica.name
        yield f"client of {replica.name!r}", replica.client
        yield f"peer of {replica.name!r}", replica.peer
        yield f"admin of {replica.name!r}", replica.admin
        yield f"data of {replica.name!r}", replica.data


def check_distinct(replicas: tuple[ReplicaConfig, ...]) -> None:
    seen: dict[object, str] = {}
    for place, value in places(replicas):
        if value in seen:
            raise ConfigError(f"{place} is the same as {seen[value]}: {value}")
        seen[value] = place


def check_reachable(replicas: tuple[ReplicaConfig, ...], insecure: bool) -> None:
    """Nothing asks for a password yet, so only this machine may connect unless it was asked for."""
    for replica in replicas:
        for key in ("client", "peer", "admin"):
            address: Address = getattr(replica, key)
            if is_unspecified(address.host):
                raise ConfigError(
                    f"{key} of {replica.name!r}: {address} is no address others can connect to"
                )
            if not insecure and not is_loopback(address.host):
                raise ConfigError(
                    f"{key} of {replica.name!r}: {address} is open to other machines and there is "
                    "no authentication; [cell] insecure = true allows it"
                )


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def check_lease(lease: Lease) -> None:
    longest_ms = lease.replica_ms * (1000 - DRIFT_PERMILLE) // (1000 + DRIFT_PERMILLE)
    if lease.master_ms > longest_ms:
        raise ConfigError(
            f"[lease] master_ms: {lease.master_ms} is too close to replica_ms "
            f"({lease.replica_ms}) for clocks that drift: at most {longest_ms}"
        )
    if lease.beat_ms * 2 > lease.master_ms:
        raise ConfigError(
            f"[lease] beat_ms: {lease.beat_ms} must be at most half of master_ms "
            f"({lease.master_ms}), or one lost heartbeat ends the lease"
        )


def cell_terms(cell: CellConfig, secret: bytes | None) -> Terms:
    """What the replicas must agree on before they speak to each other."""
    settings = {
        "fsync": str(cell.fsync),
        "frame_version": str(VERSION),
        "log_version": str(SEGMENT_VERSION),
        "slots": str(SLOTS),
        "drift_permille": str(DRIFT_PERMILLE),
    }
    names = tuple(replica.name for replica in cell.replicas)
    return Terms(cell.id, names, handshake_key(cell.id, secret), settings)


def replica_config(
    cell: CellConfig, name: str, seed: int, incarnation: int = 1, secret: bytes | None = None
) -> Config:
    """All settings of the replica `name` as the cores take them.

    `seed` (u64) decides everything random in it; the incarnation is what its directory says, `secret` is the cell's.
    Raises ConfigError when there is no such replica.
    """
    return Config(
        cell_id=cell.id,
        replica=cell.replica(name).id,
        replicas=len(cell.replicas),
        incarnation=incarnation,
        seed=seed,
        hash_seed=table_hash_seed(cell.id, secret),
        # As Redis writes addresses in MOVED: an IPv6 address stands without brackets.
        clients=[f"{replica.client.host}:{replica.client.port}" for replica in cell.replicas],
        lease_us=cell.lease.replica_ms * 1000,
        lease_master_us=cell.lease.master_ms * 1000,
        beat_us=cell.lease.beat_ms * 1000,
        boost_us=cell.lease.boost_ms * 1000,
        election_us=cell.lease.election_ms * 1000,
        window=cell.limits.window,
        batch_bytes=cell.limits.batch_bytes,
        value_bytes_max=cell.limits.value_bytes_max,
        request_bytes_max=max(cell.limits.request_bytes_max, cell.limits.value_bytes_max + REQUEST_SLACK),
        client_bytes_max=cell.limits.client_bytes_max,
        clients_bytes_max=cell.limits.clients_bytes_max or memory_bytes() // SHARE,
        wait_master_us=cell.limits.wait_master_ms * 1000,
        write_timeout_us=cell.limits.write_timeout_ms * 1000,
        redirect=REDIRECTS[cell.redirect],
    )
