"""What must hold in a cell after every turn of any replica, whatever fails: the invariants.

 1. One value an instance: whoever applies an instance, in whatever life, applies the same value. What is chosen by the
    acceptances on the disks is never contradicted by a later one (`Chosen`), and nothing else is committed or learned.
 2. Each replica applies 1, 2, 3, ... in each life; the database and its epoch are a function of the instance.
 3. At most one replica at a time serves under a lease, in true time.
 4. No promise goes back: not in memory during a life, and not across a crash once it was durable or told to anybody.
 5. The epoch never goes back. One mastership has one epoch, and no other has the same.
 6. After a start nobody is promised anything for one lease, but what was promised before. And nobody but a master is
    promised anything while that master may still rely on an answer of this replica, of this life or an earlier one.
 7. What a master may rely on is no longer than what a new life of the replica would be silent for. Promises, also the
    candidate's own, and acknowledgements are told when they are durable.
 8. What is proposed at a number lies above the chosen marks that a majority promised it with. Where a master goes on in
    its epoch at a higher number, that majority had nothing there of a number above the one before.
 9. However many keys there are, no value makes the database do more than so much beside its operations.
10. Who is shown that its log is not as it wrote it ends, if a later group says that it was durable.
"""

from collections.abc import Callable
from struct import Struct

from ..reference.limits import MOVED_SLOTS, REMOVED_KEYS, REMOVED_KEYS_EACH, SWEPT_SLOTS
from ..reference.log_frame import (
    ACCEPT,
    ACK,
    BEAT,
    ECHO,
    ENTRY,
    HEADER_BYTES,
    LEARN,
    PROMISE,
    PROPOSE,
    BadFrame,
    frame_decode,
    frame_length,
)
from .chosen import Chosen, Violation
from .trace import Fields, frames_of, number_text

__all__ = ["CellCheck", "ReplicaView", "Violation"]

_GROUP = Struct("<16xI12xQQ")  # of a write group's header: length, bytes of frames, promise


class ReplicaView:
    """What the checks remember of one replica."""

    __slots__ = (
        "applied", "promised", "told", "kept", "epoch", "serving_until", "quiet_until",
        "committed", "recovered", "seen", "worked", "values", "accepted", "reign", "reigns", "leads", "led", "granted",
    )

    def __init__(self) -> None:
        self.told = 0  # highest number in a promise or an acknowledgement that left: survives a crash
        self.kept = 0  # highest promise that is durable: survives a crash
        self.granted: dict[int, tuple[int, int]] = {}
        """Master -> number, and newest of its own times that an answer to it named: survives, too."""
        self.accepted: dict[int, int] = {}  # durable: all of this number's reign up to that instance
        self.reign = 0  # the number accepted last, durably
        self.begin(0)

    def begin(self, quiet_until: int, recovered: int = 0) -> None:
        """A new life, silent until then in the replica's own time (us), with that promise from its disk."""
        self.applied = 0
        self.promised = 0
        self.reigns: int | None = None  # it serves in this epoch
        self.leads = self.led = 0  # the number of its heartbeats and proposals, and the one before
        self.committed = 0
        self.values = 0  # applied when the work was looked at last, which was ...
        self.worked = (0, 0, 0, 0, 0, 0)  # ... this
        self.epoch = 0
        self.serving_until = 0  # true time until which the replica believes that it alone may answer reads
        self.quiet_until = quiet_until
        self.recovered = recovered
        self.seen: tuple[int, ...] = ()  # at the last turn


