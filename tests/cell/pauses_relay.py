"""Connections between replicas that can be cut: each calls the others at a relay's port instead of theirs.

A cut link carries nothing and ends nothing: bytes wait in the relay, calls are answered by nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fastpaxos_live.testing import HOST, Cell, free_ports

CHUNK = 1 << 16


class Link:
    """All connections from one replica to another."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._on_call, HOST, self.port)

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    def watcher(self, forth: bool) -> Callable[[bytes], None]:
        """Is told what passes in one direction of a new connection; subclasses have their own."""
        return lambda data: None

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            try:
                there, back = await asyncio.open_connection(HOST, self._target)
            except OSError:
                writer.close()
            else:
                await asyncio.gather(self._carry(reader, back, True), self._carry(there, writer, False))
        self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forth: bool) -> None:
        see = self.watcher(forth)
        try:
            while data := await reader.read(CHUNK):
                await self._open.wait()
                see(data)
                writer.write(data)
                await writer.drain()
            await self._open.wait()
        except (OSError, RuntimeError):  # uvloop's way to say that the writer is closed
            await self._open.wait()
        finally:
            writer.close()


class LinkedCell(Cell):
    """A cell whose replicas talk through links, each with a configuration of its own that says so."""

    def link(self) -> dict[tuple[int, int], Link]:
        """The links, by who calls whom; they have to be started before the cell."""
        pairs = [(i, j) for i in self.ids for j in self.ids if i < j]  # the lower id calls
        ports = dict(zip(pairs, free_ports(len(pairs)), strict=True))
        text = self.config.read_text()
        for i in self.ids:
            own = text
            for j in self.ids:
                if (i, j) in ports:
                    own = own.replace(f'peer = "{HOST}:{self.peer_ports[j]}"', f'peer = "{HOST}:{ports[i, j]}"')
            self.config_of(i).write_text(own)
        return {(i, j): Link(port, self.peer_ports[j]) for (i, j), port in ports.items()}

    def config_of(self, i: int) -> Path:
        return self.directory / f"cell-r{i}.toml"


def links_of(links: dict[tuple[int, int], Link], one: int, others: Sequence[int]) -> list[Link]:
    """Those between a replica and some others."""
    return [link for pair, link in links.items() if one in pair and any(other in pair for other in others)]
