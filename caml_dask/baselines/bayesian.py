"""Bayesian cluster analysis: the most probable of many proposals, each a radius and a threshold of the local L(r).

Reference
---------
Rubin-Delanchy et al., Nature Methods 12 (2015), 1072. Its model: a localization is background with a given
probability, and then uniform in the field; the others fall into clusters by a Dirichlet process; a cluster has its
center anywhere in the field and Gaussian members, whose standard deviation has a prior. Proposals connect localizations
of L(r) >= threshold that are within 2 r; clusters hold at least two. Edges are corrected as published, by wrapping the
field for L(r).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.baselines.checks import FloatArray, IntArray, at_least, checked, hull_area_nm2, numbered, positive
from caml_dask.errors import UsageError
from caml_dask.spatial.graph import pairs_within


@dataclass(frozen=True)
class Bayesian:
    """Settings of the Bayesian analysis.

    Proposals, background and concentration are as published; the prior of cluster sizes is wide.

    Parameters
    ----------
    r_nm : tuple of 3 float
        Radii to try, in nm: first, last, step.
    threshold_nm : tuple of 3 float
        Thresholds of L(r) to try, in nm: first, last, step.
    background : float
        Prior probability that a localization belongs to no cluster, above 0 and below 1.
    concentration : float
        Concentration of the Dirichlet process; a larger value gives more clusters.
    sigma_nm : tuple of float
        Standard deviations of a cluster, in nm and ascending, at which `sigma_weight` gives their prior.
    sigma_weight : tuple of float
        Relative prior density at each of `sigma_nm`, linear in between and 0 outside.
    sigma_steps : int
        Number of standard deviations over which a cluster's likelihood is averaged.
    uncertainty_nm : float
        Localization uncertainty in nm, the same for all, which adds to a cluster's standard deviation.
    time_limit_s : float or None
        Time in seconds after which no proposal is begun; None takes all the time it needs.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    r_nm: tuple[float, float, float] = (10.0, 200.0, 5.0)
    threshold_nm: tuple[float, float, float] = (5.0, 500.0, 5.0)
    background: float = 0.5
    concentration: float = 20.0
    sigma_nm: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)
    sigma_weight: tuple[float, ...] = (0.1, 0.6, 0.7, 0.6, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02)
    sigma_steps: int = 100
    uncertainty_nm: float = 0.0
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        for name, (first, last, step) in (("r_nm", self.r_nm), ("threshold_nm", self.threshold_nm)):
            if not (0 < first <= last < math.inf and step > 0):
                raise UsageError(f"{name}={(first, last, step)}: give first, last and step, positive and in order")
        if not 0 < self.background < 1:
            raise UsageError(f"background={self.background}: give a probability above 0 and below 1")
        positive(concentration=self.concentration)
        at_least(2, sigma_steps=self.sigma_steps)
        at_least(0, uncertainty_nm=self.uncertainty_nm)
        if self.time_limit_s is not None:
            positive(time_limit_s=self.time_limit_s)
        sigma, weight = np.array(self.sigma_nm), np.array(self.sigma_weight)
        if len(sigma) < 2 or len(sigma) != len(weight) or sigma[0] <= 0 or (np.diff(sigma) <= 0).any():
            raise UsageError(f"sigma_nm={self.sigma_nm}: give two or more, ascending and positive, with a weight each")
        if (weight < 0).any() or weight.sum() == 0:
            raise UsageError(f"sigma_weight={self.sigma_weight}: give weights of 0 or more, not all 0")


@dataclass(frozen=True, eq=False)
class BayesianResult:
    """The best of the proposals that were scored.

    Attributes
    ----------
    labels : (n,) int64
        Clusters from 0, -1 for noise.
    r_nm, threshold_nm : float
        Radius and threshold of the proposal, in nm; NaN where no proposal was more probable than a field without
        clusters.
    log_posterior : float
        Score of the proposal; scores of one field can be compared.
    scored, proposals : int
        Number of proposals that were scored, and of all proposals.
    finished : bool
        Whether all were scored. If not, `time_limit_s` ran out, and `labels` is the best so far.
    """

    labels: IntArray
    r_nm: float
    threshold_nm: float
    log_posterior: float
    scored: int
    proposals: int
    finished: bool


