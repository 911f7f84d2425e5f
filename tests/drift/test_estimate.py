"""Drift of simulated fields is found again, to the nm; counts of matches against an oracle that compares all."""

from __future__ import annotations

import numpy as np
import pytest
from drift_correction import FRAMES, drifting, rmse
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts, layouts_3d
from scipy.interpolate import PchipInterpolator

from caml_dask.drift import estimate as estimating
from caml_dask.drift import rcc as correlating
from caml_dask.drift.aim import aim
from caml_dask.drift.curve import Curve, interval_starts, middles
from caml_dask.drift.estimate import METHODS, drift_of, estimate_drift
from caml_dask.drift.halves import estimated
from caml_dask.drift.matches import STEPS_AN_NM, matches
from caml_dask.drift.rcc import rcc
from caml_dask.drift.resolution import nena_nm, ring_correlation_nm
from caml_dask.errors import InputError, UsageError


def in_steps(points, frame):
    order = np.argsort(frame, kind="stable")
    return np.rint(points[order] * STEPS_AN_NM).astype(np.int64), frame[order]


@pytest.mark.parametrize(("structure", "axes"), [("rings", 2), ("filaments", 2), ("clusters", 2), ("rings", 3)])
def test_drift_is_found_to_two_nm(structure, axes):
    points, frame, drift = drifting(structure, 100_000, axes)
    found = estimated(aim, *in_steps(points, frame))
    off = rmse(found.curve.at(frame), drift)
    assert np.all(off < 2.0), off
    assert np.all(off[:2] < 1.6)
    assert np.all((found.error_nm > 0.4 * off) & (found.error_nm < 3 * off)), (found.error_nm, off)
    assert np.all(found.curve.at(np.array([frame.min()])) == pytest.approx(0.0, abs=1e-9))
    assert np.all(rmse(0 * drift, drift) > 20)


@pytest.mark.parametrize("axes", [2, 3])
def test_cross_correlation_agrees(axes, monkeypatch):
    monkeypatch.setattr(correlating, "_INTERVALS", 12)
    points, frame, drift = drifting("rings", 40_000, axes)
    curves = [method(*in_steps(points, frame)).at(frame) for method in (aim, rcc)]
    assert np.all(rmse(curves[1], drift) < 4) and np.all(rmse(curves[0], curves[1]) < 4)


