"""Are the answers that clients saw linearizable? Per key, after Wing & Gong and Lowe, with a memo of what was tried.

A history is linearizable if and only if each key's is, so each key is searched alone; MSET and MGET are taken as
single writes and reads of their keys at the same time, which asks for less than they promise and never for more.

The search keeps a set of operations done and the state they lead to. An operation may come next if no other one that
is still missing had been answered before it was asked; an operation of unknown outcome was never answered, and need
not come at all. On one connection the order of asking binds, too. A key with a time to live may vanish at any moment
from its deadline on, clocks being wrong by a stated amount, and need not.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import Final

FOREVER: Final = 1 << 62
GUESS_COST = 3  # so many operations less may be done at a place with one guess less, to be tried before
STATES_MAX = 200_000  # for one key; a search that gives up counts as a violation


class Kind(IntEnum):
    """What an operation does to one key."""

    GET = 0
    SET = 1
    SET_NX = 2
    SET_PX = 3
    INCR = 4
    DEL = 5
    APPEND = 6
    GETDEL = 7


# Neither effect nor answer depends on what was there; so an operation of unknown outcome just before one of these might
# as well not have happened.
BLIND = frozenset((Kind.SET, Kind.SET_PX))
BLIND_UNKNOWN = BLIND | {Kind.DEL, Kind.GETDEL}


@dataclass(slots=True, eq=False)
class Operation:
    """One operation on one key, as a client saw it. Times in microseconds."""

    kind: Kind
    key: bytes
    asked: int
    value: bytes = b""  # written or appended
    ttl_us: int = 0
    client: int = 0
    before: "Operation | None" = None  # the previous one on this key by the same connection
    answered: int = FOREVER  # FOREVER: the outcome is unknown
    failed: bool = False  # definitely not applied
    result: object = None  # as answered: bytes, int or None; True for OK
    index: int = field(default=-1, repr=False)  # place among its key's operations


# The state of a key: None when it is absent, else its value and the earliest time at which it may vanish.
State = tuple[bytes, int] | None


def after(state: State, op: Operation, error_us: int) -> Iterator[State]:
    """The states that `op` with its result may lead to from `state`: none when the result does not fit."""
    yield from _step(state, op, error_us)
    if state is not None and state[1] < FOREVER and op.answered >= state[1]:
        yield from _step(None, op, error_us)


def _step(state: State, op: Operation, error_us: int) -> Iterator[State]:
    kind = op.kind
    value = None if state is None else state[0]
    expires = FOREVER if state is None else state[1]
    fits: object
    new: State
    if kind == Kind.GET:
        fits, new = value, state
    elif kind == Kind.SET:
        fits, new = True, (op.value, FOREVER)
    elif kind == Kind.SET_PX:
        fits, new = True, (op.value, op.asked + op.ttl_us - error_us)
    elif kind == Kind.SET_NX:
        fits, new = (True, (op.value, FOREVER)) if state is None else (None, state)
    elif kind == Kind.INCR:
        fits = int(value or 0) + 1
        new = b"%d" % fits, expires
    elif kind == Kind.DEL:
        fits, new = (0 if state is None else 1), None
    elif kind == Kind.APPEND:
        text = (value or b"") + op.value
        fits, new = len(text), (text, expires)
    else:
        fits, new = value, None
    if op.answered == FOREVER or op.result == fits:
        yield new


class Search:
    """The search for an order that explains the answers about one key."""

    def __init__(self, operations: list[Operation], error_us: int) -> None:
        ops = sorted((op for op in operations if not op.failed), key=lambda op: op.asked)
        self.known = [op for op in ops if op.answered < FOREVER]
        self.unknown = [op for op in ops if op.answered == FOREVER and op.kind != Kind.GET]
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
                return f"gave up after {self.states} states: {self._explain()}"
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
            for new in after(place.state, op, self.error_us):
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
            for new in after(place.state, op, self.error_us):
                if new == place.state or self.sights.exclude(op, place.state, new, place.done):
                    continue
                shows = any(
                    next(after(new, seen, self.error_us), self) is not self
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
        self.tells = not any(op.kind == Kind.INCR for op in ops) and not any(
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

    `error_us`: by how much an expiry may come before its time.
    """
    return Search(operations, error_us).run()


def check_history(operations: list[Operation], error_us: int = 0) -> str | None:
    """None when the history is linearizable, else what is wrong with the first key that is not."""
    keys: dict[bytes, list[Operation]] = {}
    for op in operations:
        keys.setdefault(op.key, []).append(op)
    for key in sorted(keys):
        problem = check_key(keys[key], error_us)
        if problem:
            return problem
    return None
