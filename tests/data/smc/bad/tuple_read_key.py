# expect: 22: high is assigned and read in one line: use two
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: Instance
    all: Map[Instance, Number]

    def ping(a: "off", m: Ping):
        a.high = 1
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Pong(1, m.now))
    def pong(a, m: Pong): a.high = 2
    def late(a, m: Ping):
        when(m.number == 0)
        a.high, a.all[a.high] = 1, 2
