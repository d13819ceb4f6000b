"""Frames of peers: taken apart, checked, and handed on as events."""

from typing import TYPE_CHECKING

from . import log_machines as M
from .limits import DISK_BYTES_HIGH, INSTANCE_MAX, ROUNDS_AHEAD_MAX, SLOTS, SPAN_US_MAX
from .log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ECHO,
    ENTRY,
    FETCH,
    FETCHED,
    LEARN,
    OPERATIONS,
    PROMISE,
    PROPOSE,
    REFUSE,
    WHERE,
    BadFrame,
    Frame,
    frame_decode,
    frame_length,
    value_header,
)

if TYPE_CHECKING:
    from .log_paxos import PaxosLog

RESEND_MAX = 32  # entries sent again for one WHERE

# Messages as frames.
FRAME_OF = {
    M.M_ASK: ASK, M.M_ANSWER: ANSWER, M.M_PROPOSE: PROPOSE, M.M_ENTRY: ENTRY, M.M_PROMISE: PROMISE,
    M.M_REFUSE: REFUSE, M.M_ACCEPT: ACCEPT, M.M_ACK: ACK, M.M_BEAT: BEAT, M.M_ECHO: ECHO, M.M_WHERE: WHERE,
    M.M_LEARN: LEARN,
}  # fmt: skip
MESSAGE_OF = {frame: message for message, frame in FRAME_OF.items()}
STEPPED = set(MESSAGE_OF) - {WHERE, LEARN}  # frames that are an event and nothing more
OWN = {ASK, PROPOSE, ACCEPT, BEAT}  # frames that speak of a number of their sender
ANSWERS = {ANSWER, PROMISE, ENTRY, REFUSE, ACK, ECHO, WHERE}  # ... and of one of their receiver
WITH_VALUE = {ACCEPT, LEARN, ENTRY}
WITH_NUMBER = {ANSWER, REFUSE, ENTRY}  # another one, in `extra`
# Where a frame carries the field that its header has no place of the same name for: see `message`.
FIELDS = (
    "type", "sender", "now", "number", "yes", "mark", "promised", "instance", "accepted", "value", "high", "sent",
    "span",
)  # fmt: skip
assert M.Message.__slots__[: len(FIELDS)] == FIELDS


def message(type: int, sender: int, now: int, frame: Frame) -> M.Message:
    """The event that a frame is."""
    extra, instance = frame.extra, frame.instance
    return M.Message(  # by position, which is quicker; FIELDS says how they lie
        type, sender, now, frame.number, frame.flags, frame.mark, extra, instance, extra, 0, instance, frame.sent,
        extra)


