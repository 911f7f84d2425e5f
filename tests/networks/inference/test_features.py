from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caml_dask.errors import InputError
from caml_dask.networks.inference.features import norm_self

STEPS = arrays(np.float32, (4, 7), elements=st.floats(0, 1_000, width=32).map(lambda x: np.float32(round(x, 3))))


def distances(seed: int, n: int = 200, n_neighbors: int = 100) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.gamma(2.0, 100.0, (n, n_neighbors)), axis=1).astype(np.float32)


def test_hand_case():
    rows = np.array([[2, 3, 7, 8], [0, 0, 4, 4]], np.float32)
    # Steps 2, 1, 4, 1 and 0, 0, 4, 0.
    expected = np.array([[1 / 3, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    assert norm_self(rows).tolist() == expected.tolist()
    assert norm_self(rows).dtype == np.float32


def test_equal_steps_become_zeros():
    rows = np.array([[0, 0, 0], [2, 4, 6]], np.float32)
    assert norm_self(rows).tolist() == [[0, 0, 0], [0, 0, 0]]


@given(STEPS)
def test_range_is_zero_to_one_and_powers_of_two_change_no_bit(steps: np.ndarray):
    rows = np.cumsum(steps, axis=1, dtype=np.float32)
    features = norm_self(rows)
    assert np.isfinite(features).all()
    assert features.min() >= 0
    assert features.max() <= 1
    for scale in (2.0**-7, 2.0**9):
        assert norm_self(rows * np.float32(scale)).tobytes() == features.tobytes()
    changing = np.ptp(np.diff(rows, axis=1, prepend=np.float32(0)), axis=1) > 0
    assert (features[changing].max(axis=1) == 1).all()


def test_each_row_depends_on_itself_alone():
    rows = distances(0)
    features = norm_self(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    assert norm_self(rows[order]).tobytes() == features[order].tobytes()
    assert np.concatenate([norm_self(rows[i : i + 1]) for i in range(len(rows))]).tobytes() == features.tobytes()
    assert norm_self(np.asfortranarray(rows)).tobytes() == features.tobytes()


def test_no_rows():
    assert norm_self(np.empty((0, 100), np.float32)).shape == (0, 100)


@pytest.mark.parametrize("bad", [[1, np.nan, 3], [1, 2, np.inf], [-1, 2, 3], [2, 1, 3], [np.nan, 1, 2]])
def test_rows_that_are_no_distances_are_named(bad: list[float]):
    rows = np.array([[1, 2, 3], bad, bad], np.float32)
    with pytest.raises(InputError, match="ascending") as caught:
        norm_self(rows)
    assert caught.value.row == 1


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones(3, np.float32)])
def test_other_types_and_shapes_are_refused(bad: np.ndarray):
    with pytest.raises(InputError, match="float32 of shape"):
        norm_self(bad)
