"""What must hold in a cell after every turn of any replica, whatever fails: the invariants.

 1. One value an instance: whoever applies an instance, in whatever life, applies the same value.
 2. Each replica applies 1, 2, 3, ... in each life; the database and its epoch are a function of the instance.
 3. At most one replica at a time serves under a lease, in true time.
 4. No promise goes back: not in memory during a life, and not across a crash once it was durable or told to anybody.
 5. The epoch never goes back.
 6. After a start nobody is promised anything for one lease, but what was promised before.
"""

from ..reference.log_frame import ACK, PROMISE
from .trace import Fields, number_text


class Violation(Exception):
    """Something that must not happen; the text is one line."""


class ReplicaView:
    """What the checks remember of one replica."""

    __slots__ = (
        "applied", "promised", "told", "kept", "epoch", "serving_until", "quiet_until",
        "committed", "recovered", "seen",
    )

    def __init__(self) -> None:
        self.told = 0  # highest number in a promise or an acknowledgement that left: survives a crash
        self.kept = 0  # highest promise that is durable: survives a crash
        self.begin(0)

    def begin(self, quiet_until: int, recovered: int = 0) -> None:
        """A new life, silent until then in the replica's own time (us), with that promise from its disk."""
        self.applied = 0
        self.promised = 0
        self.committed = 0
        self.epoch = 0
        self.serving_until = 0  # true time until which the replica believes that it alone may answer reads
        self.quiet_until = quiet_until
        self.recovered = recovered
        self.seen: tuple[int, ...] = ()  # at the last turn


class CellCheck:
    """The invariants of one cell. Every method raises Violation."""

    def __init__(self, replicas: int) -> None:
        self.views = [ReplicaView() for _ in range(replicas + 1)]
        self.values: dict[int, int] = {}  # instance -> checksum of the value applied there
        self.applied_at: list[int] = []  # true time of that, from instance 1 on: whoever was first
        self.states: dict[int, tuple[int, int]] = {}  # instance -> sum over the database, epoch
        self.masters: set[int] = set()  # epochs in which somebody served

    def applied(self, replica: int, entries: list[tuple[int, int]], now: int) -> None:
        """`replica` applied these (instance, checksum) by true time `now`."""
        view = self.views[replica]
        for instance, checksum in entries:
            if instance != view.applied + 1:
                raise Violation(f"replica {replica} applied instance {instance} after {view.applied}")
            view.applied = instance
            known = self.values.get(instance)
            if known is None:
                self.values[instance] = checksum
                self.applied_at.append(now)
            elif known != checksum:
                raise Violation(
                    f"replica {replica} applied {checksum:016x} at instance {instance}, another {known:016x}"
                )

    def glance(
        self, replica: int, seen: tuple[int, int, int, int, int, bool, int], now: int, lease_end: int
    ) -> None:
        """After a turn at true time `now` with this `Replica.glance`; its lease ends at true time `lease_end`."""
        view = self.views[replica]
        applied, committed, promised, epoch, state_sum, serving, _ = seen
        if serving and lease_end > now:
            self._serving(replica, epoch, now, lease_end)
        else:
            view.serving_until = 0
        state = applied, committed, promised, epoch, state_sum
        if state == view.seen:
            return
        view.seen = state
        if applied != view.applied:
            raise Violation(f"replica {replica} says it applied up to {applied}, it showed up to {view.applied}")
        if applied:
            known = self.states.setdefault(applied, (state_sum, epoch))
            if known != (state_sum, epoch):
                raise Violation(
                    f"replica {replica} has state {state_sum:016x} in epoch {epoch} at instance {applied}, "
                    f"another {known[0]:016x} in epoch {known[1]}"
                )
        if epoch < view.epoch:
            raise Violation(f"replica {replica}: the epoch went back from {view.epoch} to {epoch}")
        view.epoch = epoch
        if committed < view.committed or committed < applied:
            raise Violation(f"replica {replica}: committed {committed} after {view.committed}, applied {applied}")
        view.committed = committed
        if promised < view.promised or promised < view.told or promised < view.kept:
            highest = max(view.promised, view.told, view.kept)
            raise Violation(
                f"replica {replica}: promise {number_text(promised)} is lower than {number_text(highest)}"
            )
        view.promised = promised

    def _serving(self, replica: int, epoch: int, now: int, lease_end: int) -> None:
        view = self.views[replica]
        self.masters.add(epoch)
        view.serving_until = lease_end
        for other, rival in enumerate(self.views):
            if other != replica and rival.serving_until > now:
                raise Violation(
                    f"two masters: replica {replica} serves until {lease_end / 1e6:.6f}, "
                    f"replica {other} until {rival.serving_until / 1e6:.6f}"
                )

    def sent(self, replica: int, frames: list[Fields], boot_us: int) -> None:
        """`replica` sends frames with these headers in one turn, at `boot_us` of its own clock. In one turn those to
        different peers have no order."""
        view = self.views[replica]
        told = view.told
        for fields in frames:
            kind, number = fields[0], fields[5]
            if kind != ACK and kind != PROMISE:
                continue
            if number < view.told:
                raise Violation(
                    f"replica {replica} answers {number_text(number)} after it answered "
                    f"{number_text(view.told)}"
                )
            told = max(told, number)
            if kind == PROMISE and boot_us < view.quiet_until and number > view.recovered:
                raise Violation(
                    f"replica {replica} promises {number_text(number)} in the silence after its start"
                )
        if told != view.told:
            view.told = told
            view.seen = ()  # look again

    def durable(self, replica: int, promised: int) -> None:
        """A group whose header names this promise is durable."""
        view = self.views[replica]
        if promised > view.kept:
            view.kept = promised
            view.seen = ()  # look again
