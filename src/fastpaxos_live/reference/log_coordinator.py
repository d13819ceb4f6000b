"""The coordinator: election, take-over, acknowledgements, the master's lease. PML 4.1, 4.2, 5.2, 5.3.

Like the acceptor a state and pure step functions with named rows; the host (`log_paxos.py`) carries out what a row
asks for. States: what holds in them.

* FOLLOWER: claims nothing; waits until no grant is live, then a random while longer.
* ASKING: has asked whether a majority would promise `number`; nothing is durable yet, nobody is disturbed.
* PREPARING: own promise of `number` is logged, and once durable the others are asked for theirs.
* RECOVERING: a majority promised; learns what is chosen up to the highest mark reported.
* OPENING: everything open was proposed again at `number`, the epoch instance behind it; waits until that is applied.
* SERVING: master. Its own promise, all accepts since and the epoch are its own.

| row | event | guard | the host then |
|---|---|---|---|
| suspect | tick | FOLLOWER, no grant, random wait over | ASK to all |
| asked | ANSWER yes | ASKING, own number; a majority now | promises itself, logs it |
| behind | ANSWER yes | ASKING, a majority, but one knows more chosen | fetches, waits again |
| not_asked | ANSWER no | ASKING, own number | nothing |
| prepare | own promise durable | PREPARING, own number | PROPOSE to all |
| again | tick | PREPARING, resend time | PROPOSE to all |
| promised | PROMISE, complete | PREPARING, own number; not yet a majority | nothing |
| elected | PROMISE, complete | PREPARING, a majority | goes on as RECOVERING |
| open | tick, LEARN, elected | RECOVERING, chosen up to the highest mark | proposes again, then the epoch |
| serve | applied | OPENING, the epoch instance | serves |
| acked | ACK | own number, OPENING or SERVING | commits what a majority has |
| echoed | ECHO | own number, OPENING or SERVING | the lease moves |
| refused | REFUSE | own number, a higher number promised | gives up; as master runs an election |
| give_up | tick | not FOLLOWER, time is over, or no majority heard | follows |
| superseded | own acceptor | promised a foreign, higher number | follows |
| stale | any | otherwise | nothing |
"""

FOLLOWER, ASKING, PREPARING, RECOVERING, OPENING, SERVING = range(6)

ROWS = (
    "suspect", "asked", "behind", "not_asked", "prepare", "again", "promised", "elected", "open", "serve", "acked",
    "echoed", "refused", "give_up", "superseded", "stale",
)
(
    SUSPECT_ROW, ASKED_ROW, BEHIND_ROW, NOT_ASKED_ROW, PREPARE_ROW, AGAIN_ROW, PROMISED_ROW, ELECTED_ROW, OPEN_ROW,
    SERVE_ROW, ACKED_ROW, ECHOED_ROW, REFUSED_ROW, GIVE_UP_ROW, SUPERSEDED_ROW, STALE_ROW,
) = range(len(ROWS))

RESEND = 4  # a candidate repeats its PROPOSE this many times within a lease


