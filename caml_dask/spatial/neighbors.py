"""Exact k-nearest-neighbor distances, each with the certificate that it is exact (DESIGN laws 2 and 3).

Localizations are sorted into small blocks of equal count (the leaves of a balanced k-d tree). All queries of a block
share one block of candidates: everything inside the block's bounding box grown by a guessed radius. A query is
settled when at least k candidates lie within that radius of it, for all that do are in the box; the few others are
asked again, each with the k-th distance to the candidates it already has as the radius, which settles it.

Distances are float32(sqrt(float64 d2)) with d2 summed axis by axis, self excluded by identity: duplicates stay, at
distance 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from caml_dask.errors import TooFewLocalizations
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.candidates import collect, fill, guess_radius
from caml_dask.spatial.copies import copy_numbers

_ROW_BUFFER = 1 << 17  # distances held at a time while a batch is sorted: 1.5 MiB, so that they stay in the cache


@dataclass(frozen=True)
class Neighbors:
    """Nearest-neighbor distances of some localizations.

    Attributes
    ----------
    rows : (m,) int64
        Rows of the coordinates from which the index was built.
    distances_nm : (m, k) float32
        Distances in nm, ascending, self excluded.
    window_nm : (m,) float64
        Distance to the k-th neighbor in nm.
    nearest_nm : (m,) float64
        Distance to the first neighbor in nm.
    """

    rows: np.ndarray
    distances_nm: np.ndarray
    window_nm: np.ndarray
    nearest_nm: np.ndarray

    def some(self, which: np.ndarray, rows: np.ndarray) -> Neighbors:
        """Those of some localizations, under other row numbers.

        Parameters
        ----------
        which : (m,) bool
            Whose neighbors are wanted.
        rows : (w,) int64
            The row that stands for each of these.

        Returns
        -------
        Neighbors
            Neighbors of `rows`.
        """
        return Neighbors(rows, self.distances_nm[which], self.window_nm[which], self.nearest_nm[which])


def nearest(index: BlockIndex, k: int, rows: np.ndarray | None = None) -> Neighbors:
    """Distances of localizations to their k nearest neighbors in the index.

    Parameters
    ----------
    index : BlockIndex
        Localizations, the queries among them.
    k : int
        Neighbors a localization.
    rows : (m,) int64 or None
        Rows of the indexed coordinates to ask for; None asks for all, in row order.

    Returns
    -------
    Neighbors
        Distances, in the order of `rows`.

    Raises
    ------
    TooFewLocalizations
        The index holds fewer than k + 1 localizations.
    """
    wanted = np.arange(index.n) if rows is None else np.asarray(rows, dtype=np.int64)
    place = np.full(index.n, -1, dtype=np.int64)
    place[wanted] = np.arange(len(wanted))
    result = Neighbors(wanted, np.empty((len(wanted), k), np.float32), np.empty(len(wanted)), np.empty(len(wanted)))
    for part in nearest_in_batches(index, k, wanted):
        at = place[part.rows]
        result.distances_nm[at] = part.distances_nm
        result.window_nm[at] = part.window_nm
        result.nearest_nm[at] = part.nearest_nm
    return result


def nearest_in_batches(
    index: BlockIndex, k: int, rows: np.ndarray | None = None, batch: int = 1 << 14
) -> Iterator[Neighbors]:
    """As :func:`nearest`, in batches and in the index's order, so that memory stays bounded.

    Parameters
    ----------
    index : BlockIndex
        Localizations, the queries among them.
    k : int
        Neighbors a localization.
    rows : (m,) int64 or None
        Rows of the indexed coordinates to ask for; None asks for all.
    batch : int
        Rows of a batch, approximately.

    Yields
    ------
    Neighbors
        Distances of the rows of a batch.

    Raises
    ------
    TooFewLocalizations
        The index holds fewer than k + 1 localizations.
    """
    if index.n <= k:
        raise TooFewLocalizations(f"{k} neighbors need {k + 1} localizations; there are {index.n}")
    asked = np.ones(index.n, dtype=bool)
    if rows is not None:
        asked[:] = False
        asked[rows] = True
    positions = np.flatnonzero(asked[index.order])
    surplus = _surplus_copies(index, k)
    if surplus is None:
        yield from _in_batches(index, k, positions, batch)
        return
    kept = np.flatnonzero(~surplus)
    thinned = BlockIndex.of_sorted(index.points_nm[:, kept].T)
    for part in _in_batches(thinned, k, np.flatnonzero(np.isin(kept, positions)), batch):
        yield replace(part, rows=index.order[kept[part.rows]])
    others = positions[surplus[positions]]
    for some in np.split(others, np.arange(batch, len(others), batch)):
        m = len(some)
        yield Neighbors(index.order[some], np.zeros((m, k), np.float32), np.zeros(m), np.zeros(m))


def _surplus_copies(index: BlockIndex, k: int) -> np.ndarray | None:
    """Which positions, (n,) bool, have k + 1 at the same place before them; None where hardly any can have.

    Copies fill leaves of their own where they are many.
    """
    leaves = slice((1 << index.depth) - 1, None)
    if index.n <= k + 1 or not (index.lower_nm[leaves] == index.upper_nm[leaves]).all(axis=1).any():
        return None
    by_place = np.lexsort(index.points_nm[::-1])
    surplus = np.empty(index.n, bool)
    surplus[by_place] = copy_numbers(index.points_nm.T, by_place) > k
    return surplus


def _in_batches(index: BlockIndex, k: int, positions: np.ndarray, batch: int) -> Iterator[Neighbors]:
    """Neighbors of some positions, in batches."""
    leaves = 1 << index.depth
    first = (index.n * np.arange(leaves + 1)) >> index.depth
    starts = np.searchsorted(positions, first)
    guess = np.empty(leaves)
    guess_radius(index.points_nm, index.lower_nm, index.upper_nm, index.depth, k, guess)
    buffers = _Buffers()
    leaf = 0
    while leaf < leaves:
        stop = max(leaf + 1, int(np.searchsorted(starts, starts[leaf] + batch, side="right")) - 1)
        queries = positions[starts[leaf] : starts[stop]]
        if len(queries):
            yield _settle(index, k, queries, starts[leaf : stop + 1] - starts[leaf], guess[leaf:stop], buffers)
        leaf = stop


class _Settled(NamedTuple):
    """Results by slot, as far as they are known; those not certified hold a bound in `window_nm`."""

    distances_nm: np.ndarray
    window_nm: np.ndarray
    nearest_nm: np.ndarray
    certified: np.ndarray


class _Buffers:
    """Working memory: squared distances and distances of a batch, row by row, and the candidates of one group."""

    def __init__(self) -> None:
        self.resize(_ROW_BUFFER, _ROW_BUFFER // 16)

    def resize(self, distances: int, candidates: int) -> None:
        self.squared = np.empty(distances)
        self.distances = np.empty(distances, np.float32)
        self.found = np.empty(candidates, np.int64)


def _settle(
    index: BlockIndex, k: int, queries: np.ndarray, starts: np.ndarray, radius_nm: np.ndarray, buffers: _Buffers
) -> Neighbors:
    """Ask groups of queries, then those not yet certified one by one with a radius that settles them."""
    m = len(queries)
    into = _Settled(np.empty((m, k), np.float32), np.full(m, np.inf), np.empty(m), np.zeros(m, dtype=bool))
    # far from the origin a coordinate minus a small radius may round to the coordinate itself
    slack = 4 * np.spacing(np.abs(index.points_nm).max())
    slots = np.arange(m)
    while len(slots):
        _ask_groups(index, k, queries[slots], starts, radius_nm, slots, into, buffers)
        failed = ~into.certified[slots]
        grown = 2 * np.repeat(radius_nm, np.diff(starts))[failed] + np.finfo(float).tiny
        slots = slots[failed]
        bound = into.window_nm[slots]
        radius_nm = np.where(np.isfinite(bound), bound * (1 + 1e-9) + slack, grown)
        starts = np.arange(len(slots) + 1)
    return Neighbors(index.order[queries], into.distances_nm, into.window_nm, into.nearest_nm)


def _ask_groups(
    index: BlockIndex,
    k: int,
    queries: np.ndarray,
    starts: np.ndarray,
    radius_nm: np.ndarray,
    slots: np.ndarray,
    into: _Settled,
    buffers: _Buffers,
) -> None:
    """Distances of every group to its block of candidates, sorted by numpy; results go to each query's slot."""
    tree = (tuple(index.points_nm), index.lower_nm, index.upper_nm, index.depth)
    groups = len(starts) - 1
    widths = np.zeros(groups, np.int64)
    done = 0
    while done < groups:
        memory = (buffers.squared, buffers.distances, buffers.found)
        stop, needed = fill(*tree, queries, starts, radius_nm, k, done, slots, *memory, widths, into.window_nm)
        if stop == done:
            buffers.resize(max(needed, 2 * len(buffers.squared)), max(index.n, len(buffers.found)))
            continue
        sizes = np.diff(starts[done : stop + 1]) * widths[done:stop]
        ends = np.cumsum(sizes)
        for width, size, end in zip(widths[done:stop].tolist(), sizes.tolist(), ends.tolist(), strict=True):
            if size:
                buffers.distances[end - size : end].reshape(-1, width).sort(axis=1)
        collect(starts, slots, done, stop, k, buffers.squared, buffers.distances, widths, *into)
        done = stop
