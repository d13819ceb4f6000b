"""A lamp: the least that is a machine.  PML 6.1."""
from fastpaxos_live.smc.language import *

me: setting[Replica]
Press = event()  # the button

@machine("off", "on")
class Lamp:
    presses: Number                        # so far

    def count(a): return a.presses         # for the host
    def light(a: "off", m: Press):
        a.presses = a.presses + 1
        become("on")
    def darken(a: "on", m: Press): become("off")
