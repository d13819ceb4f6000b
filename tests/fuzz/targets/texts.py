"""What people write: configurations and specifications."""

import tomllib
from collections.abc import Hashable
from pathlib import Path

from tests.fuzz.target import Target, one_line

from fastpaxos_live.cli.local import config_text
from fastpaxos_live.server.config import ConfigError, FsyncPolicy, cell_terms, parse_config, replica_config
from fastpaxos_live.smc.emit_cython import emit_cython
from fastpaxos_live.smc.emit_python import emit_python
from fastpaxos_live.smc.ir import SpecError
from fastpaxos_live.smc.lint import lint
from fastpaxos_live.smc.parse import parse

ROOT = Path(__file__).parents[3]


class Configurations(Target):
    """A configuration is taken, and everything is made of it, or refused with a line."""

    name = "config"
    tokens = (
        b"[cell]\n", b"[[replica]]\n", b"[limits]\n", b"[lease]\n", b'fsync = "interval:5"\n', b'"', b"'''", b"=",
        b"{}",
        b"[]", b"[" * 3000, b"1e400", b"nan", b"inf", b"-", b"true", b"1979-05-27", b'peer = "[::1]:1"\n', b"\\u0000",
        b"\xff", b"window = 4\n", b"batch_bytes = 1\n", b"replica_ms = 9\n", b"insecure = true\n", b'"x:0"', b"0x",
    )  # fmt: skip

    def seeds(self) -> list[bytes]:
        return [config_text(count, 7001, FsyncPolicy("always")).encode() for count in (1, 3, 9)] + [
            config_text(3, 7001, FsyncPolicy("interval", 100)).encode()
            + b"\n[limits]\nwindow = 2\nsegment_bytes = 1048576\n[lease]\nreplica_ms = 1000\nmaster_ms = 900\n"
        ]

    def check(self, data: bytes) -> Hashable:
        text = data.decode(errors="replace")
        try:
            cell = parse_config(text, Path("/cell.toml"))
        except (ConfigError, tomllib.TOMLDecodeError) as error:
            return one_line(error, 1000 + len(data)), str(error)[:24]
        terms = cell_terms(cell, None)
        for replica in cell.replicas:
            replica_config(cell, replica.name, 1)
        return len(terms.names), str(cell.fsync), bool(cell.secret)


class Specifications(Target):
    """A specification is compiled to something that Python takes, or refused with lines that name file and line."""

    name = "spec"
    tokens = (
        b"when(", b"otherwise", b"become(", b"send(", b"reply(", b"persist(", b"after=", b"ignore(", b"@on(",
        b"@machine(", b"(" * 300,
        b"    ", b"\n", b":", b"lambda: 0", b"*", b"**", b"f''", b"[0]", b"not ", b" + 1", b" and ", b"ALL", b"me",
        b"-" * 3000, b"\0", b"\\", b"# -*- coding: x -*-\n", b"async ", b"yield", b"1 << 70", b"None", b".x", b"''",
    )  # fmt: skip
    cost = 100

    def seeds(self) -> list[bytes]:
        folder = ROOT / "tests/data/smc"
        good, bad = sorted(folder.glob("good/[a-z]*.py")), sorted(folder.glob("bad/*.py"))[::8]
        return [path.read_bytes() for path in (*good, *bad)]

    def check(self, data: bytes) -> Hashable:
        main = ROOT / "tests/data/smc/good/fuzzed.py"
        text = data.decode(errors="replace")
        try:
            unit = parse([main], lambda path: text if path == main else path.read_text())
            lint(unit)
        except SpecError as error:
            lines = str(error).splitlines()
            assert lines and all(line.startswith("/") for line in lines), str(error)
            return [line.split(": ", 1)[1][:12] for line in lines[:1]][0]
        compile(emit_python(unit), "emitted", "exec")
        emit_cython(unit)
        return len(unit.rows()), len(unit.messages)
