"""How often, how soon and how far apart a molecule is detected again, from pairs of detections alone.

Pairs far apart in time are pairs of different molecules. What there is more of at short lags, at distances as
localization errors make them, are pairs of one molecule (Bohrer et al., Nature Methods 18, 669, 2021, correct pair
distances on the same ground). Their number by lag is m(t), detections that follow one after t frames, per detection. If
a molecule returns with probability q after each detection, after dark times of density f(t), then m = qf + qf * m. With
m a sum of exponentials, qf is one too, and its rates and weights are roots and residues of a rational function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.blinking.pairs import LAGS, RINGS

_SPREADS = 2.0 ** np.arange(-7.5, -2.3, 0.05)  # as parts of the longest distance counted
_RATES_A_FACTOR = 0.75  # rates of exponentials are 2 ** -0.75 apart
_BOLD, _CAUTIOUS = (4, 4.0), (1, 64.0)
"""Rounds in which pairs far apart in time are cleared of those of one molecule, and lifetimes of the slowest
exponential that pass while images are taken: slower ones look like the background."""
_LONGEST_TABLE = 1 << 20  # frames
_SURE = 3.0  # standard errors
NEVER = -700.0
"""Logarithm of what does not happen."""


@dataclass(frozen=True)
class Law:
    """What is estimated of an image.

    Attributes
    ----------
    spread : float
        Standard deviation of a detection along an axis, in multiples of its scale: of its precision, or of 1 nm.
    rates, weights : (k,) float64
        Chance a frame that a molecule returns t frames after a detection: the sum of weights times exp(-rates t).
    same_frame : float
        Chance that a molecule has another detection in the frame of one.
    returns : float
        Chance that a molecule is detected again, q.
    frames : int
        Frames from the first to the last.
    per_nm2 : float
        Detections per nm2 of the image's bounds.
    signal : float
        Pairs of one molecule that were found, in standard errors: how sure it is that there are any.
    """

    spread: float
    rates: np.ndarray
    weights: np.ndarray
    same_frame: float
    returns: float
    frames: int
    per_nm2: float
    signal: float

    @property
    def blinks(self) -> bool:
        """Whether molecules are detected again at all."""
        return len(self.rates) > 0

    def log_return(self) -> np.ndarray:
        """Logarithm of the chance a frame that a molecule returns after each lag.

        Returns
        -------
        (t,) float64
            From lag 0; longer lags are as the last.
        """
        lag = np.arange(1, min(self.frames, _LONGEST_TABLE) + 1, dtype=np.float64) - 0.5
        chance = np.zeros(len(lag))
        for rate, weight in zip(self.rates, self.weights, strict=True):
            chance += weight * np.exp(-rate * lag)
        chance = np.concatenate([[self.same_frame], chance, [0.0]])
        return np.where(chance > np.exp(NEVER), np.log(np.maximum(chance, np.exp(NEVER))), NEVER)


def estimates(
    counts: np.ndarray,
    independent: np.ndarray,
    *,
    longest: float,
    centers: int,
    frames: int,
    per_nm2: float,
) -> tuple[Law, Law]:
    """Estimate re-blinking from counted pairs in two ways: with long dark times, and without.

    Where molecules lie in dense clusters, pairs alone cannot tell a long dark time from another molecule; which law is
    likelier is for :func:`caml_dask.blinking.choose.choose` to say. Parameters are those of :func:`estimate`.

    Returns
    -------
    bold, cautious : Law
        What was found.
    """
    given = {"longest": longest, "centers": centers, "frames": frames, "per_nm2": per_nm2}
    bold, cautious = (
        estimate(counts, independent, **given, rounds=rounds, lifetimes=lifetimes)  # type: ignore[arg-type]
        for rounds, lifetimes in (_BOLD, _CAUTIOUS)
    )
    return bold, cautious


def estimate(
    counts: np.ndarray,
    independent: np.ndarray,
    *,
    longest: float,
    centers: int,
    frames: int,
    per_nm2: float,
    rounds: int = _BOLD[0],
    lifetimes: float = _BOLD[1],
) -> Law:
    """Estimate re-blinking from counted pairs.

    Parameters
    ----------
    counts : (rings, lags) int64
        Pairs, see :func:`caml_dask.blinking.pairs.count_pairs`.
    independent : (lags,) float64
        Share of independent pairs in each bin of lags.
    longest : float
        Longest distance counted, in multiples of a pair's scale.
    centers : int
        Detections whose pairs were counted.
    frames : int
        Frames from the first to the last.
    per_nm2 : float
        Detections per nm2 of the image's bounds.
    rounds : int
        Rounds in which pairs far apart in time are cleared of those of one molecule.
    lifetimes : float
        Lifetimes of the slowest exponential that pass while images are taken.

    Returns
    -------
    Law
        What was found; without rates where no pairs of one molecule were.
    """
    pairs = counts.astype(np.float64)
    far = 1.0 - np.cumsum(independent) < 0.5
    used = (LAGS >= 1) & (frames > LAGS) & (independent > 0)
    nothing = Law(0.0, np.zeros(0), np.zeros(0), 0.0, 0.0, frames, per_nm2, 0.0)
    if not used.any() or not centers or not independent[far].sum() > 0:
        return nothing
    first = LAGS[used].astype(np.float64)
    last = np.minimum(np.append(LAGS[1:], frames + 1)[used], frames)
    # detections near the end of the acquisition have no later ones: as many fewer as of independent pairs
    seen = independent[used] / np.maximum(last - first, 1.0)
    seen = np.minimum(seen / max(float(seen[:6].mean()), 1e-300), 1.0)
    rates = 2.0 ** -np.arange(0.0, max(np.log2(frames / lifetimes), 0.1), _RATES_A_FACTOR)
    terms = (np.exp(-rates * (first[:, None] - 0.5)) - np.exp(-rates * (last[:, None] - 0.5))) / rates
    terms *= seen[:, None] * 2.0 * centers  # a pair is counted from both of its ends
    profiles = np.diff(1.0 - np.exp(-((RINGS / _SPREADS[:, None]) ** 2) / 4.0), axis=1)
    of_one, which = np.zeros(len(LAGS)), 0
    for _ in range(rounds):
        others = np.maximum((pairs[:, far] - np.outer(profiles[which], of_one[far])).sum(axis=1), 0.0)
        others /= independent[far].sum()
        expected = np.outer(others, independent)
        variance = np.maximum(pairs, 1.0) + expected**2 / np.maximum(pairs[:, far].sum(axis=1), 1.0)[:, None]
        along = profiles @ ((pairs - expected) / variance)
        size = profiles**2 @ (1.0 / variance)
        which = int(np.argmax((np.maximum(along, 0.0) ** 2 / size)[:, used].sum(axis=1)))
        found, error = along[which] / size[which], 1.0 / np.sqrt(size[which])
        amounts = _not_negative(terms / error[used, None], found[used] / error[used])
        of_one = np.zeros(len(LAGS))
        of_one[used] = terms @ amounts
    if not amounts.any():
        return nothing
    poles, weights = _renewal(rates, amounts)
    same = found[0] / (2.0 * centers) if found[0] > _SURE * error[0] else 0.0
    signal = float(np.sqrt((np.maximum(found[used], 0.0) ** 2 / error[used] ** 2).sum()))
    returns = float((weights / poles).sum())
    return Law(float(_SPREADS[which] * longest), poles, weights, float(same), returns, frames, per_nm2, signal)


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
