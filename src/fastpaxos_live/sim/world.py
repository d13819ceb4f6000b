"""One simulated run: the events of a cell in virtual time, decided by a seed, and the verdict about them."""

import gc
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from time import process_time
from types import ModuleType
from typing import cast

from .._api import Config, Replica
from ..reference.replica_clock import CLOCK_BOUND_MS
from .check import CellCheck, Violation
from .eager import new_client
from .faults.lasting import LASTING, draw_broken, pairs_cut, start_flapping
from .faults.schedule import Happened, Schedule
from .linear import GaveUp, check_history
from .model import Model
from .network import Network
from .node import WALL_MS, Node
from .plan import Plan, draw_plan
from .requests import FOREVER, Request
from .streams import Streams
from .trace import Trace
from .witness import Clocks, Log, check_answers, chosen_values

HEAL = 0.65  # part of the time after which faults stop
LOAD = 0.85  # part of the time after which clients ask nothing new
LIVENESS_US = 12_000_000  # from the end of the faults until all must be well
BROKEN_US = 8_000_000  # more for each replica that stays broken: clients find out by their time-outs
SETTLE_LEASES = 5  # from the end of the faults: elections that these made necessary
CHANGES_MAX = 1  # of the mastership after that, to the end of the run
WATCH_LEASES = 15  # from the end of the faults, at least, when a minority stays broken
SEARCH_EVERY = 4  # of so many seeds one is also judged by linear.py
STEP_US = 50_000  # between two looks whether all is well
GARBAGE = 200_000, 20, 20  # objects and rounds between two searches for garbage: a run makes much, and hardly any cycle


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Python's collector takes a tenth of a run otherwise."""
    usual = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@dataclass(slots=True)
class Outcome:
    """What a run showed."""

    seed: int
    violation: str | None = None
    raised: str = ""  # the exception's class, when the replica raised
    details: str = ""  # ... and the traceback
    searches_given_up: int = 0  # by linear.py
    schedule: list[Happened] = field(default_factory=list)  # the faults, when there was a violation
    virtual_seconds: float = 0.0
    active_seconds: int = 0  # virtual seconds in which a request was answered
    cpu_seconds: float = 0.0
    trace_hash: str = ""
    operations: int = 0  # answered requests
    instances: int = 0
    elections: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)  # errors and time-outs
    rows: Counter[str] = field(default_factory=Counter)  # of the replicas' machines, how often each was taken


