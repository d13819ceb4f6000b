"""How a command says that what was asked for failed."""


class CommandFailed(Exception):
    """Exit code 1; the text is one line for the user."""
