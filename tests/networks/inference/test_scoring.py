from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numba
import numpy as np
import pytest
from scipy.special import expit

from caml_dask.errors import InputError
from caml_dask.networks import spec_named
from caml_dask.networks.inference.features import norm_self
from caml_dask.networks.inference.lanes import ROWS
from caml_dask.networks.kinds.lstm import GATE_SCALES, LEAST_EXPONENT, MOST_EXPONENT, power_of_two, update
from caml_dask.networks.registry import KINDS
from caml_dask.networks.spec import NetworkSpec

if TYPE_CHECKING:
    import keras


def other(kind: str, n_neighbors: int, classes: int) -> NetworkSpec:
    """A network of an architecture, with another window and number of classes."""
    made = KINDS[kind]
    return replace(
        spec_named("07VEJJ"),
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


def drawn_weights(entry: NetworkSpec, gain: float) -> dict[str, np.ndarray]:
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


# Seven rectified layers of a larger gain would make logits so large that float32 itself is off by more.
GAINS = {"lstm": (1.0, 2.0, 4.0), "convolution": (1.0, 1.2), "dense": (1.0, 2.0, 4.0)}


@functools.cache
def built(kind: str, n_neighbors: int, classes: int) -> keras.Model:
    """The network in Keras, which takes other weights without being traced again."""
    return other(kind, n_neighbors, classes).build()


@pytest.mark.parametrize(
    ("kind", "n_neighbors", "classes", "gain"),
    [
        (kind, n_neighbors, classes, gain)
        for kind, n_neighbors, classes in (
            *(("lstm", n, 2) for n in (100, 21, 103)),
            ("lstm", 60, 3),
            *(("convolution", n, 3) for n in (1_000, 184, 211)),
            ("convolution", 300, 2),
            ("dense", 37, 3),
        )
        for gain in GAINS[kind]
    ],
)
def test_scores_equal_those_of_keras_for_any_weights_and_window(kind: str, n_neighbors: int, classes: int, gain: float):
    entry = other(kind, n_neighbors, classes)
    weights = drawn_weights(entry, gain)
    rows = distances(200, entry.n_neighbors)
    rows[0] = 0
    rows[1, :-1] = 1
    model = built(kind, n_neighbors, classes)
    assert [(*weight.shape,) for weight in model.weights] == [shape for _, shape in entry.shapes]
    model.set_weights([weights[key] for key, _ in entry.shapes])
    expected = model.predict(norm_self(rows)[..., None], verbose=0)
    assert np.ptp(expected) > 1e-3
    assert np.abs(entry.score(weights, rows) - expected).max() < 1e-5


def test_powers_of_two_are_accurate_and_bounded():
    exponents = np.append(np.linspace(LEAST_EXPONENT, MOST_EXPONENT, 300_001), [0.0, -0.0, 1.0]).astype(np.float32)
    found = np.empty_like(exponents)
    over(power_of_two)(exponents, found)
    assert np.abs(found / 2.0 ** exponents.astype(np.float64) - 1).max() < 2e-7
    assert found[-3:].tolist() == [1.0, 1.0, 2.0]
    over(power_of_two)(np.array([-3e38, -1e4, 41, 3e38], np.float32), found)
    assert found[:4].tolist() == [2.0**LEAST_EXPONENT] * 2 + [2.0**MOST_EXPONENT] * 2


def test_a_step_of_lstm_units_is_accurate_and_saturates():
    rng = np.random.default_rng(0)
    gates = rng.normal(0, 1, (4, 100_000)) * rng.choice([0.1, 1, 10, 1e4, 1e38], (4, 100_000))
    scaled = (gates * np.array(GATE_SCALES)[:, None]).clip(-3e38, 3e38).astype(np.float32)
    before = rng.normal(0, 1, 100_000) * rng.choice([0, 0.1, 10, 250], 100_000)
    found_cell, found_out = before.astype(np.float32), np.empty(100_000, np.float32)
    update(scaled, found_cell, found_out)
    taken, kept, shown = (expit(gates[i]) for i in (0, 1, 3))
    cell = kept * before + taken * np.tanh(gates[2])
    assert (np.abs(found_cell - cell) / (1 + np.abs(before))).max() < 3e-6
    assert np.abs(found_out - shown * np.tanh(cell)).max() < 3e-6


@pytest.mark.parametrize(
    ("kind", "n_neighbors", "classes"), [("dense", 37, 3), ("lstm", 60, 2), ("convolution", 184, 3)]
)
def test_no_bit_of_a_row_depends_on_batch_order_or_threads(kind: str, n_neighbors: int, classes: int):
    entry = other(kind, n_neighbors, classes)
    weights = drawn_weights(entry, 1.0)
    rows = distances(5 * ROWS + 3, n_neighbors)
    alone = np.concatenate([entry.score(weights, rows[i : i + 1]) for i in range(len(rows))])
    rng = np.random.default_rng(0)
    for threads in (1, 2, 3):
        for n in (0, 1, ROWS - 1, ROWS, ROWS + 1, len(rows)):
            order = rng.permutation(len(rows))[:n]
            assert entry.score(weights, rows[order], threads=threads).tobytes() == alone[order].tobytes()
        cuts = np.sort(rng.integers(0, len(rows) + 1, 4))
        split = [entry.score(weights, part, threads=threads) for part in np.split(rows, cuts)]
        assert np.concatenate(split).tobytes() == alone.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_of_unusable_rows_is_named(threads: int):
    rows = distances(20 * ROWS, 100)
    rows[[7 * ROWS + 2, 7 * ROWS + 5, 15 * ROWS], 50] = np.nan
    with pytest.raises(InputError, match="finite") as caught:
        spec_named("07VEJJ").score(drawn_weights(spec_named("07VEJJ"), 1.0), rows, threads=threads)
    assert caught.value.row == 7 * ROWS + 2
