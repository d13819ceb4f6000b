"""How a command says that what was asked for failed."""

from importlib import import_module
from types import ModuleType


class CommandFailed(Exception):
    """Exit code 1; the text is one line for the user, and `more` what stands below it."""

    def __init__(self, text: str, more: str = "") -> None:
        super().__init__(text)
        self.more = more


def from_source_tree(name: str) -> ModuleType:
    """A module of the package that wheels are without: planted bugs. Raises CommandFailed where it is not."""
    try:
        return import_module(f"..{name}", __package__)
    except ModuleNotFoundError:
        raise CommandFailed("planted bugs are not installed: build in the source tree, with `make build`") from None
