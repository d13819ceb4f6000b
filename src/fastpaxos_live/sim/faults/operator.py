"""What operators get wrong, and what strangers try: processes that don't belong to the cell, or are not who they say.

No replica may accept their calls and answers, or say a word of the cell to who does not know its secret; the network
raises a violation otherwise.
"""

from typing import TYPE_CHECKING

from ...log.handshake import CHANNELS, COUNTER_SHIFT, Hello
from .occasion import Fault, Occasion

if TYPE_CHECKING:
    from ..node import Node

CALLS = 3  # that a stranger makes at each address and channel
BOOTS_MAX = 1000  # of a stranger's directory: newer than what the cell has seen, or older


def _calls(o: Occasion, hello: Hello, boots: int, key: bytes | None = None) -> str:
    # Everybody, several times, each time with a higher number, as a process does that was started so often.
    number = boots << COUNTER_SHIFT
    for _ in range(CALLS):
        for node in o.nodes():
            for channel in range(CHANNELS):
                number += 1
                call = hello._replace(channel=channel, counter=number, called=node.id)
                o.world.after(o.leases(0.0, 1.0), o.world.network.call_as_stranger, node.id, call, key)
    return "calls everybody"


def _answers(o: Occasion, hello: Hello, node: "Node", key: bytes | None) -> str:
    # What is connected to the replica stays so.
    strangers = o.world.network.strangers
    strangers[node.id] = hello, key
    time = o.leases(0.5, 4)
    o.world.after(time, strangers.pop, node.id, None)
    return f"answers at the address of {node.id} for {time} us"


def _calls_or_answers(o: Occasion, hello: Hello, node: "Node", key: bytes | None = None) -> str:
    if o.random.random() < 0.5:
        return _answers(o, hello, node, key)
    return _calls(o, hello, o.random.randint(1, BOOTS_MAX), key)


def _hello(o: Occasion, node: "Node") -> Hello:
    return o.world.network.handshakes.hello_of(node.id)


def wrong_name(o: Occasion) -> str:
    """A process with a misspelled replica name calls everybody, or answers at a replica's address."""
    node = o.target()
    hello = _hello(o, node)
    hello = hello._replace(name=hello.name + "x")
    return f"{hello.name} {_calls_or_answers(o, hello, node)}"


def wrong_cell(o: Occasion) -> str:
    """A process of another cell calls everybody, or answers at a replica's address."""
    node = o.target()
    hello = _hello(o, node)._replace(cell_id=o.world.cell_id ^ 2)
    return f"its {hello.name} {_calls_or_answers(o, hello, node)}"


def wrong_settings(o: Occasion) -> str:
    """A process of the cell with another fsync policy, or list of members, calls everybody, or answers."""
    node = o.target()
    hello = _hello(o, node)
    name = o.random.choice(sorted(hello.settings))
    hello = hello._replace(settings={**hello.settings, name: hello.settings[name] + "0"})
    return f"{hello.name} with {name} {hello.settings[name]} {_calls_or_answers(o, hello, node)}"


def same_identity(o: Occasion) -> str | None:
    """A second process with the identity of a running replica calls, from an older copy of its directory."""
    node = o.target()
    if node.core is None:
        return None
    boots = o.random.randint(1, node.starts)
    return f"of {node.id} after {boots} starts {_calls(o, _hello(o, node), boots)}"


def stranger(o: Occasion) -> str:
    """Somebody who knows all of the cell but its secret calls everybody, or answers at a replica's address."""
    node = o.target()
    key = o.world.network.handshakes.wrong_key(o.random)
    return f"as {node.id} {_calls_or_answers(o, _hello(o, node), node, key)}"


def replay(o: Occasion) -> str | None:
    """Somebody who recorded the last handshake of each connection says the same again, to both sides."""
    heard = sorted(o.world.network.handshakes.heard)
    for low, high, channel in heard:
        o.world.after(o.leases(0.0, 1.0), o.world.network.replay, low, high, channel)
    return f"of {len(heard)} handshakes" if heard else None


KINDS: tuple[Fault, ...] = (wrong_name, wrong_cell, wrong_settings, same_identity, stranger, replay)
