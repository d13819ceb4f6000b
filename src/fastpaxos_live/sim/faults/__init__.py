"""What goes wrong in a world: one module for each thing that fails. `KINDS` has them all."""

from .aimed import KINDS as AIMED
from .network import KINDS as NETWORK
from .occasion import Fault
from .operator import KINDS as OPERATOR
from .process import KINDS as PROCESS

KINDS: dict[str, Fault] = {fault.__name__: fault for fault in PROCESS + NETWORK + OPERATOR + AIMED}
