"""A real redis-server as the witness of what Redis says, and replies taken apart."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.differential.resp_requests import request

HOST = "127.0.0.1"
START_S = 20.0


class Redis:
    """A connection to a redis-server of the test's own."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 5)
        self._stream = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The first line of a reply, where the rest is read piece by piece."""
        return self._stream.readline()

    def reply(self) -> bytes:
        """The bytes of one reply; empty at the end of the stream."""
        line = self.line()
        if line[:1] in (b"$", b"=") and line != b"$-1\r\n":
            return line + self._stream.read(int(line[1:]) + 2)
        if line[:1] in (b"*", b"%", b"~"):
            count = int(line[1:]) * (2 if line[:1] == b"%" else 1)
            return line + b"".join(self.reply() for _ in range(count))
        return line

    def ask(self, *args: bytes) -> bytes:
        self.send(request(*args))
        return self.reply()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def connect(port: int, server: subprocess.Popen[bytes]) -> Redis:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return Redis(port)
        except OSError:
            assert server.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.02)


@contextmanager
def redis_server(folder: Path, *more: str) -> Iterator[int]:
    """Runs a redis-server with these arguments and nothing on disk that is kept; its port."""
    program = shutil.which("redis-server")
    if program is None:
        # Fails instead where FPL_REQUIRE_REDIS is set, as .ci/run does: tests/conftest.py.
        pytest.skip("redis-server is not installed")
    with socket.create_server((HOST, 0)) as probe:
        free = probe.getsockname()[1]
    arguments = ["--port", str(free), "--bind", HOST, "--save", "", "--appendonly", "no", *more]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, cwd=folder) as server:
        try:
            connect(free, server).close()
            yield free
        finally:
            server.terminate()


class Map(NamedTuple):
    """A map of RESP3: keys and values in turn."""

    items: list[object]


class Set(list[object]):
    """A set of RESP3: never equal to an array."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Set) and super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


class Line(NamedTuple):
    """A reply of one line with its first byte: a simple string, an error, a number."""

    text: bytes


class Reader:
    """Replies as objects: Line, bytes (bulk and verbatim strings), None, list (arrays), Set and Map."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def raw(self) -> bytes:
        """The bytes of the next reply."""
        start = self._at
        self.next()
        return self._data[start : self._at]

    def next(self) -> object:
        end = self._data.index(b"\r\n", self._at)
        line = self._data[self._at : end]
        self._at = end + 2
        kind = line[:1]
        if line in (b"$-1", b"*-1", b"_"):
            return None
        if kind in (b"$", b"="):
            size = int(line[1:])
            text = self._data[self._at : self._at + size]
            assert self._data[self._at + size : self._at + size + 2] == b"\r\n" and len(text) == size, "cut off"
            self._at += size + 2
            return text[4:] if kind == b"=" else text
        if kind == b"*":
            return [self.next() for _ in range(int(line[1:]))]
        if kind == b"~":
            return Set(self.next() for _ in range(int(line[1:])))
        if kind == b"%":
            return Map([self.next() for _ in range(2 * int(line[1:]))])
        assert kind in (b"+", b"-", b":", b"#", b","), line
        return Line(line)


def split(data: bytes) -> list[bytes]:
    """Whole replies, one by one."""
    reader = Reader(data)
    found = []
    while reader.more():
        found.append(reader.raw())
    return found


def shown(value: object) -> str:
    """A reply, taken apart, as one line for people and for the table of differences."""
    if value is None:
        return "nil"
    if isinstance(value, Line):
        return printable(value.text)
    if isinstance(value, bytes):
        return '"' + printable(value) + '"'
    if isinstance(value, Map):
        keys, values = value.items[::2], value.items[1::2]
        return "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in zip(keys, values, strict=True)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def printable(data: bytes) -> str:
    """One line of ASCII."""
    return data.decode("latin-1").encode("unicode_escape").decode()
