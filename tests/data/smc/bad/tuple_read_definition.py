# expect: 23: high is assigned and read in one line: use two
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: Number
    low: Number

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
    def top(a): return a.high + 1
    def late(a, m: Ping):
        when(m.number == 0)
        a.high, a.low = m.number, a.top()