class Arrival:
    """What comes in from one replica's peers."""

    def __init__(self, log: "PaxosLog") -> None:
        self.log = log
        self.resend_at = [0] * (log.replicas + 1)
        self.incarnations = [0] * (log.replicas + 1)  # the newest that spoke, by replica

    def feed(self, peer: int, channel: int, data: bytes) -> bool:
        """See `_api.Replica.feed_peer`."""
        log = self.log
        link = log.links[peer][channel]
        if not link.up:
            return True
        link.input += data
        at = 0
        try:
            size = len(link.input)
            while at < size and (n := frame_length(log.seed, link.input, at)):
                if at + n > size:
                    self._on_part(link.input, at)
                    break
                frame = frame_decode(log.seed, link.input, at, n)
                if frame.sender != peer or not self._is_sound(peer, frame):
                    return False
                if self._counts(peer, frame):
                    self._on_frame(peer, frame, bytes(link.input[at : at + n]))
                at += n
        except BadFrame:
            return False
        del link.input[:at]
        return True

    def _on_part(self, data: bytearray, at: int) -> None:
        """Of a frame whose header is here."""
        c = self.log.machines.coordinator
        if c.state == M.COORDINATOR_PREPARING and data[at + 13] == ENTRY:
            if int.from_bytes(data[at + 24 : at + 32], "little") == c.number:
                self.log.event(M.M_PROGRESS)

    def _counts(self, peer: int, frame: Frame) -> bool:
        """Does it come from this life of ours, and of its sender? What does not is as a frame that was lost."""
        if frame.incarnation < self.incarnations[peer]:
            return False
        self.incarnations[peer] = frame.incarnation
        return frame.type not in (ACK, ECHO) or frame.sent <= self.log.now  # a machine's clock begins anew

    def _is_sound(self, peer: int, frame: Frame) -> bool:
        """Can a replica of this cell have sent it? If not, nothing that comes this way can be trusted."""
        type, log = frame.type, self.log
        if type not in MESSAGE_OF:
            return True
        owner = peer if type in OWN else log.me if type in ANSWERS else 0
        if owner and log.owner(frame.number) != owner or frame.instance > INSTANCE_MAX or frame.mark > INSTANCE_MAX:
            return False
        if not self._is_near(frame.number) or type in WITH_NUMBER and not self._is_near(frame.extra):
            return False
        if type in (ACCEPT, BEAT) and frame.extra > SPAN_US_MAX:
            return False
        return type not in WITH_VALUE or frame.instance > 0 and log.host.is_sound(frame.payload)

    def _is_near(self, number: int) -> bool:
        log = self.log
        e, c = log.machines.election, log.machines.coordinator
        known = max(log.acceptor.promised, e.seen, e.number, c.number)
        return number >> 24 <= (known >> 24) + ROUNDS_AHEAD_MAX

    def _on_frame(self, peer: int, frame: Frame, data: bytes) -> None:
        type, log = frame.type, self.log
        if type in STEPPED:
            if type == ACCEPT and self._too_far(frame):
                log.catchup.behind(peer, frame)  # as if the frame had been lost: disk or catch-up are not so far yet
                return
            log.take(self._message(peer, frame), data, frame)
            follows = type in (ACCEPT, BEAT)
            if (follows or type == PROPOSE) and self._claims():
                log.event(M.M_FOLLOWED)
            log.settle()
            if follows:
                log.catchup.behind(peer, frame)
        elif type == WHERE:
            self._on_where(peer, frame)
        elif type == LEARN:
            log.catchup.on_learn(peer, frame, data)
        elif type == FETCH:
            log.catchup.on_fetch(peer, frame.instance)
        elif type == FETCHED:
            log.catchup.on_fetched(peer, frame)
        elif not log.host.on_frame(peer, frame):
            raise BadFrame

    def _message(self, peer: int, frame: Frame) -> M.Message:
        return message(MESSAGE_OF[frame.type], peer, self.log.now, frame)

    def _claims(self) -> bool:
        # Is there anything that following another replica could end?
        m = self.log.machines
        return bool(m.reign.state or m.coordinator.state or m.election.state)

    def _too_far(self, frame: Frame) -> bool:
        log = self.log
        return frame.instance > log.acceptor.chosen + SLOTS or self.no_room(frame)

    def no_room(self, frame: Frame) -> bool:
        """Does the disk not keep up, or is it full? What a new master needs is taken by a full one, too: it is little.
        """
        disk = self.log.disk
        if disk.backlog() > 2 * DISK_BYTES_HIGH:
            return True
        return disk.full(len(frame.payload)) and value_header(frame.payload).kind == OPERATIONS

    def learn(self, peer: int, frame: Frame, data: bytes) -> bool:
        """Takes a chosen entry, if it is the next."""
        return self.log.take(self._message(peer, frame), data, frame) == M.ROW_ACCEPTOR_LEARN

    def _on_where(self, peer: int, frame: Frame) -> None:
        # A follower in a gap mostly lacks what follows it as well.
        log = self.log
        m = self._message(peer, frame)
        if frame.instance <= log.reign.proposed and log.now < self.resend_at[peer]:
            return
        for instance in range(frame.instance, frame.instance + RESEND_MAX):
            m.instance = instance
            if log.step(m) != M.ROW_REIGN_RESEND:
                return
            self.resend_at[peer] = log.now + log.beat_us // 4
