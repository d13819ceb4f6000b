"""Runs in worker processes or on a Dask cluster; the outcomes come in the order of the cases."""

import logging
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context

from .case import Case, run_case
from .world import Outcome

AHEAD = 8  # cases that each worker is given in advance
CLUSTER_S = 10.0  # until a cluster must have answered


Asked = deque[tuple[Case, Future[Outcome]]]


class SpreadFailed(Exception):
    """The runs can't be made there; the text is one line for the user."""


def spread(cases: Iterable[Case], jobs: int = 1, dask: str | None = None) -> Iterator[Outcome]:
    """The outcome of each case, of which there may be no end. `dask` is the address of a scheduler."""
    if dask is not None:
        with _cluster(dask) as (executor, workers):
            yield from _in_order(executor, cases, AHEAD * workers, deque())
    elif jobs == 1:
        yield from map(run_case, cases)
    else:
        context = get_context("spawn")
        asked: Asked = deque()
        try:
            with ProcessPoolExecutor(jobs, mp_context=context, initializer=ignore_interrupts) as pool:
                yield from _in_order(pool, cases, AHEAD * jobs, asked)
        except BrokenExecutor:
            seeds = ", ".join(str(case.seed) for case, future in asked if future.cancelled() or future.exception())
            raise SpreadFailed(f"a worker process died in a run of one of the seeds {seeds}") from None


def ignore_interrupts() -> None:
    """For worker processes: Ctrl-C is their parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_order(executor: Executor, cases: Iterable[Case], ahead: int, asked: Asked) -> Iterator[Outcome]:
    # `asked` has what was asked for and not given yet, also when an error ends this.
    cases = iter(cases)
    try:
        asked.extend((case, executor.submit(run_case, case)) for case in islice(cases, ahead))
        while asked:
            outcome = asked[0][1].result()
            asked.popleft()
            asked.extend((case, executor.submit(run_case, case)) for case in islice(cases, 1))
            yield outcome
    finally:
        for _, future in asked:
            future.cancel()


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the cluster, and how many workers there are."""
    try:
        from distributed import Client
        from distributed.comm import connect
        from distributed.utils import LoopRunner
    except ImportError:
        raise SpreadFailed("--dask needs the package distributed: pip install 'fastpaxos-live[dask]'") from None

    async def knock() -> None:
        (await connect(address, timeout=CLUSTER_S)).abort()

    loop = LoopRunner()
    loop.start()
    try:
        loop.run_sync(knock, callback_timeout=CLUSTER_S)  # a client that can't start complains when it goes
    except Exception as error:  # who is no scheduler may answer anything
        raise SpreadFailed(f"no Dask scheduler at {address!r}: {str(error) or type(error).__name__}") from None
    finally:
        loop.stop()
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors are told in one line, below
    client = Client(address, timeout=CLUSTER_S, set_as_default=False)
    try:
        client.wait_for_workers(1, CLUSTER_S)
        yield client.get_executor(pure=False), sum(client.nthreads().values())
    except TimeoutError:
        raise SpreadFailed(f"the Dask cluster at {address!r} has no workers") from None
    except (BrokenExecutor, CancelledError, ImportError, OSError) as error:
        raise SpreadFailed(f"the Dask cluster at {address!r} failed: {error!r}") from None
    finally:
        client.close()
