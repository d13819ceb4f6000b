"""The reign: what a master proposes and commits; its lease and its epoch.  PML 4.2, 5.2, 5.3."""
from .words import *

@machine("idle", "opening", "serving")     # opening: until the own epoch is applied
class Reign:
    number: Number                         # all is proposed at it
    proposed: Instance                     # the last instance proposed
    offered: Instance                      # up to here it proposes again what was open
    epoch: Instance                        # of this mastership; 0: not proposed yet
    acked: Map[Replica, Instance]          # durable there, at this number: all up to that
    heard: Map[Replica, Time]              # its newest answer is to what was sent here then
    since: Time                            # the mastership began
    beat: Time                             # the next heartbeat
    def mark(r): return own.acceptor.chosen
    def base(r, now: Time): return kth(r.heard, now)   # of a majority, the own answer being now
    def may_read(r, now: Time): return r.state == "serving" and now < r.base(now) + MASTER
    def confirmed(r, since: Time, now: Time): return since <= r.base(now)   # the only master then
    def alone(r, now: Time): return now >= max(r.base(now), r.since) + PATIENCE
    def hear(r, m): r.heard[m.sender] = max(r.heard[m.sender], m.sent)
    def put(r, m, value: Span):
        r.proposed = r.proposed + 1
        send(ALL, Accept(r.number, r.proposed, r.mark(), m.now, value, LEASE))

    def begin(r: "idle", m: Elected):
        r.number, r.proposed, r.offered, r.epoch = m.number, r.mark(), m.high, 0
        r.acked, r.heard, r.since, r.beat = {}, {}, m.now, m.now
        become("opening")
    def reopen(r: "opening", m: Tick):     # values unchanged, one without effect in a gap
        when(r.proposed < r.offered)
        r.put(m, OFFER)
    def propose_epoch(r: "opening", m: Tick):
        when(r.proposed >= r.offered, r.epoch == 0, r.proposed < r.mark() + ROOM)
        r.epoch = r.proposed + 1
        r.put(m, EPOCH)
    def serve(r: "opening", m: Applied): when(r.epoch > 0, m.instance >= r.epoch); become("serving")
    def propose(r: "serving", m: Submit): when(own.boost.state == "idle"); r.put(m, VALUE)
    def acked_at(r: "opening | serving", m: Ack):
        when(m.number == r.number)
        r.acked[m.sender] = max(r.acked[m.sender], m.instance)
        r.hear(m)
        if kth(r.acked) > r.mark(): send(me, Commit(kth(r.acked)))
    def echoed(r: "opening | serving", m: Echo):
        when(m.number == r.number)
        r.hear(m)
    def resend(r: "opening | serving", m: Where):   # as it was: its time, too
        when(m.number == r.number, m.instance <= r.proposed, accepted_at(m.instance) == r.number)
        send(m.sender, Accept(r.number, m.instance, r.mark(), sent_at(m.instance), LOGGED, LEASE))
    def lacking(r: "serving", m: Where): when(m.number == r.number, m.instance > r.proposed); want()
    def superseded(r: "opening | serving", m: Followed):
        when(own.acceptor.promised > max(r.number, own.coordinator.number))
        send(me, Lost())
    def hung(r: "opening | serving", m: Stalled): send(me, Lost())
    def silence(r: "opening | serving", m: Tick):
        when(otherwise, r.alone(m.now))
        send(me, Lost())
    def pulse(r: "opening | serving", m: Tick):
        when(otherwise, m.now >= r.beat or m.nudge, own.coordinator.state == "idle")
        send(ALL, Beat(r.number, r.proposed, r.mark(), m.now, LEASE)); r.beat = m.now + BEAT
    def boosted(r: "serving", m: Boosted): r.number, r.acked = m.number, {}
    def lost(r, m: Lost): become("idle")
    ignore(Elected, Tick, Ack, Echo, Where, Followed, Stalled, Applied, Submit, Boosted)
