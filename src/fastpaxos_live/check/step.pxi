# One replica's machines, stepped by hand: the differential tests compare them with the generated Python.

cdef class Stepper:
    """The machines of one replica of three; by `log`, (number, sent) of instances 1, 2, ..., the host answers."""

    cdef Node node
    cdef public bint hangs    # the own disk does

    def __init__(self, dict settings, list log):
        cdef Machines *s = &self.node.machines
        if len(log) >= INSTANCES_MAX:
            raise ValueError(f"a log of {len(log)}, and there is room for {INSTANCES_MAX - 1}")
        memset(&self.node, 0, sizeof(Node))
        for i, (number, sent) in enumerate(log, 1):
            self.node.log[<int>i].number = number
            self.node.log[<int>i].sent = sent
        s.host = &self.node
        s.replicas = NODES
        s.quorum = NODES // 2 + 1
        s.me = settings["me"]
        s.lease = settings["lease"]
        s.silence = settings["silence"]
        s.master = settings["master"]
        s.beat = settings["beat"]
        s.term = settings["term"]
        s.resend = settings["resend"]
        s.courtesy = settings["courtesy"]
        s.patience = settings["patience"]
        s.window = settings["window"]
        s.room = settings["room"]

    def step(self, uint32_t machine, dict message):
        """The row's name or None, how many rows could take the message, and the actions: kind, to, after, message."""
        cdef Message m = message
        cdef Out out
        cdef int candidates, row
        cdef uint32_t i
        if machine >= MACHINES:
            raise IndexError("no such machine")
        self.node.hangs = self.hangs
        out.count = 0
        candidates = machines_candidates(machine, &self.node.machines, &m)
        row = machines_step(machine, &self.node.machines, &m, &out)
        actions = []
        for i in range(out.count):
            action = &out.actions[i]
            actions.append((action.kind, action.to, action.after, action.message))
        return ROW_NAMES[row - 1] if row else None, candidates, actions

    def questions(self, uint64_t since, uint64_t now):
        """What only the host asks: may it read, is a read of then confirmed, who holds a grant until when?"""
        cdef Machines *s = &self.node.machines
        return bool(reign_may_read(s, now)), bool(reign_confirmed(s, since, now)), election_granted(s)

    def values(self):
        """All variables by name; a map of replicas is a list, one of instances a dict without zeros."""
        cdef uint64_t flat[VALUE_COUNT]
        cdef size_t n = 0
        cdef int i
        machines_values(&self.node.machines, flat)
        found = {}
        for name, key in VALUE_NAMES:
            if key == "Instance":
                found[name] = {flat[n + 2 * i]: flat[n + 2 * i + 1] for i in range(SLOTS) if flat[n + 2 * i + 1]}
                n += 2 * SLOTS
            elif key == "Replica":
                found[name] = [flat[n + i] for i in range(NODES + 1)]
                n += REPLICAS_MAX + 1
            else:
                found[name] = flat[n]
                n += 1
        return found

    def load(self, dict values):
        """What `values` returned becomes the state again."""
        cdef uint64_t flat[VALUE_COUNT]
        cdef size_t n = 0
        cdef int i
        memset(flat, 0, sizeof(flat))
        for name, key in VALUE_NAMES:
            value = values[name]
            if key == "Instance":
                for instance, one in value.items():
                    i = instance % SLOTS
                    flat[n + 2 * i] = instance
                    flat[n + 2 * i + 1] = one
                n += 2 * SLOTS
            elif key == "Replica":
                for i in range(NODES + 1):
                    flat[n + i] = value[i]
                n += REPLICAS_MAX + 1
            else:
                flat[n] = value
                n += 1
        machines_load(&self.node.machines, flat)
