"""What one seed decides about a run: the cell, its network and disks, the load, and which faults happen how often.

Swarm testing: each run draws its own mix, so that some runs are nearly calm, some have one kind of fault only, and
some have all of them.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from .faults import DAMAGE, KINDS
from .faults.process import WRONG_MS

# Times that belong together: replicas' lease, master's lease, heartbeat, random part of an election (us).
LEASES = ((120_000, 100_000, 15_000, 50_000), (240_000, 200_000, 30_000, 80_000), (600_000, 500_000, 50_000, 200_000))

ALWAYS_MOVED = 1  # `redirect`
TIMEOUT_US_MAX = 2_000_000  # of a write, as it is drawn

FAULTS = tuple(KINDS)
APART = frozenset(("malformed",))  # in the plan made for it only
HARSH = frozenset(("disk_hang", "wall_wrong"))  # not in the polite mix
DRAWN = tuple(kind for kind in FAULTS if kind not in APART)

DRIFT_SMALL_PPM = 200  # what quartz does

POLITE_CELLS = {1: 12, 3: 70, 5: 16, 7: 2}  # sizes and how often each is drawn
CELLS = {1: 11, 2: 5, 3: 66, 5: 14, 7: 3, 9: 1}
LEASE_PERCENTS = (50, 100, 200)  # of the plan's lease times, where replicas differ
WINDOWS = (1, 2, 4, 16)
BATCHES = (1 << 20, 1 << 20, 400, 80)
SLOW = 10  # so many times slower is a slow replica


def drift_bound_ppm(lease_us: int, lease_master_us: int) -> int:
    """How wrong the rate of each clock may be: the master's lease by a clock so slow must end before the replicas' by a
    clock so fast: lease_master / (1 - drift) <= lease / (1 + drift).
    """
    return 1_000_000 * (lease_us - lease_master_us) // (lease_us + lease_master_us)


class Settings(NamedTuple):
    """What replicas of one cell may differ in, as one of them has it."""

    lease_percent: int  # of the plan's lease times
    window: int
    batch_bytes: int
    redirect: int
    write_timeout_us: int


@dataclass(slots=True)
class Plan:
    """Times in microseconds, probabilities 0..1."""

    replicas: int
    lease_us: int
    lease_master_us: int
    beat_us: int
    boost_us: int  # between two boosts of a master's number
    election_us: int
    window: int
    batch_bytes: int
    redirect: int
    wait_master_us: int
    write_timeout_us: int
    clients: int
    readers: int  # of them, clients that only read: nothing else of theirs hides that a read is stale
    pipeline: int  # requests that a client sends at once, at most
    think_us: int  # mean pause of a client between its batches
    keys: int
    value_bytes: int
    delay_us: tuple[int, int]  # of a message, uniform
    delay_tail: float  # probability that a message is late by up to two leases
    lossy: bool  # frames between replicas are lost, repeated and reordered one by one
    loss: float
    repeat: float
    split: float  # of a chunk of a stream, at any byte
    corrupt: float  # of a chunk between replicas
    turn_us: tuple[int, int]  # from an input to the turn that takes it
    disk_us: tuple[int, int]  # of one write
    read_fails: float
    segment_bytes: int
    fsync: str  # policy, as `--fsync` takes it
    doomed: bool  # disks of a majority may be damaged: the cell may stop, and must not lie
    faults: dict[str, int]  # kind -> mean time between two
    drift_ppm: tuple[int, ...]  # rate error of each replica's clock, at the start
    wall_offset_ms: tuple[int, ...]
    value_bytes_max: int = 1 << 20  # the largest argument of a request
    work_max: int = 1 << 20  # that a replica does for clients in a turn, twice
    bandwidth: int = 0  # bytes a second that each connection between replicas has each way; 0: enough
    send_bytes: int = 4 << 20  # that may be under way, or not read yet, each way: then a connection is full
    # Of each replica; () where all are alike.
    slow: tuple[int, ...] = ()  # so many times the plan's times its turns and its disk take
    lease_percent: tuple[int, ...] = ()  # of the plan's lease times
    windows: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()  # batch_bytes
    redirects: tuple[int, ...] = ()
    timeouts_us: tuple[int, ...] = ()  # write_timeout_us
    changes: float = 0.0  # how often a replica starts with other settings than before
    # Clients that are no more polite: `eager.py`.
    eager: float = 0.0  # share of the clients that never wait: they ask, whatever is not answered yet
    arrival_us: int = 20_000  # mean time between two bunches of an eager client's requests
    unanswered: int = 64  # requests that it has open, at most
    patience_us: int = 60_000_000  # how long it stays with a connection that owes it a reply, while faults happen
    long_keys: float = 0.0  # of what it asks behind a late reply, share that is a key as long as may be; nobody has it
    seated: float = 0.0  # share of the eager clients that have a place: the master, elsewhere, or as they are told
    resp3: float = 0.0  # share of all clients that speak RESP3
    slow_readers: float = 0.0  # share of all clients that take their replies late
    window_bytes: int = 4000  # that may be on their way to a slow reader, or not read by it
    nap_us: int = 50_000  # mean time until it reads what has arrived

    @property
    def drift_bound_ppm(self) -> int:
        """What the leases allow."""
        return drift_bound_ppm(self.lease_us, self.lease_master_us)

    @property
    def lease_us_max(self) -> int:
        """The longest that any replica has or may get."""
        return self.lease_us * max((*self.lease_percent, *(LEASE_PERCENTS if self.changes else ()), 100)) // 100

    @property
    def lease_us_min(self) -> int:
        """The shortest that any replica has or may get."""
        return self.lease_us * min((*self.lease_percent, *(LEASE_PERCENTS if self.changes else ()), 100)) // 100

    def settings(self, replica: int) -> Settings:
        """What `replica` starts with."""
        def own(values: tuple[int, ...], common: int) -> int:
            return values[replica - 1] if values else common

        return Settings(
            own(self.lease_percent, 100), own(self.windows, self.window), own(self.batches, self.batch_bytes),
            own(self.redirects, self.redirect), own(self.timeouts_us, self.write_timeout_us))

    @property
    def answer_us(self) -> int:
        """How long a connection may owe a reply, from the request or from the reply before: then there is one, or the
        connection ends. The replica may wait for a master first; what is then under way ends by its time-out, after it
        waited for its turn that long at most. Clocks may be slow, and both ways may take two leases.
        """
        timeout = max(self.write_timeout_us, *self.timeouts_us, TIMEOUT_US_MAX if self.changes else 0)
        return self.wait_master_us + 5 * timeout // 2 + 6 * self.lease_us_max + 2 * self.delay_us[1]

    @property
    def sync_us(self) -> int:
        """Time between two syncs of the log under the policy "interval", else 0."""
        return int(self.fsync.partition(":")[2] or 0) * 1000


def draw_settings(random: Random, lease_us: int) -> Settings:
    """Other settings for a replica of a cell with such leases."""
    return Settings(
        random.choice(LEASE_PERCENTS), random.choice(WINDOWS), random.choice(BATCHES), random.choice((0, 0, 1, 2)),
        random.choice((2 * lease_us, 1_000_000, TIMEOUT_US_MAX)))


def draw_plan(random: Random) -> Plan:
    """The plan of one run, all of it from `random`."""
    return _draw_manners(random, _harden(random, _draw_mix(random, CELLS, DRAWN)))


def polite_plan(random: Random) -> Plan:
    """As `draw_plan`, without what stands against a replica all the time: all are alike, clocks are wrong by hours at
    most, and clients wait for their replies.
    """
    return _draw_mix(random, POLITE_CELLS, tuple(kind for kind in DRAWN if kind not in HARSH))


def _draw_mix(random: Random, cells: dict[int, int], kinds: tuple[str, ...]) -> Plan:
    lease, lease_master, beat, election = random.choice(LEASES)
    replicas = random.choices(tuple(cells), tuple(cells.values()))[0]
    lossy = random.random() < 0.4
    offset = random.choice((0, 20, 1000, 3_600_000))
    pipeline = random.choice((1, 3, 6, 16))
    return Plan(
        replicas=replicas,
        lease_us=lease,
        lease_master_us=lease_master,
        beat_us=beat,
        boost_us=random.choice((3 * beat, 5 * lease, 600_000_000)),
        election_us=election,
        window=random.choice(WINDOWS),
        batch_bytes=random.choice(BATCHES),
        redirect=random.choice((0, 0, 1, 2)),
        wait_master_us=random.choice((lease, 4 * lease, 2_000_000)),
        write_timeout_us=random.choice((2 * lease, 1_000_000, 2_000_000)),
        clients=random.randint(2, 5),
        readers=0,
        pipeline=pipeline,
        think_us=random.choice((10_000, 20_000, 30_000)) * (1 + pipeline // 4),
        keys=random.choice((2, 5, 12)) + pipeline // 4,
        value_bytes=random.choice((0, 0, 40, 3000)),
        delay_us=random.choice(((30, 200), (100, 1500), (500, 6000))),
        delay_tail=random.choice((0.0, 0.0, 0.002, 0.02)),
        lossy=lossy,
        loss=random.choice((0.0, 0.01, 0.05, 0.2)) if lossy else 0.0,
        repeat=random.choice((0.0, 0.02, 0.2)) if lossy else 0.0,
        split=random.choice((0.0, 0.02, 0.3)),
        corrupt=random.choice((0.0, 0.0, 0.002)),
        turn_us=random.choice(((0, 20), (10, 300), (100, 1000))),
        disk_us=random.choice(((80, 300), (200, 4000), (2000, 20_000))),
        read_fails=random.choice((0.0, 0.2)),
        segment_bytes=random.choice((16 << 10, 64 << 10, 1 << 20)),
        fsync=random.choices(("always", "interval:50", "never"), (8, 1, 1))[0],
        doomed=False,
        faults=_draw_faults(random, lease, kinds),
        drift_ppm=_draw_drift(random, replicas, drift_bound_ppm(lease, lease_master)),
        wall_offset_ms=tuple(random.randint(-offset, offset) for _ in range(replicas)),
    )


def _harden(random: Random, plan: Plan) -> Plan:
    # Each of these seldom, so that most runs are cheap and show the rest.
    lease = plan.lease_us
    if random.random() < 0.1:
        plan = replace(plan, wall_offset_ms=_draw_wrong(random, plan.wall_offset_ms))
    if random.random() < 0.1:
        slow = _draw_slow(random, plan.replicas)
        # Nobody is elected with leases that are shorter than a write of a replica that is needed.
        if SLOW * plan.disk_us[1] <= lease * min(LEASE_PERCENTS) // 100:
            plan = replace(plan, slow=slow)
    if random.random() < 0.15:
        plan = _differ(random, plan)
    if random.random() < 0.05:
        # A round trip takes longer than a heartbeat's period, and fits into every lease of the cell.
        plan = replace(plan, delay_us=(plan.lease_us_min // 16, plan.lease_us_min // 6))
    if random.random() < 0.1 and not plan.lossy:
        plan = replace(plan, bandwidth=100_000 if plan.value_bytes < 100 else 2_000_000)
    return plan


def _draw_manners(random: Random, plan: Plan) -> Plan:
    # Of the clients.
    return replace(
        plan,
        eager=random.choice((0.0, 0.3, 0.7)),
        arrival_us=random.choice((5_000, 15_000, 40_000)) * (1 + plan.pipeline // 4),
        unanswered=random.choice((8, 24, 64)),
        patience_us=random.choice((8 * plan.lease_us, 3_000_000, 60_000_000)),
        seated=random.choice((0.0, 0.7, 1.0)),
        resp3=random.choice((0.0, 0.3)),
        slow_readers=random.choice((0.0, 0.0, 0.3)),
        window_bytes=random.choice((100, 4000, 100_000)),
        nap_us=random.choice((5000, 50_000, 300_000)),
        work_max=random.choice((1 << 20, 1 << 20, 6000)),
        send_bytes=random.choices((4 << 20, 64 << 10, 2000), (6, 1, 1))[0],
    )


def _minority(random: Random, replicas: int) -> list[int]:
    # Indices of some of a cell, at most so many as may fail.
    most = (replicas - 1) // 2
    return random.sample(range(replicas), random.randint(1, most)) if most else []


def _draw_wrong(random: Random, offsets: tuple[int, ...]) -> tuple[int, ...]:
    # Wall clocks wrong by days and years, of a minority, and seldom of any.
    some = range(len(offsets)) if random.random() < 0.1 else _minority(random, len(offsets))
    wrong = {at: random.choice((-1, 1)) * random.choice(WRONG_MS) for at in some}
    return tuple(offset + wrong.get(at, 0) for at, offset in enumerate(offsets))


def _draw_slow(random: Random, replicas: int) -> tuple[int, ...]:
    some = _minority(random, replicas)
    return tuple(SLOW if at in some else 1 for at in range(replicas))


def _differ(random: Random, plan: Plan) -> Plan:
    # Each replica has settings of its own, and half of the time they change at restarts.
    drawn = [draw_settings(random, plan.lease_us) for _ in range(plan.replicas)]
    percents, windows, batches, redirects, timeouts = map(tuple, zip(*drawn, strict=True))
    return replace(
        plan, lease_percent=percents, windows=windows, batches=batches, redirects=redirects, timeouts_us=timeouts,
        changes=random.choice((0.0, 0.5)),
    )  # fmt: skip


def _draw_faults(random: Random, lease_us: int, known: tuple[str, ...]) -> dict[str, int]:
    style = random.random()
    if style < 0.05:
        kinds: tuple[str, ...] = ()
    elif style < 0.25:
        kinds = (random.choice(known),)
    else:
        kinds = tuple(kind for kind in known if kind not in DAMAGE and random.random() < 0.35)
    unit = lease_us * max(4, 2 * len(kinds)) // 2
    faults = {kind: random.choice((unit, 2 * unit, 4 * unit)) for kind in kinds}
    if random.random() < 0.25:  # seldom: a replica that is down to the end leaves less to happen to the others
        faults[random.choice(DAMAGE)] = 3_000_000
    return faults


def _draw_drift(random: Random, replicas: int, bound: int) -> tuple[int, ...]:
    # None, little, anything the leases allow, or exactly as much as they allow.
    style = random.choice(("none", "little", "any", "bound"))
    if style == "bound":
        return tuple(random.choice((-bound, bound)) for _ in range(replicas))
    drift = {"none": 0, "little": DRIFT_SMALL_PPM, "any": bound}[style]
    return tuple(random.randint(-drift, drift) for _ in range(replicas))


def relay_plan(random: Random) -> Plan:
    """Masters are cut off one after the other, each as soon as the next one serves, and readers stay with them: stale
    reads, and values of several reigns at one instance.
    """
    window, pipeline = random.choice(((16, 2), (1, 8)))
    return replace(
        polite_plan(random), replicas=3, lease_us=120_000, lease_master_us=100_000, beat_us=15_000, election_us=50_000,
        window=window, batch_bytes=80, redirect=0, wait_master_us=240_000, write_timeout_us=480_000, clients=7,
        readers=3, pipeline=pipeline, think_us=4000, keys=2, value_bytes=0,
        delay_us=random.choice(((30, 200), (500, 6000))), delay_tail=0.0, lossy=False, loss=0.0, repeat=0.0,
        split=0.0, corrupt=0.0, disk_us=(200, 4000), faults={"relay": 100_000, "stall": 200_000},
        drift_ppm=(0, 0, 0), wall_offset_ms=(0, 0, 0),
    )  # fmt: skip


def lossy_plan(random: Random) -> Plan:
    """As `relay_plan`, with frames lost and repeated one by one."""
    return replace(relay_plan(random), lossy=True, loss=0.1, repeat=0.1)


def restart_plan(random: Random) -> Plan:
    """Replicas die and are back at once, alone and together, with much under way to slow disks."""
    return replace(
        relay_plan(random), redirect=1, pipeline=2, readers=0, disk_us=(2000, 20_000), fsync="always",
        faults={"crash_all": 300_000, "quick_restart": 200_000, "crash_sending": 200_000, "power": 400_000},
    )  # fmt: skip


def boost_plan(random: Random) -> Plan:
    """Masters take a higher number all the time, also while who is to promise it has many entries of another one."""
    return replace(
        relay_plan(random), boost_us=15_000, window=16, pipeline=16, batch_bytes=40, think_us=20_000, keys=24,
        faults={"exchange": 200_000, "stall": 500_000},
    )  # fmt: skip


def drift_plan(random: Random) -> Plan:
    """As `relay_plan`, with one clock as slow and the others as fast as the leases allow, and hardly any wait before
    an election: nothing but the bound keeps two masters apart.
    """
    plan = replace(
        relay_plan(random), election_us=2000, delay_us=(30, 200), disk_us=(80, 300), clients=5, think_us=20_000,
        faults={"relay": 100_000, "stall": 400_000},
    )  # fmt: skip
    slow, bound = random.randrange(plan.replicas), plan.drift_bound_ppm
    return replace(plan, drift_ppm=tuple(-bound if at == slow else bound for at in range(plan.replicas)))


def pieces_plan(random: Random) -> Plan:
    """As `relay_plan`, with requests in two pieces, the second of which may be late, and each write in a batch of its
    own: the order of replies. No boosts: a master that flaps for good can lose its mastership in vain ones.
    """
    return replace(
        relay_plan(random), lossy=True, split=0.7, delay_tail=0.1, window=2, batch_bytes=40, pipeline=16,
        think_us=10_000, readers=0, redirect=2, write_timeout_us=1_000_000, boost_us=600_000_000,
    )  # fmt: skip


def aimed_plan(random: Random) -> Plan:
    """Hardly anything goes wrong by chance; what is aimed at single frames does (`faults/aimed.py`)."""
    return replace(
        relay_plan(random), lossy=True, window=16, disk_us=(200, 2000), delay_us=(500, 3000),
        faults={"starve": 300_000, "late_ack": 300_000, "comeback": 300_000, "learn_late": 150_000},
    )  # fmt: skip


def disk_plan(random: Random) -> Plan:
    """Everything that can go wrong with disks, in small files, and little else."""
    return replace(
        polite_plan(random), segment_bytes=16 << 10, value_bytes=random.choice((0, 3000)), disk_us=(200, 4000),
        faults={
            "power": 600_000, "sync_error": 800_000, "write_error": 1_500_000, "disk_full": 2_000_000,
            "crash_writing": 800_000, "crash_starting": 800_000, "pause": 1_000_000, random.choice(DAMAGE): 2_000_000,
        },
    )  # fmt: skip


def rotten_plan(random: Random) -> Plan:
    """As `restart_plan`, where what others have to ask for is no longer there, or not as it was written."""
    return replace(
        restart_plan(random), replicas=random.choice((3, 5)), drift_ppm=(0,) * 5, wall_offset_ms=(0,) * 5,
        segment_bytes=1 << 20, faults={"crash": 200_000, "crash_sending": 400_000, "pause": 500_000, "rot": 300_000},
    )  # fmt: skip


def doomed_plan(random: Random) -> Plan:
    """Any number of disks is damaged: the cell may stop, and must not lie."""
    return replace(
        disk_plan(random), doomed=True, replicas=3, drift_ppm=(0, 0, 0), wall_offset_ms=(0, 0, 0),
        faults={"power": 2_000_000, "crash": 300_000} | dict.fromkeys(DAMAGE, 4_000_000),
    )  # fmt: skip


def usurp_plan(random: Random) -> Plan:
    """As `drift_plan`, with little to do, so that a master that is cut off has nothing in flight."""
    return replace(
        drift_plan(random), lossy=True, clients=3, readers=0, pipeline=2, think_us=300_000, boost_us=600_000_000,
        faults={"usurp": 300_000},
    )  # fmt: skip


def hang_plan(random: Random) -> Plan:
    """Disks hang, one after the other, that of the master mostly, and hardly anything else goes wrong. Some hang for
    longer than any request may wait, with clients that stay.
    """
    plan = polite_plan(random)
    bound, (lease, lease_master, beat, election) = drift_bound_ppm(*LEASES[0][:2]), LEASES[0]
    return replace(
        plan, lease_us=lease, lease_master_us=lease_master, beat_us=beat, election_us=election, wait_master_us=lease,
        write_timeout_us=random.choice((2 * lease, 4 * lease)), drift_ppm=_draw_drift(random, plan.replicas, bound),
        disk_us=(200, 2000), delay_us=(30, 200), delay_tail=0.0, lossy=False, loss=0.0, repeat=0.0, corrupt=0.0,
        turn_us=(0, 20), boost_us=600_000_000, eager=0.5, seated=0.7, unanswered=24, faults={"disk_hang": 1_000_000},
    )  # fmt: skip


def large_plan(random: Random) -> Plan:
    """Few and large values on slow links: what a candidate has to take over needs several leases on its way."""
    lease, lease_master, beat, election = LEASES[0]
    size = random.choice((64 << 10, 64 << 10, 64 << 10, 256 << 10))
    return replace(
        relay_plan(random), lease_us=lease, lease_master_us=lease_master, beat_us=beat, election_us=election, window=16,
        batch_bytes=size // 2, value_bytes=size, clients=6, readers=0, pipeline=3, think_us=50_000, keys=4,
        write_timeout_us=2_000_000, wait_master_us=2_000_000, segment_bytes=4 << 20,
        bandwidth=size * 1_000_000 // (lease // random.choice((10, 16))), boost_us=600_000_000,
        faults={"relay": 1_000_000},
    )  # fmt: skip


def mixed_plan(random: Random) -> Plan:
    """As `relay_plan`, with settings that differ and change at restarts."""
    plan = replace(_differ(random, relay_plan(random)), changes=0.5)
    return replace(
        plan, faults={"relay": 100_000, "crash": 300_000, "quick_restart": 300_000, "slow_disk": 500_000},
    )  # fmt: skip


def clocks_plan(random: Random) -> Plan:
    """As `relay_plan`, with wall clocks that are wrong by days and years."""
    plan = replace(relay_plan(random), replicas=random.choice((2, 3, 3, 5)))
    right = (0,) * plan.replicas
    faults = {"relay": 200_000, "crash": 500_000}
    if random.random() < 0.5:
        return replace(plan, drift_ppm=right, wall_offset_ms=right, faults=faults | {"wall_wrong": 300_000})
    return replace(plan, drift_ppm=right, wall_offset_ms=_draw_wrong(random, right), faults=faults)


def crowd_plan(random: Random) -> Plan:
    """Cells of seven and nine, with a slow minority, and frames that arrive twice."""
    replicas = random.choice((7, 9))
    return replace(
        relay_plan(random), replicas=replicas, clients=3, readers=1, think_us=20_000, lossy=True, repeat=0.5, loss=0.02,
        slow=_draw_slow(random, replicas), drift_ppm=(0,) * replicas,
        wall_offset_ms=_draw_wrong(random, (0,) * replicas),
        faults={"relay": 200_000, "crash": 500_000, "disk_hang": 1_000_000},
    )  # fmt: skip


def eager_plan(random: Random) -> Plan:
    """As `relay_plan`, with clients that never wait and stay with whoever owes them a reply, most of them where they
    are forwarded; masters stand still, too.
    """
    plan = relay_plan(random)
    return replace(
        plan, lossy=random.random() < 0.3, redirect=0, eager=0.9, arrival_us=20_000, unanswered=64,
        patience_us=60_000_000, seated=0.9, resp3=0.2, slow_readers=0.2, window_bytes=random.choice((100, 4000)),
        nap_us=30_000, readers=1, clients=5, pipeline=8, keys=6, think_us=20_000, value_bytes=random.choice((0, 40)),
        window=random.choice((2, 16)), write_timeout_us=random.choice((480_000, 4_000_000)),
        faults={"relay": 200_000, "pause": 150_000, "stall": 300_000, "reset": 500_000},
        send_bytes=random.choice((4 << 20, 4 << 20, 2000)),
    )  # fmt: skip


def bulk_plan(random: Random) -> Plan:
    """As `eager_plan`, with large values that are read by many at once: more replies than go into one frame."""
    return replace(
        eager_plan(random), lossy=False, redirect=2, eager=1.0, seated=1.0, slow_readers=0.0, readers=2, clients=5,
        keys=8, arrival_us=400_000, value_bytes=200_000, batch_bytes=1 << 20, segment_bytes=1 << 20,
        write_timeout_us=4_000_000, faults={"pause": 300_000, "stall": 300_000},
    )  # fmt: skip


def choke_plan(random: Random) -> Plan:
    """As `eager_plan`, with requests so long that three of them fill the channel to the master: they ask for keys that
    nobody has, so that nothing of it is written.
    """
    return replace(
        eager_plan(random), lossy=False, redirect=2, eager=1.0, seated=1.0, slow_readers=0.0, readers=0, clients=10,
        pipeline=2, arrival_us=150_000, long_keys=0.4, value_bytes=0, value_bytes_max=16 << 20,
        write_timeout_us=4_000_000, bandwidth=200_000_000, send_bytes=4 << 20,
        faults={"pause": 1_000_000, "relay": 1_000_000},
    )  # fmt: skip


def malformed_plan(random: Random) -> Plan:
    """Replicas send each other what no replica sends, amid all else."""
    plan = draw_plan(random)
    if plan.replicas == 1:
        plan = relay_plan(random)
    return replace(plan, faults={**plan.faults, "malformed": 50_000})


def busy_plan(random: Random) -> Plan:
    """As `eager_plan`, with more requests at once than one turn is for: many clients, and long pipelines."""
    return replace(
        eager_plan(random), work_max=random.choice((1000, 4000)), clients=6, pipeline=32, arrival_us=100_000,
        value_bytes=random.choice((40, 6000)), segment_bytes=1 << 20, keys=4,
        think_us=60_000, window=2, faults={"pause": 200_000, "stall": 200_000, "relay": 500_000},
    )  # fmt: skip


PLANS = {
    "swarm": draw_plan, "polite": polite_plan, "relay": relay_plan, "lossy": lossy_plan, "restart": restart_plan,
    "boost": boost_plan, "drift": drift_plan, "aimed": aimed_plan, "disk": disk_plan, "doomed": doomed_plan,
    "pieces": pieces_plan, "usurp": usurp_plan, "hang": hang_plan, "large": large_plan, "mixed": mixed_plan,
    "clocks": clocks_plan, "crowd": crowd_plan, "eager": eager_plan, "bulk": bulk_plan, "choke": choke_plan,
    "malformed": malformed_plan, "busy": busy_plan, "rotten": rotten_plan,
}  # fmt: skip
