# expect: 9: no row for (on, Ping) when a.high=0, m.number=1: add a row, otherwise, or ignore("on", Ping)
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: Number

    def ping(a: "off", m: Ping): become("on")
    def near(a: "on", m: Ping):
        when(m.number < a.high + 1)
        become("off")
    def far(a: "on", m: Ping):
        when(m.number > a.high + 1)
        a.high = m.number
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
