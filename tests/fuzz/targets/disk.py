"""What lies on a disk: write groups, and whole directories of a replica."""

import json
from collections.abc import Hashable
from functools import cache
from random import Random
from struct import pack_into

from tests.fuzz import reseal
from tests.fuzz.mutate import mutate
from tests.fuzz.target import Target, one_line
from tests.hand import CELL_ID, WALL_MS, Cell, config
from xxhash import xxh64_hexdigest, xxh64_intdigest

from fastpaxos_live import _core, _reference
from fastpaxos_live._api import Replica
from fastpaxos_live.log.datadir import Identity, open_data_dir
from fastpaxos_live.log.segments import SEGMENT_HEADER_BYTES
from fastpaxos_live.log.startup import REFUSALS, start_up
from fastpaxos_live.sim.disk import Disk, SimFile

ME = 1
IDENTITY = Identity(CELL_ID, "cell", ME, "r1")
SEGMENT_BYTES = 1 << 16
START_US = 1_000_000


@cache
def log_of_a_cell() -> bytes:
    """What replica 1 of a cell wrote that took a few requests."""
    cell = Cell("cython").start()
    master = cell.master()
    for request in (b"SET a 1", b"INCR a", b"SET b x PX 100000", b"DEL a"):
        cell.ask(master, request)
    cell.settle()
    return cell.log(ME)


def cut(log: bytes) -> list[bytes]:
    """Its beginnings, at the borders of groups."""
    ends = [0]
    while ends[-1] < len(log):
        ends.append(ends[-1] + int.from_bytes(log[ends[-1] + 16 : ends[-1] + 20], "little"))
    return [log[:end] for end in ends[1::3]]


class Groups(Target):
    """A log of any bytes: both cores take the same part of it, and are in the same state then."""

    name = "groups"
    cost = 10

    def seeds(self) -> list[bytes]:
        return [*cut(log_of_a_cell())[:4], log_of_a_cell()]

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        out = bytearray(super().change(random, data, other))
        if random.random() < 0.9:
            reseal.groups(random, out, CELL_ID)
        return bytes(out)

    def check(self, data: bytes) -> Hashable:
        pair: list[Replica] = [core.Replica(config(ME)) for core in (_core, _reference)]
        taken = [made.feed_log(data) for made in pair]
        assert taken[0] == taken[1] <= len(data) and taken[0] % 64 == 0
        for made in pair:
            made.start(START_US, WALL_MS)
            made.turn(START_US, WALL_MS)
        states = [made.status() for made in pair]
        assert states[0] == states[1]
        state = states[0]
        return taken[0] == len(data), taken[0] // 256, state["instance_applied"], state["keys"], state["promised"] >> 24


Files = dict[str, bytes]


def pack(files: Files) -> bytes:
    """As bytes: of each file its name, its size, and what is before the zeros at its end."""
    out = bytearray()
    for name, data in files.items():
        text = data.rstrip(b"\0")
        out += b"%d %d %s\n%b\n" % (len(data), len(text), name.encode("latin-1"), text)
    return bytes(out)


def unpack(data: bytes) -> Files:
    files: Files = {}
    while data:
        line, _, data = data.partition(b"\n")
        size, length, name = line.split(b" ", 2)
        files[name.decode("latin-1")] = data[: int(length)].ljust(int(size), b"\0")
        data = data[int(length) + 1 :]
    return files


def seal_meta(data: bytes) -> bytes:
    """With the right checksum, if it is JSON."""
    try:
        fields = json.loads(data)
        fields.pop("checksum")
        sealed = {**fields, "checksum": xxh64_hexdigest(json.dumps(fields, sort_keys=True).encode())}
        return json.dumps(sealed, indent=2).encode()
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return data


