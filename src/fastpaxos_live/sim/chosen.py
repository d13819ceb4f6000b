"""What is chosen in a cell: the judgement of an observer who sees all disks at once (docs/protocol.md)."""

from .trace import number_text


class Violation(Exception):
    """Something that must not happen; the text is one line."""


class Chosen:
    """Counts the acceptances that are durable. A value is chosen when a majority has it at one number; from then on
    nobody may accept another one there at a higher number. Every method raises Violation.
    """

    def __init__(self, replicas: int) -> None:
        self.mark = 0  # all instances up to here are chosen
        self._majority = replicas // 2 + 1
        self._votes: dict[int, dict[int, tuple[int, int]]] = {}  # instance -> number -> value's checksum, who (bits)
        self._values: dict[int, tuple[int, int]] = {}  # chosen: instance -> number, value's checksum

    def accepted(self, replica: int, number: int, instance: int, checksum: int) -> None:
        """`replica` has it on its disk now that it accepted the value with this checksum."""
        chosen = self._values.get(instance)
        if chosen is not None:
            if number > chosen[0]:
                self._compare(instance, chosen[1], number, checksum)
            return
        votes = self._votes.setdefault(instance, {})
        known, who = votes.get(number, (checksum, 0))
        if known != checksum:
            raise Violation(f"number {number_text(number)} proposed two values at instance {instance}")
        who |= 1 << replica
        votes[number] = checksum, who
        if who.bit_count() >= self._majority:
            self._choose(number, instance, checksum)

    def _choose(self, number: int, instance: int, checksum: int) -> None:
        for other, (value, _) in self._votes.pop(instance).items():
            if other > number:
                self._compare(instance, checksum, other, value)
        self._values[instance] = number, checksum
        while self.mark + 1 in self._values:
            self.mark += 1

    @staticmethod
    def _compare(instance: int, chosen: int, number: int, checksum: int) -> None:
        if checksum != chosen:
            raise Violation(
                f"{checksum:016x} is accepted at number {number_text(number)}, but {chosen:016x} was chosen at "
                f"instance {instance} before"
            )

    def learned(self, replica: int, instance: int, checksum: int) -> None:
        """`replica` has it on its disk now that this value was chosen."""
        if self._values.get(instance, (0, None))[1] != checksum:
            raise Violation(f"replica {replica} learned {checksum:016x} at instance {instance}: that is not chosen")
