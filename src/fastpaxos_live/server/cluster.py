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


class Cluster:
    """Answers about the cluster, as one replica sees it."""

    def __init__(self, cell: CellConfig, me: ReplicaConfig) -> None:
        self.cell = cell
        self.me = me
        self._last_master = me

    def master(self, status: Status) -> ReplicaConfig:
        """The master; while none is known the last one, since clients want all slots covered."""
        if status["master"]:
            self._last_master = self.cell.replicas[status["master"] - 1]
        return self._last_master

    def node_id(self, replica: ReplicaConfig) -> str:
        """40 hexadecimal digits, the same from every replica and after every restart."""
        return sha1(f"{self.cell.id}:{replica.id}".encode()).hexdigest()

    def shard_id(self) -> str:
        return sha1(f"{self.cell.id}".encode()).hexdigest()

    def _ordered(self, status: Status) -> list[ReplicaConfig]:
        master = self.master(status)
        return [master, *(other for other in self.cell.replicas if other is not master)]

    def slots(self, status: Status) -> list[object]:
        """CLUSTER SLOTS."""
        nodes = [
            [replica.client.host, replica.client.port, self.node_id(replica), []]
            for replica in self._ordered(status)
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
                "health": "online",
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
            flags = f"myself,{role}" if replica is self.me else role
            of = "-" if replica is master else self.node_id(master)
            slots = f" 0-{SLOTS - 1}" if replica is master else ""
            lines.append(
                f"{self.node_id(replica)} {replica.client.host}:{replica.client.port}"
                f"@{replica.peer.port} {flags} {of} 0 0 {status['epoch']} connected{slots}\n"
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
        }
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items())
