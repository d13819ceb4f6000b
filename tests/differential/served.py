"""A cell of three replicas in one process, with what Python answers: all that a client meets but sockets."""

import time
from pathlib import Path

from tests.cells import Cell

from fastpaxos_live.server.commands import Commands
from fastpaxos_live.server.config import CellConfig, parse_config

STEPS_MAX = 20_000


def cell_of(replicas: int) -> CellConfig:
    text = '[cell]\nname = "test"\nid = 9\n'
    for i in range(1, replicas + 1):
        text += f'[[replica]]\nname = "r{i}"\nclient = "127.0.0.1:{7000 + i}"\n'
        text += f'peer = "127.0.0.1:{8000 + i}"\nadmin = "127.0.0.1:{9000 + i}"\ndata = "r{i}"\n'
    return parse_config(text, Path("/cells/test/cell.toml"))


class Served(Cell):
    """Clients may connect to any replica; time is near that of the real clock."""

    def __init__(self, core: str) -> None:
        super().__init__(core)
        wall = int(time.time() * 1000) - self.now // 1000
        self.wall_ms = dict.fromkeys(self.ids, wall)
        cell = cell_of(len(self.ids))
        self.commands = {id: Commands(self.replicas[id], cell, f"r{id}") for id in self.ids}
        self._conns = 0
        self.serving = self.master()

    def open(self, id: int) -> int:
        """A new connection to that replica."""
        self._conns += 1
        self.replicas[id].open_client(self._conns)
        self.commands[id].on_open(self._conns, f"127.0.0.1:{50000 + self._conns % 10_000}")
        return self._conns

    def close(self, id: int, conn: int) -> None:
        self.replicas[id].close_client(conn)
        self.commands[id].on_close(conn)

    def feed(self, id: int, conn: int, data: bytes) -> None:
        self.replicas[id].feed_client(conn, data)

    def replies(self, id: int, conn: int, end: bytes) -> bytes:
        """Steps until what the client got ends so, or the connection does."""
        replica, data = self.replicas[id], bytearray()
        for _ in range(STEPS_MAX):
            self.answer(id)
            data += replica.drain_client(conn)
            if data.endswith(end) or replica.is_closing(conn):
                return bytes(data + replica.drain_client(conn))
            self.step()
        raise AssertionError(f"no end of the replies after {STEPS_MAX} ms: {bytes(data[-200:])!r}")

    def answer(self, id: int) -> None:
        """What Python answers at that replica, until it has nothing more to answer at once."""
        replica = self.replicas[id]
        while calls := replica.drain_calls():
            for conn, args in calls:
                replica.answer(conn, *self.commands[id].handle(conn, args))
            replica.turn(self.now, self._wall(id))
