"""One function over many independent items, on the workers of an embedded cluster, with progress shown."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from caml_dask.executors.deployment.clusters import local_cluster
from caml_dask.executors.deployment.interrupts import Ended

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = logging.getLogger("caml_dask")
_SECONDS_BETWEEN_LINES = 10.0


def each(function: Callable[[Item], Result], items: Sequence[Item], workers: int, what: str) -> Iterator[Result]:
    """Results of `function` for every item, as they are done, in no particular order.

    Parameters
    ----------
    function, items : pickled to the workers; keep both small.
    workers : worker processes; 0 calls the function in this process.
    what : what an item is, for the progress shown.

    Raises
    ------
    What the function raised first; items under way are given up.
    """
    if not items:
        return
    if workers == 0:
        yield from _shown((function(item) for item in items), len(items), what)
        return
    with local_cluster(min(workers, len(items))) as client:
        ended = Ended()
        futures = client.map(_quietly, items, function=function, pure=False)
        for future in futures:
            ended.add(future)
        for result in _shown((ended.next().result() for _ in futures), len(items), what):
            if isinstance(result, Exception):
                raise result
            yield result


def _quietly(item: Item, function: Callable[[Item], Result]) -> Result | Exception:
    """What a worker does; a failure is returned, for Dask would print it on the user's terminal."""
    try:
        return function(item)
    except Exception as error:
        return error


def _shown(results: Iterator[Result], total: int, what: str) -> Iterator[Result]:
    """The results, with a bar on a terminal and a line every ten seconds elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(results, desc=what, total=total)
        return
    said = time.monotonic()
    for count, result in enumerate(results, 1):
        if count == total or time.monotonic() - said > _SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            _log.info("%s: %d of %d", what, count, total)
        yield result
