"""What goes wrong in a world: one module for each thing that fails. `KINDS` has them all."""

from .aimed import KINDS as AIMED
from .disk import DAMAGE as DAMAGING
from .disk import KINDS as DISK
from .network import KINDS as NETWORK
from .occasion import Fault
from .operator import KINDS as OPERATOR
from .peer import KINDS as PEER
from .process import KINDS as PROCESS

KINDS: dict[str, Fault] = {fault.__name__: fault for fault in PROCESS + NETWORK + OPERATOR + AIMED + DISK + PEER}
DAMAGE = tuple(fault.__name__ for fault in DAMAGING)