def bayesian(xy_nm: npt.ArrayLike, settings: Bayesian) -> IntArray:
    """Label localizations by the most probable proposal.

    Where the time runs out, the labels are the best so far; `bayesian_search` says whether it did.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : Bayesian
        The model and the proposals.

    Returns
    -------
    (n,) int64
        Clusters from 0 in the order of their first localizations, -1 for noise.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates of at least 3 localizations, or all of them lie on a line.
    """
    return bayesian_search(xy_nm, settings).labels


def bayesian_search(xy_nm: npt.ArrayLike, settings: Bayesian) -> BayesianResult:
    """Score all proposals, radius by radius, until the time runs out.

    Parameters
    ----------
    xy_nm : (n, 2) array_like of float
        Coordinates in nm.
    settings : Bayesian
        The model and the proposals.

    Returns
    -------
    BayesianResult
        The best proposal, with its score.

    Raises
    ------
    InputError
        The input is not (n, 2) finite coordinates of at least 3 localizations, or all of them lie on a line.
    """
    xy = checked(xy_nm, "the Bayesian analysis", 3)
    hull_area_nm2(xy)
    ends = math.inf if settings.time_limit_s is None else time.monotonic() + settings.time_limit_s
    model = Posterior(xy, settings)
    radii, thresholds = _steps(settings.r_nm), _steps(settings.threshold_nm)
    nothing = np.full(len(xy), -1, dtype=np.int64)
    best = (model.score(nothing), math.nan, math.nan, nothing)
    scored = 0
    for r in _coarse_first(radii):
        proposals = _proposals(xy, r, thresholds, ends)
        for threshold, cluster in proposals:
            score = model.score(cluster)
            scored += 1
            if score > best[0]:
                best = (score, r, threshold, cluster)
            if time.monotonic() >= ends:
                break
        if time.monotonic() >= ends:
            break
    total = len(radii) * len(thresholds)
    return BayesianResult(
        numbered(best[3], 2), best[1], best[2], float(best[0]), scored, total, finished=scored == total
    )


class Posterior:
    """The logarithm of the posterior of labels, up to a constant.

    Parameters
    ----------
    xy : (n, 2) float64
        Localizations in nm, whose bounding box is the field.
    settings : Bayesian
        The model.
    """

    def __init__(self, xy: FloatArray, settings: Bayesian):
        self._settings = settings
        self._low, self._high = xy.min(axis=0), xy.max(axis=0)
        self._log_area = float(np.log(self._high - self._low).sum())
        # Sums of squares are of coordinates from the middle, so that they do not cancel.
        self._xy = xy - (self._low + self._high) / 2
        self._middle = (self._low + self._high) / 2
        self._sigma = np.linspace(settings.sigma_nm[0], settings.sigma_nm[-1], settings.sigma_steps)
        prior = np.interp(self._sigma, settings.sigma_nm, settings.sigma_weight)
        area = np.trapezoid(settings.sigma_weight, settings.sigma_nm)
        step = self._sigma[1] - self._sigma[0]
        with np.errstate(divide="ignore"):
            self._log_prior = np.log(prior * step / area)

    def score(self, cluster: IntArray) -> float:
        """Log posterior of cluster ids.

        Parameters
        ----------
        cluster : (n,) int64
            Ids from 0, -1 for background; clusters of one localization count as background.

        Returns
        -------
        float
            The score.
        """
        from scipy.special import gammaln

        s = self._settings
        rows = np.flatnonzero(cluster >= 0)
        _, index, size = np.unique(cluster[rows], return_inverse=True, return_counts=True)
        large = size >= 2
        rows, index = rows[large[index]], (np.cumsum(large) - 1)[index[large[index]]]
        size = size[large]
        background = len(cluster) - len(rows)
        total = background * (math.log(s.background) - self._log_area) + len(rows) * math.log1p(-s.background)
        if len(size) == 0:
            return total
        alpha = s.concentration
        partition = len(size) * math.log(alpha) + math.lgamma(alpha) - math.lgamma(alpha + len(rows))
        return float(total + partition + gammaln(size).sum() + self._log_clusters(rows, index, size).sum())

    def _log_clusters(self, rows: IntArray, index: IntArray, size: IntArray) -> FloatArray:
        """Log density of the members of each cluster, averaged over its center and standard deviation: (c,)."""
        from scipy.special import logsumexp, ndtr

        mean = np.column_stack([np.bincount(index, self._xy[rows, k]) for k in (0, 1)]) / size[:, None]
        apart = ((self._xy[rows] - mean[index]) ** 2).sum(axis=1)
        spread = np.bincount(index, apart)
        variance = self._sigma**2 + self._settings.uncertainty_nm**2
        n = size[:, None].astype(np.float64)
        density = -(n - 1) * np.log(2 * math.pi * variance) - spread[:, None] / (2 * variance)
        density += -np.log(n) - self._log_area
        root = np.sqrt(n / variance)
        with np.errstate(divide="ignore"):
            for k in (0, 1):
                at = mean[:, k, None] + self._middle[k]
                density += np.log(ndtr(root * (self._high[k] - at)) - ndtr(root * (self._low[k] - at)))
        return np.asarray(logsumexp(density + self._log_prior, axis=1))


