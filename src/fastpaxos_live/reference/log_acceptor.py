"""The acceptor: promises, accepts, grants the lease. PML 4.1, 4.2, 5.1, 5.2.

A state and pure step functions. Each call takes exactly one named row and returns it; what a row asks of its host
(append a record, answer after it is durable) is in the table. Nothing else changes this state.

| row | event | guard | the host then |
|---|---|---|---|
| promise | PROPOSE | voting, a higher number, no grant to another is live | logs PROMISED; PROMISE when durable |
| promise_again | PROPOSE | voting, the promised number, from its owner, nothing accepted at it | PROMISE when durable |
| refuse_propose | PROPOSE | otherwise | REFUSE, names the promised number |
| would, would_not | ASK | as promise / otherwise; changes nothing | ANSWER |
| accept | ACCEPT | number not below the promised one, the next instance | logs the frame; ACK when durable |
| repeat | ACCEPT | at this reign's number, already here | ACK when all is durable |
| where | ACCEPT, BEAT | a gap, or a reign not entered yet | WHERE, names the next instance |
| renew | BEAT | number is the promised one | ECHO, from memory |
| refuse | ACCEPT, BEAT | number below the promised one | REFUSE |
| learn | LEARN | the next unchosen instance | logs the entry |
| known | LEARN | otherwise | nothing |
"""

ROWS = (
    "promise", "promise_again", "refuse_propose", "would", "would_not", "accept", "repeat", "where", "renew",
    "refuse", "learn", "known",
)
(
    PROMISE_ROW, PROMISE_AGAIN_ROW, REFUSE_PROPOSE_ROW, WOULD_ROW, WOULD_NOT_ROW, ACCEPT_ROW, REPEAT_ROW, WHERE_ROW,
    RENEW_ROW, REFUSE_ROW, LEARN_ROW, KNOWN_ROW,
) = range(len(ROWS))


def number_replica(number: int) -> int:
    """The replica a number belongs to."""
    return number >> 16 & 0xFF


class Acceptor:
    """State of one acceptor. Times are microseconds of the replica's own clock."""

    __slots__ = (
        "promised", "reign", "last", "chosen", "high", "silent", "quiet", "master", "until", "lease_us", "taken"
    )

    def __init__(self, lease_us: int) -> None:
        self.promised = 0  # durable: highest number promised
        self.reign = 0  # durable: the number at which ...
        self.last = 0  # durable: ... everything from the reign's first instance to here is here
        self.chosen = 0  # all up to here are known chosen; safe to forget
        self.high = 0  # highest instance accepted at any number
        self.silent = True  # a lease long after a start: promises nobody, itself included
        self.quiet = 0  # end of the silence
        self.master = 0  # the lease is granted to this replica ...
        self.until = 0  # ... until then
        self.lease_us = lease_us
        self.taken = [0] * len(ROWS)

    def _took(self, row: int) -> int:
        self.taken[row] += 1
        return row

    def _free(self, sender: int, now: int) -> bool:
        return self.master == sender or now >= self.until

    def _may_promise(self, sender: int, number: int, now: int) -> bool:
        return not self.silent and number > self.promised and self._free(sender, now)

    def next_instance(self, number: int) -> int:
        """The instance that an accept at `number` must have: contiguous within a reign."""
        return max(self.last, self.chosen) + 1 if number == self.reign else self.chosen + 1

    def _follow(self, sender: int, number: int, mark: int, now: int) -> None:
        # A mark from this number commits only what was accepted at this number.
        self.master = sender
        self.until = max(self.until, now + self.lease_us)
        if number == self.reign:
            self.chosen = max(self.chosen, min(mark, self.last))

    def on_propose(self, sender: int, number: int, now: int) -> int:
        if self._may_promise(sender, number, now):
            self.promised = number
            return self._took(PROMISE_ROW)
        again = number == self.promised and number_replica(number) == sender and self.reign != number
        if again and not self.silent:
            return self._took(PROMISE_AGAIN_ROW)
        return self._took(REFUSE_PROPOSE_ROW)

    def on_ask(self, sender: int, number: int, now: int) -> int:
        return self._took(WOULD_ROW if self._may_promise(sender, number, now) else WOULD_NOT_ROW)

    def on_accept(self, sender: int, number: int, instance: int, mark: int, now: int) -> int:
        if number < self.promised:
            return self._took(REFUSE_ROW)
        wanted = self.next_instance(number)
        if instance == wanted:
            self.promised = self.reign = number
            self.last = instance
            self.high = max(self.high, instance)
            self._follow(sender, number, mark, now)
            return self._took(ACCEPT_ROW)
        if number == self.reign and instance < wanted:
            self._follow(sender, number, mark, now)
            return self._took(REPEAT_ROW)
        return self._took(WHERE_ROW)

    def on_beat(self, sender: int, number: int, mark: int, now: int) -> int:
        if number < self.promised:
            return self._took(REFUSE_ROW)
        if number > self.promised:
            return self._took(WHERE_ROW)
        self._follow(sender, number, mark, now)
        return self._took(RENEW_ROW)

    def on_learn(self, instance: int) -> int:
        if instance != self.chosen + 1:
            return self._took(KNOWN_ROW)
        self.chosen = instance
        self.last = max(self.last, instance)
        self.high = max(self.high, instance)
        return self._took(LEARN_ROW)

    def on_chosen(self, commit: int) -> None:
        """The own coordinator counted a majority at this reign's number up to `commit`."""
        assert commit <= self.last
        self.chosen = max(self.chosen, commit)

    def on_tick(self, now: int) -> None:
        if self.silent and now >= self.quiet:
            self.silent = False

    def restart(self, now: int) -> None:
        """After replay: grants were forgotten, so nobody gets a promise for one lease."""
        self.silent = True
        self.quiet = now + self.lease_us
        self.master = self.until = 0

    # --- replay of the own log (PML 4.2): the same changes, without time
    def replay_promised(self, number: int) -> None:
        self.promised = max(self.promised, number)

    def replay_accept(self, number: int, instance: int) -> None:
        self.promised = max(self.promised, number)
        self.reign = number
        self.last = instance
        self.high = max(self.high, instance)

    def replay_chosen(self, mark: int) -> None:
        self.chosen = max(self.chosen, mark)
