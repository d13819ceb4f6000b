"""What the machines share: their messages, what their host tells and does, and the settings.

Each message carries `sender` and `now`, the receiver's clock after it was received. An event comes
from the own host or from another machine of the same replica. docs/specification.md explains all.
"""

from ..smc.language import *

# Between replicas.
Ask = message(number=Number)  # would you promise this number?
Answer = message(number=Number, yes=Bool, mark=Instance, promised=Number)
Propose = message(number=Number)
# A promise: an entry for each instance above its chosen mark, then how far they go.
Entry = message(number=Number, mark=Instance, instance=Instance, accepted=Number, value=Span)
Promise = message(number=Number, mark=Instance, high=Instance)
Refuse = message(number=Number, promised=Number)
Accept = message(number=Number, instance=Instance, mark=Instance, sent=Time, value=Span, span=Time)
Ack = message(number=Number, instance=Instance, sent=Time)  # of all up to the instance
Beat = message(number=Number, instance=Instance, mark=Instance, sent=Time, span=Time)  # span: its LEASE
Echo = message(number=Number, sent=Time)
Where = message(number=Number, instance=Instance)  # this instance is the next I can take
Learn = message(number=Number, instance=Instance, value=Span)  # a chosen entry from another's log

# Within a replica.
Record = record(number=Number, instance=Instance, mark=Instance)  # found in the own log at a start
Start = event()  # the log is replayed
Tick = event(jitter=Time, nudge=Bool)  # until no machine takes it; nudge: a heartbeat is wanted now
Logged = event(number=Number, to=Replica)  # the promise of this number is durable
Commit = event(mark=Instance)  # all up to here is chosen
Applied = event(instance=Instance)
Kept = event(span=Time)  # it is durable that grants may last so long
Submit = event(value=Span)  # a client's batch, when the window has room
Stalled = event()  # the own disk hangs, and a majority of the others' went on meanwhile
Followed = event()  # the own acceptor promised or followed another replica
Stand = event(number=Number)  # propose this number
Progress = event()  # of an entry for the present attempt, more is here
Go = event()  # more is known to be chosen than before
Elected = event(number=Number, high=Instance)
Boosted = event(number=Number)
Lost = event()  # the attempt or the mastership is over

# What the host does, and what it knows.
fetch = effect(source=Replica)  # catch up from this replica
keep = effect(instance=Instance)  # the value of the Entry at hand is the offer for its instance
want = effect()  # something has to be proposed, if only a value without operations
lasting = effect(span=Time)  # make durable that grants last so long, no longer and no shorter
high = pure(result=Instance)  # the highest instance in the log, at any number
accepted_at = pure(instance=Instance, result=Number)  # at which number the log has it, 0 if not
sent_at = pure(instance=Instance, result=Time)  # when that was sent first
above = pure(number=Number, result=Number)  # the least number of this replica above it
stalled = pure(result=Bool)  # does the own disk hang?
owner = pure(number=Number, result=Replica)  # whose number it is
# The value of an accept: the offer kept, a new epoch, the batch submitted, or as in the log.
OFFER, EPOCH, VALUE, LOGGED = spans(4)

# Settings.
me: setting[Replica]
LEASE: setting[Time]  # as replicas grant it, at least
SILENCE: setting[Time]  # as long as what an earlier life granted may last, LEASE or more: it is durable
MASTER: setting[Time]  # as the master counts on it, shorter
BEAT: setting[Time]
TERM: setting[Time]  # a master boosts its number after that
RESEND: setting[Time]
COURTESY: setting[Time]  # who promised another stands no earlier
PATIENCE: setting[Time]  # a master that heard no majority for so long gives up
WINDOW: setting[Instance]  # instances above the chosen mark that a replica holds
ROOM: setting[Instance]  # open instances beside which an epoch instance still fits
