"""Two machines of one replica: a store, and who fills it."""
from ._words import *

@machine("open")
class Store:
    stored: durable[Instance]
    at: Map[Instance, Number]              # at which number

    def put(a, m: Put):
        when(m.instance == a.stored + 1, m.number >= a.at[m.instance])
        a.stored, a.at[m.instance] = m.instance, m.number
        persist(Stored(m.instance, m.sender))
    def told(a, m: Stored): send(m.to, Ack(m.instance, m.now))
    ignore(Put)

@machine("idle", "filling")
class Filler:
    sent: Instance                         # the last put
    acked: Map[Replica, Instance]
    heard: Map[Replica, Time]
    late: Replicas

    def base(f, now: Time): return kth(f.heard, now)
    def ready(f, m): return f.state == "idle" or min(f.sent, own.store.stored) == own.store.stored
    def put(f, m, value: Span):
        f.sent = f.sent + 1
        send(ALL, Put(size(f.sent), f.sent, value))

    def work(f, m: Work):
        when(f.ready(m), fits(size(f.sent)))
        f.put(m, m.value)
        become("filling")
    def later(f, m: Work):
        when(otherwise)
        f.put(m, OLD)
        f.put(m, NEW)
    def acked_by(f: "filling", m: Ack):
        f.acked[m.sender], f.heard[m.sender] = max(f.acked[m.sender], m.instance), max(f.heard[m.sender], m.sent)
        if kth(f.acked) == f.sent:
            f.acked, f.late = {}, NOBODY
            become("idle")
    def idle_ack(f: "idle", m: Ack):
        f.late = f.late | {m.sender}
        send(OTHERS, Put(size(own.store.stored), own.store.stored, OLD))
    def slow(f: "filling", m: Tick):
        when(m.urgent or m.now >= f.base(m.now) + WAIT, not quorum(f.late))
        f.heard[me] = m.now
        wake(m.sender)
    ignore(Tick)
