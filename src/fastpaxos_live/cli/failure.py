"""How a command says that what was asked for failed."""


class CommandFailed(Exception):
    """Exit code 1; the text is one line for the user, and `more` what stands below it."""

    def __init__(self, text: str, more: str = "") -> None:
        super().__init__(text)
        self.more = more
