"""The compiled core: the same names as `_reference`."""

from . import _api

Replica: type[_api.Replica]
ROW_NAMES: tuple[str, ...]
MESSAGE_NAMES: tuple[str, ...]
SNAPSHOT_NAMES: tuple[str, ...]
