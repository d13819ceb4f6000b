"""Options with a few fixed values."""

from enum import StrEnum


class Core(StrEnum):
    """Which implementation of the hot path runs."""

    CYTHON = "cython"
    PYTHON = "python"
