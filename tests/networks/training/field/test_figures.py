from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train'")

from caml_dask.metrics import cluster_scores
from caml_dask.networks.field.clusters import find_clusters
from caml_dask.networks.field.trained import load_field_network
from caml_dask.networks.training.field.figures import CALLED, DECISION, LINKED, calibrated, decided, measure
from caml_dask.simulate.unknown import draw_field


def measured(weights: dict[str, np.ndarray]) -> float:
    """Mean adjusted Rand index on the fields that decide, those without clusters left out."""
    scores = []
    for number in range(4):
        sample = draw_field(np.random.default_rng([5 + DECISION, number]), axes=2, least=300, most=6_000)
        if sample.truth.max() >= 0:
            scores.append(cluster_scores(sample.truth, find_clusters(sample.points_nm, weights=weights).cluster_id).ari)
    return float(np.mean(scores))


def test_calibration_undoes_what_scales_and_shifts_the_logit() -> None:
    weights = load_field_network("field-2d").weights
    kernel, bias = weights["heads_kernel"].copy(), weights["heads_bias"].copy()
    kernel[:, 0] *= 2.5
    bias[0] = 2.5 * bias[0] - 1.5
    distorted = {**weights, "heads_kernel": kernel, "heads_bias": bias}
    best, found = (calibrated(given, seed=5, axes=2, fields=3) for given in (weights, distorted))
    np.testing.assert_allclose(found["heads_kernel"], best["heads_kernel"], rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(found["heads_bias"], best["heads_bias"], atol=0.02)
    np.testing.assert_allclose(found["bend"], best["bend"], atol=0.05)
    for name in weights.keys() - {"heads_kernel", "heads_bias", "bend"}:
        assert found[name] is weights[name]
    assert (found["heads_kernel"][:, 1:] == weights["heads_kernel"][:, 1:]).all()


def test_figures_fall_with_a_network_that_calls_all_clustered() -> None:
    weights = load_field_network("field-2d").weights
    bias = weights["heads_bias"].copy()
    bias[0] = 50.0
    right = measure(weights, seed=5, axes=2, fields=3)
    wrong = measure({**weights, "heads_bias": bias}, seed=5, axes=2, fields=3)
    assert right["re-blinking"]["accuracy"] > wrong["re-blinking"]["accuracy"]
    assert max(right["percent_in_clusters_on_random_fields"].values()) < 5
    assert min(wrong["percent_in_clusters_on_random_fields"].values()) > 20
    assert list(wrong["clustered_by_p"]) == ["0.9-1.0"]


def test_what_is_likelier_stays_likelier_however_little_a_network_knows() -> None:
    weights = load_field_network("field-2d").weights
    noise = np.random.default_rng(0).normal(size=weights["heads_kernel"].shape).astype(np.float32)
    bend = calibrated({**weights, "heads_kernel": noise}, seed=5, axes=2, fields=2)["bend"]
    logit = np.linspace(-15, 15, 2_001)
    p = 1 / (1 + np.exp(-logit))
    assert (np.diff(logit + p * (bend[0] + p * bend[1])) > 0).all()


def test_decisions_are_those_with_the_best_clusters() -> None:
    weights = load_field_network("field-2d").weights
    found = decided(weights, seed=5, axes=2, fields=4)
    assert found["decision"][0] in np.float32(CALLED) and found["decision"][1] in np.float32(LINKED)
    best = measured(found)
    for other in ([0.7, 0.1], [0.4, 0.4]):
        assert measured({**weights, "decision": np.array(other, np.float32)}) <= best
