"""Does what a whole group of the log says make sense? Its checksums are right, so this replica wrote it; if it can't be
replayed, something happened that never should. Asked before any of it is replayed, so that no half of it counts.
"""

from collections.abc import Callable, Iterable

from .limits import INSTANCE_MAX, SLOTS
from .log_frame import ACCEPT, LEARN, PROMISED, Frame


def group_is_sound(
    applied: int, holds: Callable[[int], bool], frames: Iterable[Frame], mark: int, is_sound: Callable[[bytes], bool]
) -> bool:
    """Are its frames records, whose values can be applied, and is everything here that they say is chosen?

    `applied` is how far the log before it is, `holds` tells whether an instance behind that is in it.
    """
    chosen, added = applied, set()

    def reaches(mark: int) -> bool:
        nonlocal chosen
        while chosen < mark:
            if not (chosen + 1 in added or holds(chosen + 1)):
                return False
            chosen += 1
        return True

    for frame in frames:
        if frame.type in (ACCEPT, LEARN):
            if not 0 < frame.instance <= INSTANCE_MAX:
                return False
            if not reaches(known_before(frame)) or frame.instance <= chosen or not is_sound(frame.payload):
                return False
            added.add(frame.instance)
            if frame.type == LEARN:
                chosen = frame.instance
        elif frame.type != PROMISED:
            return False
    return reaches(mark)


def known_before(frame: Frame) -> int:
    """An entry was only taken within SLOTS of the chosen mark, a learned one only next to it."""
    return max(0, frame.instance - (1 if frame.type == LEARN else SLOTS))
