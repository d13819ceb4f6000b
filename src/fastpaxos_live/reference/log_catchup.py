"""Catch-up (PML 4.2): only chosen entries are handed on, read back from the own log by the place noted when they
were applied; learned ones are no votes.
"""

from collections import deque
from typing import TYPE_CHECKING

from .limits import BATCH_BYTES, FETCH_BYTES, SERVED_MAX
from .log_frame import FETCH, FETCHED, LEARN, BadFrame, Frame, frame_decode

if TYPE_CHECKING:
    from .log_paxos import PaxosLog

DOUBLINGS = 6  # of the wait for an answer: each time that all others were asked in vain
FULL_BEATS = 20  # a replica whose disk is full asks this seldom: mostly it can't take the answer


class CatchUp:
    """Both sides of catch-up of one replica: one request under way, any number being served."""

    def __init__(self, log: "PaxosLog") -> None:
        self.log = log
        self.fetch_peer = 0  # catch-up from this one is under way ...
        self.fetch_at = 0  # ... and has shown progress then
        self.fetch_first = 0  # the first instance asked for
        self.fetch_skip = 0  # so many replicas asked in vain since the last progress: the next one is asked instead
        self.reads: deque[tuple[int, int]] = deque()  # disk reads wanted: position, length
        self.serving: deque[tuple[int, int]] = deque()  # for each read not yet answered: peer, first instance

    def behind(self, peer: int, frame: Frame) -> None:
        a = self.log.acceptor
        if frame.mark > a.chosen and frame.number >= a.promised:
            self.fetch(peer)

    def fetch(self, peer: int) -> None:
        log = self.log
        # An answer that is slow on its way is only kept up by those to the same question again.
        wait = 2 * log.beat_us << min(self.fetch_skip // max(1, log.replicas - 1), DOUBLINGS)
        if peer == log.me or self.fetch_peer and log.now < self.fetch_at + wait:
            return
        if log.disk.full(BATCH_BYTES) and log.now < self.fetch_at + FULL_BEATS * log.beat_us:
            return
        if self.fetch_peer:  # no answer
            self.fetch_skip += 1
        place = (peer - (peer > log.me) - 1 + self.fetch_skip) % (log.replicas - 1) + 1  # among the others
        peer = place + (place >= log.me)
        self.fetch_peer = peer
        self.fetch_at = log.now
        self.fetch_first = log.acceptor.chosen + 1
        log.send(peer, 1, log.frame(FETCH, instance=self.fetch_first))

    def on_fetch(self, peer: int, first: int) -> None:
        if len(self.serving) >= SERVED_MAX:
            return
        if not 0 < first <= self.log.applied:
            self._fetched(peer, first)
            return
        position, length = self.log.index[first - 1]
        available = self.log.disk.durable_position - position
        if available < length:
            self._fetched(peer, first)
            return
        self.reads.append((position, max(length, min(available, FETCH_BYTES))))
        self.serving.append((peer, first))

    def _fetched(self, peer: int, after: int) -> None:
        self.log.send(peer, 1, self.log.frame(FETCHED, instance=after, mark=self.log.acceptor.chosen))

    def read_done(self, position: int, data: bytes) -> int:
        """Sends on the chosen entries that lie in the bytes read. Returns one that is not as it was written, or 0.

        Not one of the last group, of which nothing says that it was durable: the next start would cut it, and forget
        what is still known here.
        """
        if not self.serving:
            return 0
        peer, instance = self.serving.popleft()
        while instance <= self.log.applied:
            start, length = self.log.index[instance - 1]
            at = start - position
            if at < 0 or at + length > len(data):
                break
            try:
                frame = frame_decode(self.log.seed, data, at, length)
            except BadFrame:
                frame = None
            if frame is None or frame.instance != instance:
                if start < self.log.disk.vouched:
                    return instance
                break
            learn = self.log.frame(LEARN, number=frame.number, instance=instance, payload=frame.payload)
            if not self.log.send(peer, 1, learn):
                break
            instance += 1
        self._fetched(peer, instance)
        return 0

    def on_learn(self, peer: int, frame: Frame, data: bytes) -> None:
        """Takes a chosen entry if the disk keeps up, and has room."""
        log = self.log
        if not log.arrival.no_room(frame) and log.arrival.learn(peer, frame, data):
            self.fetch_at = log.now
            self.fetch_skip = 0
            log.settle()

    def on_fetched(self, peer: int, frame: Frame) -> None:
        if peer != self.fetch_peer:
            return
        self.fetch_peer = 0
        if frame.instance == self.fetch_first:
            self.fetch_skip += 1  # it has nothing, or can't read it: who is asked at once could only say so again
        elif frame.mark > self.log.acceptor.chosen and frame.instance == self.log.acceptor.chosen + 1:
            self.fetch(peer)
