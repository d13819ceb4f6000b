"""The admin port: what it answers, and that who says nothing there costs nobody anything."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.test_commands import STATUS, cell_of, status_of

from fastpaxos_live.server import admin as admin_module
from fastpaxos_live.server.admin import CONNECTIONS_MAX, HEAD_BYTES_MAX, Admin
from fastpaxos_live.server.config import Address
from fastpaxos_live.server.edges import EdgeFailed
from fastpaxos_live.testing import HOST, free_ports

WAIT_S = 20.0


class Replica:
    """Only its status is asked for."""

    def __init__(self) -> None:
        self.now = STATUS

    def status(self) -> Any:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class Served:
    """An admin port and who asks there."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.port = free_ports(1)[0]
        cell = cell_of(3)
        me = replace(cell.replicas[0], admin=Address(HOST, self.port))
        self.cell = replace(cell, replicas=(me, *cell.replicas[1:]))
        self.admin = Admin(self.replica, self.cell, "r1", lambda: {"rounds": 7})  # type: ignore[arg-type]

    async def send(self, data: bytes) -> bytes:
        """All that comes back for these bytes."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        writer.write(data)
        reply = await reader.read()
        writer.close()
        return reply

    async def get(self, path: str) -> tuple[int, str]:
        reply = await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = reply.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
        return int(head.split(b" ")[1]), body.decode()


def run(test: Callable[[Served], Awaitable[None]]) -> list[dict[str, Any]]:
    """Runs it with a served admin port; returns what was logged."""

    async def main() -> None:
        served = Served()
        served.admin.start()
        try:
            async with asyncio.timeout(WAIT_S):
                await test(served)
        finally:
            await served.admin.stop()

    with capture_logs() as logs:
        asyncio.run(main())
    return [dict(line) for line in logs]


def test_what_is_answered() -> None:
    async def test(served: Served) -> None:
        status, body = await served.get("/status")
        assert (status, json.loads(body)["replica"], json.loads(body)["master"]) == (200, "r1", None)
        status, body = await served.get("/profile?x=1")
        assert (status, json.loads(body)["rounds"], json.loads(body)["operations"]) == (200, 7, 11)
        assert await served.get("/healthz") == (503, "no master\n")
        served.replica.now = status_of(master=2)
        assert await served.get("/healthz") == (200, "ok\n")
        served.replica.now = status_of(voting=False)
        assert await served.get("/healthz") == (503, "does not vote\n")
        assert (await served.get("/nothing"))[0] == 404

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /status HTTP/1.1\r\n\r\n", 405),
        (b"GET /status HTTP/2\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"*1\r\n$4\r\nPING\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404),
        (b"GET /status HTTP/1.1\r\n" + b"x: y\r\n" * (HEAD_BYTES_MAX // 6), 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    async def test(served: Served) -> None:
        assert (await served.send(data)).startswith(b"HTTP/1.1 %d " % status)

    run(test)


def test_head_has_no_body() -> None:
    async def test(served: Served) -> None:
        head, _, body = (await served.send(b"HEAD /status HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and body == b""

    run(test)


def test_idle_connections_keep_nobody_out() -> None:
    async def test(served: Served) -> None:
        async with AsyncExitStack() as stack:
            for i in range(5 * CONNECTIONS_MAX):
                _, writer = await asyncio.open_connection(HOST, served.port)
                stack.callback(writer.close)
                writer.write(b"GET /status HTTP/1.1\r\n" if i % 2 else b"")
            assert (await served.get("/status"))[0] == 200
            assert len(served.admin._tasks) <= CONNECTIONS_MAX

    run(test)


def test_who_says_nothing_is_gone_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "REQUEST_S", 0.1)

    async def test(served: Served) -> None:
        assert await served.send(b"") == b""
        assert await served.send(b"GET /status HTTP/1.1\r\n") == b""

    run(test)


def test_a_mistake_is_one_requests_error() -> None:
    async def test(served: Served) -> None:
        served.replica.now = OSError(24, "Too many open files")  # type: ignore[assignment]
        assert await served.get("/status") == (500, "internal error\n")
        served.replica.now = STATUS
        assert (await served.get("/status"))[0] == 200

    logs = run(test)
    assert [line["event"] for line in logs] == ["an admin request failed"]


def test_an_address_in_use() -> None:
    async def test(served: Served) -> None:
        other = Admin(served.replica, served.cell, "r1", dict)  # type: ignore[arg-type]
        with pytest.raises(EdgeFailed, match=rf"can't listen on .*:{served.port}: Address already in use"):
            other.start()

    run(test)