class Directories(Target):
    """The directory of a replica with anything in it: a start or one line of refusal, the same on both cores; and what
    was started once starts again, and finds the same."""

    name = "directories"
    tokens = (b"null", b"true", b"-1", b"0", b"1e9", b'""', b"[]", b"{}", b"[" * 3000, b'"fsync"', b'"never"', b",")
    cost = 100

    def seeds(self) -> list[bytes]:
        disk = Disk("d")
        data_dir = open_data_dir(
            disk, IDENTITY, new=True, fsync="always", disk_id=5, segment_bytes=SEGMENT_BYTES)
        started = start_up(data_dir, "boot", lambda incarnation: _core.Replica(config(ME, incarnation=incarnation)))
        data_dir.begin("always", "boot", 600_000)
        started.storage.close()
        empty = {name: bytes(file.data) for name, file in disk.files.items()}
        first = next(name for name in empty if name.startswith("log."))
        logs = [empty[first][:SEGMENT_HEADER_BYTES] + log.ljust(SEGMENT_BYTES, b"\0") for log in cut(log_of_a_cell())]
        torn = logs[-1].rstrip(b"\0")[:-70].ljust(len(logs[-1]), b"\0")
        return [pack({**empty, first: log}) for log in (*logs[:3], logs[-1], torn)] + [pack(empty), pack({})]

    def change(self, random: Random, data: bytes, other: bytes) -> bytes:
        files = unpack(data)
        if not files or random.random() < 0.05:
            files = unpack(other)
        for name in random.sample(sorted(files), min(len(files), random.choice((1, 1, 2)))):
            if random.random() < 0.1:
                self._rename(random, files, name)
            else:
                files[name] = self._changed(random, files, name)
        return pack(files)

    @staticmethod
    def _rename(random: Random, files: Files, name: str) -> None:
        content = files[name] if random.random() < 0.5 else files.pop(name)
        names = ("meta.json", "meta.json.new", "lock", "log.00000000", "log.00000001", "log.1", "log.00000001.new", "x")
        if random.random() < 0.7:
            files[random.choice(names)] = content

    def _changed(self, random: Random, files: Files, name: str) -> bytes:
        data = files[name]
        if name.startswith("log.") and len(data) > SEGMENT_HEADER_BYTES and random.random() < 0.9:
            head, text = data[:SEGMENT_HEADER_BYTES], data[SEGMENT_HEADER_BYTES:].rstrip(b"\0")
            if random.random() < 0.2:
                sealed = bytearray(mutate(random, head[:64], b"").ljust(SEGMENT_HEADER_BYTES, b"\0"))
                pack_into("<Q", sealed, 0, xxh64_intdigest(sealed[8:SEGMENT_HEADER_BYTES]))
                head = bytes(sealed[:SEGMENT_HEADER_BYTES])
            out = bytearray(mutate(random, text, text))
            if random.random() < 0.6:
                reseal.groups(random, out, CELL_ID)
            return head + bytes(out[:SEGMENT_BYTES]).ljust(SEGMENT_BYTES, b"\0")
        changed = mutate(random, data.rstrip(b"\0"), b"", self.tokens)
        return seal_meta(changed) if name == "meta.json" and random.random() < 0.8 else changed

    def check(self, data: bytes) -> Hashable:
        first = [self._start(unpack(data), core) for core in (_core, _reference)]
        assert first[0][:2] == first[1][:2]
        said, found, files = first[0]
        if found is None:
            return said.split(":")[0][:20], len(said) // 20
        again = self._start(files, _core)
        assert again[0] == "started" and again[1] is not None
        assert again[1][0] == found[0], "the log ends elsewhere at the next start"
        return said, found[0] // 512, found[2]

    @staticmethod
    def _start(files: Files, core: object) -> tuple[str, tuple | None, Files]:  # type: ignore[type-arg]
        """What was said, what was found, and what the directory holds then."""
        disk = Disk("d")
        for name, content in files.items():
            disk.files[name] = SimFile(disk)
            disk.files[name].damage(content)
        try:
            data_dir = open_data_dir(disk, IDENTITY, new=False, fsync="always", disk_id=5)
            made = start_up(
                data_dir, "boot",
                lambda incarnation: core.Replica(config(ME, incarnation=incarnation)))  # type: ignore[attr-defined]
        except REFUSALS as error:
            return f"{one_line(error, 20_000)}: {error}", None, {}
        made.replica.start(START_US, WALL_MS)
        kept = {name: bytes(file.data) for name, file in disk.files.items()}
        return "started", (made.found.position, made.replica.status(), made.found.tail), kept
