"""The election: who stands for master, and when. A vain attempt disturbs nobody.  PML 4.1, 5.2."""
from .words import *

@machine("resting", "asking")
class Election:
    number: Number                         # would a majority promise this one?
    seen: Number                           # the highest number met
    votes: Replicas                        # these would
    target: Instance                       # the highest chosen mark among them ...
    source: Replica                        # ... and one that has it
    pause: Time                            # nothing is tried before
    deadline: Time                         # answers are awaited until then
    slower: Time                           # so much longer than a heartbeat's time, after attempts in vain

    def busy(e): return own.coordinator.state != "idle" or own.reign.state != "idle"
    def granted(e): return own.acceptor.until if own.acceptor.master != me else 0
    def enough(e, m): return quorum(e.votes | {m.sender})
    def best(e, m): return max(e.target, m.mark)
    def count(e, m):
        e.source = m.sender if m.mark > e.target else e.source
        e.votes, e.target = e.votes | {m.sender}, e.best(m)
        e.seen = max(e.seen, m.promised)
    def rest(e, m):
        e.pause = m.now
        become("resting")

    def suspect(e: "resting", m: Tick):    # no grant is live, and a random time longer
        when(not e.busy(), not stalled(), m.now >= max(e.pause, own.acceptor.quiet, e.granted()) + m.jitter)
        e.number = above(max(e.seen, own.acceptor.promised, e.number))
        e.votes, e.target, e.deadline = NOBODY, 0, m.now + BEAT + e.slower
        become("asking")
        send(ALL, Ask(e.number))
    def answered(e: "asking", m: Answer):
        when(m.number == e.number, m.yes, not e.enough(m))
        e.count(m)
    def behind(e: "asking", m: Answer):    # somebody knows more: that first
        when(m.number == e.number, m.yes, e.enough(m), e.best(m) > own.acceptor.chosen)
        e.count(m)
        e.rest(m)
        fetch(e.source)
    def asked(e: "asking", m: Answer):
        when(m.number == e.number, m.yes, e.enough(m), e.best(m) <= own.acceptor.chosen)
        e.count(m)
        become("resting")
        send(me, Stand(e.number))
    def met(e, m: Answer | Refuse):        # a higher number is remembered, never promised
        when(otherwise)
        e.seen = max(e.seen, m.promised)
    def elsewhere(e: "asking", m: Followed):
        when(e.granted() > m.now)
        e.slower = 0
        e.rest(m)
    def courteous(e, m: Logged):           # another was promised, and has time to win
        when(m.to != me)
        e.pause = max(e.pause, m.now + COURTESY)
        become("resting")
    def vain(e: "asking", m: Tick):        # perhaps the answers are on their way
        when(m.now >= e.deadline)
        e.slower = min(LEASE, e.slower + e.slower + BEAT)
        e.rest(m)
    def lost(e, m: Lost): e.rest(m)
    ignore(Tick, Followed, Logged)
