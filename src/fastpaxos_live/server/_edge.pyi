import asyncio
from socket import socket
from typing import Any

from .._api import Replica
from ..log.storage import Storage
from .config import FsyncPolicy
from .edges import Hooks

MEASURE_NAMES: tuple[str, ...]

class Edge:
    clients: int
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        replica: Replica,
        replicas: int,
        own: int,
        storage: Storage,
        position: int,
        fsync: FsyncPolicy,
        hooks: Hooks,
    ) -> None: ...
    def start(self) -> None: ...
    def adopt_client(self, sock: socket, address: str) -> None: ...
    def adopt_peer(self, sock: socket, peer: int, channel: int) -> None: ...
    def profile(self) -> dict[str, Any]: ...
    async def stop(self) -> None: ...

def bucket_of(value: int) -> int: ...
def lap_cost_ns(count: int = 100_000) -> float: ...
