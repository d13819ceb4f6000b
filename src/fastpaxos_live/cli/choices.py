"""Options with a few fixed values."""

from enum import StrEnum


class Core(StrEnum):
    """Which implementation of the hot path runs."""

    CYTHON = "cython"
    PYTHON = "python"


class LogLevel(StrEnum):
    """From which level on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


class Plan(StrEnum):
    """Which mix of load and faults is simulated: a different one for each seed, or one kind of trouble."""

    SWARM = "swarm"
    POLITE = "polite"
    RELAY = "relay"
    LOSSY = "lossy"
    RESTART = "restart"
    BOOST = "boost"
    DRIFT = "drift"
    AIMED = "aimed"
    DISK = "disk"
    DOOMED = "doomed"
    PIECES = "pieces"
    USURP = "usurp"
    HANG = "hang"
    LARGE = "large"
    MIXED = "mixed"
    CLOCKS = "clocks"
    CROWD = "crowd"
    EAGER = "eager"
    BULK = "bulk"
    CHOKE = "choke"
    MALFORMED = "malformed"
    BUSY = "busy"
    ROTTEN = "rotten"
