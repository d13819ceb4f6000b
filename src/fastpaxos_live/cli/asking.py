"""Asks the replicas of a cell about themselves, and puts the answers together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..server.config import Address, parse_address

TIMEOUT_S = 2.0
LAG_INSTANCES = 1000  # from this many instances behind the master on, a replica is a problem

Info = dict[str, Any]


class Member(NamedTuple):
    """A replica as the cell's configuration has it."""

    name: str
    client: Address
    peer: str
    admin: str


class Asker:
    """Connections to replicas, kept from one question to the next."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._connections: dict[Address, redis.Redis] = {}
        self._pool = ThreadPoolExecutor(thread_name_prefix="ask")

    def ask(self, address: Address) -> Info | None:
        """INFO of the replica at that address; None when it does not answer."""
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = redis.Redis(
                address.host,
                address.port,
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                retry=Retry(NoBackoff(), 0),
                single_connection_client=False,
            )
        try:
            info = connection.info()
        except (redis.RedisError, OSError):
            connection.close()
            return None
        return info if isinstance(info, dict) and "replica_role" in info else None

    def ask_all(self, members: Sequence[Member]) -> list[Info | None]:
        """The same for several replicas at once."""
        return list(self._pool.map(self.ask, [member.client for member in members]))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.shutdown()
        for connection in self._connections.values():
            connection.close()


def members_of(info: Info) -> list[Member]:
    """The cell's members as one of its replicas names them."""
    members = []
    for number in range(1, int(info["members"]) + 1):
        fields = info[f"member{number}"]
        client = parse_address(str(fields["client"]))
        members.append(
            Member(str(fields["name"]), client, str(fields["peer"]), str(fields["admin"]))
        )
    return members


def report(cell: str, members: Sequence[Member], infos: Sequence[Info | None]) -> dict[str, Any]:
    """The JSON of `status`: the cell, its replicas, and what is wrong."""
    problems = []
    answers: list[Info | None] = []
    for member, info in zip(members, infos, strict=True):
        if info is None:
            problems.append(f"{member.name} ({member.client}) does not answer")
        elif (str(info["cell"]), str(info["replica"])) != (cell, member.name):
            problems.append(
                f"{member.client} is replica {info['replica']} of cell {info['cell']}, "
                f"not {member.name} of {cell}"
            )
            info = None
        answers.append(info)
    master = find_master([info for info in answers if info])
    tolerated = int(master["failures_tolerated"]) if master else 0
    configured = (len(members) - 1) // 2
    if master is None:
        problems.append("no replica serves as master")
    elif tolerated < configured:
        problems.append(f"tolerates {tolerated} failures of {configured} configured")
    problems += [
        problem
        for member, info in zip(members, answers, strict=True)
        if info
        for problem in replica_problems(member, info, master)
    ]
    return {
        "cell": cell,
        "master": str(master["replica"]) if master else None,
        "failures_tolerated": tolerated,
        "failures_configured": configured,
        "problems": problems,
        "replicas": [
            replica_row(member, info, master)
            for member, info in zip(members, answers, strict=True)
        ],
    }


def find_master(infos: Sequence[Info]) -> Info | None:
    """Who serves; of two the later one, since the earlier has not noticed yet."""
    masters = [info for info in infos if info["replica_role"] == "master" and info["serving"]]
    return max(masters, key=lambda info: info["sequence_number"], default=None)


def replica_problems(member: Member, info: Info, master: Info | None) -> list[str]:
    problems = []
    if not info["voting"]:
        problems.append(f"{member.name} does not vote (yet)")
    if master:
        if str(master["cell_id"]) != str(info["cell_id"]):
            problems.append(f"{member.name} has another cell id than {master['replica']}")
        lag = master["instance_committed"] - info["instance_applied"]
        if lag > LAG_INSTANCES:
            problems.append(f"{member.name} is {lag} instances behind")
        if member.name not in names(master["heard"]):
            problems.append(f"{master['replica']} does not hear {member.name}")
    return problems


def names(value: object) -> list[str]:
    """A comma-separated field of INFO, which redis-py has already taken apart."""
    return [str(name) for name in (value if isinstance(value, list) else [value])]


def replica_row(member: Member, info: Info | None, master: Info | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": member.name,
        "client": str(member.client),
        "peer": member.peer,
        "admin": member.admin,
    }
    if info is None:
        keys = ("sequence_number", "epoch", "instance_committed", "instance_applied")
        nothing = dict.fromkeys((*keys, "lease_ms_left", "operations"))
        return {**row, "pid": None, "role": "down", "voting": False, **nothing}
    role = info["replica_role"]
    if role == "master" and info is not master:
        role = "candidate" if not info["serving"] else "replica"
    return {
        **row,
        "pid": info["process_id"],
        "role": role,
        "voting": bool(info["voting"]),
        "sequence_number": info["sequence_number"],
        "epoch": info["epoch"],
        "instance_committed": info["instance_committed"],
        "instance_applied": info["instance_applied"],
        "lease_ms_left": info["lease_ms_left"],
        "operations": info["operations_applied"] + info["reads_answered"],
    }
