# expect: 14: ping assigns durable 'high', but after= of Pong waits for nothing that this row persists
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: durable[Number]

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        send(ALL, Pong(m.number, m.now), after=persist())
        persist(m)
        become("on")
    def again(a: "on", m: Ping): become("off")
    def pong(a, m: Pong):
        when(m.number > a.high)
        reply(Ping(m.number))
    ignore(Pong)
