"""The lower layers of the compiled core: the same class as in `reference.probe`."""

from .reference import probe

Probe: type[probe.Probe]
