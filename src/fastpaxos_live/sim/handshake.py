"""The production handshake, as the replicas of a cell have it: each life has its Greeter and numbers its calls."""

from ..log.handshake import COUNTER_SHIFT, Greeter, Hello, Refused, decode_hello, encode_hello, hello_length
from ..reference.log_frame import HEADER_BYTES

INCARNATION = 1  # of every replica: no disk is ever rebuilt yet


def name_of(replica: int) -> str:
    """What the configuration calls it."""
    return f"r{replica}"


class Handshakes:
    """Of one cell: who may speak to whom."""

    def __init__(self, cell_id: int, replicas: int) -> None:
        self.cell_id = cell_id
        self.names = [name_of(replica) for replica in range(1, replicas + 1)]
        self.greeters: dict[int, Greeter] = {}  # by replica, of its newest life
        self.counters: dict[int, int] = {}

    def begin(self, replica: int, boots: int) -> None:
        """That life of `replica` begins: it remembers nothing, and its calls are newer than those before."""
        self.greeters[replica] = Greeter(self.cell_id, self.names, replica, INCARNATION)
        self.counters[replica] = boots << COUNTER_SHIFT

    def call(self, low: int, channel: int) -> Hello:
        """What `low` says when it calls."""
        self.counters[low] += 1
        return self.greeters[low].own_hello(channel, self.counters[low])

    def take_call(self, replica: int, data: bytes) -> tuple[Hello, bytes]:
        """`replica` was called with this frame: the call, and the answer to it. Raises Refused."""
        hello = decode_hello(data)
        self.greeters[replica].accept(hello)
        return hello, encode_hello(self.greeters[replica].own_hello(hello.channel, hello.counter))

    def take_answer(self, call: Hello, dialled: int, data: bytes) -> None:
        """Whoever `call` reached at the address of `dialled` answered with this frame. Raises Refused."""
        answer = decode_hello(data)
        self.greeters[call.replica].accept(answer, dialled)
        if (answer.channel, answer.counter) != (call.channel, call.counter):
            raise Refused("it answers another call")


def is_whole(data: bytes | bytearray) -> bool:
    """Is the HELLO that began complete? Raises Refused when it is none."""
    return len(data) >= HEADER_BYTES and len(data) >= hello_length(data)
