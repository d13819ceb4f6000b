# expect: 7: Other is sent, but no machine takes it: add a row for it, or drop it
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)
Other = message(number=Number)

@machine("off", "on")
class Node:
    high: Number

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Other(a.high))
    def pong(a, m: Pong): a.high = m.number
