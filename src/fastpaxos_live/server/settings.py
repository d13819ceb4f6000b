"""CONFIG GET and SET: the cell's settings under the names that Redis's clients ask for."""

from .config import CellConfig, ReplicaConfig
from .reply import CommandError

APPENDFSYNC = {"always": "always", "interval": "everysec", "never": "no"}  # the nearest of Redis's


class Settings:
    """What CONFIG GET shows; nothing of it can be changed while the replica runs."""

    def __init__(self, cell: CellConfig, me: ReplicaConfig) -> None:
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

    def check_set(self, name: str, value: str) -> None:
        """Setting what already holds is fine. Raises CommandError for everything else."""
        if name.lower() not in self.values:
            raise CommandError(
                f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )
        if self.values[name.lower()] != value:
            raise CommandError(
                f"ERR CONFIG SET failed (possibly related to argument '{name}') - "
                "can't set immutable config"
            )
