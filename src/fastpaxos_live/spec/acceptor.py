"""The acceptor, one a replica: promises, accepts, grants the lease.  PML 4.1, 4.2, 5.1, 5.2."""
from .words import *

@machine("silent", "voting")               # silent: promises nobody, until no earlier grant can be live
class Acceptor:
    promised: durable[Number]              # the highest number promised
    reign: durable[Number]                 # the number at which ...
    last: durable[Instance]                # ... all from the reign's start to here is accepted
    chosen: lazy[Instance]                 # all to here is known to be chosen; safe to forget
    quiet: Time                            # the silence ends then
    master: Replica                        # the lease is granted to this one ...
    until: Time                            # ... until then
    kept: Time                             # a start keeps silence that long: grants may last no longer
    longest: Time                          # of this life's grants
    def free(a, m): return a.master == m.sender or m.now >= a.until
    def yields(a, m): return a.state == "voting" and m.number > a.promised and a.free(m) and not stalled()
    def next(a, n: Number): return (max(a.last, a.chosen) if n == a.reign else a.chosen) + 1
    def known(a, m): return min(m.mark, a.last) if m.number == a.reign else 0
    def grants(a, m): return m.span <= a.kept
    def granted(a, m): return m.sent if a.grants(m) else 0
    def follow(a, m):                      # a grant lasts as long as the sender's own would
        if a.grants(m):
            a.longest = max(a.longest, m.span)
            a.master, a.until = m.sender, max(a.until, m.now + max(LEASE, m.span))
        else:
            lasting(m.span)
        a.chosen = max(a.chosen, a.known(m))

    def spare(a, m): return m.now >= max(own.coordinator.fed, own.election.pause)   # nobody is on its way
    def ask(a, m: Ask): reply(Answer(m.number, a.yields(m) and a.spare(m), a.chosen, a.promised))
    def promise(a, m: Propose):            # told when it is durable: answer
        when(a.yields(m))
        a.promised = m.number; persist(Logged(m.number, m.sender))
    def promise_again(a: "voting", m: Propose):
        when(m.number == a.promised, m.number != a.reign, owner(m.number) == m.sender)
        persist(Logged(m.number, m.sender))
    def wait(a, m: Propose): when(stalled(), m.number > a.promised)  # it asks again, or finds others
    def answer(a, m: Logged):              # with all entries above the chosen mark
        when(m.number == a.promised)
        send(m.to, Promise(m.number, a.chosen, max(high(), a.chosen)))
    def accept(a, m: Accept):              # promise and acceptance in one record
        when(m.number >= a.promised, m.instance == a.next(m.number))
        a.promised, a.reign, a.last = m.number, m.number, m.instance; a.follow(m)
        reply(Ack(m.number, m.instance, a.granted(m)), after=persist(m))
    def repeat(a, m: Accept):
        when(m.number >= a.promised, m.number == a.reign, m.instance < a.next(m.number))
        a.follow(m)
        reply(Ack(m.number, a.last, a.granted(m)), after=persist())
    def renew(a, m: Beat):                 # from memory: a slow disk costs no lease
        when(m.number == a.promised)
        a.follow(m)
        if a.grants(m): reply(Echo(m.number, m.sent))
        if m.number == a.reign and a.last > m.mark:
            reply(Ack(m.number, a.last, a.granted(m)), after=persist())
        if m.instance >= a.next(m.number): reply(Where(m.number, a.next(m.number)))
    def where(a, m: Accept | Beat):        # a gap, or a reign not entered yet
        when(otherwise, m.number >= a.promised)
        reply(Where(m.number, a.next(m.number)))
    def refuse(a, m: Propose | Accept | Beat): when(otherwise); reply(Refuse(m.number, a.promised))
    def learn(a, m: Learn):                # chosen, so no vote; a master knows what it proposed
        when(m.instance == a.chosen + 1, own.reign.state == "idle")
        a.chosen, a.last = m.instance, max(a.last, m.instance)
        persist(m)
    def commit(a, m: Commit): when(m.mark > a.chosen); a.chosen = min(m.mark, a.last)
    def recall(a, m: Record):
        a.promised, a.chosen = max(a.promised, m.number), max(a.chosen, m.mark)
        if m.instance > 0: a.reign, a.last = m.number, m.instance
    def start(a, m: Start):
        a.quiet, a.until, a.kept, a.longest = m.now + SILENCE, 0, SILENCE, LEASE
        become("silent")
    def speak(a: "silent", m: Tick):       # what earlier lives granted is over
        when(m.now >= a.quiet)
        become("voting")
        if a.longest < a.kept:
            a.kept = a.longest; lasting(a.kept)
    def lengthen(a, m: Kept): a.kept = max(a.kept, m.span)
    ignore(Logged, Learn, Commit, Tick)
