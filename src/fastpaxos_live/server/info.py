"""INFO: one replica and its cell, in Redis's form. docs/operations.md explains each field."""

import os
import platform
import resource
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from .. import __version__
from .._api import Status
from .config import CellConfig, ReplicaConfig

VERSION_OF_REDIS = "7.2.5"  # whose commands and words these are
UNKNOWN = "unknown"  # what only the master can tell
STATM_BYTES_MAX = 256

GIVES_UP = {
    "always": "nothing",
    "interval": "what a majority of machines acknowledged within the interval before they crash",
    "never": "what a majority of machines has not written back when they crash",
}


@cache
def statm() -> int:
    """Descriptor of what the kernel says of this process's memory; kept, so that it is there when no other is left."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


@dataclass(slots=True)
class Counters:
    """What Python counts; the core counts operations and reads itself."""

    started: float = field(default_factory=time.monotonic)
    connections: int = 0
    commands: int = 0
    errors: int = 0
    base_operations: int = 0  # what the core had counted at CONFIG RESETSTAT
    base_connections: int = 0

    def reset(self, status: Status) -> None:
        """CONFIG RESETSTAT; connection numbers go on."""
        self.base_operations = status["operations"] + status["reads"]
        self.base_connections = self.connections
        self.commands = self.errors = 0


def failures_tolerated(status: Status, cell: CellConfig) -> int | None:
    """How many more replicas may fail right now; None when this replica can't know."""
    if status["role"] != "master":
        return None
    return max(0, len(status["heard"]) - cell.quorum) if status["serving"] else 0


class View(NamedTuple):
    """What the sections are made from."""

    status: Status
    cell: CellConfig
    me: ReplicaConfig
    counters: Counters


Fields = dict[str, object]


def server_section(view: View) -> Fields:
    up_s = int(time.monotonic() - view.counters.started)
    return {
        "redis_version": VERSION_OF_REDIS,
        "redis_mode": "cluster",
        "fastpaxos_version": __version__,
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 1 << 32 else 32,
        "process_id": os.getpid(),
        "tcp_port": view.me.client.port,
        "uptime_in_seconds": up_s,
        "uptime_in_days": up_s // 86400,
        "config_file": view.cell.path.absolute(),
    }


def clients_section(view: View) -> Fields:
    return {"connected_clients": view.status["clients"], "maxclients": view.cell.limits.clients_max}


def memory_section(view: View) -> Fields:
    resident = int(os.pread(statm(), STATM_BYTES_MAX, 0).split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "used_memory": resident,
        "used_memory_rss": resident,
        "used_memory_peak": max(peak, resident),
        "maxmemory": 0,
        "maxmemory_policy": "noeviction",
    }


def persistence_section(view: View) -> Fields:
    return {
        "loading": 0,
        "aof_enabled": 1,
        "log_position": view.status["log_position"],
        "disk_full": int(view.status["disk_full"]),
    }


def stats_section(view: View) -> Fields:
    core = view.status["operations"] + view.status["reads"] - view.counters.base_operations
    return {
        "total_connections_received": view.counters.connections - view.counters.base_connections,
        "total_commands_processed": core + view.counters.commands,
        "total_error_replies": view.counters.errors,
    }


def replication_section(view: View) -> Fields:
    if view.status["role"] == "master":
        others = [other for other in view.cell.replicas if other.id != view.me.id]
        fields: dict[str, object] = {"role": "master", "connected_slaves": len(others)}
        for number, other in enumerate(others):
            state = "online" if other.id in view.status["heard"] else "wait_bgsave"
            fields[f"slave{number}"] = (
                f"ip={other.client.host},port={other.client.port},state={state}"
            )
    else:
        fields = {"role": "slave"}
        if view.status["master"]:
            master = view.cell.replicas[view.status["master"] - 1]
            fields["master_host"] = master.client.host
            fields["master_port"] = master.client.port
        fields["master_link_status"] = "up" if view.status["master"] else "down"
        fields["connected_slaves"] = 0
    fields["master_repl_offset"] = view.status["instance_applied"]
    return fields


def cpu_section(view: View) -> Fields:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "used_cpu_sys": f"{usage.ru_stime:.6f}",
        "used_cpu_user": f"{usage.ru_utime:.6f}",
    }


def cluster_section(view: View) -> Fields:
    return {"cluster_enabled": 1}


def keyspace_section(view: View) -> Fields:
    if not view.status["keys"]:
        return {}
    return {"db0": f"keys={view.status['keys']},expires={view.status['keys_expiring']},avg_ttl=0"}


def cell_section(view: View) -> Fields:
    tolerated = failures_tolerated(view.status, view.cell)
    heard = [view.cell.replicas[member - 1].name for member in sorted(view.status["heard"])]
    master = view.status["master"]
    fields: dict[str, object] = {
        "cell": view.cell.name,
        "cell_id": f"{view.cell.id:#018x}",
        "master": view.cell.replicas[master - 1].name if master else "",
        "members": len(view.cell.replicas),
        "quorum": view.cell.quorum,
        "fsync": view.cell.fsync,
        "fsync_gives_up": GIVES_UP[view.cell.fsync.kind],
        "failures_configured": len(view.cell.replicas) - view.cell.quorum,
        "failures_tolerated": UNKNOWN if tolerated is None else tolerated,
        "heard": ",".join(heard) if view.status["role"] == "master" else UNKNOWN,
    }
    for member in view.cell.replicas:
        fields[f"member{member.id}"] = (
            f"name={member.name},client={member.client},peer={member.peer},admin={member.admin}"
        )
    return fields


def replica_section(view: View) -> Fields:
    return {
        "replica": view.me.name,
        "replica_role": view.status["role"],
        "serving": int(view.status["serving"]),
        "voting": int(view.status["voting"]),
        "epoch": view.status["epoch"],
        "sequence_number": view.status["sequence_number"],
        "promised": view.status["promised"],
        "instance_committed": view.status["instance_committed"],
        "instance_applied": view.status["instance_applied"],
        "lease_held": int(view.status["lease_us_left"] > 0),
        "lease_ms_left": view.status["lease_us_left"] // 1000,
        "elections_won": view.status["elections"],
        "clock_refused_ms": view.status["clock_refused_ms"],
        "disk_stalled_ms": view.status["disk_stalled_ms"],
        "operations_applied": view.status["operations"],
        "reads_answered": view.status["reads"],
        "state_sum": view.status["state_sum"],
        "time_ms": view.status["time_ms"],
    }


SECTIONS = {
    "server": server_section,
    "clients": clients_section,
    "memory": memory_section,
    "persistence": persistence_section,
    "stats": stats_section,
    "replication": replication_section,
    "cpu": cpu_section,
    "cluster": cluster_section,
    "keyspace": keyspace_section,
    "cell": cell_section,
    "replica": replica_section,
}
ALL = {"all", "default", "everything"}


def info_text(view: View, sections: list[str]) -> str:
    """The reply to INFO; no sections, or one of ALL, means every section."""
    everything = not sections or not ALL.isdisjoint(sections)
    parts = []
    for name, section in SECTIONS.items():
        if everything or name in sections:
            fields = section(view)
            lines = [f"# {name.capitalize()}", *(f"{key}:{value}" for key, value in fields.items())]
            parts.append("".join(line + "\r\n" for line in lines))
    return "\r\n".join(parts)
