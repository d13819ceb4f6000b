"""The protocol: the state machines of one replica, and their words. `smc` compiles them."""

from pathlib import Path

# In the order in which the machines take an event.
MACHINES = ("acceptor", "election", "coordinator", "boost", "reign")
SPECS = [Path(__file__).parent / f"{name}.py" for name in MACHINES]
