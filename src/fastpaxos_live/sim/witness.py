"""Does the applied log explain every answer? Linearizability, checked in linear time with the log as the witness.

All replicas applied the same values (check.py sees to that). Replayed in a plain model of the database (model.py) they
give each write its *place*, a number that grows along the log, and its reply; and each key its states from place to
place. A history of requests is explained by places for all of them, such that

* an answered write is in the log with the reply that its client saw: nothing acknowledged is lost. No operation is
  there more often than it was asked, not counting what was answered "not done": nothing happens twice, and nothing that
  was called undone happened. An unknown outcome may be there or not;
* a read gives what was there at its place: one place for all its keys;
* whoever is asked after another was answered comes behind it; the order of a connection binds, too;
* somebody had applied a place when it was answered, and nobody a write's when it was asked;
* keys vanish exactly at their deadlines in the log's own time, and that time keeps to the true one as well as the
  clocks of the cell allow: no key goes early, and none is shown late;
* what is left of a key is counted by a time that is not below the log's at that place, that the clocks allow, and that
  is not below the time of any such answer that was given before it was asked, by whatever master.

One pass finds such places if there are any. Requests are taken as they were asked, each at the least place that fits:
all that is asked of a place by other requests are lower bounds, so a higher one would help nobody. Writes have fixed
places; those that can't be told apart (PERSIST of one key, say) take the least one that fits, like reads, and are
counted at the end.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..reference.db_ops import op_decode
from ..reference.limits import SHOWN_AHEAD_MS
from ..reference.log_frame import ACCEPT, HEADER_BYTES, LEARN, value_header
from .model import Entry, Model
from .requests import FOREVER, Kind, Request

NEVER = 1 << 62  # a place behind all others
SLACK_MS = 50  # rounding, and what a candidate takes from the promises, which give its clock, to its mastership


def chosen_values(written: list[list[bytes]], checksums: dict[int, int]) -> list[bytes]:
    """The applied values from instance 1 on, given the groups that each replica wrote to its disk, and the checksum of
    each value. Raises KeyError with the instance that nobody wrote.
    """
    found: dict[int, bytes] = {}
    for groups in written:
        if len(found) == len(checksums):
            break
        for group in groups:
            _collect(group, checksums, found)
    return [found[instance] for instance in range(1, len(checksums) + 1)]


def _collect(group: bytes, checksums: dict[int, int], found: dict[int, bytes]) -> None:
    # docs/design.md, "Frame" and "Log on disk".
    at, end = HEADER_BYTES, HEADER_BYTES + int.from_bytes(group[32:40], "little")
    while at < end:
        following = at + int.from_bytes(group[at + 16 : at + 20], "little")
        if group[at + 13] in (ACCEPT, LEARN):
            instance = int.from_bytes(group[at + 32 : at + 40], "little")
            start = at + HEADER_BYTES
            if instance not in found and int.from_bytes(group[start : start + 8], "little") == checksums.get(instance):
                found[instance] = group[start:following]
        at = following


class Clocks(NamedTuple):
    """The wall clocks of a cell against the true time, over a whole run."""

    wall_ms: int = 0  # the true one when the run begins
    ahead_ms: int = 0  # the best a clock that is ahead may be
    behind_ms: int = 0
    drift_ppm: int = 0  # of the clocks that the log's time goes on with
    late_us: int = 0  # from a request to its execution, where the clock was taken before it came

    def latest_ms(self, now: int) -> int:
        """The highest time that may be in force at true time `now` (us)."""
        return self.wall_ms + now // 1000 + self.ahead_ms + self._error(now)

    def earliest_ms(self, now: int) -> int:
        """The lowest time that a value may carry which is sealed at true time `now` (us)."""
        return self.wall_ms + now // 1000 - self.behind_ms - self._error(now)

    def _error(self, now: int) -> int:
        return now * self.drift_ppm // 1_000_000_000 + SLACK_MS


class Places(NamedTuple):
    """Where something is in the log, in order, and what is there."""

    places: list[int]
    what: list

    def add(self, place: int, what: object) -> None:
        """One more, behind all others."""
        self.places.append(place)
        self.what.append(what)


class Log:
    """The applied log, replayed. Place 0 is before it; each instance has a place at which keys expire, and one more for
    each operation that takes effect.
    """

    def __init__(self, values: Iterable[bytes], applied_at: list[int]) -> None:
        """`applied_at`: when anybody applied each of the values first (us)."""
        self.model = Model()
        self.applied_at = [0, *applied_at]  # from here on indexed by instance
        self.starts = [0]  # first place of each instance
        self.times = [0]  # time in force
        self.states: dict[bytes, Places] = {}  # by key: Entry or None
        self.writes: dict[bytes, Places] = {}  # by operation: its replies
        self.last = 0  # place
        for value in values:
            self._replay(value)

    def _replay(self, value: bytes) -> None:
        model = self.model
        header = value_header(value)
        expired = model.begin(header)
        self.last += 1
        self.starts.append(self.last)
        self.times.append(model.time_ms)
        for key in expired:
            self.states[key].add(self.last, None)
        for operation in model.operations(header, value):
            self.last += 1
            reply, items = model.run(operation)
            self.writes.setdefault(operation, Places([], [])).add(self.last, reply)
            for key, _ in items:
                self._changed(key, model.entries.get(key))

    def _changed(self, key: bytes, entry: Entry | None) -> None:
        states = self.states.get(key)
        if states is None:
            states = self.states[key] = Places([0], [None])
        if states.what[-1] != entry:
            states.add(self.last, entry)

    def instance(self, place: int) -> int:
        """The instance that a place belongs to."""
        return bisect_right(self.starts, place) - 1

    def last_place(self, now: int) -> int:
        """The last place that anybody had applied at true time `now` (us)."""
        return self.end(bisect_right(self.applied_at, now) - 1)

    def end(self, instance: int) -> int:
        """The last place of an instance."""
        return self.starts[instance + 1] - 1 if instance + 1 < len(self.starts) else self.last

    def seen(self, key: bytes, place: int) -> tuple[Entry | None, int]:
        """A key at a place, and the place where it changes next."""
        states = self.states.get(key)
        if states is None:
            return None, NEVER
        index = bisect_right(states.places, place)
        return states.what[index - 1], states.places[index] if index < len(states.places) else NEVER


class Witness:
    """One history against one log."""

    def __init__(self, history: list[Request], log: Log, clocks: Clocks) -> None:
        self.history = sorted((request for request in history if not request.failed), key=lambda r: r.asked)
        self.log = log
        self.clocks = clocks
        self.operations = [request.operation() for request in self.history]
        self.asked = Counter(operation for operation in self.operations if operation)
        self.shown = 0  # what is left is counted by no earlier time (ms) in the answer under way
        self.back = 0  # by so much (ms) it is

    def run(self) -> str | None:
        """None when everything is explained, else what is not."""
        return self._time() or self._explain() or self._count()

    def _time(self) -> str | None:
        log = self.log
        for instance, (time, now) in enumerate(zip(log.times, log.applied_at, strict=True)):
            if time > self.clocks.latest_ms(now):
                ahead = time - self.clocks.latest_ms(now)
                return f"the time in force at instance {instance} is {ahead} ms ahead of what the clocks allow"
        return None

    def _explain(self) -> str | None:
        answers = sorted((r for r in self.history if r.answered < FOREVER), key=lambda r: r.answered)
        answers.append(Request(Kind.GET, (), asked=FOREVER))
        index = floor = shown = 0
        on_connection: dict[int, tuple[int, int]] = {}
        for request, operation in zip(self.history, self.operations, strict=True):
            while answers[index].answered < request.asked:
                floor = max(floor, answers[index].place)
                shown = max(shown, answers[index].shown)
                index += 1
            before, told = on_connection.get(request.connection, (0, 0))
            least, self.shown = max(floor, before), max(shown, told)
            request.place = least
            problem = self._write(request, operation, least) if operation else self._read(request, least)
            if problem:
                return f"{request}: {problem}"
            on_connection[request.connection] = request.place, max(self.shown, request.shown)
        return None

    # --- writes
    def _write(self, request: Request, operation: bytes, least: int) -> str | None:
        log = self.log
        places, replies = log.writes.get(operation, ((), ()))
        if request.answered == FOREVER:
            if len(places) != 1 or self.asked[operation] != 1:
                return None  # not done, or it can't be told from others
            index = 0
        else:
            if not places:
                return "the write is lost: it is not in the log"
            # Behind what others saw before, and in no instance that was known before it was asked.
            index = bisect_right(places, max(least, log.last_place(request.asked - 1)))
            while index < len(places) and replies[index] != request.reply:
                index += 1
            if index == len(places):
                return f"not so behind place {least}; the log has it at {places[-3:]} with {replies[-3:]!r:.200}"
        return self._placed(request, places[index], least, self.asked[operation] == 1)

    def _placed(self, request: Request, place: int, least: int, alone: bool) -> str | None:
        # Is that a place for this write? `alone`: it is known to be its own.
        log = self.log
        instance = log.instance(place)
        applied = log.applied_at[instance]
        request.place = place
        if place <= least:
            return f"it is at place {place} of the log, but what was answered before it at {least}"
        if applied < request.asked:
            return f"instance {instance} has it, applied before at {applied / 1e6:.6f}"
        if request.answered < applied:
            return f"instance {instance} has it, applied only at {applied / 1e6:.6f}"
        if alone and log.times[instance] < self.clocks.earliest_ms(request.asked):
            behind = self.clocks.earliest_ms(request.asked) - log.times[instance]
            return f"the time in force at instance {instance} is {behind} ms behind what the clocks allow"
        return None

    # --- reads
    def _read(self, request: Request, least: int) -> str | None:
        if request.answered == FOREVER:
            return None
        log = self.log
        place, last = least, log.last_place(request.answered)
        late = self.back = 0
        found: list[tuple[int, int]] = []  # places that fit, and the times that are shown there
        while place <= last:
            changes = NEVER
            entries = []
            for key in request.keys:
                entry, change = log.seen(key, place)
                entries.append(entry)
                changes = min(changes, change)
            if request.kind == Kind.PTTL:
                fits = self._time_left(entries[0], request, place, min(changes - 1, last))
            else:
                fits = shown(request.kind, entries) == request.reply
            if fits:
                late = self._late_ms(request, entries)
                if late <= 0:
                    found.append((place, request.shown))
                    if not request.shown:
                        break
            place = changes
        if found:
            # Which deadline it counted to can't be told: the least place and the least time bind what follows.
            request.place = found[0][0]
            request.shown = min(time for _, time in found)
            return None
        if late > 0:
            return f"a key is shown {late} ms longer than the clocks allow"
        if self.back > 0:
            return f"the time by which it counts is {self.back} ms before one that was shown"
        entries = [log.seen(key, least)[0] for key in request.keys]
        return f"never so between place {least}, where it is {shown(request.kind, entries)!r:.200}, and {last}"

    def _late_ms(self, request: Request, entries: list[Entry | None]) -> int:
        deadlines = [entry[1] for entry in entries if entry and entry[1]]
        return self.clocks.earliest_ms(request.asked - self.clocks.late_us) - min(deadlines) if deadlines else 0

    def _time_left(self, entry: Entry | None, request: Request, place: int, until: int) -> bool:
        # May that time be left from this place on, up to the other one?
        reply, clocks = request.reply, self.clocks
        request.shown = 0
        if entry is None or not entry[1]:
            return reply == (-2 if entry is None else -1)
        if not isinstance(reply, int) or reply < 0:
            return False
        in_force = self.log.times[self.log.instance(place)]
        shown = entry[1] - reply
        latest = min(clocks.latest_ms(request.answered), self.log.times[self.log.instance(until)])
        if shown > latest + SHOWN_AHEAD_MS:
            return False
        if reply:  # else it is that time, or any later one
            if shown < self.shown:
                self.back = self.shown - shown
                return False
            # By the clock, but for a master that can log no time: its disk is full.
            earliest = min(clocks.earliest_ms(request.asked - clocks.late_us), in_force + SHOWN_AHEAD_MS)
            if shown < max(in_force, earliest):
                return False
        request.shown = shown
        return True

    # --- all of them
    def _count(self) -> str | None:
        """As often as asked, and as often as answered."""
        writes = self.log.writes
        for operation, (places, _) in writes.items():
            if len(places) > self.asked[operation]:
                return (
                    f"{_text(operation)} is in the log at places {places[:5]}, but was asked {self.asked[operation]} "
                    "times, not counting what was answered 'not done'"
                )
        answered = Counter(
            (operation, request.reply)
            for request, operation in zip(self.history, self.operations, strict=True)
            if self.asked[operation] > 1 and request.answered < FOREVER
        )
        for (operation, reply), count in answered.items():
            if writes[operation].what.count(reply) < count:
                return f"{_text(operation)} was answered {reply!r} {count} times, more often than in the log"
        return None


def _text(operation: bytes) -> str:
    opcode, flags, arg, items = op_decode(operation, 0)
    return f"operation {opcode} (flags {flags}, {arg}) with {items!r:.120}"


def shown(kind: Kind, entries: list[Entry | None]) -> object:
    """What a read answers about keys in these states."""
    if kind == Kind.GET:
        return entries[0] and entries[0][0]
    if kind == Kind.MGET:
        return [entry and entry[0] for entry in entries]
    if kind == Kind.EXISTS:
        return sum(entry is not None for entry in entries)
    if kind == Kind.STRLEN:
        return len(entries[0][0]) if entries[0] else 0
    return entries[0]  # PTTL: depends on the time, too


def check_answers(history: list[Request], log: Log, clocks: Clocks) -> str | None:
    """None when the log explains all answers of the history, else the first that it does not."""
    return Witness(history, log, clocks).run()
