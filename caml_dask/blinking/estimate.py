"""How often, how soon and how far apart a molecule is detected again, from pairs of detections alone.

Pairs far apart in time are pairs of different molecules. What there is more of at short lags, at distances as
localization errors make them, are pairs of one molecule (Bohrer et al., Nature Methods 18, 669, 2021, correct pair
distances on the same ground). At each lag the pairs of different molecules are told from those of one by their
distances: they have those of pairs far apart in time. So it does not matter that molecules of one place may be active
at one time. Pairs of one molecule by lag are m(t), detections that follow one after t frames, per detection. If
a molecule returns with probability q after each detection, after dark times of density f(t), then m = qf + qf * m. With
m a sum of exponentials, qf is one too, and its rates and weights are roots and residues of a rational function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy

from caml_dask.blinking.law import Law, activity
from caml_dask.blinking.pairs import LAGS, independent_pairs, rings

_SPREADS = 2.0 ** np.arange(-7.5, -2.3, 0.05)  # as parts of the longest distance counted
_FIRST_AXIAL = 80  # of these, where the search begins: 1/11
_RATES_A_FACTOR = 0.75  # rates of exponentials are 2 ** -0.75 apart
_LIFETIMES = (64.0, 16.0, 4.0)
"""Lifetimes of the slowest exponential that pass while images are taken: slower ones look like the background."""
_BETTER = 16.0
"""How much better a fit with slower exponentials has to be, as a sum of squares in standard errors."""
_ROUNDS = 4  # in which pairs far apart in time are cleared of those of one molecule
_LEFT = 0.05  # of the pairs of the image, at least, that are of different molecules
_FEWEST = 0.3  # pairs expected in a bin that holds none
_SURE = 3.0  # standard errors
_RETURN = 36.0
"""How much better a fit with returns has to be than one without, in the same unit: of molecules that are detected once,
in clusters, fits find up to 23 by chance, as pairs in clusters scatter more than by their number alone."""


@dataclass(frozen=True)
class Counted:
    """What re-blinking is estimated from.

    Attributes
    ----------
    pairs : (cells, lags) int64
        Pairs, see :func:`caml_dask.blinking.pairs.count_pairs`.
    longest : tuple of float
        Longest distance counted, in multiples of a pair's scale: in the plane, and in 3D along z.
    centers : int
        Detections whose pairs were counted.
    frames, detections : (t,) int64
        Distinct frames, ascending, and the detections in each.
    per_volume : float
        Detections per nm2 of the image's bounds, or per nm3.
    """

    pairs: np.ndarray
    longest: tuple[float, ...]
    centers: int
    frames: np.ndarray
    detections: np.ndarray
    per_volume: float


@dataclass(frozen=True)
class _Bins:
    """Bins of lags.

    first, last : first frame of each that is used, and the one behind its last
    used : which of all are
    far : which are pairs of different molecules, but for few
    shares : pairs of all detections of the image in each
    """

    first: np.ndarray
    last: np.ndarray
    used: np.ndarray
    far: np.ndarray
    shares: np.ndarray

    def independent(self, of_one: np.ndarray) -> np.ndarray:
        """Shares of pairs of different molecules, where some of one molecule are known: (lags,) of all pairs."""
        shares = np.maximum(self.shares - of_one, _LEFT * self.shares)
        cleared: np.ndarray = shares / shares.sum()
        return cleared

    def seen(self, independent: np.ndarray) -> np.ndarray:
        """Detections that have later ones at a lag: those near the end of the acquisition have none; (used,)."""
        dense = independent[self.used] / np.maximum(self.last - self.first, 1.0)
        return np.minimum(dense / max(float(dense[:6].mean()), 1e-300), 1.0)


@dataclass(frozen=True)
class _Fit:
    """A sum of exponentials fitted to the pairs of one molecule, how badly it fits, and how badly none would."""

    spreads: tuple[float, ...]
    rates: np.ndarray
    amounts: np.ndarray
    found: np.ndarray
    error: np.ndarray
    misfit: float
    misfit_of_none: float


def estimate(counted: Counted) -> Law:
    """Estimate re-blinking from counted pairs.

    Where molecules lie densely, long dark times are hard to tell from other molecules: slow exponentials are taken only
    if pairs cannot be explained without them.

    Parameters
    ----------
    counted : Counted
        Pairs, and the detections of each frame.

    Returns
    -------
    Law
        What was found; without rates where pairs of one molecule were not found for sure.
    """
    bins, n_frames = _bins(counted), int(counted.frames[-1] - counted.frames[0]) + 1
    since, active = activity(counted.frames, counted.detections)

    def law(fit: _Fit | None, rates: np.ndarray, weights: np.ndarray, signal: float) -> Law:
        spread, spread_z = (*fit.spreads, 0.0)[:2] if fit else (0.0, 0.0)
        same = fit.found[0] / (2.0 * counted.centers) if fit and fit.found[0] > _SURE * fit.error[0] else 0.0
        return Law(
            spread=spread,
            spread_z=spread_z,
            rates=rates,
            weights=weights,
            same_frame=float(same),
            returns=float((weights / rates).sum()),
            frames=n_frames,
            per_volume=counted.per_volume,
            since=since,
            active=active,
            signal=signal,
        )

    nothing = partial(law, None, np.zeros(0), np.zeros(0))
    if not bins.used.any() or not counted.centers or not bins.shares[bins.far].sum() > 0:
        return nothing(0.0)
    fits = [_fit(counted, bins, n_frames, lifetimes) for lifetimes in _LIFETIMES]
    fit = next(each for each in fits if each.misfit <= fits[-1].misfit + _BETTER)
    explained = max(0.0, fit.misfit_of_none - fit.misfit)
    signal = math.sqrt(explained)
    if explained < _RETURN:
        return nothing(signal)
    return law(fit, *_renewal(fit.rates, fit.amounts), signal)


def _bins(counted: Counted) -> _Bins:
    shares = independent_pairs(counted.frames, counted.detections)
    frames = int(counted.frames[-1] - counted.frames[0]) + 1
    used = (LAGS >= 1) & (frames > LAGS) & (shares > 0)
    first = LAGS[used].astype(np.float64)
    last = np.minimum(np.append(LAGS[1:], frames + 1)[used], frames).astype(np.float64)
    return _Bins(first, last, used, 1.0 - np.cumsum(shares) < 0.5, shares)


def _fit(counted: Counted, bins: _Bins, n_frames: int, lifetimes: float) -> _Fit:
    """Fit exponentials, the slowest of which passes through some lifetimes, to the excess of pairs."""
    pairs, used, n_lags = counted.pairs.astype(np.float64), bins.used, len(LAGS)
    rates = 2.0 ** -np.arange(0.0, max(np.log2(n_frames / lifetimes), 0.1), _RATES_A_FACTOR)
    lags = np.exp(-rates * (bins.first[:, None] - 0.5)) - np.exp(-rates * (bins.last[:, None] - 0.5))
    lags *= 2.0 * counted.centers / rates  # a pair is counted from both of its ends
    of_one, background, blocks = np.zeros(n_lags), bins.shares, np.ones(n_lags)
    a_share = 1.0 / (counted.centers * max(float(counted.detections.sum()) - 1.0, 1.0))
    which = [0, _FIRST_AXIAL][: len(counted.longest)]
    profile = np.zeros(len(pairs))
    for round_ in range(_ROUNDS):
        independent = bins.independent(of_one * a_share)
        terms = lags * bins.seen(independent)[:, None]
        others = np.maximum((pairs[:, bins.far] - np.outer(profile, of_one[bins.far])).sum(axis=1), 0.0)
        others /= independent[bins.far].sum()
        expected = np.outer(others, background)
        variance = np.maximum(np.outer(profile, of_one) + expected, _FEWEST) if round_ else np.maximum(pairs, 1.0)
        variance += (blocks - 1.0) * expected
        variance += blocks[-1] * expected**2 / np.maximum(pairs[:, bins.far].sum(axis=1), 1.0)[:, None]
        for axis, profiles in _candidates(which, len(counted.longest)):
            found, size, _ = _told_apart(pairs, profiles, others, variance)
            which[axis] = int(np.argmax((np.maximum(found, 0.0) ** 2 * size)[:, used].sum(axis=1)))
        (profile,) = profiles[[which[-1]]]
        found, size, behind = (each[0] for each in _told_apart(pairs, profile[None], others, variance))
        error = 1.0 / np.sqrt(size)
        amounts = _not_negative(terms / error[used, None], found[used] / error[used])
        of_one = np.zeros(n_lags)
        of_one[used] = terms @ amounts
        background = np.where(np.isfinite(behind), np.maximum(behind, 0.0), independent)
        # pairs of two molecules come in blocks: detections of one at a lag, times those of the other
        width = np.ones(n_lags)
        width[used] = bins.last - bins.first
        blocks = (1.0 + 2.0 * (amounts / rates * (1.0 - np.exp(-rates * width[:, None]))).sum(axis=1)) ** 2
    misfit, misfit_of_none = (
        float((((explained - found[used]) / error[used]) ** 2).sum()) for explained in (terms @ amounts, 0.0)
    )
    spreads = tuple(float(_SPREADS[k] * longest) for k, longest in zip(which, counted.longest, strict=True))
    return _Fit(spreads, rates, amounts, found, error, misfit, misfit_of_none)


def _candidates(which: list[int], groups: int) -> Iterator[tuple[int, np.ndarray]]:
    """Distances of pairs of one molecule for each spread in the plane, then along z, with the other as it is."""
    edges = rings(groups)
    lateral = np.diff(1.0 - np.exp(-((edges / _SPREADS[:, None]) ** 2) / 4.0), axis=1)
    if groups == 1:
        yield 0, lateral
        return
    axial = np.diff(scipy.special.erf(edges / (2.0 * _SPREADS[:, None])), axis=1)
    yield 0, (lateral[:, :, None] * axial[which[1]]).reshape(len(_SPREADS), -1)
    yield 1, (lateral[which[0], :, None] * axial[:, None]).reshape(len(_SPREADS), -1)


def _told_apart(
    pairs: np.ndarray, profiles: np.ndarray, others: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one molecule at each lag, for each profile of their distances, by least squares.

    pairs, variance : (cells, lags)
    profiles : (p, cells), distances of pairs of one molecule
    others : (cells,) distances of pairs of two

    Returns (p, lags) each: pairs of one molecule, their inverse variance, and the amount of others; that is not finite
    where there are none.
    """
    weights = 1.0 / variance
    both, crossed = profiles**2 @ weights, (profiles * others) @ weights
    of_others = others**2 @ weights
    along, beside = profiles @ (pairs * weights), others @ (pairs * weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = both - np.where(of_others > 0, crossed**2 / of_others, 0.0)
        size = np.maximum(size, 1e-12 * both)
        found = (along - np.where(of_others > 0, beside * crossed / of_others, 0.0)) / size
        behind = (beside - crossed * found) / of_others
    return found, size, behind


def _not_negative(terms: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Least squares of amounts that are not negative."""
    from scipy.optimize import lsq_linear, nnls

    try:
        return np.asarray(nnls(terms, found, maxiter=100 * terms.shape[1])[0])
    except RuntimeError:  # it goes round in circles
        solved = lsq_linear(terms, found, bounds=(0.0, np.inf)).x
        return np.where(solved > 1e-9 * solved.max(initial=0.0), solved, 0.0)


def _renewal(rates: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates and weights of qf, where m is the sum of amounts times exp(-rates t)."""
    order = np.argsort(rates)
    order = order[amounts[order] > 0]
    rates, amounts = rates[order], amounts[order]
    poles = np.empty(len(rates))
    for k in range(len(rates)):
        low = rates[k]
        high = rates[k + 1] if k + 1 < len(rates) else rates[k] + amounts.sum()
        for _ in range(200):
            middle = 0.5 * (low + high)
            apart = rates - middle
            if not apart.all() or 1.0 + (amounts / apart).sum() <= 0:
                low = middle
            else:
                high = middle
        poles[k] = high
    return poles, 1.0 / (amounts / (rates - poles[:, None]) ** 2).sum(axis=1)
