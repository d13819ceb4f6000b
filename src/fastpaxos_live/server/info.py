"""INFO: one replica and its cell, in Redis's form. docs/operations.md explains each field."""

import os
import platform
import resource
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from secrets import token_hex
from typing import NamedTuple

from .. import __version__
from .._api import Counts as CoreCounts
from .._api import Status
from .cluster import shard_id
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
    """What is counted outside of the core, and what the core had counted at CONFIG RESETSTAT."""

    started: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.time)
    run_id: str = field(default_factory=lambda: token_hex(20))
    connections: int = 0
    rejected: int = 0  # connections
    calls: dict[str, int] = field(default_factory=dict)  # of what Python answers, subcommands apart
    base: CoreCounts | None = None
    base_connections: int = 0

    def reset(self, counts: CoreCounts) -> None:
        """CONFIG RESETSTAT; connection numbers go on."""
        self.base = counts
        self.base_connections = self.connections
        self.rejected = 0
        self.calls.clear()

    def since(self, counts: CoreCounts) -> CoreCounts:
        """What the core has counted since then."""
        base = self.base
        if base is None:
            return counts
        now = CoreCounts(**counts)
        now["requests"] -= base["requests"]
        now["hits"] -= base["hits"]
        now["misses"] -= base["misses"]
        now["expired"] -= base["expired"]
        now["bytes_in"] -= base["bytes_in"]
        now["bytes_out"] -= base["bytes_out"]
        now["calls"] = {name: count - base["calls"].get(name, 0) for name, count in counts["calls"].items()}
        now["errors"] = {code: count - base["errors"].get(code, 0) for code, count in counts["errors"].items()}
        return now


def failures_tolerated(status: Status, cell: CellConfig) -> int | None:
    """How many more replicas may fail right now; None when this replica can't know."""
    if status["role"] != "master":
        return None
    return max(0, len(status["heard"]) - cell.quorum) if status["serving"] else 0


class View(NamedTuple):
    """What the sections are made from."""

    status: Status
    counts: CoreCounts
    cell: CellConfig
    me: ReplicaConfig
    counters: Counters


Fields = dict[str, object]


def server_section(view: View) -> Fields:
    up_s = int(time.monotonic() - view.counters.started)
    return {
        "redis_version": VERSION_OF_REDIS,
        "redis_build_id": __version__,
        "redis_mode": "cluster",
        "fastpaxos_version": __version__,
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 1 << 32 else 32,
        "process_id": os.getpid(),
        "run_id": view.counters.run_id,
        "tcp_port": view.me.client.port,
        "server_time_usec": time.time_ns() // 1000,
        "uptime_in_seconds": up_s,
        "uptime_in_days": up_s // 86400,
        "config_file": view.cell.path.absolute(),
    }


def clients_section(view: View) -> Fields:
    return {
        "connected_clients": view.status["clients"],
        "maxclients": view.cell.limits.clients_max,
        "blocked_clients": 0,  # no command blocks
        "tracking_clients": 0,
        "clients_in_timeout_table": 0,
    }


