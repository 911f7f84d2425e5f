"""The Bayesian analysis against integrals done numerically and proposals made one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, components, distances, same_partition
from scipy.integrate import dblquad

from caml_dask.baselines import Bayesian, bayesian, bayesian_search
from caml_dask.baselines.bayesian import Posterior, wrapped_l_nm

SMALL = Bayesian((20.0, 60.0, 20.0), (20.0, 140.0, 40.0))


def test_posterior_of_one_cluster_is_its_integral():
    """Center over the field and standard deviation over its prior integrated by quadrature."""
    xy = np.array([[0.0, 0], [100, 80], [30, 30], [34, 27], [37, 33]])
    settings = Bayesian(sigma_nm=(2.0, 12.0), sigma_weight=(1.0, 3.0), sigma_steps=4000, uncertainty_nm=1.5,
                        background=0.3, concentration=7.0)  # fmt: skip
    members = xy[2:]

    def likelihood(sigma):
        twice = 2 * (sigma**2 + 1.5**2)
        scale = (math.pi * twice) ** len(members)

        def density(y, x):
            return math.exp(-((members - (x, y)) ** 2).sum() / twice) / scale

        at = dblquad(density, 0, 100, 0, 80, epsabs=0, epsrel=1e-5)[0]
        return at / 8000 * (1 + 2 * (sigma - 2) / 10) / 20

    nodes, weights = np.polynomial.legendre.leggauss(8)
    cluster = sum(w * 5 * likelihood(7 + 5 * x) for x, w in zip(nodes, weights))
    partition = 7 * math.gamma(7) * math.gamma(3) / math.gamma(10)
    want = math.log(cluster) + math.log(partition) + 2 * math.log(0.3 / 8000) + 3 * math.log(0.7)
    assert Posterior(xy, settings).score(np.array([-1, -1, 5, 5, 5])) == pytest.approx(want, abs=2e-3)


def test_background_alone_in_a_closed_form():
    xy = np.array([[0.0, 0], [100, 80], [30, 30]])
    want = 3 * math.log(0.5 / 8000)
    assert Posterior(xy, Bayesian()).score(np.full(3, -1)) == pytest.approx(want)
    assert Posterior(xy, Bayesian()).score(np.arange(3)) == pytest.approx(want), "clusters of one are background"


def test_partition_prior_sums_to_one():
    """Over the five partitions of three localizations, with clusters of one counted, the process has mass 1."""
    a = 7.0
    of_sizes = [(3,), (2, 1), (2, 1), (2, 1), (1, 1, 1)]
    mass = [len(s) * math.log(a) + math.lgamma(a) - math.lgamma(a + 3) + sum(map(math.lgamma, s)) for s in of_sizes]
    assert np.exp(mass).sum() == pytest.approx(1.0)


def test_wrapped_l_sees_over_the_border():
    xy = np.array([[0.0, 0], [100, 100], [1, 50], [99, 50], [50, 20]])
    gap = np.abs(xy[:, None] - xy[None])
    around = np.minimum(gap, 100 - gap)
    counts = (np.sqrt((around**2).sum(axis=2)) <= 5).sum(axis=1) - 1
    np.testing.assert_allclose(wrapped_l_nm(xy, 5.0), np.sqrt(1e4 * counts / (4 * math.pi)))
    assert counts.tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_proposal_is_that_of_trying_each(seed):
    xy, _ = clustered_field(seed)
    model, d = Posterior(xy, SMALL), distances(xy)
    best = (model.score(np.full(len(xy), -1)), np.full(len(xy), -1))
    for r in (20.0, 40.0, 60.0):
        l_nm = wrapped_l_nm(xy, r)
        for threshold in (20.0, 60.0, 100.0, 140.0):
            cluster = components(d < 2 * r, np.flatnonzero(l_nm >= threshold))
            best = max(best, (model.score(cluster), cluster), key=lambda scored: scored[0])
    found = bayesian_search(xy, SMALL)
    assert found.log_posterior == pytest.approx(best[0])
    ids, counts = np.unique(best[1], return_counts=True)
    assert same_partition(found.labels, np.where(np.isin(best[1], ids[counts > 1]), best[1], -1))
    assert found.finished
    assert found.scored == found.proposals == 12
    assert (bayesian(xy, SMALL) == found.labels).all()


def test_time_that_runs_out_is_told():
    xy, _ = clustered_field(0)
    found = bayesian_search(xy, Bayesian(time_limit_s=1e-6))
    assert not found.finished
    assert found.scored < found.proposals == 39 * 100
    assert (found.labels == -1).all()


def test_the_truth_is_more_probable_than_other_labels():
    xy, truth = clustered_field(1)
    model = Posterior(xy, SMALL)
    others = [
        np.full(len(xy), -1),
        np.zeros(len(xy), dtype=int),
        np.where(truth < 2, 0, truth),
        np.where(truth > 0, truth, -1),
    ]
    assert all(model.score(truth) > model.score(other) + 10 for other in others)


def test_prior_of_sizes_has_mass_one():
    model = Posterior(np.array([[0.0, 0], [1, 1], [2, 0]]), Bayesian())
    assert np.exp(model._log_prior).sum() == pytest.approx(1.0, abs=0.01)
