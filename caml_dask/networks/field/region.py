"""What the field network knows of a region: histograms of its localizations' distances to their neighbors.

Histograms add up exactly in any order, so that no tiling changes them. Lengths are relative to the region's unit: the
median distance to the 10th neighbor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.ranks import REGION_RANKS, REGION_STEPS, USED_RANKS

QUANTILES = np.array([0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
BINS = 256
PER_OCTAVE = 8
BIN_OFFSET = 64
UNIT_RANK = 3
"""Place in REGION_RANKS of the distance whose median is the unit of length."""
CURVE_BINS = -56, 40
"""Bins around that of the unit whose shares are inputs, two by two; what lies beyond counts in the first or last."""
STEP_BINS = 0, 64
"""The same of the steps, from no growth on."""
MOST_COUNTED = 8_192.0
FARTHEST = 6.0
"""Bound of a log distance."""
SERIES = len(REGION_RANKS) + len(REGION_STEPS)
QUANTILE_INPUTS = SERIES * len(QUANTILES) + 1
REGION_INPUTS = (
    QUANTILE_INPUTS
    + len(REGION_RANKS) * (CURVE_BINS[1] - CURVE_BINS[0]) // 2
    + len(REGION_STEPS) * (STEP_BINS[1] - STEP_BINS[0]) // 2
)
_REGION_AT, _STEPS_AT = np.searchsorted(USED_RANKS, REGION_RANKS), np.searchsorted(USED_RANKS, REGION_STEPS)


def region_histogram(distances_nm: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count localizations by their neighbor distances.

    Parameters
    ----------
    distances_nm : (n, U) float32
        Distances at USED_RANKS in nm; the last stands for those that are missing.

    Returns
    -------
    (SERIES, BINS) int64
        Counts by distance at each of REGION_RANKS, then by the growth from one rank to another, in eighths of an
        octave.
    """
    return region_histograms(distances_nm, np.zeros(len(distances_nm), np.int64), 1)[0]


def region_histograms(distances_nm: NDArray[np.float32], region: NDArray[np.int64], regions: int) -> NDArray[np.int64]:
    """As :func:`region_histogram`, of each region apart.

    Parameters
    ----------
    distances_nm : (n, U) float32
        Distances at USED_RANKS in nm.
    region : (n,) int64
        Region of each localization, from 0.
    regions : int
        How many there are.

    Returns
    -------
    (regions, SERIES, BINS) int64
        Counts.
    """
    counts = np.zeros((regions, SERIES, BINS), np.int64)
    _count(distances_nm, region, _REGION_AT, _STEPS_AT, counts)
    return counts


@njit()
def _count(distances, region, ranks, steps, counts):  # type: ignore[no-untyped-def]
    least = np.float32(2.0**-7.9)
    for i in range(distances.shape[0]):
        mine = counts[region[i]]
        for r in range(len(ranks)):
            b = int(np.floor(PER_OCTAVE * np.log2(max(distances[i, ranks[r]], least)))) + BIN_OFFSET
            mine[r, min(max(b, 0), BINS - 1)] += 1
        for s in range(len(steps)):
            growth = max(distances[i, steps[s, 1]], least) / max(distances[i, steps[s, 0]], least)
            b = int(np.floor(PER_OCTAVE * np.log2(growth)))
            mine[len(ranks) + s, min(max(b, 0), BINS - 1)] += 1


def region_inputs(histogram: NDArray[np.int64], n: int) -> tuple[NDArray[np.float32], float]:
    """Input of a region, and its unit of length.

    Parameters
    ----------
    histogram : (SERIES, BINS) int64
        Of :func:`region_histogram`, summed over the region.
    n : int
        Localizations of the region.

    Returns
    -------
    inputs : (REGION_INPUTS,) float32
        Log quantiles in the unit of length, log quantiles of the steps, log number of localizations: QUANTILE_INPUTS
        numbers; then square roots of the shares of localizations by distance, rank by rank, and by step.
    unit_nm : float
        Median distance to the 10th neighbor in nm.
    """
    below = np.concatenate([np.zeros((SERIES, 1)), np.cumsum(histogram, axis=1)], axis=1)
    places = np.array([np.interp(QUANTILES * row[-1], row, np.arange(BINS + 1)) for row in below])
    log = places * (np.log(2.0) / PER_OCTAVE)
    ranks = len(REGION_RANKS)
    middle = log[UNIT_RANK, len(QUANTILES) // 2]
    unit = float(np.exp(middle - BIN_OFFSET * np.log(2.0) / PER_OCTAVE))
    quantiles = np.concatenate(
        [(log[:ranks] - middle).ravel(), log[ranks:].ravel(), [np.log(min(n, MOST_COUNTED) / 1e3)]]
    )
    at = int(np.floor(places[UNIT_RANK, len(QUANTILES) // 2]))
    shares = [
        *(_shares(row, at, CURVE_BINS) for row in below[:ranks]),
        *(_shares(row, 0, STEP_BINS) for row in below[ranks:]),
    ]
    return np.concatenate([quantiles.clip(-FARTHEST, FARTHEST), *shares]).astype(np.float32), unit


def _shares(below: NDArray[np.float64], at: int, bins: tuple[int, int]) -> NDArray[np.float64]:
    """Square roots of the shares of pairs of bins around bin `at`, from the counts below each bin, (BINS + 1,)."""
    edges = np.clip(at + np.arange(bins[0], bins[1] + 1, 2), 0, BINS)
    edges[0], edges[-1] = 0, BINS
    return np.sqrt(np.diff(below[edges]) / below[-1])
