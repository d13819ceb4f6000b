"""Disks that lose power, fail, fill up, rot, or are spoiled by somebody.

What damages a replica's disk for good makes it refuse to start. So many that fewer than a majority are left are damaged
only in a doomed cell. Damage that the product does not notice is not done but counted by its name in UNHANDLED.
"""

from collections.abc import Collection
from errno import EIO, ENOSPC
from functools import partial
from typing import TYPE_CHECKING

from ...log.segments import SEGMENT_HEADER_BYTES, file_name, file_number
from ...reference.log_frame import HEADER_BYTES
from ..check import Violation
from ..disk import Died
from .occasion import Fault, Occasion
from .unhandled import UNHANDLED

if TYPE_CHECKING:
    from ..node import Node

CHANGES = ("write", "sync", "create", "rename", "unlink", "sync_directory")
STALL_US, STALL_LEASES = 1_000_000, 4  # a write under way for so long, whichever is longer, ends a mastership ...
END_LEASES = 2  # ... so much later
MOVE_LEASES = 30  # until another one has begun: elections may be vain
OPERATIONS_MAX = 60  # of a start on a long log


def _sound(o: Occasion) -> "Node | None":
    # A replica whose disk may be damaged.
    node = o.target()
    return node if _may_be_damaged(o, node) else None


def _may_be_damaged(o: Occasion, node: "Node") -> bool:
    # Are the others a majority without it?
    plan = o.world.plan
    damaged = sum(bool(other.damage) for other in o.nodes())
    most = plan.replicas if plan.doomed else (plan.replicas - 1) // 2
    return not node.damage and damaged < most


def _victim(o: Occasion) -> "Node | None":
    # One whose files somebody spoils.
    node = _sound(o)
    return node if node is not None and node.boots else None


def _strike(o: Occasion, node: "Node") -> None:
    # It is decided what is spoiled; half of the time that happens while the replica is down.
    if node.core is not None and o.random.random() < 0.5:
        node.crash()
        o.restart_later(node)


def _harm(o: Occasion, node: "Node", name: str) -> None:
    node.damage = o.name
    if name == "meta.json" and node.core is not None:
        node.sure = False  # a process that runs may write it again, whole


def _untroubled(o: Occasion) -> "Node | None":
    node = o.target()
    return node if node.disk.trouble is None and not node.refused else None


def _count_unhandled(o: Occasion, name: str) -> None:
    assert name in UNHANDLED
    o.world.count(name)


# --- power
def _cut_power(o: Occasion, node: "Node") -> None:
    node.power_off()
    if o.world.plan.fsync != "always" and node.boots and not node.damage:
        node.damage = o.name  # it may have forgotten something, and knows it by the kernel's boot id ...
        node.sure = node.starts > 0  # ... if its disk has one
    o.restart_later(node)


def power(o: Occasion) -> str | None:
    """A machine loses power, or all of them do."""
    relaxed = o.world.plan.fsync != "always"
    if not relaxed and o.random.random() < 0.2:
        for node in o.nodes():
            o.soon(_cut_power, o, node)
        return "of all within 2 ms"
    victim = _sound(o) if relaxed else o.target()
    if victim is None:
        return None
    _cut_power(o, victim)
    return f"of replica {victim.id}"


# --- damage
def rot(o: Occasion) -> str | None:
    """A bit flips on the disk, in any file; or the disk can't read a part of the log, or what is read next of it."""
    node = _victim(o)
    if node is None:
        return None
    where = o.random.choice(("meta", "header", "log", "log", "free"))
    if where == "meta":
        return _flip(o, node, "meta.json", o.random.randrange(node.disk.size("meta.json")), harms=True)
    size = o.world.plan.segment_bytes
    logs = sorted(name for name in node.disk.names() if file_number(name) is not None)
    if where == "header" and logs:
        return _flip(o, node, o.random.choice(logs), o.random.randrange(SEGMENT_HEADER_BYTES), harms=True)
    free = len(logs) * size - node.durable
    if where == "free" and free > 0:
        at = node.durable + o.random.randrange(free)
    elif where == "log" and node.durable:
        at = o.random.randrange(node.durable)
    else:
        return None
    if node.vouched <= at < node.durable:
        _count_unhandled(o, "rot_unvouched")
        return None
    number, inside = divmod(at, size)
    kind = o.random.random() if at < node.durable else 1
    if kind < 0.2:
        _strike(o, node)
        _harm(o, node, file_name(number))
        node.disk.files[file_name(number)].unreadable = SEGMENT_HEADER_BYTES + inside
        return f"replica {node.id}, byte {inside} of {file_name(number)} can't be read"
    if kind < 0.6:
        node.before_read = partial(_rot_under, o, node)
        return f"replica {node.id}, where it reads next"
    return _flip(o, node, file_name(number), SEGMENT_HEADER_BYTES + inside, harms=at < node.durable)


