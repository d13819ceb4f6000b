"""The reference core: a table of contents of `reference/`, with the names that `_core` has."""

from .reference.probe import Probe
from .reference.replica import Replica

__all__ = ["Probe", "Replica"]
