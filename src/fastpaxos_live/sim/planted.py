"""The planted bugs, one line each (PML 6.3: the strength of a test is what it finds)."""

from ..spec import mutants
from .mutants import SPEC, Mutant

# The plan that shows each of the specification's known mistakes soon; the others show under "relay".
PLAN_OF = {
    "accepted below the promise": "lossy",
    "a promise counts without all its entries": "lossy",
    "entries of two promises make one": "aimed",
    "proposes below a reported chosen mark": "aimed",
    "acknowledgements of an older number count": "aimed",
    "the lease is moved by a resend": "aimed",
    "the master's lease is as long as the grants": "drift",
    "promises in the silence after a restart": "restart",
    "the epoch instance counts when it is proposed": "lossy",
    "a boost goes on after a foreign entry": "usurp",
    "a boost counts a promise without its entries": "usurp",
    "a refused propose raises the refuser": "aimed",
    "a promise in the log is forgotten": "restart",
    "a grant ignores the span": "mixed",
    "the silence follows the new setting": "mixed",
    "a longer span is granted before it is durable": "mixed",
}

# What those raise that no check finds before.
RAISES = {"one promise is a majority": "IndexError"}

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
        "        covered = self.serving()\n",
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
        "send held reads when the mastership ends", "replica_client",
        "        self.output.clear()\n        self.replies = 0\n        self.holding = False\n",
        "        self.holding = False\n",
        "relay",
    ),
    Mutant(
        "begin a connection with what was left of the one before", "replica",
        "        link.input.clear()\n        link.output.clear()\n",
        "        link.input.clear()\n",
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
        "say of an unknown outcome that nothing was done", "replica_replies",
        "client.write(ERR_UNKNOWN[reason])",
        "client.write(ERR_NOT_DONE[reason])",
        "relay",
    ),
    Mutant(
        "tell of a failed batch before what is in flight", "replica_replies",
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
        "        if client.batch is not None:\n            if client.batch is self.open:\n",
        "        if False:\n            if client.batch is self.open:\n",
        "relay",
    ),
    # Disks that hang
    Mutant(
        "stay master while only the others' disks write", "log_stall",
        "if moved >= self.log.machines.quorum:", "if False:",
        "hang",
    ),
    Mutant(
        "leave the mastership though nobody else can write", "log_stall",
        "if moved >= self.log.machines.quorum:", "if moved >= 0:",
        "hang",
    ),
    Mutant(
        "let the open batch wait without an end", "replica_replies",
        "if replica.open.hooks and replica.now - replica.open.opened_us > limit:", "if False:",
        "hang",
    ),
    Mutant(
        "let what is in flight wait without an end", "replica_replies",
        "if replica.now - replica.flights[instance].sealed_us > limit:", "if False:",
        "hang",
    ),
    # What may differ between replicas, and what may not
    Mutant(
        "forget at a start what earlier lives granted", "log_paxos",
        'silence=max(config["lease_us"], config.get("silence_us", 0))', 'silence=config["lease_us"]',
        "mixed",
    ),
    Mutant(
        "seed the table's hash at each replica alone", "replica",
        'Store(config.get("hash_seed", self.seed))', 'Store(config["seed"])',
        "relay",
    ),
    # The time in force
    Mutant(
        "believe the higher clock of two", "replica_clock",
        "agreed = sorted(walls, reverse=True)[quorum - 1]", "agreed = sorted(walls)[len(walls) // 2]",
        "clocks",
    ),
    Mutant(
        "begin at the own clock, whatever the others say", "replica_clock",
        "wall if wall <= agreed else min(wall, agreed + CLOCK_BOUND_MS)", "wall",
        "clocks",
    ),
    Mutant(
        "count a clock for each time that a promise arrives", "log_paxos",
        "self.walls[m.sender] = max(self.walls.get(m.sender, ahead), ahead)", "self.walls[len(self.walls)] = ahead",
        "crowd",
    ),
    # The log around the machines
    Mutant(
        "count what was accepted below an entry as chosen on replay", "log_replay",
        "(1 if frame.type == LEARN else SLOTS)", "1",
        "restart",
    ),
    Mutant(
        "let an answer wait for the write group before its own", "log_disk",
        "return self.group if self.frames else self.group - 1", "return self.group - 1",
        "restart",
    ),
    Mutant(
        "note the place of an entry without its group's header", "log_disk",
        "position = self.base + HEADER_BYTES + self.size", "position = self.base + self.size",
        "lossy",
    ),
    Mutant(
        "ask for chosen entries from one too high", "log_catchup",
        "FETCH, instance=self.fetch_first)", "FETCH, instance=self.fetch_first + 1)",
        "lossy",
    ),
    Mutant(
        "report entries as accepted at the promised number", "log_paxos",
        "instance=instance, extra=entry.number,", "instance=instance, extra=promise.number,",
        "lossy",
    ),
    Mutant(
        "forget what lies above the entry accepted last", "log_paxos",
        "self.highest = max(self.highest, m.instance)", "self.highest = m.instance",
        "lossy",
    ),
    Mutant(
        "keep half a frame from one connection to the next", "replica",
        "        link.input.clear()\n", "",
        "swarm",
    ),
    # Batches, forwarding and time
    Mutant(
        "file a batch under the instance before its own", "replica",
        "self.flights[log.reign.proposed + 1] = batch", "self.flights[log.reign.proposed] = batch",
        "relay",
    ),
    Mutant(
        "say that nothing in flight was done when the mastership ends", "replica",
        "        self.replies.fail_open(CHANGED)\n",
        "        self.replies.fail_open(CHANGED)\n"
        "        while self.flights:\n            self.replies.fail(self.flights.popitem()[1])\n",
        "relay",
    ),
    Mutant(
        "forward while own replies are outstanding", "replica",
        "        if client.pending:\n            return False\n        coming", "        coming",
        "eager",
    ),
    Mutant(
        "answer reads of a READONLY connection from the own state", "replica",
        "        if self.serving():\n            if client.forwarded or client.outbox_count:\n",
        "        if client.readonly and client.kind == READ and not (client.pending or client.forwarded):\n"
        "            self.replies.read(client, self._shown_ms())\n"
        "            self.touch(client)\n            return True\n"
        "        if self.serving():\n            if client.forwarded or client.outbox_count:\n",
        "eager",
    ),
    Mutant(
        "redirect a client to the replica it is at", "replica",
        'self.config["clients"][master - 1]', 'self.config["clients"][self.me - 1]',
        "restart",
    ),
    Mutant(
        "apply a batch of another epoch", "replica",
        "header.kind == OPERATIONS and header.epoch == self.epoch:", "header.kind == OPERATIONS:",
        "relay",
    ),
    Mutant(
        "expire keys by the own clock", "replica",
        "self.store.expire(self.time_ms)", "self.store.expire(self.wall)",
        "relay",
    ),
    Mutant(
        "show what is due until the next write removes it", "replica",
        "        self.store.expire(self.time_ms)\n", "        self.store.step()\n",
        "relay",
    ),
    Mutant(
        "count the time left by the wall clock", "replica",
        "max(self.least_ms, min(self._clock_ms(), self.time_ms + SHOWN_AHEAD_MS))", "self.wall",
        "clocks",
    ),
    # Work of the store
    Mutant(
        "grow the table at once", "db_store",
        "self.moved += self._move(MOVED_SLOTS)", "self.moved += self._move(self._old)",
        "swarm",
    ),
    # What one turn does
    Mutant(
        "go on with requests until there are none", "replica",
        "return self.spent >= self.work_max", "return False",
        "busy",
    ),
    Mutant(
        "give a client as many requests as it has sent", "replica",
        "            if self._busy():\n                client.delayed = True\n                self.queue(client)\n"
        "                break\n", "",
        "busy",
    ),
    Mutant(
        "work for what is fed as if nothing had been fed before", "replica",
        "        self.keeping.weigh(client)\n        if len(client.input)",
        "        self.spent = 0\n        self.keeping.weigh(client)\n        if len(client.input)",
        "busy",
    ),
    # Replies, and the streams that carry them
    Mutant(
        "count replies that were dropped", "replica_client",
        "        self.output.clear()\n        self.replies = 0\n", "        self.output.clear()\n",
        "bulk",
    ),
    Mutant(
        "swallow what is said of the open batch", "replica_replies",
        "            else:\n                client.write(reply)\n",
        "            else:\n                client.replies += 1\n",
        "eager",
    ),
    Mutant(
        "send replies in one frame, however long", "replica_forward",
        "payload = bytes(client.output[:REPLIES_BYTES_MAX])", "payload = bytes(client.output)",
        "bulk",
    ),
    Mutant(
        "call unknown what found the channel full", "replica_forward",
        "            self._wait(client)\n            return\n",
        "            self.replica.replies.lose(client, CHANGED)\n            return\n",
        "choke",
    ),
    Mutant(
        "stay bound to the master before", "replica_forward",
        "        if leader == self.leader:\n", "        if leader >= 0:\n",
        "eager",
    ),
    Mutant(
        "forget what a stream owed at its end", "replica_forward",
        "            self._end(client, min(frame.flags - 1, CUT_OFF))\n", "            client.forwarded = 0\n",
        "eager",
    ),
    Mutant(
        "go on after an unknown outcome", "replica_replies",
        "            client.write(ERR_UNKNOWN[reason])\n        self.close(client, reason)\n",
        "            client.write(ERR_UNKNOWN[reason])\n        client.forwarded = 0\n"
        "        self.replica.touch(client)\n",
        "eager",
    ),
    Mutant(
        "answer at once what is behind forwarded requests", "replica",
        "        if client.forwarded or client.outbox_count:\n            return False\n        if client.batch",
        "        if client.batch",
        "eager",
    ),
    Mutant(
        "say of what was passed on that it was not done", "replica_forward",
        "            self.replica.replies.lose(client, reason)\n        elif unsent:\n",
        "            unsent, client.forwarded = unsent + client.forwarded, 0\n        if unsent:\n",
        "eager",
    ),
    Mutant(
        "say of what timed out in flight that it was not done", "replica_replies",
        "                    self.lose(client, LATE)\n",
        "                    client.write(ERR_NOT_DONE[LATE])\n",
        "eager",
    ),
    Mutant(
        "take any value that a peer sends", "log_arrival",
        "frame.instance > 0 and log.host.is_sound(frame.payload)", "frame.instance > 0",
        "malformed",
    ),
    Mutant(
        "go on with a log that can't be read", "log_catchup",
        "                if start < self.log.disk.vouched:\n                    return instance\n", "",
        "rotten",
    ),
    Mutant(
        "leave a client alone that has taken its replies", "replica",
        "        if client.full or self.forwarding.must_report(client):\n",
        "        if self.forwarding.must_report(client):\n",
        "bulk",
    ),
)

PLANTED = tuple(
    Mutant(
        mutant.name, SPEC + mutant.file, mutant.old, mutant.new,
        PLAN_OF.get(mutant.name, "relay"), RAISES.get(mutant.name, ""),
    )
    for mutant in mutants.MUTANTS
) + AROUND
