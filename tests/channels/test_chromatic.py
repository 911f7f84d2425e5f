"""The shift between channels: found where there is one, and not certain where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pairs_made import made_pair

from caml_dask.channels.chromatic import BIN_NM, _shared, shift_of_data, shift_of_fiducials
from caml_dask.channels.domain import Domain
from caml_dask.errors import UsageError

BOX = Domain(shapely.box(-200, -200, 6200, 6200))


@pytest.mark.parametrize("together", [1.0, 0.5])
@pytest.mark.parametrize("shift", [(60.0, -35.0), (0.0, 0.0), (-120.0, 90.0)])
def test_a_shift_is_found_from_the_data(together, shift):
    pair = made_pair(np.random.default_rng(2), together, side_nm=6000.0, clusters=120, shift_nm=shift)
    found = shift_of_data(*pair, BOX, largest_nm=200.0, sample=20_000)
    assert found.certain and found.vector_nm == pytest.approx(shift, abs=6)
    assert np.abs(found.vector_nm - shift).max() < 5 * found.error_nm < 30


def test_independent_channels_are_rarely_certain_to_be_shifted():
    found = [
        shift_of_data(
            *made_pair(np.random.default_rng(seed), 0.0, side_nm=6000.0, clusters=120),
            BOX,
            largest_nm=200.0,
            sample=20_000,
        )
        for seed in range(12)
    ]
    assert sum(shift.certain for shift in found) <= 3


def test_long_ways_lead_out_of_the_field_and_are_weighted_for_it():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 3000, (2, 4000, 2))
    domain, half = Domain(shapely.box(0, 0, 3000, 3000)), 200
    pairs = domain.cells(b, half * BIN_NM).displacements(a, np.zeros(len(a), np.int64), BIN_NM, half)[0]
    even = (pairs / _shared(domain, half)).reshape(4, 100, 4, 100).mean(axis=(1, 3))
    assert even == pytest.approx(np.full((4, 4), 4000**2 / 3000**2 * BIN_NM**2), rel=0.06)


def test_a_field_too_small_to_compare_with_is_never_certain():
    pair = made_pair(np.random.default_rng(2), 1.0, side_nm=1500.0, clusters=10)
    found = shift_of_data(*pair, Domain(shapely.box(0, 0, 1500, 1500)), largest_nm=200.0, sample=20_000)
    assert found.source == "data" and found.p_value is None and not found.certain


def test_fiducials(tmp_path):
    path = tmp_path / "beads.csv"
    path.write_text("x_a_nm,y_a_nm,x_b_nm,y_b_nm\n0,0,10,-5\n1000,2000,1012,1995\n500,50,508,45\n")
    found = shift_of_fiducials(path)
    assert found.certain and found.vector_nm == pytest.approx((10, -5))
    assert found.error_nm == pytest.approx(np.sqrt(np.mean([4, 0]) / 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n", "has no column x_a"),
        ("", "has no column x_a"),
        ("x_a,y_a,x_b,y_b\n1,2,3,four\n", "no number"),
        ("x_a,y_a,x_b,y_b\n1,2,3,nan\n", "not finite"),
    ],
)
def test_fiducials_that_cannot_be_used(text, words, tmp_path):
    path = tmp_path / "beads.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        shift_of_fiducials(path)
