"""The planted bugs, one line each (PML 6.3: the strength of a test is what it finds)."""

from .mutants import Mutant

PLANTED = (
    # Promises and votes
    Mutant(
        "acknowledge before the disk write", "spec/acceptor",
        "        reply(Ack(m.number, m.instance, m.sent), after=persist(m))\n",
        "        persist(m)\n        reply(Ack(m.number, m.instance, m.sent))\n",
        "restart",
    ),
    Mutant(
        "promise before the disk write", "log_paxos",
        "        if held.group <= self.disk.durable_group:\n",
        "        if m.type == M.M_LOGGED or held.group <= self.disk.durable_group:\n",
        "restart",
    ),
    Mutant(
        "forget a promise that was logged", "spec/acceptor",
        "a.promised, a.chosen = max(a.promised, m.number), max(a.chosen, m.mark)",
        "a.chosen = max(a.chosen, m.mark)",
        "restart",
    ),
    Mutant(
        "promise within the silence after a restart", "spec/acceptor",
        'return a.state == "voting" and m.number > a.promised and a.free(m)',
        "return m.number > a.promised and a.free(m)",
        "restart",
    ),
    Mutant(
        "promise to another while a grant is live", "spec/acceptor",
        "return a.master == m.sender or m.now >= a.until",
        "return True",
        "relay",
    ),
    Mutant(
        "be elected without a majority", "spec/coordinator",
        "def elects(c, m): return quorum(c.votes | {m.sender})",
        "def elects(c, m): return True",
        "relay",
    ),
    # Take-over and commit
    Mutant(
        "ignore a promised value", "spec/coordinator",
        "            keep(m.instance)\n",
        "",
        "relay",
    ),
    Mutant(
        "prefer the promised value of the lowest number", "spec/coordinator",
        "m.accepted > c.offers[m.instance]",
        "(c.offers[m.instance] == 0 or m.accepted < c.offers[m.instance])",
        "relay",
    ),
    Mutant(
        "count a promise without its entries", "spec/coordinator",
        "return m.number == c.number and max(c.here(m), own.acceptor.chosen) >= m.high",
        "return m.number == c.number",
        "lossy",
    ),
    Mutant(
        "commit an entry of an older number by a newer commit mark", "spec/acceptor",
        "return min(m.mark, a.last) if m.number == a.reign else 0",
        "return min(m.mark, high())",
        "relay",
    ),
    Mutant(
        "commit what a single replica acknowledged", "spec/reign",
        "if kth(r.acked) > r.mark(): send(me, Commit(kth(r.acked)))",
        "send(me, Commit(m.instance))",
        "relay",
    ),
    # Leases and reads
    Mutant(
        "answer a read after the lease ended in a pause", "replica",
        "        covered = reign_may_read(machines, self.now)\n",
        "        covered = self._serving()\n",
        "relay",
    ),
    Mutant(
        "check the lease by the clock from before the reads", "replica",
        "        self.clock(boot_us, wall_ms)\n        self.log.tick()\n",
        "        self.log.tick()\n",
        "relay",
    ),
    Mutant(
        "release held reads without a heartbeat", "replica",
        "client.held_since and reign_confirmed(machines, client.held_since, self.now)",
        "0 < client.held_since < self.now",
        "relay",
    ),
    Mutant(
        "send held reads when the mastership ends", "replica",
        "            client.output.clear()  # reads",
        "            pass  # reads",
        "relay",
    ),
    Mutant(
        "count the lease from later than the heartbeat", "spec/reign",
        "max(r.heard[m.sender], m.sent)",
        "max(r.heard[m.sender], m.sent + LEASE)",
        "relay",
    ),
    # What clients are told
    Mutant(
        "propose a batch twice", "replica",
        "        log.propose(value)\n",
        "        log.propose(value)\n        log.propose(value)\n",
        "relay",
    ),
    Mutant(
        "take another's batch for the own one", "replica",
        "batch is not None and batch.checksum == header.checksum",
        "batch is not None",
        "relay",
    ),
    Mutant(
        "say of an unknown outcome that nothing was done", "replica",
        "            client.output += ERR_UNKNOWN\n",
        "            client.output += ERR_MOVED_ON\n",
        "relay",
    ),
    Mutant(
        "tell of a failed batch before what is in flight", "replica",
        "            if client.pending and last is not None:\n",
        "            if client.pending and last is None:\n",
        "relay",
    ),
    Mutant(
        "stamp a value anew on take-over", "log_paxos",
        "            return offer\n",
        "            return offer[:8] + (int.from_bytes(offer[8:16], 'little') + 5000).to_bytes(8, 'little')"
        " + offer[16:]\n",
        "relay",
    ),
    Mutant(
        "answer a read behind a write at once", "replica",
        "        if client.batch is not None:\n            if client.hooked_reads == HOOKED_READS_MAX:\n",
        "        if False:\n            if client.hooked_reads == HOOKED_READS_MAX:\n",
        "relay",
    ),
)
