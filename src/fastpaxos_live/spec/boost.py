"""Boosting: a sitting master takes a higher number and goes on, in the same epoch.  PML 5.2."""
from .words import *

@machine("idle", "draining", "proposing")  # draining: no new instance until all are chosen
class Boost:
    at: Time                               # the next one is due then
    refusers: Replicas                     # these refused what was sent at the master's number
    newest: Number                         # the highest one that an entry above the chosen mark was shown at

    def higher(b, m): return m.number == own.reign.number and m.promised > m.number
    def against(b, m): return quorum(b.refusers | {m.sender})
    def asked(b, m): return own.coordinator.state != "idle" and own.coordinator.number == m.number
    def alien(b, m): return m.mark > own.acceptor.chosen or b.newest > own.reign.number   # another's

    def begin(b: "idle", m: Elected): b.at, b.refusers = m.now + TERM, NOBODY
    def due(b: "idle", m: Tick):
        when(own.reign.state == "serving", m.now >= b.at, not stalled())
        become("draining")
    def challenged(b: "idle", m: Refuse):  # by a minority
        when(own.reign.state == "serving", b.higher(m), not b.against(m), not stalled())
        b.refusers = b.refusers | {m.sender}
        become("draining")
    def deposed(b, m: Refuse):             # the lease of a majority is gone, or not here yet
        when(own.reign.state != "idle", b.higher(m), b.against(m) or own.reign.state == "opening")
        send(me, Lost())
    def drained(b: "draining", m: Tick):   # the followers learn the mark before the number
        when(own.reign.proposed <= own.acceptor.chosen)
        b.newest = 0
        become("proposing")
        send(OTHERS, Beat(own.reign.number, own.reign.proposed, own.acceptor.chosen, m.now, LEASE))
        send(me, Stand(above(max(own.election.seen, own.acceptor.promised))))
    def shown(b: "proposing", m: Entry):   # of a lower number: never chosen, or it would have been taken over
        when(b.asked(m), m.instance > own.acceptor.chosen, m.accepted > b.newest)
        b.newest = m.accepted
    def foreign(b: "proposing", m: Promise):   # another was master meanwhile, or still may be
        when(b.asked(m), b.alien(m))
        send(me, Lost())
    def boosted(b: "proposing", m: Promise):
        when(b.asked(m), quorum(own.coordinator.votes), not b.alien(m))
        b.at, b.refusers = m.now + TERM, NOBODY
        become("idle")
        send(me, Boosted(m.number))
    def lost(b, m: Lost): become("idle")
    ignore(Elected, Tick, Refuse, Entry, Promise)
