"""Known mistakes of protocols like this one, put into the specification: is each of them noticed?"""

from dataclasses import dataclass

from ..smc.mutate import SpecMutant


@dataclass(frozen=True, slots=True)
class Known:
    """A mutant; the scope that it is looked for in first; may messages be forgotten that make no difference to the
    protocol as it is? They may make one to a mutant.
    """

    mutant: SpecMutant
    scope: str = "one instance"
    forget: bool = True


MUTANTS = (
    Known(
        SpecMutant(
            "one promise is a majority", "coordinator",
            "return quorum(c.votes | {m.sender})", "return m.number == c.number",
        ),
    ),
    Known(
        SpecMutant(
            "promise not durable before it is told", "acceptor",
            "a.promised = m.number; persist(Logged(m.number, m.sender))",
            "a.promised = m.number; persist(m); send(m.sender, Promise(m.number, a.chosen, max(high(), a.chosen)))",
        ),
    ),
    Known(
        SpecMutant(
            "own promise not durable before the propose", "coordinator",
            'become("preparing"); send(me, Propose(c.number))', 'become("preparing"); send(ALL, Propose(c.number))',
        ),
        "three rounds",
    ),
    Known(
        SpecMutant(
            "own promise told before it is durable", "acceptor",
            "persist(Logged(m.number, m.sender))\n    def promise_again",
            "persist(Logged(m.number, m.sender)); send(m.sender, Promise(m.number, a.chosen, high()))\n"
            "    def promise_again",
        ),
    ),
    Known(
        SpecMutant(
            "acknowledged before it is durable", "acceptor",
            "reply(Ack(m.number, m.instance, m.sent), after=persist(m))",
            "reply(Ack(m.number, m.instance, m.sent)); persist(m)",
        ),
    ),
    Known(
        SpecMutant(
            "accepted below the promise", "acceptor",
            "when(m.number >= a.promised, m.instance == a.next(m.number))",
            "when(m.number >= a.reign, m.instance == a.next(m.number))",
        ),
        forget=False,
    ),
    Known(
        SpecMutant(
            "the first value reported wins", "coordinator",
            "m.accepted > c.offers[m.instance]:", "c.offers[m.instance] == 0:",
        ),
    ),
    Known(
        SpecMutant(
            "open values are not taken over", "reign",
            "r.number, r.proposed, r.offered, r.epoch = m.number, r.mark(), m.high, 0",
            "r.number, r.proposed, r.offered, r.epoch = m.number, r.mark(), 0, 0",
        ),
    ),
    Known(
        SpecMutant(
            "open values are replaced", "reign",
            "r.put(m, OFFER)", "r.put(m, EPOCH)",
        ),
    ),
    Known(
        SpecMutant(
            "a promise counts without all its entries", "coordinator",
            "return m.number == c.number and max(c.here(m), own.acceptor.chosen) >= m.high",
            "return m.number == c.number",
        ),
    ),
    Known(
        SpecMutant(
            "entries of two promises make one", "coordinator",
            "return max(c.got[m.sender] if c.after[m.sender] == m.mark else 0, m.mark)",
            "return max(c.got[m.sender], m.mark)",
        ),
        "two in flight",
    ),
    Known(
        SpecMutant(
            "proposes below a reported chosen mark", "coordinator",
            "when(own.acceptor.chosen >= c.target)", "when(own.acceptor.chosen + 1 >= c.target)",
        ),
    ),
    Known(
        SpecMutant(
            "a newer mark commits an older number's entry", "acceptor",
            "return min(m.mark, a.last) if m.number == a.reign else 0", "return min(m.mark, a.last)",
        ),
        "two in flight, marks",
    ),
    Known(
        SpecMutant(
            "an acknowledgement covers older numbers", "acceptor",
            "when(m.number >= a.promised, m.number == a.reign, m.instance < a.next(m.number))",
            "when(m.number >= a.promised, m.instance != a.next(m.number), m.instance <= a.last)",
        ),
        "two in flight",
    ),
    Known(
        SpecMutant(
            "acknowledgements of an older number count", "reign",
            "    def acked_at(r: \"opening | serving\", m: Ack):\n        when(m.number == r.number)",
            "    def acked_at(r: \"opening | serving\", m: Ack):\n        when(m.number <= r.number)",
        ),
        forget=False,
    ),
    Known(
        SpecMutant(
            "one acknowledgement commits", "reign",
            "if kth(r.acked) > r.mark(): send(me, Commit(kth(r.acked)))", "send(me, Commit(m.instance))",
        ),
    ),
    Known(
        SpecMutant(
            "the lease counts from the receipt", "reign",
            "def hear(r, m): r.heard[m.sender] = max(r.heard[m.sender], m.sent)",
            "def hear(r, m): r.heard[m.sender] = max(r.heard[m.sender], m.now)",
        ),
        "held reads",
    ),
    Known(
        SpecMutant(
            "the lease is moved by a resend", "reign",
            "send(m.sender, Accept(r.number, m.instance, r.mark(), sent_at(m.instance), LOGGED))",
            "send(m.sender, Accept(r.number, m.instance, r.mark(), sent_at(m.instance), LOGGED)); "
            "r.heard[m.sender] = m.now",
        ),
        "lease and writes",
    ),
    Known(
        SpecMutant(
            "the master's lease is as long as the grants", "reign",
            "now < r.base(now) + MASTER", "now < r.base(now) + LEASE",
        ),
        "lease and reads",
    ),
    Known(
        SpecMutant(
            "promises while it grants a lease to another", "acceptor",
            "return a.master == m.sender or m.now >= a.until", "return m.now >= 0",
        ),
        "lease and reads",
    ),
    Known(
        SpecMutant(
            "promises in the silence after a restart", "acceptor",
            'return a.state == "voting" and m.number > a.promised and a.free(m)',
            "return m.number > a.promised and a.free(m)",
        ),
        "lease and reads",
    ),
    Known(
        SpecMutant(
            "a heartbeat of an old number renews", "acceptor",
            "    def renew(a, m: Beat):                 # from memory: a slow disk costs no lease\n"
            "        when(m.number == a.promised)",
            "    def renew(a, m: Beat):                 # from memory: a slow disk costs no lease\n"
            "        when(m.number <= a.promised)",
        ),
        "lease and reads",
    ),
    Known(
        SpecMutant(
            "reads are served before the epoch is applied", "reign",
            'become("opening")', 'become("serving")',
        ),
    ),
    Known(
        SpecMutant(
            "the epoch instance counts when it is proposed", "reign",
            'when(r.epoch > 0, m.instance >= r.epoch); become("serving")', 'when(r.epoch > 0); become("serving")',
        ),
        "two in flight",
    ),
    Known(
        SpecMutant(
            "a read is confirmed by an older answer", "reign",
            "return since <= r.base(now)", "return since <= now",
        ),
        "held reads",
    ),
    Known(
        SpecMutant(
            "a boost goes on after a foreign entry", "boost",
            "return max(m.mark, m.high) > own.acceptor.chosen", "return m.mark > own.acceptor.chosen",
        ),
        "boost",
    ),
    Known(
        SpecMutant(
            "a refused propose raises the refuser", "acceptor",
            "when(otherwise); reply(Refuse(m.number, a.promised))",
            "when(otherwise); a.promised = max(a.promised, m.number); reply(Refuse(m.number, a.promised))",
        ),
    ),
)  # fmt: skip
