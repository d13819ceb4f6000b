"""Bytes of clients."""

import re
from collections.abc import Hashable
from random import Random

from tests.differential.resp_requests import KEYS, NAMES, OPTIONS, VALUES
from tests.fuzz.target import Target

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.testing import request

TIME_MS = 1_700_000_000_000
VALUE_BYTES_MAX = 3000
ERROR = re.compile(rb"^-[A-Z_]+[^\r\n]*\r\n", re.M)


class Resp(Target):
    """Both cores answer any bytes with the same bytes, keep the same number of them, and have the same data after."""

    name = "resp"
    tokens = (
        b"\r\n", b"*1\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"*-1\r\n", b'"', b"'", b"\\x41", b"\0", b" ", *NAMES, *OPTIONS,
    )  # fmt: skip

    def seeds(self) -> list[bytes]:
        random = Random(1)
        many = [
            b"".join(
                request(random.choice(NAMES), *random.choices((*KEYS, *OPTIONS, *VALUES), k=random.randrange(5)))
                for _ in range(random.randrange(1, 5))
            )
            for _ in range(40)
        ]
        good = request(b"SET", b"a", b"1") + request(b"INCR", b"a") + request(b"GET", b"a")
        return [good, b"SET a 1\r\nGET a\nMSET a 1 b \"x\\x41\\n\" 'y'\r\n", b"*0\r\n*-1\r\n\r\nPING\r\n", *many]

    def check(self, data: bytes) -> Hashable:
        resp, size = 2 + len(data) % 2, 1 + (data[len(data) // 2] if data else 0)
        probes = reference_probe.Probe(7, VALUE_BYTES_MAX, resp), _probe.Probe(7, VALUE_BYTES_MAX, resp)
        kinds: set[bytes] = set()
        cuts = [*range(0, min(len(data), 4 * size), size), *range(4 * size, len(data), 1 << 15), len(data)]
        for start, end in zip(cuts, cuts[1:], strict=False):
            reference, compiled = (probe.feed(data[start:end], TIME_MS + start) for probe in probes)
            assert reference == compiled
            assert probes[0].waiting() == probes[1].waiting()
            kinds |= {line[:24] for line in ERROR.findall(reference)} | {reference[:1], reference[-3:-2]}
        assert probes[0].state() == probes[1].state()
        return frozenset(kinds), probes[0].state()[0], bool(probes[0].waiting())