def test_a_jump_and_a_gap_are_followed():
    points, frame, drift = drifting("rings", 40_000)
    jump = np.where(frame >= FRAMES // 2, 120.0, 0.0)
    points[:, 0] += jump
    late = 1_000_000 + frame + 50_000 * (frame >= FRAMES // 2)
    found = aim(*in_steps(points, late))
    assert np.all(rmse(found.at(late), drift + np.column_stack([jump, 0 * jump])) < 3)


def test_neither_order_nor_pieces_nor_the_first_frame_matter(monkeypatch):
    points, frame, _ = drifting("clusters", 20_000)
    whole = drift_of(lambda: iter([(points, frame)]), "aim")
    order = np.random.default_rng(1).permutation(len(points))
    pieces = np.array_split(order, 7)
    parts = drift_of(lambda: iter([(points[part], frame[part] + 1) for part in pieces]), "aim")
    assert np.array_equal(parts.drift_nm, whole.drift_nm) and np.array_equal(parts.frames, whole.frames + 1)
    assert parts.ring_correlation_nm == whole.ring_correlation_nm and parts.nena_nm == whole.nena_nm
    before, after = whole.ring_correlation_nm
    assert after < 0.95 * before
    monkeypatch.setattr(estimating, "MOST", 12_000)
    some = drift_of(lambda: iter([(points, frame)]), "aim")
    again = drift_of(lambda: iter([(points[part], frame[part]) for part in pieces]), "aim")
    assert 8_000 < some.used <= 12_000 and np.array_equal(some.drift_nm, again.drift_nm)
    assert rmse(some.drift_nm, whole.drift_nm).max() < 4
    assert np.array_equal(some.frames, whole.frames)


@pytest.mark.parametrize("method", ["aim", "rcc"])
@pytest.mark.parametrize("frame", [np.zeros(3000, np.int64), np.arange(400)])
def test_without_enough_to_go_by_nothing_is_corrected(method, frame):
    points = np.random.default_rng(0).uniform(0, 3000, (len(frame), 2))
    found = drift_of(lambda: iter([(points, frame)]), method)
    assert found.estimate.intervals == 1 and not found.drift_nm.any() and np.isnan(found.estimate.error_nm).all()


@pytest.mark.parametrize("method", ["aim", "rcc"])
@pytest.mark.parametrize("n", [1_500, 10_000])
def test_points_that_never_come_back_are_left_where_they_are(method, n):
    """What a method takes for their drift is as large as its error, which the halves of the field show."""
    for seed in range(8):
        points = np.random.default_rng(seed).uniform(0, 5_000 if n < 10_000 else 20_000, (n, 2))
        found = estimated(METHODS[method], *in_steps(points, np.arange(n)))
        assert not found.curve.drift_nm.any()
        assert found.intervals > 1 and found.error_nm.max() > 2


def test_drift_along_z_alone_is_left_where_it_cannot_be_told():
    points, frame, drift = drifting("rings", 40_000, 3)
    points[:, 2] = np.random.default_rng(0).uniform(0, 3_000, len(points))
    found = estimated(aim, *in_steps(points, frame)).curve.at(frame)
    assert not found[:, 2].any()
    assert rmse(found[:, :2], drift[:, :2]).max() < 4


@given(st.one_of(layouts(), layouts_3d()), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_matches_are_those_of_an_oracle(points, seed):
    rng = np.random.default_rng(seed)
    places = np.rint(points).astype(np.int64)
    axes = places.shape[1]
    cell, reach = [20] * axes, [2] * (axes - 1) + [1]
    interval = np.sort(rng.integers(0, 3, len(places)))
    shift = rng.integers(-30, 30, (3, axes))
    moved = places - shift[interval]
    cells = (moved - moved.min(axis=0)) // 20
    wanted = np.zeros((3, *(2 * r + 1 for r in reach)), np.int64)
    for i, mine in enumerate(cells):
        apart = mine - cells[interval != interval[i]]
        for by in apart[(np.abs(apart) <= reach).all(axis=1)]:
            wanted[(interval[i], *(by + reach))] += 1
    assert np.array_equal(matches(places, interval, shift, cell, reach), wanted)


def test_a_field_too_wide_to_count_is_refused():
    places = np.array([[0, 0], [1 << 50, 1 << 50]])
    zero = np.zeros(2, np.int64)
    with pytest.raises(InputError, match="leave --drift out"):
        matches(places, zero, np.zeros((1, 2), np.int64), [80, 80], [3, 3])


def test_the_curve_is_that_of_scipy():
    rng = np.random.default_rng(2)
    knots, values = np.cumsum(rng.uniform(1, 9, 12)), rng.normal(size=(12, 2))
    x = np.linspace(knots[0], knots[-1], 200)
    inner = (x >= knots[1]) & (x <= knots[-2])  # the ends are straight here
    found = Curve(knots, values, 0, 1000).at(x)
    assert np.allclose(found[inner], PchipInterpolator(knots, values)(x[inner]), atol=1e-12)
    ends = Curve(knots, values, -10, 1000).at(np.array([-500.0, -10.0, 1000.0, 5e9]))
    assert np.array_equal(ends[0], ends[1]) and np.array_equal(ends[2], ends[3])


@given(st.lists(st.integers(-5, 30), min_size=1, max_size=60), st.integers(1, 8))
def test_intervals_share_no_frame(frames, most):
    frame = np.sort(np.array(frames))
    starts = interval_starts(frame, most)
    assert starts[0] == 0 and starts[-1] == len(frame) and np.all(np.diff(starts) > 0)
    assert len(starts) - 1 <= most and all(frame[s] > frame[s - 1] for s in starts[1:-1])
    means = [frame[a:b].mean() for a, b in zip(starts[:-1], starts[1:])]
    assert np.allclose(middles(frame, starts), means)


def test_precision_and_resolution_of_what_is_known():
    rng = np.random.default_rng(3)
    molecules = rng.uniform(0, 9000, (1500, 2))
    frame = np.sort(rng.integers(0, 40, 30_000))  # a molecule is seen in every second frame
    points = molecules[rng.integers(0, 1500, len(frame))] + rng.normal(0, 9, (len(frame), 2))
    places = np.rint(points * STEPS_AN_NM).astype(np.int64)
    assert nena_nm(places, frame) == pytest.approx(9, rel=0.15)
    sharp = ring_correlation_nm(places, frame)
    blurred = ring_correlation_nm(places + np.rint(rng.normal(0, 160, places.shape)).astype(int), frame)
    assert 15 < sharp < 45 and blurred > 1.5 * sharp
    assert nena_nm(places[:50], frame[:50]) is None and ring_correlation_nm(places[:50], frame[:50]) is None


@pytest.mark.parametrize(
    ("points", "frame", "method", "said"),
    [
        (np.zeros((4, 1)), np.arange(4), "aim", "shape"),
        (np.zeros((4, 2)), np.arange(3), "aim", "shape"),
        (np.zeros((0, 2)), np.arange(0), "aim", "shape"),
        (np.full((4, 2), np.nan), np.arange(4), "aim", "finite"),
        (np.zeros((4, 2)), np.arange(4) + 0.5, "aim", "whole"),
        (np.zeros((4, 2)), np.arange(4), "none", "use one of aim, rcc"),
    ],
)
def test_what_cannot_be_used_is_refused(points, frame, method, said):
    with pytest.raises(UsageError, match=said):
        estimate_drift(points, frame, method=method)
