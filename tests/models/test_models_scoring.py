from __future__ import annotations

from dataclasses import replace
from functools import partial

import numba
import numpy as np
import pytest

from caml_dask.errors import InputError
from caml_dask.models import network
from caml_dask.models.features import norm_self
from caml_dask.models.lstm import sigmoid, tanh
from caml_dask.models.registry import KINDS, Network


def other(kind: str, n_neighbors: int, classes: int) -> Network:
    """A network of an architecture, with another window and number of classes."""
    made = KINDS[kind]
    return replace(
        network("07VEJJ"),
        kind=kind,
        n_neighbors=n_neighbors,
        classes=("non-clustered", "round", "fiber")[:classes],
        shapes=made.shapes(n_neighbors, classes),
        build=partial(made.build, n_neighbors, classes),
        score=partial(made.score, n_neighbors=n_neighbors),
    )


def distances(n: int, n_neighbors: int) -> np.ndarray:
    rng = np.random.default_rng(n_neighbors)
    return np.sort(rng.gamma(2.0, 100.0, (n, n_neighbors)), axis=1).astype(np.float32)


def drawn_weights(entry: Network, gain: float) -> dict[str, np.ndarray]:
    """Kernels of variance gain**2 over what they sum; biases above 0, so that few units stay silent."""
    rng = np.random.default_rng(0)
    drawn = {}
    for key, shape in entry.shapes:
        if key.endswith("bias"):
            drawn[key] = rng.uniform(0, 1, shape).astype(np.float32)
        else:
            drawn[key] = rng.normal(0, gain / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)
    return drawn


def over(function):
    """The scalar `function` as a compiled loop."""

    @numba.njit
    def loop(values, out):
        for i in range(values.shape[0]):
            out[i] = function(values[i])

    return loop


@pytest.mark.parametrize("gain", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(
    ("kind", "n_neighbors", "classes"),
    [
        *(("lstm", n, 2) for n in (100, 21, 103)),
        ("lstm", 60, 3),
        *(("convolution", n, 3) for n in (1_000, 184, 211)),
        ("convolution", 300, 2),
        ("dense", 37, 3),
    ],
)
def test_scores_equal_those_of_keras_for_any_weights_and_window(kind: str, n_neighbors: int, classes: int, gain: float):
    entry = other(kind, n_neighbors, classes)
    # Seven rectified layers of a larger gain would make logits so large that float32 itself is off by more.
    weights = drawn_weights(entry, min(gain, 1.2) if kind == "convolution" else gain)
    rows = distances(200, entry.n_neighbors)
    rows[0] = 0
    rows[1, :-1] = 1
    model = entry.build()
    assert [(*weight.shape,) for weight in model.weights] == [shape for _, shape in entry.shapes]
    model.set_weights([weights[key] for key, _ in entry.shapes])
    expected = model.predict(norm_self(rows)[..., None], verbose=0)
    assert np.ptp(expected) > 1e-3
    assert np.abs(entry.score(weights, rows) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("compiled", "exact", "within"), [(sigmoid, lambda x: 1 / (1 + np.exp(-x)), 2e-7), (tanh, np.tanh, 4e-7)]
)
def test_sigmoid_and_tanh_are_accurate_and_saturate(compiled, exact, within: float):
    values = np.concatenate([np.linspace(-30, 30, 200_001), [-0.0, 1e-30, -1e4, 1e4, -3e38, 3e38]]).astype(np.float32)
    found = np.empty_like(values)
    over(compiled)(values, found)
    with np.errstate(over="ignore"):
        expected = exact(values.astype(np.float64))
    assert np.abs(found - expected).max() < within
    assert found[-4:] == pytest.approx(expected[-4:], rel=1e-6, abs=1e-37)
    assert found[200_001] == expected[200_001]


def test_an_unusable_row_is_named():
    rows = distances(5, 100)
    rows[2, 50] = np.nan
    with pytest.raises(InputError, match="finite") as caught:
        network("07VEJJ").score(drawn_weights(network("07VEJJ"), 1.0), rows)
    assert caught.value.row == 2