class World:
    """A cell, its clients and its faults. `core` is the module whose `Replica` is driven; `show` takes trace lines,
    with `rows` also those of the rows taken; `takes` chooses among the faults.
    """

    def __init__(
        self, seed: int, core: ModuleType, seconds: float = 10.0, show: Callable[[str], None] | None = None,
        draw: Callable[[Random], Plan] = draw_plan, rows: bool = False, takes: Callable[[str], bool] | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.plan = draw(self.random)
        self.new_replica: Callable[[Config], Replica] = core.Replica
        self.outcome = Outcome(seed)
        self.count = self._counter(self.outcome.faults)
        self.count_reply = self._counter(self.outcome.replies)
        self.now = 0
        self.end = int(seconds * 1e6)
        self.heal_at = int(seconds * 1e6 * HEAL)
        self.load_until = int(seconds * 1e6 * LOAD)
        self.faulty = True
        self.completed = 0
        self.elected: list[tuple[int, int]] = []  # when a replica began to serve, and which
        self.broken: dict[int, str] = {}  # replicas that stay broken when the faults end, and how
        self.drift_ppm_max = max(map(abs, self.plan.drift_ppm))
        self.history: list[Request] = []
        self.written: list[list[bytes]] = [[] for _ in range(self.plan.replicas + 1)]  # by id: groups for the disk
        self.trace = Trace(show, rows)
        self.check = CellCheck(
            self.plan.replicas, lambda master, sent: self.nodes[master].relies_us(sent),
            self._exceeds if self.plan.lease_percent or self.plan.changes else None)
        self.cell_id = self.random.getrandbits(64) | 1
        self.hash_seed = Random(f"{seed} hash").getrandbits(64)
        self._events: list[tuple[int, int, Callable, tuple]] = []
        self._sequence = count()  # events of one time are called in the order in which they were arranged
        self.network = Network(self, self.plan.replicas)
        self.nodes = cast("list[Node]", [None])  # by id
        self.nodes += [Node(self, id) for id in range(1, self.plan.replicas + 1)]
        self.streams = Streams(self)
        self.clients = [new_client(self, id) for id in range(1, self.plan.clients + 1)]
        self.faults = Schedule(self, takes)

    @staticmethod
    def _counter(counts: Counter[str]) -> Callable[[str], None]:
        def count(kind: str) -> None:
            counts[kind] += 1

        return count

    # --- events
    def at(self, time: int, call: Callable, *arguments: object) -> None:
        """Call at that true time (us), or now if it has passed."""
        now = self.now
        heappush(self._events, (time if time > now else now, next(self._sequence), call, arguments))

    def after(self, delay: int, call: Callable, *arguments: object) -> None:
        """Call after that many microseconds."""
        heappush(self._events, (self.now + delay, next(self._sequence), call, arguments))

    def _advance(self, until: int) -> None:
        events = self._events
        while events[0][0] <= until:
            self.now, _, call, arguments = heappop(events)
            call(*arguments)
        self.now = until

    def _exceeds(self, replica: int, master: int, sent: int) -> bool:
        node = self.nodes[master]
        return node.is_of_this_life(sent) and node.lease_us > self.nodes[replica].data_dir.meta.lease_us

    def count_election(self, replica: int) -> None:
        """A replica began to serve."""
        self.outcome.elections += 1
        self.elected.append((self.now, replica))
        self.streams.elected(replica)

    # --- a run
    def run(self) -> Outcome:
        """The whole run. Never raises: what goes wrong is in the outcome."""
        began = process_time()
        outcome = self.outcome
        try:
            with seldom_collected():
                self._run()
        except Violation as violation:
            outcome.violation = str(violation)
        except Exception as error:
            outcome.raised = type(error).__name__
            outcome.violation = f"a replica raised {outcome.raised}: {error}"
            outcome.details = traceback.format_exc()
        for node in self.nodes[1:]:
            node.count_rows()
        if outcome.violation:
            outcome.schedule = self.faults.happened
        outcome.operations = self.completed
        outcome.active_seconds = len({op.answered // 1_000_000 for op in self.history if op.answered < FOREVER})
        outcome.instances = max(self.check.values, default=0)
        outcome.virtual_seconds = self.now / 1e6
        outcome.cpu_seconds = process_time() - began
        outcome.trace_hash = self.trace.digest()
        return outcome

    def _run(self) -> None:
        for node in self.nodes[1:]:
            self.after(int(self.random.random() * 5000), node.start)
            node.format()
        for client in self.clients:
            self.after(int(self.random.random() * self.plan.lease_us), client.start)
        self.faults.start()
        self._advance(self.heal_at)
        self._heal()
        self._advance(self.end)
        while not self.plan.doomed and (problem := self._unwell()):
            patience = LIVENESS_US + len(self.broken) * BROKEN_US
            if self.now >= self.heal_at + patience:
                raise Violation(f"not live {patience / 1e6:.0f} s after the last fault: {problem}")
            self._advance(self.now + STEP_US)
        if not self.plan.doomed:
            self._check_churn()
            lost = [node.id for node in self.nodes[1:] if node.id in self.broken or node.damage]
            if len(lost) > (self.plan.replicas - 1) // 2:
                raise Violation(f"mistake in the simulator: {lost} are broken for good, more than a minority")
        for node in self.nodes[1:]:
            if node.core is not None and not node.damage:
                node.revive()
        self._check_answers()

    def _heal(self) -> None:
        # Faults stop; what is broken is mended within a moment, but for a minority that stays as it is in some runs.
        self.faulty = False
        random, replicas = Random(f"{self.seed} broken"), self.plan.replicas
        sound = [node.id for node in self.nodes[1:] if not node.damage]
        drawn = draw_broken(random, sound, len(sound) - replicas // 2 - 1)
        self.broken = {replica: kind for replica, kind in drawn.items() if self.faults.takes(f"{LASTING}#{replica}")}
        self.network.heal(pairs_cut(random, self.broken, replicas))
        for node in self.nodes[1:]:
            node.dying = node.stall = node.disk.trouble = node.before_read = None
            node.disk_slow_until = 0
            node.paused_until = min(node.paused_until, self.now)
            if self.broken.get(node.id) == "down":
                node.down_for_good = True
                node.crash()
            self.after(1000, node.start)
        for replica, kind in self.broken.items():
            self.count(f"{LASTING}_{kind}")
            self.faults.note(f"{LASTING}#{replica}", kind)
            if kind == "flapping":
                start_flapping(self, random, replica)
            self.end = max(self.end, self.heal_at + WATCH_LEASES * self.plan.lease_us_max)

    def _check_churn(self) -> None:
        # A minority that is broken must not disturb the others: they keep their master. One of it that is master, loses
        # that and comes back disturbs nobody.
        sync_us, lease_us = self.plan.disk_us[1], self.plan.lease_us
        well = [node for node in self.nodes[1:] if node.id not in self.broken and not node.damage]
        fit = [node for node in well if node.slow * sync_us < lease_us]
        if len(fit) <= self.plan.replicas // 2:
            return  # a disk that takes longer than a lease for each promise is needed
        settled = self.heal_at + SETTLE_LEASES * self.plan.lease_us_max
        changes = sum(time > settled and replica not in self.broken for time, replica in self.elected)
        if changes > CHANGES_MAX:
            raise Violation(f"the mastership changed {changes} times since {settled / 1e6:.6f}, when it was settled")

    def _unwell(self) -> str | None:
        for client in self.clients:
            if not client.done:
                return f"client {client.id} waits for answers"
        serving = [node.id for node in self.nodes[1:] if node.serving]
        if len(serving) != 1:
            return f"{len(serving)} replicas serve"
        cut = self.network.blocked
        well = [node.id for node in self.nodes[1:] if node.id not in self.broken and not node.damage]
        views = [self.check.views[id] for id in well if (id, serving[0]) not in cut and (serving[0], id) not in cut]
        if not views:
            return f"nobody hears the master {serving[0]}"
        if min(view.applied for view in views) < max(view.committed for view in views):
            return f"replicas have applied {[view.applied for view in views]}"
        return None

    def _check_answers(self) -> None:
        # The witness decides; the search is a second opinion, where it comes to one.
        try:
            values = chosen_values(self.written, self.check.values)
        except KeyError as instance:
            raise Violation(f"instance {instance} was applied, but no replica wrote its value") from None
        log = Log(values, self.check.applied_at)
        problem = check_answers(self.history, log, self._clocks()) or self._check_state(log.model)
        if problem is None and self.seed % SEARCH_EVERY == 0:
            try:
                problem = check_history(self.history, self._expiry_error_us())
            except GaveUp:
                self.outcome.searches_given_up += 1
        if problem:
            raise Violation(problem)

    def _check_state(self, model: Model) -> str | None:
        # Whoever applied all holds what the model does: their state sums agree, so a few numbers say it.
        known = {
            "instance_applied": len(self.check.values), "keys": len(model.entries), "epoch": model.epoch,
            "keys_expiring": sum(deadline > 0 for _, deadline in model.entries.values()), "time_ms": model.time_ms,
        }  # fmt: skip
        for node in self.nodes[1:]:
            status = node.core.status() if node.core is not None else known
            if status["instance_applied"] == known["instance_applied"]:
                wrong = {name: (status[name], value) for name, value in known.items() if status[name] != value}
                if wrong:
                    return f"replica {node.id} and the model differ: {wrong}"
        return None

    def _clocks(self) -> Clocks:
        # A majority's clocks say how far ahead the time in force may be; a minority's don't count, but for the bound
        # to which a new master's own clock is believed.
        plan = self.plan
        ahead = sorted((node.wall_ahead_ms for node in self.nodes[1:]), reverse=True)
        agreed = ahead[plan.replicas // 2]
        return Clocks(
            wall_ms=WALL_MS,
            ahead_ms=min(ahead[0], agreed + CLOCK_BOUND_MS),
            behind_ms=max(node.wall_behind_ms for node in self.nodes[1:]),
            drift_ppm=self.drift_ppm_max,
            late_us=max(plan.write_timeout_us, *plan.timeouts_us, 2_000_000 if plan.changes else 0) * 11 // 10
            + 3 * plan.lease_us_max,
        )

    def _expiry_error_us(self) -> int:
        # The time in force may run ahead of true time by the spread of the wall clocks, and by drift since the start.
        clocks = self._clocks()
        wall_error_ms = clocks.ahead_ms + clocks.behind_ms
        return 2 * wall_error_ms * 1000 + self.now * 2 * self.drift_ppm_max // 1_000_000 + 20_000
