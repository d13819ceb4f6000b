"""The disk of one replica: an image of the log, at most one write under way, and what a crash leaves of it."""

from random import Random

from .check import Violation

SECTOR = 512


class Disk:
    """The log from position 0; file names and segment headers are the business of the real one."""

    def __init__(self) -> None:
        self.image = bytearray()  # what a read would return
        self.durable = 0  # everything below this position was reported durable
        self.pending: tuple[int, bytes] | None = None  # position and bytes of the write under way

    def write(self, position: int, data: bytes) -> None:
        """A write begins."""
        if self.pending is not None or position != len(self.image) or len(data) % 64 or not data:
            raise Violation(
                f"write group of {len(data)} bytes at {position}: the log ends at {len(self.image)}, "
                f"{'a' if self.pending else 'no'} write is under way"
            )
        self.pending = position, data

    def complete(self) -> int:
        """The write under way is durable; returns its end."""
        assert self.pending is not None
        self.image += self.pending[1]
        self.pending = None
        self.durable = len(self.image)
        return self.durable

    def read(self, position: int, length: int) -> bytes:
        """What lies there; shorter at the end."""
        return bytes(self.image[position : position + length])

    def crash(self, random: Random) -> str:
        """The machine or the process dies: of the write under way some part is left. Names what was left."""
        if self.pending is None:
            return "idle"
        data = self.pending[1]
        self.pending = None
        left = random.choice(("nothing", "all", "bytes", "sectors", "holes"))
        if left == "all":
            self.image += data
        elif left == "bytes":
            cut = random.randrange(len(data))
            self.image += data[:cut] + bytes(len(data) - cut)
        elif left == "sectors":
            cut = random.randrange(0, len(data), SECTOR)
            self.image += data[:cut] + bytes(len(data) - cut)
        elif left == "holes":
            for at in range(0, len(data), SECTOR):
                piece = data[at : at + SECTOR]
                self.image += piece if random.random() < 0.5 else bytes(len(piece))
        return left

    def cut(self, position: int) -> None:
        """Recovery found the log's end there; what follows is zeroed."""
        if position < self.durable:
            raise Violation(f"recovery cut the log at {position}, but {self.durable} bytes were durable")
        del self.image[position:]
        self.durable = position