class CellCheck:
    """The invariants of one cell. Every method raises Violation."""

    def __init__(
        self, replicas: int, relies: Callable[[int, int], int] = lambda master, sent: 0,
        exceeds: Callable[[int, int, int], bool] | None = None,
    ) -> None:
        """`relies`: for how long still (us) a master may rely on an answer to what it sent at that time of its own.
        `exceeds`: is what a replica grants a master longer than what the replica's disk knows?
        """
        self.relies = relies
        self.exceeds = exceeds
        self.views = [ReplicaView() for _ in range(replicas + 1)]
        self.values: dict[int, int] = {}  # instance -> checksum of the value applied there
        self.applied_at: list[int] = []  # true time of that, from instance 1 on: whoever was first
        self.states: dict[int, tuple[int, int]] = {}  # instance -> sum over the database, epoch
        self.chosen = Chosen(replicas)
        self.masters: dict[int, int] = {}  # epoch -> who served in it
        self.promises: dict[int, dict[int, list[tuple[int, dict[int, int]]]]] = {}
        """Number -> who promised it -> each time, its chosen mark, and the number of each entry that it showed."""
        self.lowest: dict[int, int] = {}  # number -> the first instance that was proposed at it
        self._others = replicas // 2  # together with oneself a majority

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
        reigns = epoch if serving else None
        if reigns != view.reigns:
            self._mastership(replica, reigns)
        if serving and lease_end > now:
            self._serving(replica, now, lease_end)
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
        if committed > self.chosen.mark:
            raise Violation(f"replica {replica}: committed {committed}, but only {self.chosen.mark} are chosen")
        view.committed = committed
        if promised < view.promised or promised < view.told or promised < view.kept:
            highest = max(view.promised, view.told, view.kept)
            raise Violation(
                f"replica {replica}: promise {number_text(promised)} is lower than {number_text(highest)}"
            )
        view.promised = promised

    def worked(self, replica: int, work: tuple[int, int, int, int, int, int]) -> None:
        """After a turn: this is its `Replica.work`."""
        view = self.views[replica]
        if work == view.worked:
            return
        more = [now - before for now, before in zip(work, view.worked, strict=True)]
        operations, added, moved, swept, removed, _ = more
        values = view.applied - view.values
        if (
            moved > MOVED_SLOTS * added
            or swept > SWEPT_SLOTS * added
            or removed > REMOVED_KEYS * values + REMOVED_KEYS_EACH * operations
        ):
            raise Violation(
                f"replica {replica} moved {moved} and swept {swept} slots, and removed {removed} keys that were due, "
                f"to apply {operations} operations of {values} values with {added} new keys"
            )
        view.worked = work
        view.values = view.applied

    def _mastership(self, replica: int, epoch: int | None) -> None:
        # It serves now in another epoch than before, or serves no more.
        view = self.views[replica]
        before, view.reigns = view.reigns, epoch
        if epoch is None:
            return
        if before is not None:
            raise Violation(f"replica {replica}: epoch {epoch} began within its mastership of epoch {before}")
        if epoch in self.masters:
            raise Violation(f"replica {replica} serves in epoch {epoch}, as replica {self.masters[epoch]} did")
        self.masters[epoch] = replica

    def _serving(self, replica: int, now: int, lease_end: int) -> None:
        view = self.views[replica]
        view.serving_until = lease_end
        for other, rival in enumerate(self.views):
            if other != replica and rival.serving_until > now:
                raise Violation(
                    f"two masters: replica {replica} serves until {lease_end / 1e6:.6f}, "
                    f"replica {other} until {rival.serving_until / 1e6:.6f}"
                )

    def sent(self, replica: int, frames: list[Fields], boot_us: int, before: int | None = None) -> None:
        """`replica` sends frames with these headers in one turn, at `boot_us` of its own clock. In one turn those to
        different peers have no order. Where they waited for room, `before` is the highest number that it had answered
        when they began to wait.
        """
        view = self.views[replica]
        told = view.told
        lowest = told if before is None else before
        shown: dict[int, int] = {}
        for fields in frames:
            kind, number = fields[0], fields[5]
            if (kind == ACCEPT or kind == BEAT) and number > view.leads:
                view.led, view.leads = view.leads, number
            if kind == ECHO:
                self._grants(replica, number, fields[8])
            elif kind == ACCEPT:
                self._proposes(replica, number, fields[6])
            elif kind == ENTRY:
                shown[fields[6]] = fields[9]
            elif kind == PROPOSE:
                self._is_kept(replica, number)
            elif kind == ACK or kind == PROMISE:
                if number < lowest:
                    raise Violation(
                        f"replica {replica} answers {number_text(number)} after it answered {number_text(lowest)}"
                    )
                told = max(told, number)
                if kind == ACK:
                    self._grants(replica, number, fields[8])
                if kind == PROMISE:
                    self._promises(replica, fields, shown, boot_us)
                    shown = {}
                elif fields[6] > view.accepted.get(number, 0):
                    raise Violation(
                        f"replica {replica} acknowledges instance {fields[6]} at {number_text(number)}: durable there "
                        f"is {view.accepted.get(number, 0)}"
                    )
        if told != view.told:
            view.told = told
            view.seen = ()  # look again

    def ended(self, replica: int) -> None:
        """A life of this replica ended."""
        self.views[replica].begin(0)

    def begun(self, replica: int) -> None:
        """A life of this replica begins with what is on its disk. It relies on nothing that an earlier one was told,
        whose clock may have been another one.
        """
        self.views[replica].recovered = self.views[replica].promised
        for view in self.views:
            view.granted.pop(replica, None)

    def _grants(self, replica: int, number: int, sent: int) -> None:
        master = number >> 16 & 0xFF  # whose number it is
        granted = self.views[replica].granted
        if number <= self.views[master].recovered:
            return  # of an earlier life of the master, which relies on nothing any more
        if sent and (number, sent) > granted.get(master, (0, 0)):
            granted[master] = number, sent
            if self.exceeds is not None and self.exceeds(replica, master, sent):
                raise Violation(
                    f"replica {replica} grants replica {master} a longer lease than its silence after a start"
                )

    def _is_kept(self, replica: int, number: int) -> None:
        if number > self.views[replica].kept:
            raise Violation(f"replica {replica} tells of its promise {number_text(number)}, which is not durable")

    def _promises(self, replica: int, fields: Fields, shown: dict[int, int], boot_us: int) -> None:
        view, number, mark = self.views[replica], fields[5], fields[7]
        if boot_us < view.quiet_until and number > view.recovered:
            raise Violation(f"replica {replica} promises {number_text(number)} in the silence after its start")
        self._is_kept(replica, number)
        # Whom it answered last at the highest number: a majority had promised that one, so older leases are over.
        for master, (at, sent) in view.granted.items():
            if at < max(view.granted.values())[0] or at > number or master in (replica, number >> 16 & 0xFF):
                continue  # or it promised before it answered, and both leave in one turn
            if (left := self.relies(master, sent)) > 0:
                raise Violation(
                    f"replica {replica} promises {number_text(number)}, and replica {master} may rely on its answer "
                    f"for {left} us more"
                )
        self.promises.setdefault(number, {}).setdefault(replica, []).append((mark, shown))

    def _proposes(self, replica: int, number: int, instance: int) -> None:
        low = self.lowest.get(number)
        if low is not None and instance >= low:
            return
        self.lowest[number] = instance
        promises = self.promises.get(number, {}).values()
        if sum(any(mark < instance for mark, _ in told) for told in promises) < self._others:
            raise Violation(
                f"replica {replica} proposes instance {instance} at {number_text(number)}: no majority promised that "
                f"with a lower chosen mark"
            )
        view = self.views[replica]
        if low is not None or view.reigns is None:
            return

        def is_free(mark: int, shown: dict[int, int]) -> bool:
            return mark < instance and all(n < view.led for at, n in shown.items() if at >= instance)

        if sum(any(is_free(*one) for one in told) for told in promises) < self._others:
            raise Violation(
                f"replica {replica} goes on at {number_text(number)} with instance {instance}: no majority promised "
                f"that with nothing newer than {number_text(view.led)} there"
            )

    def revived(
        self, replica: int, entries: list[tuple[int, int]], seen: tuple[int, int, int, int, int, bool, int]
    ) -> None:
        """From a copy of its disk alone `replica` applied these (instance, checksum); then this is its glance."""
        view = self.views[replica]
        applied, _, promised, epoch, state_sum, _, _ = seen
        if entries != [(instance, self.values.get(instance)) for instance in range(1, applied + 1)]:
            raise Violation(f"the disk of replica {replica} holds other values than were applied")
        if self.states.get(applied, (state_sum, epoch)) != (state_sum, epoch):
            raise Violation(f"the disk of replica {replica} leads to another state at instance {applied}")
        if promised < max(view.told, view.kept):
            raise Violation(f"the disk of replica {replica} has lost a promise")

    def durable(self, replica: int, groups: bytes) -> None:
        """These write groups are durable."""
        view = self.views[replica]
        at = 0
        while at < len(groups):
            length, size, promised = _GROUP.unpack_from(groups, at)
            if promised > view.kept:
                view.kept = promised
                view.seen = ()  # look again
            frames = groups[at + HEADER_BYTES : at + HEADER_BYTES + size]
            for start, _, fields in frames_of(frames):
                if fields[0] == ACCEPT or fields[0] == LEARN:
                    value = frames[start + HEADER_BYTES : start + HEADER_BYTES + 8]
                    self._logged(replica, fields, int.from_bytes(value, "little"))
            at += length

    def handed_on(self, replica: int, cell_id: int, position: int, data: bytes) -> None:
        """A replica goes on after it was given this part of its log, which begins with the frame that it asked for."""
        try:
            frame_decode(cell_id, data, 0, frame_length(cell_id, data, 0))
        except BadFrame:
            raise Violation(f"replica {replica} goes on, and its log at {position} is not as it wrote it") from None

    def _logged(self, replica: int, fields: Fields, checksum: int) -> None:
        view, number, instance = self.views[replica], fields[5], fields[6]
        if fields[0] == ACCEPT:
            self.chosen.accepted(replica, number, instance, checksum)
            view.reign = number
        else:
            self.chosen.learned(replica, instance, checksum)
        view.accepted[view.reign] = max(view.accepted.get(view.reign, 0), instance)
