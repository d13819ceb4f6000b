# expect: 9: state 'lost' cannot be entered: add become('lost') to a row of a state that can, or drop it
from fastpaxos_live.smc.language import *

me: setting[Replica]
Ping = message(number=Number)
Pong = message(number=Number, sent=Time)

@machine("off", "on", "lost")
class Node:
    high: Number

    def ping(a: "off", m: Ping):
        a.high = max(a.high, m.number)
        become("on")
    def again(a: "on", m: Ping):
        become("off")
        reply(Pong(a.high, m.now))
    def pong(a, m: Pong): a.high = m.number
    def found(a: "lost", m: Ping): become("on")
