"""What the pair shares."""
from fastpaxos_live.smc.language import *

me: setting[Replica]
WAIT: setting[Time]
Put = message(number=Number, instance=Instance, value=Span)  # store it
Ack = message(instance=Instance, sent=Time)
Work = event(value=Span)
Stored = event(instance=Instance, to=Replica)
Tick = event(urgent=Bool)
wake = effect(source=Replica)  # somebody is late
size = pure(instance=Instance, result=Number)
fits = pure(number=Number, result=Bool)
OLD, NEW = spans(2)
