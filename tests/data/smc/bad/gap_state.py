# expect: 9: no row for (off | on, Pong): add a row, otherwise, or ignore("off", "on", Pong)
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on", "full")
class Node:
    high: Number

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on" )
    def again(a: "on", m: Ping):
        become("full")
        reply(Pong(a.high, m.now))
    def pong(a: "full", m: Pong): a.high = m.number
    def full(a: "full", m: Ping): become("off")
