"""The planted bugs, one line each (PML 6.3: the strength of a test is what it finds)."""

from ..spec import mutants
from .mutants import SPEC, Mutant

# The plan that shows each of the specification's known mistakes soon; the others show under "relay".
PLAN_OF = {
    "own promise not durable before the propose": "restart",
    "a promise counts without all its entries": "lossy",
    "entries of two promises make one": "lossy",
    "proposes below a reported chosen mark": "lossy",
    "an acknowledgement covers older numbers": "lossy",
    "acknowledgements of an older number count": "lossy",
    "promises in the silence after a restart": "restart",
    "a promise in the log is forgotten": "restart",
}

AROUND = (
    Mutant(
        "promise before the disk write", "log_paxos",
        "        if held.group <= self.disk.durable_group:\n",
        "        if m.type == M.M_LOGGED or held.group <= self.disk.durable_group:\n",
        "restart",
    ),
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

PLANTED = tuple(
    Mutant(mutant.name, SPEC + mutant.file, mutant.old, mutant.new, PLAN_OF.get(mutant.name, "relay"))
    for mutant in mutants.MUTANTS
) + AROUND
