# expect: 20: row over can't fire, its guard never holds: drop it, or mend the guards
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
        when(m.number >= 0)
        become("off")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
    def over(a: "on", m: Ping):
        when(m.number > a.high, m.number < a.high)
        become("off")
