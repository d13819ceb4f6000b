"""What a replica says of itself."""

from typing import TYPE_CHECKING

from .log_machines import ACCEPTOR_SILENT, REIGN_IDLE, reign_base

if TYPE_CHECKING:
    from .replica import Replica


def status(replica: "Replica") -> dict:
    """As `_api.Status` has it."""
    a, r = replica.log.acceptor, replica.log.reign
    machines = replica.log.machines
    serving = replica.serving()
    lease_end = reign_base(machines, replica.now) + machines.master
    heard = [
        id for id in range(1, machines.replicas + 1)
        if serving and (id == replica.me or replica.now < r.heard[id] + machines.lease)
    ]
    return {
        "role": "master" if serving else "candidate" if replica.log.candidate() else "replica",
        "serving": serving,
        "master": replica.master(),
        "last_master": replica.last_master,
        "sequence_number": r.number if r.state != REIGN_IDLE else a.promised,
        "epoch": replica.epoch,
        "instance_committed": a.chosen,
        "instance_applied": replica.log.applied,
        "lease_us_left": max(0, lease_end - replica.now) if serving else 0,
        "voting": a.state != ACCEPTOR_SILENT,
        "heard": heard,
        "followers": {
            id: (r.acked[id], replica.now - r.heard[id])
            for id in range(1, machines.replicas + 1) if serving and id != replica.me
        },
        "linked": [
            id for id in range(1, machines.replicas + 1)
            if id == replica.me or replica.log.links[id][0].up and replica.log.links[id][1].up
        ],
        "keys": replica.store.size,
        "keys_expiring": replica.store.expiring,
        "state_sum": replica.store.state_sum,
        "operations": replica.operations,
        "reads": replica.reads,
        "clients": len(replica.clients),
        "log_position": replica.log.disk.base + replica.log.disk.size,
        "disk_full": replica.log.disk.limit != 0,
        "time_ms": replica.time_ms,
        "promised": a.promised,
        "elections": replica.elections,
        "clock_refused_ms": replica.master_clock.refused_ms,
        "disk_stalled_ms": (replica.now - replica.log.stall.since) // 1000 if replica.log.stalled() else 0,
    }
