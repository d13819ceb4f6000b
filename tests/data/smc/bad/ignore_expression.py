# expect: 19: 'on' or 'off' is neither
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on")
class Node:
    high: Number

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
    ignore("on" or "off", Ping)
