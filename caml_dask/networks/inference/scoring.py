"""What the scorers of all networks share: rows in groups, groups split over threads, bad rows refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.inference.features import as_distances, norm_self_row, refuse_unusable
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED, ROWS, layer

PARTS = 4  # for each thread, so that one that is held up does not hold up all
Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
BLOCK = 32  # neighbors that are moved to the lanes at a time, so that they stay in the cache


@njit()
def read_group(distances, start, rows, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (N, ROWS), with the input of the rows of `distances` from `start` on, the last one repeated.

    `rows`, (ROWS, N), is working memory.
    """
    n_neighbors = distances.shape[1]
    for r in range(ROWS):
        norm_self_row(distances[min(start + r, distances.shape[0] - 1)], rows[r])
    for first in range(0, n_neighbors, BLOCK):
        for r in range(ROWS):
            for i in range(first, min(first + BLOCK, n_neighbors)):
                out[i, r] = rows[r, i]


@njit()
def write_group(logits, start, scores):  # type: ignore[no-untyped-def]
    """Fill the rows of `scores`, (n, c), from `start` on from `logits`, (c or more, ROWS), which change.

    A sigmoid where c is 1, else a softmax; always of all lanes, for where a loop of exponentials runs several at a
    time its last ones, taken singly, could differ by a bit.
    """
    outputs = scores.shape[1]
    for r in range(ROWS):
        if outputs == 1:
            logits[0, r] = 1 / (1 + math.exp(-np.float64(logits[0, r])))
        else:
            highest = np.float64(logits[0, r])
            for c in range(1, outputs):
                highest = max(highest, np.float64(logits[c, r]))
            total = 0.0
            for c in range(outputs):
                total += math.exp(logits[c, r] - highest)
            for c in range(outputs):
                logits[c, r] = math.exp(logits[c, r] - highest) / total
    for r in range(min(ROWS, scores.shape[0] - start)):
        for c in range(outputs):
            scores[start + r, c] = logits[c, r]


@njit()
def finish_group(values, layers, start, scores):  # type: ignore[no-untyped-def]
    """Fill the rows of `scores` from `start` on from `values`, (m, ROWS), through dense layers.

    `layers` are pairs of packed kernel and bias; all but the last are rectified.
    """
    for i in range(len(layers)):
        kernel, bias = layers[i]
        out = np.empty((bias.size, ROWS), np.float32)
        layer(values, kernel, bias, RECTIFIED if i + 1 < len(layers) else LINEAR, out)
        values = out
    write_group(values, start, scores)


def score_rows(
    fill: Callable[..., None],
    arrays: tuple[Any, ...],
    outputs: int,
    distances: NDArray[np.float32],
    n_neighbors: int,
    threads: int,
) -> NDArray[np.float32]:
    """Scores of rows by a network's kernel, which lets go of the interpreter's lock.

    Parameters
    ----------
    fill : callable
        Called with distances, (m, N), scores to fill, (m, outputs), and `arrays`.
    arrays : tuple
        The network's weights as its kernel takes them.
    outputs : int
        Scores of a row.
    distances : (n, N) float32
        Ascending distances to the neighbors, in any unit.
    n_neighbors : int
        Neighbors in the window, N.
    threads : int
        Threads that share the rows; no bit depends on their number.

    Returns
    -------
    (n, outputs) float32

    Raises
    ------
    InputError
        Distances of another shape or type, or a row that is not finite, non-negative and ascending.
    """
    rows = as_distances(distances, n_neighbors)
    scores = np.empty((len(rows), outputs), np.float32)

    def fill_part(part: slice) -> None:
        refuse_unusable(rows, part)
        fill(rows[part], scores[part], *arrays)

    if threads == 1:
        fill_part(slice(0, len(rows)))
        return scores
    groups = -(-len(rows) // ROWS)
    cuts = [ROWS * (groups * i // (PARTS * threads)) for i in range(PARTS * threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill_part, (slice(*cut) for cut in pairwise([*cuts, len(rows)]))):
            pass
    return scores


class Score(Protocol):
    """What scores windows: the one signature of all networks, whatever computes the scores."""

    def __call__(self, weights: Weights, windows: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.float32]:
        """Scores, (n, c) float32, of `windows`, (n, N) ascending distances or (n, N, 2) relative positions, float32.

        c is 1 for two classes, p_clustered, and the number of classes otherwise.
        """


@dataclass(frozen=True)
class Scorer:
    """How the networks of one architecture score distances, without TensorFlow.

    Parameters
    ----------
    kernel : callable
        As `fill` of :func:`score_rows`.
    arrays : callable
        From the weights of the network and N to the arrays that the kernel takes.
    """

    kernel: Callable[..., None]
    arrays: Callable[[Weights, int], tuple[Any, ...]]

    def __call__(
        self, weights: Weights, windows: NDArray[np.float32], n_neighbors: int, threads: int = 1
    ) -> NDArray[np.float32]:
        """Scores from neighbor distances; each row's scores depend on that row alone, to the bit.

        Parameters
        ----------
        weights : mapping of str to ndarray
            The arrays of the network, by name (:mod:`caml_dask.networks.kinds`), for N neighbors.
        windows : (n, N) float32
            As `distances` of :func:`score_rows`.
        n_neighbors, threads : int
            As of :func:`score_rows`.

        Returns
        -------
        (n, c) float32
            c is 1 for two classes, p_clustered, and the number of classes otherwise.

        Raises
        ------
        InputError
            As :func:`score_rows`.
        """
        outputs = len(weights["output_bias"])
        return score_rows(self.kernel, self.arrays(weights, n_neighbors), outputs, windows, n_neighbors, threads)
