# expect: 12: ping assigns durable 'high' and persists nothing
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: durable[Number]

    def note(a, m): a.high = m.number
    def ping(a: "off", m: Ping):
        a.note(m)
        become("on")
    def again(a: "on", m: Ping): become("off")
    def pong(a, m: Pong):
        when(m.number > a.high)
        reply(Pong(m.number, m.now))
    ignore(Pong)
