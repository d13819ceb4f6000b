"""The coordinator: propose, promise, and the take-over of what may be chosen.  PML 4.1, 4.2."""
from .words import *

@machine("idle", "preparing", "recovering")
class Coordinator:
    number: Number                         # of the present propose
    votes: Replicas                        # these promised
    target: Instance                       # the highest chosen mark among them ...
    source: Replica                        # ... and one that has it
    after: Map[Replica, Instance]          # of its promise, with this chosen mark, ...
    got: Map[Replica, Instance]            # ... all entries are here up to there
    offers: Map[Instance, Number]          # the highest number that an entry was reported at ...
    offered: Instance                      # ... and the highest such instance
    deadline: Time                         # the attempt ends then
    resend: Time                           # it asks again then
    fed: Time                              # entries keep coming until then, at least

    def here(c, m): return max(c.got[m.sender] if c.after[m.sender] == m.mark else 0, m.mark)
    def whole(c, m): return m.number == c.number and max(c.here(m), own.acceptor.chosen) >= m.high
    def elects(c, m): return quorum(c.votes | {m.sender})
    def go_on(c, m): c.deadline, c.resend, c.fed = m.now + LEASE, m.now + RESEND, m.now + RESEND
    def propose(c, m): send(OTHERS, Propose(c.number)); c.resend = m.now + RESEND
    def count(c, m):
        c.source = m.sender if m.mark > c.target else c.source
        c.votes, c.target = c.votes | {m.sender}, max(c.target, m.mark)

    def stand(c: "idle", m: Stand):        # the own promise first, as durable as any other
        c.number, c.votes, c.target, c.offered = m.number, NOBODY, 0, 0
        c.after, c.got, c.offers, c.deadline = {}, {}, {}, m.now + LEASE
        c.resend = c.deadline
        become("preparing"); send(me, Propose(c.number))
    def promised(c: "preparing", m: Promise):   # a sitting master is not elected, it boosts
        when(c.whole(m), not c.elects(m) or own.reign.state != "idle")
        c.count(m)
        if m.sender == me: c.propose(m)    # and then the others
    def again(c: "preparing", m: Tick): when(m.now >= c.resend, m.now < c.deadline); c.propose(m)
    def offer(c: "preparing", m: Entry):   # of each instance the value of the highest number
        when(m.number == c.number, m.instance <= own.acceptor.chosen + WINDOW)
        c.go_on(m)
        if m.instance == c.here(m) + 1: c.got[m.sender], c.after[m.sender] = m.instance, m.mark
        if m.instance > own.acceptor.chosen and m.accepted > c.offers[m.instance]:
            c.offers[m.instance], c.offered = m.accepted, max(c.offered, m.instance)
            keep(m.instance)
    def coming(c: "preparing", m: Progress): c.go_on(m)   # over a slow link
    def elected(c: "preparing", m: Promise):
        when(c.whole(m), c.elects(m), own.reign.state == "idle")
        c.count(m)
        c.resend, c.deadline = m.now, m.now + LEASE + LEASE
        become("recovering"); send(me, Go())
    def recover(c: "recovering", m: Go | Tick):   # proposes nothing at or below a chosen mark
        when(own.acceptor.chosen < c.target, m.now >= c.resend, m.now < c.deadline)
        fetch(c.source); c.resend = m.now + BEAT
    def take_over(c: "recovering", m: Go):
        when(own.acceptor.chosen >= c.target)
        become("idle"); send(me, Elected(c.number, c.offered))
    def refused(c: "preparing", m: Refuse):
        when(m.number == c.number, own.reign.state == "idle" or m.promised > m.number)
        send(me, Lost())
    def superseded(c: "preparing | recovering", m: Followed):
        when(own.acceptor.promised > c.number)
        send(me, Lost())
    def vain(c: "preparing | recovering", m: Tick): when(m.now >= c.deadline); send(me, Lost())
    def rest(c, m: Boosted | Lost): become("idle")
    ignore(Promise, Entry, Progress, Refuse, Followed, Tick, Go, Stand)
