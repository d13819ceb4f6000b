# expect: 9: state 'not on' is no name: use letters, digits and _
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("not on", "on")
class Node:
    high: Number

    def ping(a: "not on", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("not on")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
