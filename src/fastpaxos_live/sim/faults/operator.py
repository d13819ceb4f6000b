"""What operators get wrong: processes that don't belong to the cell, or are not who they say.

No replica may accept their calls and answers; the network raises a violation otherwise.
"""

from typing import TYPE_CHECKING

from ...log.handshake import CHANNELS, COUNTER_SHIFT, Hello
from ..handshake import INCARNATION, name_of
from .occasion import Fault, Occasion

if TYPE_CHECKING:
    from ..node import Node

CALLS = 3  # that a stranger makes at each address and channel
BOOTS_MAX = 1000  # of a stranger's directory: newer than what the cell has seen, or older


def _calls(o: Occasion, hello: Hello, boots: int) -> str:
    # Everybody, several times, each time with a higher number, as a process does that was started so often.
    number = boots << COUNTER_SHIFT
    for _ in range(CALLS):
        for node in o.nodes():
            for channel in range(CHANNELS):
                number += 1
                call = hello._replace(channel=channel, counter=number)
                o.world.after(o.leases(0.0, 1.0), o.world.network.call_as_stranger, node.id, call)
    return "calls everybody"


def _answers(o: Occasion, hello: Hello, node: "Node") -> str:
    # What is connected to the replica stays so.
    strangers = o.world.network.strangers
    strangers[node.id] = hello
    time = o.leases(0.5, 4)
    o.world.after(time, strangers.pop, node.id, None)
    return f"answers at the address of {node.id} for {time} us"


def _calls_or_answers(o: Occasion, hello: Hello, node: "Node") -> str:
    if o.random.random() < 0.5:
        return _answers(o, hello, node)
    return _calls(o, hello, o.random.randint(1, BOOTS_MAX))


def wrong_name(o: Occasion) -> str:
    """A process with a misspelled replica name calls everybody, or answers at a replica's address."""
    node = o.target()
    hello = Hello(o.world.cell_id, node.id, name_of(node.id) + "x", INCARNATION, 0, 0)
    return f"{hello.name} {_calls_or_answers(o, hello, node)}"


def wrong_cell(o: Occasion) -> str:
    """A process of another cell calls everybody, or answers at a replica's address."""
    node = o.target()
    hello = Hello(o.world.cell_id ^ 2, node.id, name_of(node.id), INCARNATION, 0, 0)
    return f"its {hello.name} {_calls_or_answers(o, hello, node)}"


def same_identity(o: Occasion) -> str | None:
    """A second process with the identity of a running replica calls, from an older copy of its directory."""
    node = o.target()
    if node.core is None:
        return None
    boots = o.random.randint(1, node.starts)
    hello = Hello(o.world.cell_id, node.id, name_of(node.id), INCARNATION, 0, 0)
    return f"of {node.id} after {boots} starts {_calls(o, hello, boots)}"


KINDS: tuple[Fault, ...] = (wrong_name, wrong_cell, same_identity)
