"""Admin HTTP of one replica: GET /status and /profile for tools, GET /healthz for whatever watches processes."""

import os
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .._api import Replica
from .config import CellConfig
from .edges import EdgeFailed
from .info import failures_tolerated

STOP_S = 2.0  # how long requests under way may take when the replica stops


class Admin:
    """Serves on the replica's admin address."""

    def __init__(
        self, replica: Replica, cell: CellConfig, name: str, counters: Callable[[], dict[str, Any]]
    ) -> None:
        self.replica = replica
        self.counters = counters
        self.cell = cell
        self.me = cell.replica(name)
        application = web.Application(client_max_size=4096)
        application.add_routes(
            [
                web.get("/status", self.on_status),
                web.get("/profile", self.on_profile),
                web.get("/healthz", self.on_healthz),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_S)

    async def start(self) -> None:
        """Begins to listen. Raises EdgeFailed when the address can't be used."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self.me.admin).start()
        except OSError as error:
            await self._runner.cleanup()
            why = os.strerror(error.errno) if error.errno else str(error)
            raise EdgeFailed(f"can't listen on {self.me.admin}: {why}") from None

    async def stop(self) -> None:
        """Stops listening and closes the connections."""
        await self._runner.cleanup()

    async def on_status(self, request: web.Request) -> web.Response:
        return web.json_response(self.status())

    async def on_profile(self, request: web.Request) -> web.Response:
        """The edge's counters, when they were read, and the operations until then."""
        status = self.replica.status()
        return web.json_response(
            {
                "replica": self.me.name,
                "time_ns": time.monotonic_ns(),
                "operations": status["operations"] + status["reads"],
                **self.counters(),
            }
        )

    async def on_healthz(self, request: web.Request) -> web.Response:
        """200 while this replica votes and knows a master, else 503; the body says which."""
        status = self.replica.status()
        if not status["voting"]:
            return web.Response(status=503, text="does not vote\n")
        if not status["master"]:
            return web.Response(status=503, text="no master\n")
        return web.Response(text="ok\n")

    def status(self) -> dict[str, Any]:
        """The replica's own status, with names for ids."""
        status = self.replica.status()
        replicas = self.cell.replicas
        return {
            **status,
            "cell": self.cell.name,
            "replica": self.me.name,
            "master": replicas[status["master"] - 1].name if status["master"] else None,
            "heard": [replicas[member - 1].name for member in status["heard"]],
            "fsync": str(self.cell.fsync),
            "failures_configured": len(replicas) - self.cell.quorum,
            "failures_tolerated": failures_tolerated(status, self.cell),
        }
