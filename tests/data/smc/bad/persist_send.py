# expect: 15: ping assigns durable 'high' and sends Pong without after=: add after=persist(...)
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: durable[Number]

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        persist(m)
        send(ALL, Pong(m.number, m.now))
        become("on")
    def again(a: "on", m: Ping): become("off")
    def pong(a, m: Pong):
        when(m.number > a.high)
        reply(Ping(m.number))
    ignore(Pong)
    def pinged(a): return a.high
