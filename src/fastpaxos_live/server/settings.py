"""CONFIG GET and SET: the cell's settings under the names that Redis's clients ask for."""

from .._api import Replica
from .arguments import parse_integer
from .config import CellConfig, ReplicaConfig
from .reply import CommandError, encode_text

APPENDFSYNC = {"always": "always", "interval": "everysec", "never": "no"}  # the nearest of Redis's


SECONDS_MAX = (1 << 31) - 1
IMMUTABLE = frozenset(  # what Redis itself never changes while it runs, whether it is shown here or not
    (
        "aclfile always-show-logo aof_rewrite_cpulist appenddirname appendfilename bgsave_cpulist bio_cpulist "
        "cluster-config-file cluster-enabled cluster-port daemonize databases disable-thp enable-debug-command "
        "enable-module-command enable-protected-configs io-threads io-threads-do-reads logfile pidfile rdbchecksum "
        "replicaof server_cpulist set-proc-title slaveof socket-mark-id supervised syslog-enabled syslog-facility "
        "syslog-ident tcp-backlog unixsocket unixsocketperm"
    ).split()
)


class Settings:
    """What CONFIG GET shows; of it only `timeout` can be changed while the replica runs."""

    def __init__(self, cell: CellConfig, me: ReplicaConfig, replica: Replica) -> None:
        self._replica = replica
        self.values = {
            "appendfsync": APPENDFSYNC[cell.fsync.kind],
            "appendonly": "yes",  # every write is in the log
            "bind": me.client.host,
            "cluster-enabled": "yes",
            "databases": "1",
            "dir": str(me.data),
            "maxclients": str(cell.limits.clients_max),
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "notify-keyspace-events": "",
            "port": str(me.client.port),
            "proto-max-bulk-len": str(cell.limits.value_bytes_max),
            "requirepass": "",
            "save": "",
            "timeout": "0",
        }

    def set(self, pairs: list[tuple[str, str]]) -> None:
        """All of them or none. Raises CommandError."""
        seen = set()
        for name, _ in pairs:
            lower = name.lower()
            if lower in IMMUTABLE:
                raise _refused(name, "can't set immutable config")
            if lower not in self.values:
                raise CommandError(f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            if lower in seen:
                raise _refused(name, "duplicate parameter")
            seen.add(lower)
        timeout_s = None
        for name, value in pairs:
            lower = name.lower()
            if lower == "timeout":
                timeout_s = _seconds(lower, value)
            elif self.values[lower] != value:
                raise _refused(lower, "can't set immutable config")
        if timeout_s is not None:
            self.values["timeout"] = str(timeout_s)
            self._replica.limit_idle(timeout_s * 1_000_000)


def _refused(name: str, why: str) -> CommandError:
    return CommandError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")


def _seconds(name: str, value: str) -> int:
    seconds = parse_integer(encode_text(value))
    if seconds is None:
        raise _refused(name, "argument couldn't be parsed into an integer")
    if not 0 <= seconds <= SECONDS_MAX:
        raise _refused(name, f"argument must be between 0 and {SECONDS_MAX} inclusive")
    return seconds