def human(size: int) -> str:
    """Bytes as Redis shows them: 12.34M."""
    if size < 1024:
        return f"{size}B"
    unit = min((size.bit_length() - 1) // 10, 5)
    return f"{size / (1 << 10 * unit):.2f}{' KMGTP'[unit]}"


def memory_section(view: View) -> Fields:
    resident = int(os.pread(statm(), STATM_BYTES_MAX, 0).split()[1]) * resource.getpagesize()
    peak = max(resident, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    total = os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()
    return {
        "used_memory": resident,
        "used_memory_human": human(resident),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "total_system_memory": total,
        "total_system_memory_human": human(total),
        "maxmemory": 0,
        "maxmemory_human": human(0),
        "maxmemory_policy": "noeviction",
        "mem_fragmentation_ratio": "1.00",
        "mem_fragmentation_bytes": 0,
    }


def persistence_section(view: View) -> Fields:
    return {
        "loading": 0,
        "async_loading": 0,
        "rdb_changes_since_last_save": 0,
        "rdb_bgsave_in_progress": 0,
        "rdb_last_save_time": int(view.counters.started_at),
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_current_bgsave_time_sec": -1,
        "aof_enabled": 1,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "err" if view.status["disk_full"] else "ok",
        "log_position": view.status["log_position"],
        "disk_full": int(view.status["disk_full"]),
    }


def stats_section(view: View) -> Fields:
    counts = view.counts
    return {
        "total_connections_received": view.counters.connections - view.counters.base_connections,
        "total_commands_processed": counts["requests"],
        "instantaneous_ops_per_sec": counts["requests_per_s"],
        "total_net_input_bytes": counts["bytes_in"],
        "total_net_output_bytes": counts["bytes_out"],
        "rejected_connections": view.counters.rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": counts["expired"],
        "evicted_keys": 0,
        "keyspace_hits": counts["hits"],
        "keyspace_misses": counts["misses"],
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "latest_fork_usec": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": sum(counts["errors"].values()),
    }


def replication_section(view: View) -> Fields:
    status = view.status
    offset = status["instance_applied"]
    if status["role"] == "master":
        heard = [other for other in view.cell.replicas if other.id in status["heard"] and other.id != view.me.id]
        fields: dict[str, object] = {"role": "master", "connected_slaves": len(heard)}
        for number, other in enumerate(heard):
            durable, ago_us = status["followers"][other.id]
            fields[f"slave{number}"] = (
                f"ip={other.client.host},port={other.client.port},state=online,offset={min(durable, offset)},"
                f"lag={ago_us // 1_000_000}"
            )
    else:
        up = bool(status["master"])
        fields = {"role": "slave"}
        if up:
            master = view.cell.replicas[status["master"] - 1]
            fields["master_host"] = master.client.host
            fields["master_port"] = master.client.port
        fields["master_link_status"] = "up" if up else "down"
        fields["master_last_io_seconds_ago"] = 0 if up else -1
        fields["master_sync_in_progress"] = 0
        fields["slave_read_repl_offset"] = status["instance_committed"]
        fields["slave_repl_offset"] = offset
        fields["slave_priority"] = 100
        fields["slave_read_only"] = 1
        fields["replica_announced"] = 1
        fields["connected_slaves"] = 0
    fields["master_failover_state"] = "no-failover"
    fields["master_replid"] = shard_id(view.cell)
    fields["master_replid2"] = "0" * 40
    fields["master_repl_offset"] = offset
    fields["second_repl_offset"] = -1
    fields["repl_backlog_active"] = 0
    fields["repl_backlog_size"] = 0
    fields["repl_backlog_first_byte_offset"] = 0
    fields["repl_backlog_histlen"] = 0
    return fields


def cpu_section(view: View) -> Fields:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
    }


def modules_section(view: View) -> Fields:
    return {}


def commandstats_section(view: View) -> Fields:
    # How long single commands take isn't measured.
    python = view.counters.calls
    containers = {name.partition("|")[0] for name in python}
    calls = {name: n for name, n in view.counts["calls"].items() if n and name and name not in containers} | python
    return {f"cmdstat_{name}": f"calls={n},usec=0,usec_per_call=0.00" for name, n in sorted(calls.items())}


def errorstats_section(view: View) -> Fields:
    return {f"errorstat_{code}": f"count={n}" for code, n in sorted(view.counts["errors"].items()) if n}


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
    "modules": modules_section,
    "commandstats": commandstats_section,
    "errorstats": errorstats_section,
    "cluster": cluster_section,
    "keyspace": keyspace_section,
    "cell": cell_section,
    "replica": replica_section,
}
TITLES = {"cpu": "CPU"}
ALL = {"all", "everything"}
NOT_BY_DEFAULT = {"commandstats"}


def info_text(view: View, sections: list[str]) -> str:
    """The reply to INFO; no sections, or "default", means all but NOT_BY_DEFAULT."""
    wanted = set(sections)
    if wanted & ALL:
        wanted |= SECTIONS.keys()
    elif not wanted or "default" in wanted:
        wanted |= SECTIONS.keys() - NOT_BY_DEFAULT
    parts = []
    for name, section in SECTIONS.items():
        if name in wanted:
            lines = [f"# {TITLES.get(name, name.capitalize())}"]
            lines += [f"{key}:{value}" for key, value in section(view).items()]
            parts.append("".join(line + "\r\n" for line in lines))
    return "\r\n".join(parts)
