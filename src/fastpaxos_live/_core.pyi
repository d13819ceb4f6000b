"""The compiled core: the same names as `_reference`."""

from . import _api
from .reference import probe

class Replica(_api.Replica):
    """A replica, compiled; see `_api.Replica`."""

    def __init__(self, config: _api.Config) -> None: ...

class Probe(probe.Probe):
    """Single functions of the core, for the tests that compare it with the reference."""

ACCEPTOR_ROW_NAMES: tuple[str, ...]
COORDINATOR_ROW_NAMES: tuple[str, ...]
