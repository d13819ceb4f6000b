"""Are the answers that clients saw linearizable? Per key, after Wing & Gong and Lowe, with a memo of what was tried.

A history is linearizable if and only if each key's is, so each key is searched alone; MSET and MGET are taken as
single writes and reads of their keys at the same time, which asks for less than they promise and never for more.

The search keeps a set of operations done and the state they lead to. An operation may come next if no other one that
is still missing had been answered before it was asked; an operation of unknown outcome was never answered, and need
not come at all. On one connection the order of asking binds, too. A key with a time to live may vanish at any moment
from its deadline on, clocks being wrong by a stated amount, and need not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

FOREVER: Final = 1 << 62
STATES_MAX = 2_000_000  # for one key; a search that gives up counts as a violation


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
        self.tried: dict[tuple[int, State, bool], list[int]] = {}
        self.states = 0
        self.best = Place(0, 0, 0, None, False)

    def run(self) -> str | None:
        """None when there is such an order, else what could not be explained."""
        everything = (1 << len(self.known)) - 1
        stack = [self._moves(self.best)]
        while stack:
            place = next(stack[-1], None)
            if place is None:
                stack.pop()
                continue
            if place.done == everything:
                return None
            if self._is_new(place):
                stack.append(self._moves(place))
            if self.states > STATES_MAX:
                return f"gave up after {self.states} states: {self._explain()}"
        return None if not everything else self._explain()

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

    def _moves(self, place: "Place") -> Iterator["Place"]:
        candidates, limit = self._candidates(place)
        state, error = place.state, self.error_us
        moves = []
        for op in candidates:
            for new in after(state, op, error):
                move = place.answered(op, new)
                if new == state:  # nothing is lost by doing it at once
                    yield move
                    return
                moves.append(move)
        yield from moves
        # Something of unknown outcome may have happened here: only if it shows in what comes next.
        later = []
        for op in self.unknown:
            if op.asked > limit:
                break
            if place.used >> op.index & 1 or place.guessed and op.kind in BLIND_UNKNOWN:
                continue
            for new in after(state, op, error):
                if new != state:
                    shows = any(
                        next(after(new, seen, error), self) is not self
                        for seen in candidates if seen.kind not in BLIND
                    )
                    if shows:
                        yield place.guess(op, new)
                    else:
                        later.append(place.guess(op, new))
        yield from later

    def _explain(self) -> str:
        done, state = self.best.done, self.best.state
        missing = [op for op in self.known if not done >> op.index & 1]
        op = min(missing, key=lambda op: op.answered)
        what = "nothing" if state is None else repr(state[0][-80:])
        return (
            f"key {op.key!r}: not linearizable: {done.bit_count()} operations explained, then the key holds {what}, but "
            f"{op.kind.name} {op.value[:40]!r} by client {op.client}, asked {op.asked / 1e6:.6f}, answered "
            f"{op.answered / 1e6:.6f}, gave {op.result!r:.200}"
        )


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
