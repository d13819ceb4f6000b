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


class SpreadFailed(Exception):
    """The runs can't be made there; the text is one line for the user."""


def spread(cases: Iterable[Case], jobs: int = 1, dask: str | None = None) -> Iterator[Outcome]:
    """The outcome of each case, of which there may be no end. `dask` is the address of a scheduler."""
    if dask is not None:
        with _cluster(dask) as (executor, workers):
            yield from _in_order(executor, cases, AHEAD * workers)
    elif jobs == 1:
        yield from map(run_case, cases)
    else:
        context = get_context("spawn")
        try:
            with ProcessPoolExecutor(jobs, mp_context=context, initializer=ignore_interrupts) as pool:
                yield from _in_order(pool, cases, AHEAD * jobs)
        except BrokenExecutor:
            raise SpreadFailed("a worker process died") from None


def ignore_interrupts() -> None:
    """For worker processes: Ctrl-C is their parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_order(executor: Executor, cases: Iterable[Case], ahead: int) -> Iterator[Outcome]:
    cases = iter(cases)
    futures: deque[Future[Outcome]] = deque()
    try:
        futures.extend(executor.submit(run_case, case) for case in islice(cases, ahead))
        while futures:
            outcome = futures[0].result()
            futures.popleft()
            futures.extend(executor.submit(run_case, case) for case in islice(cases, 1))
            yield outcome
    finally:
        for future in futures:
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
