"""The cell as a Redis Cluster of one shard: the master owns all slots, the others are replicas."""

from binascii import crc_hqx
from hashlib import sha1

from .._api import Status
from .config import CellConfig, ReplicaConfig

SLOTS = 16384


def key_slot(key: bytes) -> int:
    """The hash slot of a key: CRC16 of it, or of what stands in its first {braces}."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def shard_id(cell: CellConfig) -> str:
    """40 hexadecimal digits, the same at every replica of a cell."""
    return sha1(f"{cell.id}".encode()).hexdigest()


class Cluster:
    """Answers about the cluster, as one replica sees it."""

    def __init__(self, cell: CellConfig, me: ReplicaConfig) -> None:
        self.cell = cell
        self.me = me

    def failed(self, status: Status, replica: ReplicaConfig) -> bool:
        """Is this replica known to be out of reach?

        The master knows of whom it has heard nothing within a lease. Another replica knows that of its master, and of
        the others only whether its connections to them stand: one that hangs looks well to it.
        """
        if replica is self.me:
            return False
        if status["role"] == "master":
            return replica.id not in status["heard"]
        if replica is self.master(status):
            return not status["master"]
        return replica.id not in status["linked"]

    def master(self, status: Status) -> ReplicaConfig:
        """The master; while none is known the last one, since clients want all slots covered."""
        id = status["master"] or status["last_master"]
        return self.cell.replicas[id - 1] if id else self.me

    def node_id(self, replica: ReplicaConfig) -> str:
        """40 hexadecimal digits, the same from every replica and after every restart."""
        return sha1(f"{self.cell.id}:{replica.id}".encode()).hexdigest()

    def _ordered(self, status: Status) -> list[ReplicaConfig]:
        master = self.master(status)
        return [master, *(other for other in self.cell.replicas if other is not master)]

    def slots(self, status: Status) -> list[object]:
        """CLUSTER SLOTS."""
        master = self.master(status)
        nodes = [
            [replica.client.host, replica.client.port, self.node_id(replica), {}]
            for replica in self._ordered(status)
            if replica is master or not self.failed(status, replica)
        ]
        return [[0, SLOTS - 1, *nodes]]

    def shards(self, status: Status) -> list[object]:
        """CLUSTER SHARDS."""
        master = self.master(status)
        nodes = [
            {
                "id": self.node_id(replica),
                "port": replica.client.port,
                "ip": replica.client.host,
                "endpoint": replica.client.host,
                "role": "master" if replica is master else "replica",
                "replication-offset": status["instance_applied"],
                "health": "fail" if self.failed(status, replica) else "online",
            }
            for replica in self._ordered(status)
        ]
        return [{"slots": [0, SLOTS - 1], "nodes": nodes}]

    def nodes(self, status: Status) -> str:
        """CLUSTER NODES."""
        master = self.master(status)
        lines = []
        for replica in self.cell.replicas:
            role = "master" if replica is master else "slave"
            failed = self.failed(status, replica)
            flags = f"myself,{role}" if replica is self.me else f"{role},fail" if failed else role
            of = "-" if replica is master else self.node_id(master)
            slots = f" 0-{SLOTS - 1}" if replica is master else ""
            link = "disconnected" if failed else "connected"
            lines.append(
                f"{self.node_id(replica)} {replica.client.host}:{replica.client.port}"
                f"@{replica.peer.port} {flags} {of} 0 0 {status['epoch']} {link}{slots}\n"
            )
        return "".join(lines)

    def info(self, status: Status) -> str:
        """CLUSTER INFO."""
        fields = {
            "cluster_state": "ok" if status["master"] else "fail",
            "cluster_slots_assigned": SLOTS,
            "cluster_slots_ok": SLOTS,
            "cluster_slots_pfail": 0,
            "cluster_slots_fail": 0,
            "cluster_known_nodes": len(self.cell.replicas),
            "cluster_size": 1,
            "cluster_current_epoch": status["epoch"],
            "cluster_my_epoch": status["epoch"],
            "cluster_stats_messages_sent": 0,  # there is no bus between replicas that has such messages
            "cluster_stats_messages_received": 0,
            "total_cluster_links_buffer_limit_exceeded": 0,
        }
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items())
