"""Libraries and tools that look at more than data: reads at replicas, INFO for monitors, what isn't here."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.clients.test_redis_py import run
from tests.clients.test_redis_tools import cli
from tests.clients.tools import require_tool
from tests.differential.manners import Comparison, OverSockets, witnesses

from fastpaxos_live.testing import HOST, Cell, Connection, wait_until

SEED = 7  # `make manners` has others each time

READS = """
import sys
import redis.cluster
from redis.cluster import RedisCluster
try:
    from redis.cluster import LoadBalancingStrategy
    ways = [{"load_balancing_strategy": strategy} for strategy in LoadBalancingStrategy]
except ImportError:
    ways = []
for way in [{"read_from_replicas": True}, *ways]:
    cluster = RedisCluster(sys.argv[1], int(sys.argv[2]), **way)
    for n in range(60):
        assert cluster.set(f"spread{n % 7}", n)
        assert cluster.get(f"spread{n % 7}") == b"%d" % n, (way, n)
        assert cluster.exists(f"spread{n % 7}") == 1
    cluster.close()
print("ok")
"""


def test_reads_spread_over_the_replicas(cell: Cell, redis_py: Path) -> None:
    done = run(redis_py, ["-c", READS, HOST, str(cell.ports[cell.master()])])
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


PARSED = """
import sys
import redis
client = redis.Redis(sys.argv[1], int(sys.argv[2]), decode_responses=True)
client.set("a", 1)
client.get("a")
info = client.info("everything")
assert info["cmdstat_get"]["calls"] >= 1, info
assert info["db0"]["keys"] >= 1
if info["role"] == "master":
    assert info["slave0"]["state"] == "online" and info["slave0"]["lag"] == 0 and info["slave0"]["offset"] > 0, info
stats = client.info("commandstats")
assert stats["cmdstat_set"]["usec_per_call"] == 0
(row,) = [row for row in client.client_list() if row["id"] == str(client.client_id())]
assert row["db"] == "0" and row["idle"] == "0"
assert client.client_info()["flags"] == "N"
assert client.command_count() > 40
assert client.command()["get"]["arity"] == 2
assert client.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
assert client.config_set("timeout", 0)
assert client.role()[0] in ("master", "slave")
nodes = client.cluster("nodes")
assert len(nodes) == 3
assert len(client.cluster("slots")) == 1
assert client.cluster("info")["cluster_state"] == "ok"
print("ok")
"""


def test_the_parsers_of_redis_py(cell: Cell, redis_py: Path) -> None:
    for port in cell.ports.values():
        done = run(redis_py, ["-c", PARSED, HOST, str(port)])
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


# What redis_exporter 1.x takes from INFO for the dashboards that come with it, and Datadog's and Telegraf's checks.
MONITORED = """
redis_version redis_build_id redis_mode os tcp_port run_id process_id uptime_in_seconds
connected_clients blocked_clients tracking_clients clients_in_timeout_table maxclients
used_memory used_memory_human used_memory_rss used_memory_peak total_system_memory maxmemory maxmemory_policy
mem_fragmentation_ratio
loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled
aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_bgrewrite_status aof_last_write_status
total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
total_net_output_bytes rejected_connections sync_full sync_partial_ok sync_partial_err expired_keys evicted_keys
keyspace_hits keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec migrate_cached_sockets
slave_expires_tracked_keys active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses
total_error_replies unexpected_error_replies
role connected_slaves master_replid master_repl_offset second_repl_offset repl_backlog_size
repl_backlog_first_byte_offset repl_backlog_histlen
used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children cluster_enabled
""".split()
OF_FOLLOWERS = "master_host master_port master_link_status master_last_io_seconds_ago master_sync_in_progress".split()
OF_FOLLOWERS += "slave_repl_offset slave_priority slave_read_only".split()


def test_what_monitors_read(cell: Cell) -> None:
    master = cell.master()
    for i, port in cell.ports.items():
        info = dict(line.split(":", 1) for line in cli(port, "info", "all").splitlines() if ":" in line)
        wanted = MONITORED if i == master else MONITORED + OF_FOLLOWERS
        assert [name for name in wanted if not info.get(name)] == []


def test_stat(cell: Cell) -> None:
    # `redis-cli --stat` goes on until it is stopped, and takes the first line's requests from the second.
    program = require_tool("redis-cli")
    command = ["stdbuf", "-oL", program, "-h", HOST, "-p", str(cell.ports[cell.master()]), "--stat", "-i", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stat:
        assert stat.stdout
        try:
            lines = [stat.stdout.readline() for _ in range(6)]
        finally:
            stat.terminate()
    rows = [line.split() for line in lines if line[:1].isdigit()]
    assert len(rows) >= 3, lines
    for keys, memory, clients, blocked, requests, *_ in rows:
        assert int(keys) >= 0 and memory[-1] in "KMG" and int(clients) >= 1
        assert blocked == "0"
        assert int(requests) > 0
    assert all("-9223" not in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--rdb", os.devnull], "unknown command"),
        (["--replica"], "unknown command"),
        (["-n", "1", "get", "a"], "DB index is out of range"),
    ],
)
def test_what_is_not_here_ends_with_its_reason(cell: Cell, arguments: list[str], error: str) -> None:
    program, port = require_tool("redis-cli"), cell.ports[cell.master()]
    done = subprocess.run(
        [program, "-h", HOST, "-p", str(port), *arguments], capture_output=True, text=True, timeout=60
    )
    assert error in done.stdout + done.stderr
    hint = "there is one database" if "-n" in arguments else "no replica sends or writes a dump"
    wait_until(lambda: hint in cell.log(cell.master()).read_text(), "the sentence in the log")


def test_a_replica_that_hangs_is_told(tmp_path: Path) -> None:
    with Cell(tmp_path) as cell:
        master = cell.master()
        hangs = next(i for i in cell.ids if i != master)
        cell.pause(hangs)
        try:
            with cell.client(master) as client:
                wait_until(lambda: client.info("replication")["connected_slaves"] == 1, "a replica left out")
                nodes = client.execute_command("CLUSTER NODES")
                node = next(n for address, n in nodes.items() if f":{cell.ports[hangs]}" in address)
                assert node["flags"] == "slave,fail" and not node["connected"]
        finally:
            cell.resume(hangs)


def test_no_difference_over_sockets(cell: Cell) -> None:
    with cell.client(cell.master()) as client:
        client.flushall()
    with witnesses() as ports:
        comparison = Comparison(OverSockets(cell), SEED, ports)
        comparison.run(1500)
    assert comparison.undocumented == []


@pytest.mark.parametrize("core", ["cython", "python"])
def test_idle_clients_are_disconnected(tmp_path: Path, core: str) -> None:
    with Cell(tmp_path, replicas=1, core=core) as cell, Connection(cell.ports[1]) as idle:
        assert idle.ask(b"SET", b"a", b"1") == b"+OK"
        with cell.client(1) as client:
            assert client.config_set("timeout", 1)
        assert idle.is_closed()
        with cell.client(1) as client:  # another one: the one before was as idle
            client.config_set("timeout", 0)
            assert [row["id"] for row in client.client_list()] == [str(client.client_id())]
