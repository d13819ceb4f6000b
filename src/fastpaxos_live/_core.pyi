"""The compiled core: the same names as `_reference`."""

from . import _api
from .reference import probe

Replica: type[_api.Replica]
Probe: type[probe.Probe]
ACCEPTOR_ROW_NAMES: tuple[str, ...]
COORDINATOR_ROW_NAMES: tuple[str, ...]
