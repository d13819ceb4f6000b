"""The compiled core: the same names as `_reference`."""

from . import _api
from .reference import probe

Replica: type[_api.Replica]
Probe: type[probe.Probe]
ROW_NAMES: tuple[str, ...]
MESSAGE_NAMES: tuple[str, ...]
SNAPSHOT_NAMES: tuple[str, ...]
