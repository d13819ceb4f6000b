"""Cells of real processes while replicas are stopped, killed and cut off: is every reply right, and in time?

    python -m tests.cell.pauses --minutes 10 --replicas 3        (`make pauses MINUTES=10 REPLICAS=3`)

Load comes from clients that never wait (pauses_clients.py); links between replicas can be cut (pauses_relay.py);
strangers and clients that vanish are in pauses_strangers.py. Disturbances come one after the other, each when all
replicas serve again.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from tests.cell.pauses_clients import CLOSE_S, Client, Connection, Kind
from tests.cell.pauses_history import History, Request, parse
from tests.cell.pauses_relay import Link, LinkedCell, links_of
from tests.cell.pauses_strangers import Goners, Strangers

from fastpaxos_live.testing import HOST, Closed, request

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
WRITE_TIMEOUT_S, WAIT_MASTER_S = 4.0, 2.0
SETTLED_S = 5.0  # in the end: for so long a replica may say that the master has changed
ANSWER_S = WRITE_TIMEOUT_S + 2.0  # by then a request is answered, or its connection has ended
TAKEOVER_S = 1.0  # after the first write of a new master, what waited for the old one is answered
SERVE_S = 20.0  # after a disturbance all replicas serve
LOOK_S = 0.1
PROBE_S = 0.05  # between the writes that look for a new master
LAG_S = 0.02  # a look that is later than this was held up: by so much longer may answers take
CLIENTS = {Kind.master: 4, Kind.moved: 4, Kind.forwarded: 3}  # forwarded: for each replica
# What happens first in each run: to the master or to another one, and for how long.
SCRIPT = (
    ("stop", True, 2.5), ("cut", True, 2.5), ("kill", True, 1.5), ("stop", True, 0.4), ("cut one link", True, 1.0),
    ("kill", False, 0.5),
)  # fmt: skip
KINDS = {"stop": 5, "kill": 3, "cut": 3, "cut one link": 1}  # disturbances and how often each is drawn
LENGTHS = {"stop": (0.3, 3.0), "kill": (0.2, 1.5), "cut": (0.5, 3.0), "cut one link": (0.5, 3.0)}  # seconds
MASTER_SHARE = 0.7  # of them happen to the master
MGET_KEYS = 100


@dataclass
class Event:
    """A disturbance: what happened to whom, and when."""

    kind: str
    victim: int
    of_master: bool
    began: float
    ended: float = 0.0
    first_write: float = 0.0  # when a write was acknowledged that only another master can have done


@dataclass
class Options:
    """What is asked for; after `seconds` no other disturbance begins, but those of the SCRIPT all happen."""

    replicas: int = 3
    seconds: float = 0.0
    core: str = "cython"
    strangers: bool = True
    source: Path = ROOT / "src"  # where the package comes from
    secret: bool = True  # has the cell one? Builds of long ago know of none
    kinds: dict[str, int] = field(default_factory=lambda: dict(KINDS))


class Run:
    """One cell under load and disturbances; what is wrong is in `history.violations`."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options = options
        limits = {"write_timeout_ms": int(WRITE_TIMEOUT_S * 1000), "wait_master_ms": int(WAIT_MASTER_S * 1000)}
        env = {i: {"PYTHONPATH": str(options.source)} for i in range(1, options.replicas + 1)}
        self.cell = LinkedCell(
            directory.absolute(), options.replicas, options.core, limits=limits, env=env, with_parent=True,
            secret=options.secret,
        )  # fmt: skip
        self.history = History()
        self.ports = self.cell.ports
        self.master = 0
        self.open: set[Connection] = set()
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()  # of connections, replies, clients that vanished, and strangers
        self._dead: set[int] = set()
        self.links: dict[tuple[int, int], Link] = {}
        self.stopped: dict[int, list[tuple[float, float]]] = {i: [] for i in self.cell.ids}
        self._tasks: set[asyncio.Task[None]] = set()
        self.lags: deque[tuple[float, float]] = deque(maxlen=1000)

    def now(self) -> float:
        return time.monotonic()

    # --- the course of a run
    async def run(self, show: Any) -> None:
        """All of it. `show` is told now and then what happens."""
        asyncio.get_running_loop().set_exception_handler(self._on_trouble)
        self.links = self.cell.link()
        for link in self.links.values():
            await link.start()
        try:
            self.cell.start()
            await asyncio.to_thread(self.cell.wait_ready)
            self.history.live.append(b"nothing")
            for work in self._background():
                self._spawn(work)
            until = self.now() + self.options.seconds
            for number, step in enumerate(self._course()):
                if number >= len(SCRIPT) and self.now() > until:
                    break
                await self._disturb(*step)
                await self._settle()
                show(self)
            await self._audit()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for connection in list(self.open):
                connection.end()
            self.cell.kill()
            for link in self.links.values():
                await link.close()

    def _on_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.history.violation("mistake in this harness", f"{context['message']}: {context.get('exception')!r}")

    def _background(self) -> Iterator[Any]:
        yield self._watch()
        yield self._find_master()
        homes = [*self.cell.ids]
        for kind, count in CLIENTS.items():
            for n in range(count * (len(homes) if kind is Kind.forwarded else 1)):
                yield Client(self, kind, homes[n % len(homes)]).run()
        yield Goners(self).run()
        if self.options.strangers:
            yield Strangers(self).run()

    # --- what is looked at all the time
    async def _watch(self) -> None:
        """Requests that wait too long, replicas that ended by themselves, and this process's own lag."""
        due = self.now()
        while True:
            due += LOOK_S
            await asyncio.sleep(max(0.0, due - self.now()))
            if (lag := self.now() - due) > LAG_S:
                self.lags.append((self.now(), lag))
                due = self.now()
            for connection in list(self.open):
                self._look_at(connection)
            for i in self.cell.running():
                if i not in self._dead and not Path(f"/proc/{self.cell.pid(i)}/fd/0").exists():
                    self._dead.add(i)
                    said = self.cell.log(i).read_bytes().decode(errors="replace").strip().rpartition("\n")[2]
                    self.history.violation("dead replica", f"r{i} ended by itself: {said}; {self._lately()}")

    def _look_at(self, connection: Connection) -> None:
        who = f"{connection.name.decode()} {connection.kind}, r{connection.replica}"
        if connection.unknown_at:
            if self.now() > connection.unknown_at + CLOSE_S + self.held_up(connection.replica, connection.unknown_at):
                self.history.violation("open after -UNKNOWN", who)
                connection.end()
        elif connection.owed:
            oldest = connection.owed[0]
            waited = self.now() - oldest.at
            if waited > ANSWER_S and waited > ANSWER_S + self.held_up(connection.replica, oldest.at):
                text = f"{oldest.command.decode()} after {waited:.1f} s, {len(connection.owed)} owed"
                self.history.violation("stuck connection", f"{who}: {text}; {self._lately()}")
                connection.end()

    def held_up(self, replica: int, since: float) -> float:
        """For how long that replica was stopped, or this process did not run, since then."""
        now = self.now()
        stopped = sum(max(0.0, min(end or now, now) - max(start, since)) for start, end in self.stopped[replica])
        return stopped + sum(lag for at, lag in self.lags if at > since)

    def _lately(self) -> str:
        now = self.now()
        return ", ".join(f"{e.kind} r{e.victim} {now - e.began:.1f} s ago" for e in self.events[-3:])

    async def _find_master(self) -> None:
        while True:
            found = await asyncio.gather(*(self._serves(i) for i in self.cell.ids))
            epoch, master = max(found)
            self.master = master if epoch else 0
            await asyncio.sleep(LOOK_S)

    async def _serves(self, i: int) -> tuple[int, int]:
        """The epoch of the master that replica i is, or 0, and i."""
        with suppress(OSError, TimeoutError):
            reply = await self.ask(i, 0.5, b"INFO")
            facts = dict(line.split(":", 1) for line in str(reply, "utf-8", "replace").splitlines() if ":" in line)
            return (int(facts["epoch"]) if facts.get("serving") == "1" else 0), i
        return 0, i

    async def ask(self, i: int, timeout: float, *arguments: bytes) -> Any:
        """The reply to one request on a connection of its own. Raises OSError, TimeoutError."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(HOST, self.ports[i])
            try:
                writer.write(request(*arguments))
                data = bytearray()
                while (found := parse(data, 0)) is None:
                    if not (part := await reader.read(1 << 16)):
                        raise Closed
                    data += part
                return found[0][1]
            finally:
                writer.close()

    async def _probe(self, event: Event) -> None:
        """Finds when another master writes for the first time while the old one is away, and looks at what waits then.

        A write that begins when the master is gone, and is acknowledged before it is back, is another one's.
        """
        others = [i for i in self.cell.ids if i != event.victim]
        while not event.ended and not event.first_write:
            for i in others:
                self._spawn(self._try_write(event, i))
            await asyncio.sleep(PROBE_S)

    async def _try_write(self, event: Event, i: int) -> None:
        wrote = False
        with suppress(OSError, TimeoutError):
            wrote = await self.ask(i, TAKEOVER_S, b"SET", b"probe", b"") == b"OK"
        if wrote and not event.ended and not event.first_write:
            event.first_write = self.now()
            waiting = [
                (connection, one) for connection in self.open for one in connection.owed
                if connection.replica != event.victim and not connection.unknown_at
            ]  # fmt: skip
            asyncio.get_running_loop().call_later(TAKEOVER_S, self._takeover, event, waiting)

    def _takeover(self, event: Event, waiting: list[tuple[Connection, Request]]) -> None:
        """Has everything been answered that waited when the new master wrote for the first time?"""
        more = event.first_write + TAKEOVER_S + sum(lag for at, lag in self.lags if at > event.first_write) - self.now()
        if more > 0:
            asyncio.get_running_loop().call_later(more, self._takeover, event, waiting)
            return
        for connection, one in waiting:
            if not one.done:
                who = f"{connection.name.decode()} {connection.kind}, r{connection.replica}"
                text = f"{one.command.decode()} sent {one.at - event.began:+.2f} s, first write {self._took(event):.2f}"
                self.history.violation("late after a takeover", f"{who}: {text} after {event.kind} of r{event.victim}")

    def _took(self, event: Event) -> float:
        return event.first_write - event.began

    # --- disturbances
    def _course(self) -> Iterator[tuple[str, bool, float]]:
        """What is to happen, in turn: the kind, whether to the master, and for how long."""
        kinds = self.options.kinds
        yield from (step for step in SCRIPT if step[0] in kinds)
        while True:
            (kind,) = random.choices([*kinds], [*kinds.values()])
            yield kind, random.random() < MASTER_SHARE, random.uniform(*LENGTHS[kind])

    async def _disturb(self, kind: str, of_master: bool, seconds: float) -> None:
        ids = [*self.cell.ids]
        others = [i for i in ids if i != self.master]
        victim = self.master if of_master and self.master else random.choice(others)
        of_master = victim == self.master
        if kind == "stop":
            await self._stop(victim, of_master, seconds)
        elif kind == "kill":
            self.cell.kill(victim)
            event = self._begin(kind, victim, of_master)
            await asyncio.sleep(seconds)
            event.ended = self.now()
            self.cell.start(victim)
        else:
            others = [i for i in ids if i != victim]
            links = links_of(self.links, victim, others if kind == "cut" else [random.choice(others)])
            for link in links:
                link.cut()
            event = self._begin(kind, victim, of_master and kind == "cut")
            await asyncio.sleep(seconds)
            event.ended = self.now()
            for link in links:
                link.mend()

    async def _stop(self, victim: int, of_master: bool, seconds: float) -> None:
        self.cell.pause(victim)
        stat = Path(f"/proc/{self.cell.pid(victim)}/stat")
        while stat.read_text().rpartition(") ")[2][0] != "T":
            await asyncio.sleep(0.001)
        event = self._begin("stop", victim, of_master)
        self.stopped[victim].append((event.began, 0.0))
        await asyncio.sleep(seconds)
        event.ended = self.now()
        self.cell.resume(victim)
        self.stopped[victim][-1] = (event.began, event.ended)

    def _begin(self, kind: str, victim: int, of_master: bool) -> Event:
        event = Event(kind, victim, of_master, self.now())
        self.events.append(event)
        if of_master:
            self._spawn(self._probe(event))
        return event

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self) -> None:
        """Until a write through each replica is acknowledged, and a moment more."""
        began = self.now()
        missing = {*self.cell.ids}
        while missing:
            for i in sorted(missing):
                with suppress(OSError, TimeoutError):
                    if await self.ask(i, 1.0, b"SET", b"settled", b"%d" % i) == b"OK":
                        missing.discard(i)
            if self.now() - began > SERVE_S:
                self.history.violation("not serving", f"{sorted(missing)} after {SERVE_S:g} s; {self._lately()}")
                return
            await asyncio.sleep(0.02)
        await asyncio.sleep(random.uniform(0.2, 1.2))

    # --- the end
    async def _audit(self) -> None:
        """All that was ever acknowledged is there, at whichever replica one asks."""
        for connection in (ended := list(self.open)):
            connection.end()
        async with asyncio.timeout(SETTLED_S):
            while any(connection in self.open for connection in ended):
                await asyncio.sleep(LOOK_S)
        floors = dict(self.history.floor)
        counted = dict(self.history.counted)
        for i in self.cell.ids:
            for key, shown in await self._all(i, [*floors]):
                if trouble := self.history.read(key, floors[key], shown):
                    self.history.violation(trouble, f"in the end {key!r} from {floors[key]}: {shown!r:.80}")
            for key, shown in await self._all(i, [*counted]):
                least, most = counted[key]
                if not least <= int(shown or 0) <= most:
                    self.history.violation("lost write", f"in the end {key!r} is {shown!r}, not {least} to {most}")

    async def _all(self, i: int, keys: list[bytes]) -> list[tuple[bytes, Any]]:
        """Keys with their values, as replica i has them; none if it does not say."""
        found: list[tuple[bytes, Any]] = []
        for part in (keys[at : at + MGET_KEYS] for at in range(0, len(keys), MGET_KEYS)):
            reply = await self._settled(i, b"MGET", *part)
            if not isinstance(reply, list):
                self.history.violation("not serving", f"in the end, r{i}: {reply!r}; {self._lately()}")
                return []
            found += [(key, item[1]) for key, item in zip(part, reply, strict=True)]
        return found

    async def _settled(self, i: int, *arguments: bytes) -> Any:
        """The reply to a read at replica i, or the last error: where the master has just changed it is asked again."""
        until = time.monotonic() + SETTLED_S
        while True:
            try:
                reply = await self.ask(i, ANSWER_S, *arguments)
            except (OSError, TimeoutError) as error:
                return error
            if isinstance(reply, list) or time.monotonic() > until:
                return reply
            await asyncio.sleep(0.1)

    def summary(self) -> dict[str, Any]:
        """What happened and what was wrong."""
        took = sorted(self._took(event) for event in self.events if event.first_write)
        violations = {kind: count for kind, count in self.history.violations.items() if count}
        return {
            "replicas": self.options.replicas,
            "seconds": self.options.seconds,
            **{name: self.counts[name] for name in ("connections", "replies", "gone", "strangers")},
            "disturbances": dict(Counter(f"{e.kind}{' of the master' if e.of_master else ''}" for e in self.events)),
            "takeovers": len(took),
            "takeover_s": {"median": statistics.median(took), "most": took[-1]} if took else {},
            "violations": violations,
            "examples": {kind: self.history.examples[kind] for kind in violations},
        }


def run(options: Options, directory: Path, show: Any = lambda run: None) -> dict[str, Any]:
    """A run of its own event loop; the summary. Raises AssertionError when the cell never serves or a replica ends."""
    made = Run(options, directory)
    try:
        uvloop.run(made.run(show))
    except BaseException:
        made.cell.show_logs()
        raise
    return made.summary()


# --- the command
@contextmanager
def _progress(options: Options) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting")

        def show(run: Run) -> None:
            wrong = sum(run.history.violations.values())
            event = run.events[-1]
            text = f"{options.replicas} replicas, {len(run.events)} disturbances, {run.counts['replies']:,} replies, "
            progress.update(task, description=text + f"{wrong} violations; last: {event.kind} of r{event.victim}")

        yield show


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.cell.pauses", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of each cell")
    parser.add_argument("--replicas", type=int, nargs="+", default=[3, 5], help="sizes of cells, one after the other")
    parser.add_argument("--core", choices=("cython", "python"), default="cython")
    parser.add_argument("--only", choices=[*KINDS], nargs="+", default=[*KINDS], help="kinds of disturbances")
    parser.add_argument("--without-strangers", action="store_true", help="only the clients connect")
    parser.add_argument("--without-secret", action="store_true", help="as builds of long ago need it")
    parser.add_argument("--commit", help="of this repository, to be built and tried instead of the checkout")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    source = ROOT / "src"
    if asked.commit:
        from bench import commits

        try:
            source = commits.built(commits.resolve(asked.commit))
        except commits.CommitError as error:
            print(f"pauses: {error}", file=sys.stderr)
            return 1
    wrong = 0
    BUILD.mkdir(exist_ok=True)
    for replicas in asked.replicas:
        options = Options(replicas, asked.minutes * 60, asked.core, not asked.without_strangers, source)
        options.secret = not asked.without_secret
        options.kinds = {kind: KINDS[kind] for kind in asked.only}
        with tempfile.TemporaryDirectory(prefix="pauses-", dir=BUILD) as directory, _progress(options) as show:
            found = run(options, Path(directory), show)
        print(json.dumps(found) if asked.json else _text(found), flush=True)
        wrong += len(found["violations"])
    return 1 if wrong else 0


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['replicas']} replicas, {found['seconds']:g} s: {found['replies']:,} replies on "
        f"{found['connections']:,} connections, {found['gone']} clients vanished, {found['strangers']:,} strangers",
        "disturbances: " + ", ".join(f"{count} x {kind}" for kind, count in sorted(found["disturbances"].items())),
    ]
    if took := found["takeover_s"]:
        times = f"first write after {took['median']:.2f} s (median), {took['most']:.2f} s (most)"
        lines.append(f"takeovers: {found['takeovers']}, {times}")
    for kind, count in found["violations"].items():
        lines += [f"{kind}: {count:,}", *(f"    {text}" for text in found["examples"][kind])]
    return "\n".join([*lines, "" if found["violations"] else "no violation"]).rstrip()


if __name__ == "__main__":
    sys.exit(main())
