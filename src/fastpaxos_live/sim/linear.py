"""Are the answers that clients saw linearizable? Per key, after Wing & Gong and Lowe, with a memo of what was tried.

A second opinion beside witness.py: it knows nothing of the log, but takes long where many outcomes are unknown.

A history is linearizable if and only if each key's is, so each key is searched alone; MSET, MSETNX and MGET are taken
as single writes and reads of their keys at the same time, which asks for less than they promise and never for more
(that they are one operation is for the witness to see).

The search keeps a set of operations done and the state they lead to. An operation may come next if no other one that
is still missing had been answered before it was asked; an operation of unknown outcome was never answered, and need
not come at all. On one connection the order of asking binds, too. A key with a time to live may vanish at any moment
from its deadline on, clocks being wrong by a stated amount, and need not.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from ..reference.limits import SHOWN_AHEAD_MS
from .requests import FOREVER, OK, Kind, Request

AHEAD_US = SHOWN_AHEAD_MS * 1000
GUESS_COST = 3  # so many operations less may be done at a place with one guess less, to be tried before
STATES_MAX = 20_000  # for one key; then the search gives up


READS = frozenset((Kind.GET, Kind.STRLEN, Kind.EXISTS, Kind.PTTL))
# Neither effect nor answer depends on what was there; so an operation of unknown outcome just before one of these might
# as well not have happened.
BLIND = frozenset((Kind.SET, Kind.SET_PX))
BLIND_UNKNOWN = BLIND | {Kind.DEL, Kind.GETDEL, Kind.GETSET}
# What a command with several keys, or another spelling, does to one key.
ON_ONE_KEY = {Kind.MGET: Kind.GET, Kind.MSET: Kind.SET, Kind.MSETNX: Kind.SETNX, Kind.PSETEX: Kind.SET_PX,
              Kind.INCR: Kind.INCRBY}


class GaveUp(Exception):
    """The search was too long: it is not known whether the history is linearizable."""


@dataclass(slots=True, eq=False)
class Operation:
    """One operation on one key, as a client saw it. Times in microseconds."""

    kind: Kind
    key: bytes
    asked: int
    value: bytes = b""  # written or appended
    number: int = 0  # microseconds to live, or an increment
    client: int = 0
    before: "Operation | None" = None  # the previous one on this key by the same connection
    answered: int = FOREVER  # FOREVER: the outcome is unknown
    failed: bool = False  # definitely not applied
    result: object = None  # as answered: bytes, int, None or OK
    index: int = field(default=-1, repr=False)  # place among its key's operations


# The state of a key: None when it is absent, else its value and the earliest time at which it may vanish.
State = tuple[bytes, int] | None


def after(state: State, op: Operation, error_us: int, latest: int) -> Iterator[State]:
    """The states that `op` with its result may lead to from `state`, if it takes place at `latest` (us) at the latest:
    none when the result does not fit.
    """
    yield from _step(state, op, error_us)
    if state is not None and state[1] < FOREVER and latest >= state[1]:
        yield from _step(None, op, error_us)


def _step(state: State, op: Operation, error_us: int) -> Iterator[State]:
    if op.kind == Kind.PTTL:
        if op.answered == FOREVER or _may_be_left(state, op, error_us):
            yield state
        return
    fits, new = _effect(state, op, error_us)
    if op.answered == FOREVER or op.result == fits:
        yield new


def _may_be_left(state: State, op: Operation, error_us: int) -> bool:
    if not isinstance(op.result, int) or op.result < 0:
        return op.result == (-2 if state is None else -1) and (state is None or state[1] == FOREVER)
    return state is not None and state[1] < FOREVER and op.answered + op.result * 1000 + error_us + AHEAD_US >= state[1]


def _effect(state: State, op: Operation, error_us: int) -> tuple[object, State]:
    # The answer and the new state.
    kind = op.kind
    value, expires = (None, FOREVER) if state is None else state
    if kind == Kind.GET:
        return value, state
    if kind == Kind.STRLEN:
        return len(value or b""), state
    if kind == Kind.EXISTS:
        return int(state is not None), state
    if kind == Kind.SET:
        return OK, (op.value, FOREVER)
    if kind == Kind.SET_PX:
        return OK, (op.value, op.asked + op.number - error_us)
    if kind == Kind.GETSET:
        return value, (op.value, FOREVER)
    if kind == Kind.SET_NX:
        return (OK, (op.value, FOREVER)) if state is None else (None, state)
    if kind == Kind.SETNX:
        return (1, (op.value, FOREVER)) if state is None else (0, state)
    if kind == Kind.INCRBY:
        number = int(value or 0) + op.number
        return number, (b"%d" % number, expires)
    if kind == Kind.APPEND:
        text = (value or b"") + op.value
        return len(text), (text, expires)
    return _effect_on_a_key(value, expires, op, error_us)


def _effect_on_a_key(value: bytes | None, expires: int, op: Operation, error_us: int) -> tuple[object, State]:
    # Of what does nothing without the key.
    kind = op.kind
    if value is None:
        return (0 if kind in (Kind.DEL, Kind.PEXPIRE, Kind.PERSIST) else None), None
    if kind == Kind.SET_XX:
        return OK, (op.value, FOREVER)
    if kind == Kind.DEL:
        return 1, None
    if kind == Kind.GETDEL:
        return value, None
    if kind == Kind.PERSIST:
        return int(expires < FOREVER), (value, FOREVER)
    return (1 if kind == Kind.PEXPIRE else value), (value, op.asked + op.number - error_us)  # or GETEX


class Search:
    """The search for an order that explains the answers about one key."""

    def __init__(self, operations: list[Operation], error_us: int) -> None:
        ops = sorted((op for op in operations if not op.failed), key=lambda op: op.asked)
        self.known = [op for op in ops if op.answered < FOREVER]
        self.unknown = [op for op in ops if op.answered == FOREVER and op.kind not in READS]
        for some in (self.known, self.unknown):
            for index, op in enumerate(some):
                op.index = index
        self.error_us = error_us
        self.sights = Sights(ops, self.known)
        self.tried: dict[tuple[int, State, bool], list[int]] = {}
        self.states = 0
        self.heap: list[tuple[int, int, int, Place]] = []
        self.order = 0
        self.best = Place(0, 0, 0, None, False)

    def run(self) -> str | None:
        """None when there is such an order, else what could not be explained."""
        everything = (1 << len(self.known)) - 1
        if not everything:
            return None
        self._push(self.best, 0)
        while self.heap:
            _, _, guess, place = heappop(self.heap)
            if guess:
                for move in self._guesses(place):
                    if self._is_new(move):
                        self._push(move, 0)
                continue
            moves = self._moves(place)
            if not (len(moves) == 1 and moves[0].state == place.state):
                self._push(place, 1)
            for move in moves:
                if move.done == everything:
                    return None
                if self._is_new(move):
                    self._push(move, 0)
            if self.states > STATES_MAX:
                raise GaveUp(f"gave up after {self.states} states: {self._explain()}")
        return self._explain()

    def _push(self, place: "Place", guess: int) -> None:
        # The best place goes first: much is done, little is guessed. Of equals the newest.
        self.order -= 1
        cost = GUESS_COST * (place.used.bit_count() + guess) - place.done.bit_count()
        heappush(self.heap, (cost, self.order, guess, place))

    def _is_new(self, place: "Place") -> bool:
        # To have used fewer operations of unknown outcome for the same is at least as good.
        used = self.tried.setdefault((place.done, place.state, place.guessed), [])
        if any(before & ~place.used == 0 for before in used):
            return False
        used.append(place.used)
        self.states += 1
        if place.done.bit_count() > self.best.done.bit_count():
            self.best = place
        return True

    def _candidates(self, place: "Place") -> tuple[list[Operation], int]:
        # Answered operations that may come next, the one answered first in front; and the time until which others may
        # have been asked.
        found = []
        limit = FOREVER
        done = place.done
        for op in self.known[place.lowest :]:
            if op.asked > limit:
                break
            if not done >> op.index & 1:
                limit = min(limit, op.answered)
                found.append(op)
        found = [op for op in found if _in_order(op, done) and not (place.guessed and op.kind in BLIND)]
        found.sort(key=lambda op: op.answered)
        return found, limit

    def _moves(self, place: "Place") -> list["Place"]:
        # Answered operations that may come next, the last one first.
        moves = []
        for op in self._candidates(place)[0]:
            for new in after(place.state, op, self.error_us, op.answered):
                move = place.answered(op, new)
                if new == place.state:  # nothing is lost by doing it at once
                    return [move]
                if not self.sights.exclude(op, place.state, new, move.done):
                    moves.append(move)
        moves.reverse()
        return moves

    def _guesses(self, place: "Place") -> list["Place"]:
        # Something of unknown outcome may have happened here; what shows in the next answer at once comes last, that
        # is, is tried first.
        candidates, limit = self._candidates(place)
        showing: list[Place] = []
        hidden: list[Place] = []
        for op in self.unknown:
            if op.asked > limit:
                break
            if place.used >> op.index & 1 or place.guessed and op.kind in BLIND_UNKNOWN:
                continue
            for new in after(place.state, op, self.error_us, op.answered):
                if new == place.state or self.sights.exclude(op, place.state, new, place.done):
                    continue
                shows = any(
                    next(after(new, seen, self.error_us, seen.answered), self) is not self
                    for seen in candidates if seen.kind not in BLIND
                )
                (showing if shows else hidden).append(place.guess(op, new))
        return hidden + showing

    def _explain(self) -> str:
        done, state = self.best.done, self.best.state
        missing = [op for op in self.known if not done >> op.index & 1]
        op = min(missing, key=lambda op: op.answered)
        what = "nothing" if state is None else repr(state[0][-80:])
        return (
            f"key {op.key!r}: not linearizable: {done.bit_count()} operations explained, then it holds {what}, but "
            f"{op.kind.name} {op.value[:40]!r} by client {op.client}, asked {op.asked / 1e6:.6f}, answered "
            f"{op.answered / 1e6:.6f}, gave {op.result!r:.200}"
        )


class Sights:
    """What the answers show of the values: an order that makes one of them impossible is not followed any further.

    It knows only when no value is written twice or begins with another: then none comes back, and a value that was
    seen tells who wrote it and who appended to what.
    """

    def __init__(self, ops: list[Operation], known: list[Operation]) -> None:
        self.written = sorted(op.value for op in ops if op.value)
        self.tells = not any(op.kind == Kind.INCRBY for op in ops) and not any(
            b.startswith(a) for a, b in zip(self.written, self.written[1:], strict=False)
        )
        self.roots: dict[bytes, bytes] = {}
        self.exactly: dict[bytes, int] = {}  # value -> the answers that show it
        self.beginning: dict[bytes, int] = {}  # first part -> the answers that show something that began with it
        self.appended_to: dict[bytes, bytes] = {}  # part -> what was there before it
        for op in known if self.tells else ():
            if isinstance(op.result, bytes):
                self._see(op.result, 1 << op.index)

    def _part(self, value: bytes, at: int = 0) -> bytes:
        # The only written value that stands there.
        place = bisect_right(self.written, value[at:] if at else value)
        return self.written[place - 1] if place else b""

    def _root(self, value: bytes) -> bytes:
        if value not in self.roots:
            self.roots[value] = self._part(value)
        return self.roots[value]

    def _see(self, value: bytes, answer: int) -> None:
        root = self._root(value)
        self.beginning[root] = self.beginning.get(root, 0) | answer
        if value in self.exactly:
            self.exactly[value] |= answer
            return
        self.exactly[value] = answer
        at = 0
        while at < len(value):
            part = self._part(value, at)
            if not part or not value.startswith(part, at):
                return  # nobody wrote this
            self.appended_to[part] = value[:at]
            at += len(part)

    def exclude(self, op: Operation, old: State, new: State, done: int) -> bool:
        """Can't `op` have led from one state to the other, with these answers done and all others to come?"""
        if not self.tells:
            return False
        if op.kind == Kind.APPEND and new is not None:
            before = self.appended_to.get(op.value)
            if before is not None and before + op.value != new[0]:
                return True
        if old is None or new is not None and new[0] == old[0]:
            return False
        if new is not None and self._root(new[0]) == self._root(old[0]):
            return bool(self.exactly.get(old[0], 0) & ~done)
        return bool(self.beginning.get(self._root(old[0]), 0) & ~done)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the search is: what is done, and the state after it."""

    lowest: int  # no answered operation before that index is missing
    done: int  # bit set of answered operations
    used: int  # bit set of operations of unknown outcome
    state: State
    guessed: bool  # the last one was of unknown outcome

    def answered(self, op: Operation, state: State) -> "Place":
        """After an answered operation."""
        done = self.done | 1 << op.index
        lowest = self.lowest
        while done >> lowest & 1:
            lowest += 1
        return Place(lowest, done, self.used, state, False)

    def guess(self, op: Operation, state: State) -> "Place":
        """After an operation of unknown outcome."""
        return Place(self.lowest, self.done, self.used | 1 << op.index, state, True)


def _in_order(op: Operation, done: int) -> bool:
    before = op.before
    while before is not None and (before.failed or before.answered == FOREVER):
        before = before.before
    return before is None or bool(done >> before.index & 1)


def check_key(operations: list[Operation], error_us: int = 0) -> str | None:
    """None when these operations on one key are linearizable, else what could not be explained.

    `error_us`: by how much an expiry may come before its time. Raises GaveUp.
    """
    return Search(operations, error_us).run()


def operations_of(history: list[Request]) -> list[Operation]:
    """The requests taken apart, key by key."""
    operations = []
    last: dict[tuple[int, bytes], Operation] = {}
    for request in history:
        for index, key in enumerate(request.keys):
            op = _on_key(request, index)
            if op is not None:
                op.before = last.get((request.connection, key))
                last[request.connection, key] = op
                operations.append(op)
    return operations


def _on_key(request: Request, index: int) -> Operation | None:
    # None where the answer tells nothing about a single key.
    kind, reply = request.kind, request.reply
    if kind == Kind.EXISTS and len(request.keys) > 1 or kind == Kind.MSETNX and reply == 0:
        return None
    if kind == Kind.DEL and index:
        return None  # the second key is there to tell requests apart, and never set
    number = 1 if kind == Kind.INCR else request.number if kind == Kind.INCRBY else request.number * 1000
    return Operation(
        ON_ONE_KEY.get(kind, kind), request.keys[index], request.asked,
        request.values[index] if request.values else b"", number, request.client, None, request.answered,
        request.failed, reply[index] if isinstance(reply, list) else reply,
    )  # fmt: skip


def check_history(history: list[Request], error_us: int = 0) -> str | None:
    """None when the history is linearizable, else what is wrong with the first key that is not. Raises GaveUp when a
    key took too long and the others are right.
    """
    keys: dict[bytes, list[Operation]] = {}
    for op in operations_of(history):
        keys.setdefault(op.key, []).append(op)
    gave_up = None
    for key in sorted(keys):
        try:
            problem = check_key(keys[key], error_us)
        except GaveUp as reason:
            gave_up = reason
        else:
            if problem:
                return problem
    if gave_up is not None:
        raise gave_up
    return None