class Coordinator:
    """State of one coordinator. Per-replica lists have the own entry, too; index 0 is unused."""

    __slots__ = (
        "me", "replicas", "quorum", "incarnation", "state", "number", "seen", "votes", "marks", "acked", "heard",
        "proposed", "epoch_instance", "target", "deadline", "resend", "retry", "lease_us", "lease_master_us",
        "beat_us", "taken",
    )

    def __init__(
        self, me: int, replicas: int, incarnation: int, lease_us: int, lease_master_us: int, beat_us: int
    ) -> None:
        self.me = me
        self.replicas = replicas
        self.quorum = replicas // 2 + 1
        self.incarnation = incarnation
        self.state = FOLLOWER
        self.number = 0  # own number of the present attempt or reign
        self.seen = 0  # highest number met in any message
        self.votes = 0  # bit set of replicas that answered yes (ASKING) or promised (PREPARING)
        self.marks = [0] * (replicas + 1)  # chosen mark in each answer or promise
        self.acked = [0] * (replicas + 1)  # cumulative, at the own number
        self.heard = [0] * (replicas + 1)  # newest own send time echoed at the own number
        self.proposed = 0  # last instance proposed at the own number
        self.epoch_instance = 0
        self.target = 0  # highest chosen mark reported: nothing is proposed at or below it
        self.deadline = 0  # when the present state gives up
        self.resend = 0
        self.retry = 0  # FOLLOWER: not before this time
        self.lease_us = lease_us
        self.lease_master_us = lease_master_us
        self.beat_us = beat_us
        self.taken = [0] * len(ROWS)

    def _took(self, row: int) -> int:
        self.taken[row] += 1
        return row

    def _follow(self, retry: int) -> None:
        self.state = FOLLOWER
        self.retry = retry

    def _vote(self, sender: int, mark: int) -> bool:
        # True when this vote makes the majority.
        before = self.votes.bit_count()
        self.votes |= 1 << sender
        self.marks[sender] = max(self.marks[sender], mark)
        return before < self.quorum <= self.votes.bit_count()

    def highest_mark(self) -> int:
        """The highest chosen mark among the votes."""
        return max(mark for replica, mark in enumerate(self.marks) if self.votes >> replica & 1)

    # --- election
    def on_tick(self, now: int, granted_until: int, jitter: int, promised: int) -> int:
        """`jitter`: a random time, 0..election_us; the host draws it anew after each row that is not stale."""
        if self.state == FOLLOWER:
            if now < max(granted_until, self.retry) + jitter:
                return STALE_ROW
            self.seen = max(self.seen, promised, self.number)
            self.number = (self.seen >> 24) + 1 << 24 | self.me << 16 | self.incarnation
            self.state = ASKING
            self.votes = 0
            self.marks = [0] * (self.replicas + 1)
            self.deadline = now + self.beat_us
            return self._took(SUSPECT_ROW)
        if self.state >= OPENING:
            if now >= max(self.lease_base(now), self.deadline) + 2 * self.lease_us:
                self._follow(now)
                return self._took(GIVE_UP_ROW)
            return STALE_ROW
        if now >= self.deadline:
            self._follow(now)
            return self._took(GIVE_UP_ROW)
        if self.state == PREPARING and now >= self.resend:
            self.resend = now + self.lease_us // RESEND
            return self._took(AGAIN_ROW)
        return STALE_ROW

    def on_answer(self, sender: int, number: int, yes: bool, mark: int, chosen: int, now: int) -> int:
        if self.state != ASKING or number != self.number:
            return self._took(STALE_ROW)
        if not yes:
            return self._took(NOT_ASKED_ROW)
        if not self._vote(sender, mark):
            return STALE_ROW
        if self.highest_mark() > chosen:
            self._follow(now)
            return self._took(BEHIND_ROW)
        self.state = PREPARING
        self.votes = 0
        self.marks = [0] * (self.replicas + 1)
        self.deadline = now + self.lease_us
        self.resend = self.deadline
        return self._took(ASKED_ROW)

    def on_own_promise(self, number: int, now: int) -> int:
        """The own promise of `number` is durable."""
        if self.state != PREPARING or number != self.number:
            return self._took(STALE_ROW)
        self.resend = now + self.lease_us // RESEND
        return self._took(PREPARE_ROW)

    def on_promise(self, sender: int, number: int, mark: int, now: int) -> int:
        """A promise with all its entries has arrived."""
        if self.state != PREPARING or number != self.number:
            return self._took(STALE_ROW)
        if not self._vote(sender, mark):
            return self._took(PROMISED_ROW)
        self.state = RECOVERING
        self.target = self.highest_mark()
        self.deadline = now + 2 * self.lease_us
        return self._took(ELECTED_ROW)

    def on_chosen(self, chosen: int, now: int) -> int:
        if self.state != RECOVERING or chosen < self.target:
            return STALE_ROW
        self.state = OPENING
        self.proposed = chosen
        self.epoch_instance = 0
        self.acked = [0] * (self.replicas + 1)
        self.heard = [0] * (self.replicas + 1)
        self.deadline = now  # in OPENING and SERVING: the time it began
        return self._took(OPEN_ROW)

    def on_applied(self, applied: int) -> int:
        if self.state != OPENING or not self.epoch_instance or applied < self.epoch_instance:
            return STALE_ROW
        self.state = SERVING
        return self._took(SERVE_ROW)

    # --- reign
    def on_ack(self, sender: int, number: int, instance: int, sent: int) -> int:
        if self.state < OPENING or number != self.number:
            return self._took(STALE_ROW)
        self.acked[sender] = max(self.acked[sender], instance)
        self.heard[sender] = max(self.heard[sender], sent)
        return self._took(ACKED_ROW)

    def committed(self) -> int:
        """The highest instance that a majority acknowledged at the own number, 0 if none."""
        return sorted(self.acked[1:], reverse=True)[self.quorum - 1]

    def on_echo(self, sender: int, number: int, sent: int) -> int:
        if self.state < OPENING or number != self.number:
            return self._took(STALE_ROW)
        self.heard[sender] = max(self.heard[sender], sent)
        return self._took(ECHOED_ROW)

    def lease_base(self, now: int) -> int:
        """The majority-th newest own send time that was echoed at the own number; the own entry is `now`."""
        times = [now if r == self.me else self.heard[r] for r in range(1, self.replicas + 1)]
        return sorted(times, reverse=True)[self.quorum - 1]

    def may_read(self, now: int) -> bool:
        """Is a read that was executed before `now` covered by the lease?"""
        return self.state == SERVING and now < self.lease_base(now) + self.lease_master_us

    def on_refuse(self, number: int, promised: int, now: int) -> int:
        """`promised` is what the refuser promised; refusing raises nobody's own number, it is only remembered."""
        self.seen = max(self.seen, promised)
        if self.state < PREPARING or number != self.number:
            return self._took(STALE_ROW)
        if self.state >= RECOVERING and promised <= self.number:
            return self._took(STALE_ROW)
        self._follow(now)
        return self._took(REFUSED_ROW)

    def on_foreign(self, promised: int, granted: bool, now: int) -> int:
        """The own acceptor promised or followed another replica."""
        self.seen = max(self.seen, promised)
        if self.state == ASKING and granted or self.state >= PREPARING and promised > self.number:
            self._follow(now)
            return self._took(SUPERSEDED_ROW)
        return STALE_ROW
