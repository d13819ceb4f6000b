"""What is shown to an operator stays on one line, whatever names and values it quotes."""


def one_line(text: str) -> str:
    """The text with what can't be printed (line ends, control characters of terminals) escaped as Python does."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
