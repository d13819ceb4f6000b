"""Two-phase commit, presumed abort: one transaction after the other, every replica takes part in each."""
# ruff: noqa: E702, F403, F405, F821
from fastpaxos_live.smc.language import *

Prepare = message(txn=Instance)         # can you commit this transaction?
Vote = message(txn=Instance, yes=Bool)
Decide = message(txn=Instance, commit=Bool)
Ask = message(txn=Instance)             # how did it end?
Begin = event()                         # a client wants a transaction
Worked = event(yes=Bool)                # the own part of it can be done, or can't
Timeout = event()                       # nothing was heard for long
Start = event()                         # the disk is read
install = effect(txn=Instance)
undo = effect(txn=Instance)
me: setting[Replica]
DECIDER: setting[Replica]
EVERYBODY: setting[Replicas]

@machine("idle", "collecting")
class Coordinator:
    txn: durable[Instance]              # the last begun: no number is used twice
    committed: durable[Instance]        # the last that everybody could do
    yes: Replicas                       # these could, of the open one

    def all(c, m): return c.yes | {m.sender} == EVERYBODY

    def begin(c: "idle", m: Begin):
        c.txn, c.yes = c.txn + 1, NOBODY
        become("collecting"); send(ALL, Prepare(c.txn), after=persist(m))
    def count(c: "collecting", m: Vote):
        when(m.txn == c.txn, m.yes, not c.all(m))
        c.yes = c.yes | {m.sender}
    def commit(c: "collecting", m: Vote):   # told when it is durable
        when(m.txn == c.txn, m.yes, c.all(m))
        c.committed = m.txn
        become("idle"); send(ALL, Decide(m.txn, True), after=persist(m))
    def abort(c: "collecting", m: Vote): when(m.txn == c.txn, not m.yes); c.give_up(m)
    def late(c: "collecting", m: Timeout): c.give_up(m)
    def give_up(c, m): become("idle"); send(ALL, Decide(c.txn, False), after=persist())   # when its number is durable
    def answer(c, m: Ask):              # all took part in each: who asks for an older one knows
        when(c.state == "idle" or m.txn < c.txn)
        reply(Decide(m.txn, m.txn == c.committed), after=persist())
    ignore(Begin, Vote, Timeout, Ask)

@machine("free", "working", "doubtful")     # doubtful: it said yes, and only the coordinator knows
class Part:
    txn: Instance                       # the one at work
    voted: durable[Instance]            # the last that it said yes to
    ended: durable[Instance]            # the last whose end it knows

    def work(p: "free | working", m: Prepare): when(m.txn > max(p.txn, p.ended)); p.txn = m.txn; become("working")
    def yes(p: "working", m: Worked): when(m.yes); p.voted = p.txn; become("doubtful"); p.vote(m)
    def no(p: "working", m: Worked): when(not m.yes); p.ended = p.txn; become("free"); p.vote(m)
    def vote(p, m): send(DECIDER, Vote(p.txn, m.yes), after=persist(m))
    def commit(p: "doubtful", m: Decide): when(m.txn == p.voted, m.commit); install(m.txn); p.end(m)
    def abort(p: "doubtful", m: Decide): when(m.txn == p.voted, not m.commit); undo(m.txn); p.end(m)
    def end(p, m): p.ended = m.txn; become("free"); persist(m)
    def recover(p: "free", m: Start): when(p.voted > p.ended); become("doubtful"); send(DECIDER, Ask(p.voted))
    def ask(p: "doubtful", m: Timeout): send(DECIDER, Ask(p.voted))
    ignore(Prepare, Worked, Decide, Start, Timeout)
