"""A voter that promises one number after the other, and never forgets."""
from fastpaxos_live.smc.language import *

me: setting[Replica]
LEASE: setting[Time]
Ask = message(number=Number)  # promise this number?
Yes = message(number=Number)
No = message(number=Number, promised=Number)
Found = record(number=Number)  # in the own log
Tick = event()

@machine("silent", "voting")
class Voter:
    promised: durable[Number]              # the highest
    askers: Replicas                       # who was promised something
    last: lazy[Replica]
    until: Time

    def free(a, m): return a.last == m.sender or m.now >= a.until or not quorum(a.askers | {m.sender})
    def holders(a): return a.askers
    def note(a, m, until: Time):
        a.last, a.until = m.sender, max(a.until, until)
        a.askers = a.askers | {m.sender}

    def promise(a: "voting", m: Ask):      # durable before it leaves
        when(m.number > a.promised, a.free(m))
        a.promised = m.number
        a.note(m, m.now + LEASE)
        reply(Yes(m.number), after=persist(m))
    def repeat(a: "voting", m: Ask):
        when(m.number == a.promised, a.last == m.sender)
        reply(Yes(m.number if m.number > 0 else a.promised), after=persist())
    def refuse(a, m: Ask):
        when(otherwise)
        reply(No(m.number, a.promised))
    def heard(a, m: Yes | No):
        if m.sender != me:
            a.until = m.now
        else:
            a.askers = NOBODY
    def found(a, m: Found): a.promised = max(a.promised, m.number)
    def speak(a: "silent", m: Tick):
        when(m.now >= LEASE)
        become("voting")
    ignore(Tick)
    terminal("voting")
