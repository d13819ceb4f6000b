"""The planted bugs, one line each (PML 6.3: the strength of a test is what it finds)."""

from .mutants import Mutant

PLANTED = (
    Mutant(
        "acknowledge before the disk write", "log_paxos",
        "        if held.group <= self.disk.durable_group:\n",
        "        if held.type == ACK or held.group <= self.disk.durable_group:\n",
    ),
    Mutant(
        "ignore a promised value", "log_paxos",
        "            offer = self.offers.get(instance)\n",
        "            offer = None\n",
    ),
    Mutant(
        "answer a read after the lease ended in a pause", "replica",
        "        covered = c.may_read(self.now)\n",
        "        covered = c.state == SERVING\n",
    ),
    Mutant(
        "commit an entry of an older number by a newer commit mark", "log_acceptor",
        "            self.chosen = max(self.chosen, min(mark, self.last))\n",
        "            self.chosen = max(self.chosen, min(mark, self.high))\n",
    ),
    Mutant(
        "promise within the silence after a restart", "log_acceptor",
        "        return not self.silent and number > self.promised and self._free(sender, now)\n",
        "        return number > self.promised and self._free(sender, now)\n",
    ),
    Mutant(
        "count a majority minus one", "log_coordinator",
        "        self.quorum = replicas // 2 + 1\n",
        "        self.quorum = max(1, replicas // 2)\n",
    ),
    Mutant(
        "promise to another while a grant is live", "log_acceptor",
        "        return self.master == sender or now >= self.until\n",
        "        return True\n",
    ),
    Mutant(
        "forget a promise that was logged", "log_acceptor",
        "    def replay_promised(self, number: int) -> None:\n        self.promised = max(self.promised, number)\n",
        "    def replay_promised(self, number: int) -> None:\n        pass\n",
    ),
    Mutant(
        "tell of a failed batch before what is in flight", "replica",
        "            if client.pending and last is not None:\n",
        "            if client.pending and last is None:\n",
    ),
    Mutant(
        "answer a read behind a write at once", "replica",
        "        if client.batch is not None:\n            if client.hooked_reads == HOOKED_READS_MAX:\n",
        "        if False:\n            if client.hooked_reads == HOOKED_READS_MAX:\n",
    ),
)
