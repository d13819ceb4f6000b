"""Known mistakes of protocols like this one, put into the specification. `check` and `sim` both look for each."""

from ..smc.mutate import SpecMutant

MUTANTS = (
    SpecMutant(
        "one promise is a majority", "coordinator",
        "return quorum(c.votes | {m.sender})", "return m.number == c.number",
    ),
    SpecMutant(
        "promise not durable before it is told", "acceptor",
        "a.promised = m.number; persist(Logged(m.number, m.sender))",
        "a.promised = m.number; send(me, Logged(m.number, m.sender))",
    ),
    SpecMutant(
        "own promise not durable before the propose", "coordinator",
        'become("preparing"); send(me, Propose(c.number))', 'become("preparing"); send(ALL, Propose(c.number))',
    ),
    SpecMutant(
        "own promise told before it is durable", "acceptor",
        "persist(Logged(m.number, m.sender))\n    def promise_again",
        "persist(Logged(m.number, m.sender)); send(m.sender, Promise(m.number, a.chosen, high()))\n"
        "    def promise_again",
    ),
    SpecMutant(
        "acknowledged before it is durable", "acceptor",
        "reply(Ack(m.number, m.instance, a.granted(m)), after=persist(m))",
        "reply(Ack(m.number, m.instance, a.granted(m))); persist(m)",
    ),
    SpecMutant(
        "accepted below the promise", "acceptor",
        "when(m.number >= a.promised, m.instance == a.next(m.number))",
        "when(m.number >= a.reign, m.instance == a.next(m.number))",
    ),
    SpecMutant(
        "the first value reported wins", "coordinator",
        "m.accepted > c.offers[m.instance]:", "c.offers[m.instance] == 0:",
    ),
    SpecMutant(
        "open values are not taken over", "reign",
        "r.number, r.proposed, r.offered, r.epoch = m.number, r.mark(), m.high, 0",
        "r.number, r.proposed, r.offered, r.epoch = m.number, r.mark(), 0, 0",
    ),
    SpecMutant(
        "open values are replaced", "reign",
        "r.put(m, OFFER)", "r.put(m, EPOCH)",
    ),
    SpecMutant(
        "a promise counts without all its entries", "coordinator",
        "return m.number == c.number and max(c.here(m), own.acceptor.chosen) >= m.high",
        "return m.number == c.number",
    ),
    SpecMutant(
        "entries of two promises make one", "coordinator",
        "return max(c.got[m.sender] if c.after[m.sender] == m.mark else 0, m.mark)",
        "return max(c.got[m.sender], m.mark)",
    ),
    SpecMutant(
        "proposes below a reported chosen mark", "coordinator",
        "when(own.acceptor.chosen >= c.target)", "when(own.acceptor.chosen + 1 >= c.target)",
    ),
    SpecMutant(
        "a newer mark commits an older number's entry", "acceptor",
        "return min(m.mark, a.last) if m.number == a.reign else 0", "return min(m.mark, a.last)",
    ),
    SpecMutant(
        "an acknowledgement covers older numbers", "acceptor",
        "when(m.number >= a.promised, m.number == a.reign, m.instance < a.next(m.number))",
        "when(m.number >= a.promised, m.instance != a.next(m.number), m.instance <= a.last)",
    ),
    SpecMutant(
        "acknowledgements of an older number count", "reign",
        "    def acked_at(r: \"opening | serving\", m: Ack):\n        when(m.number == r.number)",
        "    def acked_at(r: \"opening | serving\", m: Ack):\n        when(m.number <= r.number)",
    ),
    SpecMutant(
        "one acknowledgement commits", "reign",
        "if kth(r.acked) > r.mark(): send(me, Commit(kth(r.acked)))", "send(me, Commit(m.instance))",
    ),
    SpecMutant(
        "the lease counts from the receipt", "reign",
        "def hear(r, m): r.heard[m.sender] = max(r.heard[m.sender], m.sent)",
        "def hear(r, m): r.heard[m.sender] = max(r.heard[m.sender], m.now)",
    ),
    SpecMutant(
        "the lease is moved by a resend", "reign",
        "send(m.sender, Accept(r.number, m.instance, r.mark(), sent_at(m.instance), LOGGED, LEASE))",
        "send(m.sender, Accept(r.number, m.instance, r.mark(), sent_at(m.instance), LOGGED, LEASE)); "
        "r.heard[m.sender] = m.now",
    ),
    SpecMutant(
        "the master's lease is as long as the grants", "reign",
        "now < r.base(now) + MASTER", "now < r.base(now) + LEASE",
    ),
    SpecMutant(
        "a grant ignores the span", "acceptor",
        "m.now + max(LEASE, m.span)", "m.now + LEASE",
    ),
    SpecMutant(
        "the silence follows the new setting", "acceptor",
        "m.now + SILENCE, 0, SILENCE, LEASE", "m.now + LEASE, 0, SILENCE, LEASE",
    ),
    SpecMutant(
        "a longer span is granted before it is durable", "acceptor",
        "return m.span <= a.kept", "return m.now >= 0",
    ),
    SpecMutant(
        "promises while it grants a lease to another", "acceptor",
        "return a.master == m.sender or m.now >= a.until", "return m.now >= 0",
    ),
    SpecMutant(
        "promises in the silence after a restart", "acceptor",
        'return a.state == "voting" and m.number > a.promised and a.free(m) and not stalled()',
        "return m.number > a.promised and a.free(m)",
    ),
    SpecMutant(
        "a heartbeat of an old number renews", "acceptor",
        "    def renew(a, m: Beat):                 # from memory: a slow disk costs no lease\n"
        "        when(m.number == a.promised)",
        "    def renew(a, m: Beat):                 # from memory: a slow disk costs no lease\n"
        "        when(m.number <= a.promised)",
    ),
    SpecMutant(
        "reads are served before the epoch is applied", "reign",
        'become("opening")', 'become("serving")',
    ),
    SpecMutant(
        "the epoch instance counts when it is proposed", "reign",
        'when(r.epoch > 0, m.instance >= r.epoch); become("serving")', 'when(r.epoch > 0); become("serving")',
    ),
    SpecMutant(
        "a read is confirmed by an older answer", "reign",
        "return since <= r.base(now)", "return since <= now",
    ),
    SpecMutant(
        "a boost goes on after a foreign entry", "boost",
        "return m.mark > own.acceptor.chosen or b.newest > own.reign.number", "return m.mark > own.acceptor.chosen",
    ),
    SpecMutant(
        "a boost counts a promise without its entries", "boost",
        "quorum(own.coordinator.votes)", "quorum(own.coordinator.votes | {m.sender})",
    ),
    SpecMutant(
        "a refused propose raises the refuser", "acceptor",
        "when(otherwise); reply(Refuse(m.number, a.promised))",
        "when(otherwise); a.promised = max(a.promised, m.number); reply(Refuse(m.number, a.promised))",
    ),
    SpecMutant(
        "a promise in the log is forgotten", "acceptor",
        "a.promised, a.chosen = max(a.promised, m.number), max(a.chosen, m.mark)", "a.chosen = max(a.chosen, m.mark)",
    ),
    SpecMutant(
        "the value of the lowest number wins", "coordinator",
        "m.accepted > c.offers[m.instance]:", "(c.offers[m.instance] == 0 or m.accepted < c.offers[m.instance]):",
    ),
    SpecMutant(
        "a reported value is not kept", "coordinator",
        "            keep(m.instance)\n", "",
    ),
)  # fmt: skip
