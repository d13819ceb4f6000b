"""The protocol's machines, made from the specifications in spec/ when the project is built."""

from ..generated.machines import *  # noqa: F403
