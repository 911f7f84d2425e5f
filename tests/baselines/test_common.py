"""What holds of every rival method: the form of labels, refusals, scale, duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from baselines_oracles import same_partition
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask import baselines
from caml_dask.baselines import Bayesian
from caml_dask.errors import InputError, UsageError

METHODS = [
    (baselines.bayesian, Bayesian((2.0, 8.0, 2.0), (5.0, 30.0, 5.0), sigma_nm=(0.5, 3.0), sigma_weight=(1.0, 1.0))),
]
IDS = [method.__name__ for method, _ in METHODS]


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_hand_drawn_clusters_are_found(method, settings):
    """Two clusters of five and four, a pair and loners: every method tells the two clusters."""
    labels = method(HAND_DRAWN, settings)
    assert labels.dtype == np.int64
    assert labels.shape == (len(HAND_DRAWN),)
    found = labels[HAND_DRAWN_CLUSTERS >= 0]
    assert same_partition(found, HAND_DRAWN_CLUSTERS[HAND_DRAWN_CLUSTERS >= 0])
    assert found[0] == 0, "clusters are numbered by their first localizations"
    assert found[5] == 1


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_order_and_place_do_not_matter(method, settings):
    order = np.random.default_rng(0).permutation(len(HAND_DRAWN))
    moved = HAND_DRAWN[order] * [1, -1] + [4096.0, -512.0]
    assert same_partition(method(moved, settings), method(HAND_DRAWN, settings)[order])


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_duplicates_are_taken(method, settings):
    twice = np.vstack([HAND_DRAWN, HAND_DRAWN])
    labels = method(twice, settings)
    assert (labels[: len(HAND_DRAWN)] == labels[len(HAND_DRAWN) :]).all()


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((20, 3)), "leave out z"),
        (np.zeros(20), "in nm"),
        (np.append(HAND_DRAWN, [[np.nan, 0.0]], axis=0), "drop them"),
        (np.zeros((0, 2)), "the field has 0"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(method, settings, bad, says):
    with pytest.raises(InputError, match=says):
        method(bad, settings)


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=IDS)
def test_a_line_has_no_area(method, settings):
    for line in (np.column_stack([np.arange(9.0), np.zeros(9)]), np.ones((9, 2)), np.arange(18.0).reshape(9, 2)):
        with pytest.raises(InputError, match="not on a line"):
            method(line, settings)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Bayesian(background=1.0), "background=1.0"),
        (lambda: Bayesian(r_nm=(50.0, 10.0, 5.0)), "first, last and step"),
        (lambda: Bayesian(sigma_nm=(20.0, 10.0), sigma_weight=(1.0, 1.0)), "ascending"),
        (lambda: Bayesian(sigma_nm=(10.0, 20.0), sigma_weight=(0.0, 0.0)), "not all 0"),
        (lambda: Bayesian(time_limit_s=0.0), "time_limit_s=0.0"),
    ],
)
def test_settings_out_of_range_are_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()