def _flip(o: Occasion, node: "Node", name: str, at: int, harms: bool) -> str:
    _strike(o, node)
    bit = o.random.randrange(8)
    node.disk.files[name].flip(at, 1 << bit)
    if harms:
        _harm(o, node, name)
    return f"replica {node.id}, bit {bit} of byte {at} of {name}, {'' if harms else 'un'}used"


def _rot_under(o: Occasion, node: "Node", position: int) -> None:
    # What is there is asked for by another replica.
    if not o.world.faulty:
        return  # arranged before the faults ended
    number, inside = divmod(position + o.random.randrange(HEADER_BYTES), o.world.plan.segment_bytes)
    if position >= node.vouched:
        _count_unhandled(o, "rot_unvouched")
    elif _may_be_damaged(o, node):
        node.disk.files[file_name(number)].flip(SEGMENT_HEADER_BYTES + inside, 1 << o.random.randrange(8))
        _harm(o, node, file_name(number))


def lost_file(o: Occasion) -> str | None:
    """A file vanishes; a process that has it open does not see that."""
    found = _file(o)
    if found is None:
        return None
    node, name = found
    _strike(o, node)
    number = file_number(name)
    _harm(o, node, name)
    if number and number * o.world.plan.segment_bytes >= node.durable:
        node.sure = False  # it may be made again
    node.disk.lose([name])
    return f"replica {node.id}, {name}"


def emptied_file(o: Occasion) -> str | None:
    """A file is truncated to nothing."""
    found = _file(o)
    if found is None:
        return None
    node, name = found
    _strike(o, node)
    _harm(o, node, name)
    node.disk.files[name].damage(b"")
    return f"replica {node.id}, {name}"


