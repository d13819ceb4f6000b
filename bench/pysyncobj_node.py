"""A process with one PySyncObj replica, for pysyncobj_peer.py: `python -m bench.pysyncobj_node OWN OTHERS JOURNAL`.

PySyncObj is a library: clients are callers in the replica's own process, so the load is made here. Each line on
standard input is a request in JSON, each line on standard output its answer.
"""

import json
import random
import sys
import threading
import time
from typing import Any

import numpy as np
from pysyncobj import SyncObj, SyncObjConf, replicated

from .load import KEYS

PATIENCE_S = 30.0


class Store(SyncObj):
    """A replicated dictionary."""

    def __init__(self, own: str, others: list[str], journal: str) -> None:
        super().__init__(own, others, SyncObjConf(journalFile=journal))
        self._values: dict[int, bytes] = {}

    @replicated
    def put(self, key: int, value: bytes) -> None:
        self._values[key] = value


def load(store: Store, callers: int, value_bytes: int, seconds: float) -> dict[str, Any]:
    """So many callers, each of which puts, waits until that is committed, and puts again."""
    value = b"x" * value_bytes
    latencies: list[float] = []
    failures: list[int] = []
    done = threading.Semaphore(0)
    started = time.perf_counter()

    def put() -> None:
        since = time.perf_counter()

        def answered(_result: object, failure: int) -> None:
            now = time.perf_counter()
            if failure:
                failures.append(failure)
            else:
                latencies.append(now - since)
            if now < started + seconds and not failure:
                put()
            else:
                done.release()

        store.put(random.randrange(KEYS), value, callback=answered)

    for _ in range(callers):
        put()
    for _ in range(callers):
        if not done.acquire(timeout=seconds + PATIENCE_S):
            return {"error": "not all puts were answered"}
    elapsed = time.perf_counter() - started
    if failures or not latencies:
        return {"error": f"{len(failures)} puts failed, the first with {failures[:1]}"}
    p50, p99 = np.percentile(latencies, (50, 99)) * 1000
    return {"rps": len(latencies) / elapsed, "p50_ms": p50, "p99_ms": p99}


def main(own: str, others: str, journal: str) -> None:
    store = Store(own, others.split(","), journal)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = load(store, **asked) if asked else {"leader": store.isReady() and store._isLeader()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