def _proposals(xy: FloatArray, r: float, thresholds: FloatArray, ends: float) -> Iterator[tuple[float, IntArray]]:
    """Thresholds and the cluster ids (n,) they give at one radius, -1 for background; none once the time is over."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(xy)
    l_nm = wrapped_l_nm(xy, r)
    i, j, height = _forest(xy, l_nm, 2 * r, ends)
    for threshold in thresholds.tolist():
        if time.monotonic() >= ends:
            return
        held = height >= threshold
        edges = coo_array((np.ones(int(held.sum()), dtype=bool), (i[held], j[held])), shape=(n, n))
        component = connected_components(edges, directed=False)[1].astype(np.int64)
        yield threshold, np.where(l_nm >= threshold, component, -1)


def _forest(xy: FloatArray, l_nm: FloatArray, link_nm: float, ends: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Links nearer than link_nm that connect what all of them connect, at every threshold: a maximum spanning forest.

    Returns
    -------
    two ends (m,), (m,), and the lower L(r) of the two (m,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    n, top = len(xy), float(l_nm.max()) + 1.0
    a, b, weight = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    for i, j, d in pairs_within(xy, link_nm):
        near = d < link_nm
        i, j = i[near], j[near]
        # Smallest weights come first, and 0 is no edge: the distance below a level that no L(r) reaches.
        a, b = np.concatenate([a, i]), np.concatenate([b, j])
        weight = np.concatenate([weight, top - np.minimum(l_nm[i], l_nm[j])])
        tree = minimum_spanning_tree(coo_array((weight, (a, b)), shape=(n, n)).tocsr()).tocoo()
        a, b, weight = tree.row.astype(np.int64), tree.col.astype(np.int64), tree.data
        if time.monotonic() >= ends:
            break
    return a, b, np.minimum(l_nm[a], l_nm[b])


def wrapped_l_nm(xy: FloatArray, r: float) -> FloatArray:
    """Local L(r) of localizations in their bounding box, whose opposite sides are joined.

    Parameters
    ----------
    xy : (n, 2) float64
        Coordinates in nm.
    r : float
        Radius in nm.

    Returns
    -------
    (n,) float64
        L(r) in nm.
    """
    from scipy.spatial import cKDTree

    low, sides = xy.min(axis=0), np.ptp(xy, axis=0)
    # A periodic tree takes coordinates below the period alone: one on the upper side is one on the lower.
    around = cKDTree(np.mod(xy - low, sides), boxsize=sides)
    counts = around.query_ball_point(np.mod(xy - low, sides), r, return_length=True) - 1
    return np.sqrt(sides.prod() * counts / (math.pi * (len(xy) - 1)))


def _steps(of: Sequence[float]) -> FloatArray:
    """First, last, step: the values, the last one among them where a step falls on it."""
    first, last, step = of
    steps: FloatArray = np.arange(math.floor((last - first) / step + 1e-9) + 1, dtype=np.float64)
    return first + step * steps


def _coarse_first(values: FloatArray) -> Iterator[float]:
    """The values, every 16th first, then those halfway, and so on: a short time sees the whole range."""
    seen: set[int] = set()
    for stride in (16, 8, 4, 2, 1):
        for at in range(0, len(values), stride):
            if at not in seen:
                seen.add(at)
                yield float(values[at])
