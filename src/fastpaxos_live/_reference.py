"""The reference core: a table of contents of `reference/`, with the names that `_core` has."""

from .reference.replica import Replica

__all__ = ["Replica"]
