# expect: 23: left is a map: one value of it can be assigned, or {} to all
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: Number
    left: Map[Replica, Number]
    right: Map[Replica, Number]

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
    def late(a, m: Ping):
        when(m.number == 0)
        a.left = a.right