def _file(o: Occasion) -> "tuple[Node, str] | None":
    node = _victim(o)
    if node is None:
        return None
    names = sorted(name for name in node.disk.names() if name == "meta.json" or file_number(name) is not None)
    newest = file_name(max(0, node.durable - 1) // o.world.plan.segment_bytes)
    return node, o.random.choice([*names, newest, newest])


def emptied_dir(o: Occasion) -> str | None:
    """Everything in the directory vanishes, as when an empty disk is mounted over it."""
    node = _victim(o)
    if node is None:
        return None
    _strike(o, node)
    _harm(o, node, "" if node.durable else "meta.json")
    node.disk.lose(node.disk.names())
    return f"replica {node.id}"


def old_file(o: Occasion) -> str | None:
    """An older copy of a file is put back."""
    found = _file(o)
    if found is None:
        return None
    node, name = found
    number = file_number(name)
    if number is None:
        _count_unhandled(o, "old_meta")
        return None
    size = o.world.plan.segment_bytes
    if (number + 1) * size > node.vouched:
        _count_unhandled(o, "old_newest_file")
        return None
    _strike(o, node)
    keep = SEGMENT_HEADER_BYTES + o.random.randrange(0, size, 64)
    file = node.disk.files[name]
    if any(file.data[keep:]):
        node.damage = o.name
    file.damage(file.data[:keep].ljust(len(file.data), b"\0"))
    return f"replica {node.id}, {name} as it was with {keep} bytes"


# --- operations that fail
def _fails_once(node: "Node", operations: Collection[str], error: Exception, passes: int) -> None:
    # An operation of these names fails after so many that do not; without names, any operation of a start.
    def trouble(name: str) -> Exception | None:
        nonlocal passes
        if name not in operations if operations else node.core is not None:
            return None
        passes -= 1
        if passes >= 0:
            return None
        node.disk.trouble = None
        return error

    node.disk.trouble = trouble


def write_error(o: Occasion) -> str | None:
    """A write fails: the process ends at once."""
    node = _untroubled(o)
    if node is None:
        return None
    _fails_once(node, ["write"], OSError(EIO, "Input/output error"), o.random.choice((0, 0, 1, 2)))
    return f"replica {node.id}"


def sync_error(o: Occasion) -> str | None:
    """A sync fails, and the kernel forgets what it should have written; the power may go a little later."""
    node = _untroubled(o)
    if node is None:
        return None
    _fails_once(node, ["sync"], OSError(EIO, "Input/output error"), o.random.choice((0, 0, 1, 2)))
    if o.world.plan.fsync == "always" and o.random.random() < 0.7:
        o.world.after(o.leases(0.5, 4), _cut_power_later, o, node)
    return f"replica {node.id}"


def _cut_power_later(o: Occasion, node: "Node") -> None:
    if o.world.faulty:
        _cut_power(o, node)


def disk_full(o: Occasion) -> str | None:
    """No file can be made for a while."""
    node = _untroubled(o)
    if node is None:
        return None
    world = o.world
    until = world.now + o.leases(1, 8)

    def trouble(name: str) -> Exception | None:
        if world.now >= until:
            node.disk.trouble = None
            return None
        return OSError(ENOSPC, "No space left on device") if name == "create" else None

    node.disk.trouble = trouble
    return f"replica {node.id} until {until} us"


def disk_hang(o: Occasion) -> str:
    """Nothing that the disks of one replica, of a majority or of all are asked to do ends for a while; no error."""
    world, plan = o.world, o.world.plan
    who = o.random.choice(("one", "one", "one", "one", "majority", "all"))
    nodes = o.nodes()
    o.random.shuffle(nodes)
    nodes = [o.target()] if who == "one" else nodes[: plan.replicas // 2 + 1] if who == "majority" else nodes
    time = o.random.choice((o.leases(0.5, 4), o.leases(4, 30), plan.answer_us + o.leases(2, 10)))
    until = min(world.now + time, world.heal_at)
    master, calm = o.master(), all(world.now >= node.disk_hangs_until for node in o.nodes())
    for node in nodes:
        node.hang_disk(until)
    if len(nodes) > plan.replicas // 2 and master is not None and calm and set(plan.faults) == {"disk_hang"}:
        world.at(until, _must_stay, o, master, world.check.views[master.id].reigns)
    if who == "one" and nodes[0].serving and plan.replicas > 2 and set(plan.faults) == {"disk_hang"}:
        world.at(world.now, _must_move, o, nodes[0], until)
    return f"of {sorted(node.id for node in nodes)} until {until} us"


def _must_move(o: Occasion, node: "Node", until: int) -> None:
    # The others can write, and everybody can talk: a master that waits for its disk leaves it to one of them. One that
    # writes nothing need not.
    world = o.world
    if not _only_that(o, node) or world.now >= until:
        return
    if not node.serving:
        world.after(MOVE_LEASES * world.plan.lease_us_max, _moved, o, node)
        return
    since = max(node.writing_since, node.disk_hung_at)
    due = since + max(STALL_US, STALL_LEASES * node.lease_us) + END_LEASES * node.lease_us
    if node.writing is not None and world.now > due:
        raise Violation(f"replica {node.id} is master, though its disk hangs since {since / 1e6:.6f} and others' don't")
    world.after(node.lease_us, _must_move, o, node, until)


def _must_stay(o: Occasion, node: "Node", epoch: int | None) -> None:
    # No majority can write without it, so nobody else could do better, and reads go on.
    if o.world.faults.happened[-1].name == o.name and o.world.check.views[node.id].reigns != epoch:
        raise Violation(f"replica {node.id} left the mastership of epoch {epoch}, though no majority's disks went on")


def _moved(o: Occasion, node: "Node") -> None:
    if o.world.faulty and _only_that(o, node) and o.master() is None:
        raise Violation(f"nobody is master, though nothing hangs but the disk of replica {node.id}")


def _only_that(o: Occasion, node: "Node") -> bool:
    # Did no other disk hang since that of the node does?
    return all(other.disk_hangs_until <= node.disk_hung_at for other in o.others(node))


def crash_writing(o: Occasion) -> str | None:
    """A process dies in one of its next operations on files."""
    node = _untroubled(o)
    if node is None or node.core is None:
        return None
    passes = o.random.randrange(8)
    _fails_once(node, CHANGES, Died(), passes)
    return f"replica {node.id} after {passes} operations"


def crash_starting(o: Occasion) -> str | None:
    """A replica dies while it starts, several times, or its machine loses power then."""
    node = _untroubled(o)
    if node is None or node.core is None:
        return None
    node.crash()
    times = o.random.randint(1, 5)
    _start_and_die(o, node, times)
    return f"replica {node.id}, {times} times"


def _start_and_die(o: Occasion, node: "Node", times: int) -> None:
    if node.core is not None or not o.world.faulty:
        return
    if times:
        _fails_once(node, (), Died(), o.random.randrange(OPERATIONS_MAX))
    node.start()
    if node.core is None and o.world.plan.fsync == "always" and o.random.random() < 0.3:
        node.power_off()
    o.world.after(o.leases(0.01, 0.4), _start_and_die, o, node, times - 1)


DAMAGE: tuple[Fault, ...] = (rot, lost_file, emptied_file, emptied_dir, old_file)
KINDS: tuple[Fault, ...] = (
    power, *DAMAGE, write_error, sync_error, disk_full, disk_hang, crash_writing, crash_starting,
)  # fmt: skip
