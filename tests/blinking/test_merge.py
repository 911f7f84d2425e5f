"""Merging detections to molecules against oracles that compare everything with everything."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts, layouts_3d
from sklearn.metrics import adjusted_rand_score as adjusted_rand_index

from caml_dask.blinking import estimate as estimating
from caml_dask.blinking import pairs
from caml_dask.blinking.estimate import Counted, estimate
from caml_dask.blinking.law import Law, activity
from caml_dask.blinking.links import Detections, links
from caml_dask.blinking.merge import merge_detections
from caml_dask.blinking.molecules import combine, components, refine
from caml_dask.errors import UsageError
from caml_dask.settings import FixedRule, Settings, merge_rule

LAW = Law(
    spread=1.0,
    spread_z=0.0,
    rates=np.array([0.05]),
    weights=np.array([0.04]),
    same_frame=0.0,
    returns=0.8,
    frames=1000,
    per_volume=1e-4,
    since=np.array([0]),
    active=np.ones(1),
    signal=50.0,
)


def blinking_field(
    rng, molecules=400, side_nm=4000.0, precision_nm=10.0, returns=0.7, dark=15.0, frames=4000, axial_nm=None
):
    """Detections of molecules anywhere that return with one chance after dark times of at least a frame."""
    counts = rng.geometric(1 - returns, molecules)
    molecule = np.repeat(np.arange(molecules), counts)
    points = rng.uniform(0, side_nm, (molecules, 2))[molecule] + rng.normal(0, precision_nm, (len(molecule), 2))
    if axial_nm is not None:
        heights = rng.uniform(0, 600.0, molecules)[molecule] + rng.normal(0, axial_nm, len(molecule))
        points = np.column_stack([points, heights])
    gaps = 1 + rng.exponential(dark, len(molecule)).astype(int)
    first = np.flatnonzero(np.diff(molecule, prepend=-1))
    gaps[first] = rng.integers(0, frames, molecules)
    elapsed = np.cumsum(gaps)
    frame = elapsed - np.repeat(elapsed[first] - gaps[first], counts)
    order = rng.permutation(len(frame))
    return points[order], frame[order], molecule[order]


def partition(molecule):
    """The same numbers for the same parts, whatever they are called."""
    return np.unique(molecule, return_index=True)[1][np.unique(molecule, return_inverse=True)[1]]


def oracle_fixed(points, frame, radius_nm, gap):
    """Components, by looking at every pair until nothing changes."""
    part = np.arange(len(points))
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    lag = np.abs(frame[:, None] - frame[None])
    linked = (apart <= radius_nm) & (lag <= gap) & (lag > 0)
    while True:
        new = np.array([part[linked[i]].min(initial=part[i]) for i in range(len(part))])
        if np.array_equal(new, part):
            return part
        part = new


@given(st.one_of(layouts(), layouts_3d()), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 10]), st.floats(5, 300))
def test_a_radius_and_a_gap_make_connected_components(points, seed, gap, radius_nm):
    frame = np.random.default_rng(seed).integers(0, 20, len(points))
    merged = merge_detections(points, frame, rule=f"{radius_nm}nm,{gap}frames")
    expected = oracle_fixed(points, frame, merge_rule(f"{radius_nm}nm,{gap}frames").radius_nm, gap)
    assert np.array_equal(partition(merged.molecule), partition(expected))
    assert merged.law is None and len(merged.molecules.detections) == len(np.unique(expected))


def test_frames_count_from_the_last_detection_and_a_frame_has_one_detection_of_a_molecule():
    """A chain in time is one molecule; two detections of one frame are linked by no link of their own."""
    place = np.zeros((4, 2))
    assert merge_detections(place, [0, 25, 50, 76], rule="50nm,25frames").molecule.tolist() == [0, 0, 0, 1]
    assert merge_detections(place[:2], [7, 7], rule="50nm,25frames").molecule.tolist() == [0, 1]
    assert merge_detections([[0, 0], [50, 0]], [0, 1], rule="50nm,25frames").molecule.tolist() == [0, 0]
    assert merge_detections([[0, 0], [50.001, 0]], [0, 1], rule="50nm,25frames").molecule.tolist() == [0, 1]


def oracle_odds(seen, a, b, log_return):
    """Log odds that two groups of rows are one molecule, written out."""

    def returns(rows):
        frames = sorted(seen.frame[rows].tolist())
        return sum(log_return[min(y - x, len(log_return) - 1)] for x, y in zip(frames, frames[1:], strict=False))

    def center(rows):
        weights = seen.spread_nm[rows] ** -2.0
        return (seen.points_nm[rows] * weights).sum(axis=0) / weights.sum(axis=0), 1 / weights.sum(axis=0)

    (here, narrow), (there, wide) = center(a), center(b)
    both = narrow + wide
    space = sum(-(d**2) / (2 * v) - math.log(2 * math.pi * v) / 2 for d, v in zip(here - there, both, strict=True))
    begin = 0.5 * (seen.log_begin[a].mean() + seen.log_begin[b].mean())
    return returns(a + b) - returns(a) - returns(b) + space - begin


def oracle_refine(seen, law):
    """Join the likeliest pair of groups between which there is a link, until none is likely."""
    log_return = law.log_return()
    linked = {(i, j) for one, other in links(seen, np.arange(len(seen.frame)), law) for i, j in zip(one, other)}
    groups = [[i] for i in range(len(seen.frame))]
    while True:
        likely = [
            (oracle_odds(seen, a, b, log_return), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups[:i])
            if any((x, y) in linked for x in a for y in b)
        ]
        if not likely or max(likely)[0] <= 0:
            return groups
        _, i, j = max(likely)
        groups[j] = groups[j] + groups[i]
        del groups[i]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("axes", [2, 3])
def test_the_likeliest_pair_is_joined_first(seed, axes):
    rng = np.random.default_rng(seed)
    points, frame, _ = blinking_field(rng, molecules=12, side_nm=90.0, frames=200, axial_nm=None if axes == 2 else 20.0)
    order = np.argsort(frame, kind="stable")[:40]
    spread = np.column_stack([rng.uniform(5, 15, len(order))] * 2 + [rng.uniform(10, 40, len(order))] * (axes - 2))
    begin = rng.normal(-17.0 if axes == 2 else -22.0, 0.5, len(order))
    seen = Detections(points[order], frame[order], spread, begin)
    groups = oracle_refine(seen, LAW)
    assert 2 <= len(groups) < len(order)
    expected = np.empty(len(order), int)
    for rows in groups:
        expected[rows] = min(rows)
    found = list(links(seen, np.arange(len(order)), LAW))
    group = components(len(order), *(np.concatenate(ends) for ends in zip(*found, strict=True)))
    by_group = np.lexsort((np.arange(len(order)), group))
    molecule, odds = refine(seen.take(by_group), group[by_group], LAW)
    assert np.array_equal(partition(by_group[molecule][np.argsort(by_group)]), expected)
    assert np.isfinite(odds).sum() == len(order) - len(groups) and odds.min() > 0


@pytest.mark.parametrize(("returns", "dark", "precision_nm"), [(0.7, 15.0, 10.0), (0.85, 40.0, 20.0), (0.4, 5.0, 6.0)])
def test_what_is_estimated_is_what_was_simulated(returns, dark, precision_nm):
    rng = np.random.default_rng(4)
    points, frame, molecule = blinking_field(rng, 1500, 12_000.0, precision_nm, returns, dark, 20_000)
    merged = merge_detections(points, frame)
    law = merged.law
    assert law.spread == pytest.approx(precision_nm, rel=0.1)
    assert law.returns == pytest.approx(returns, rel=0.1)
    last = (law.weights / law.rates).sum()
    assert (law.weights / law.rates**2).sum() / last == pytest.approx(1 + dark, rel=0.25)
    assert len(merged.molecules.detections) == pytest.approx(1500, rel=0.05)
    assert adjusted_rand_index(molecule, merged.molecule) > 0.95


def test_where_nothing_blinks_nothing_is_merged():
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.normal(c, 25, (40, 2)) for c in rng.uniform(0, 3000, (20, 2))])
    merged = merge_detections(points, rng.permutation(len(points)) * 7)
    assert len(merged.molecules.detections) > 0.97 * len(points)


def test_precisions_help_and_a_missing_one_is_not_perfect():
    rng = np.random.default_rng(8)
    points, frame, molecule = blinking_field(rng, precision_nm=0.0, side_nm=1200.0)
    stated = np.exp(rng.normal(np.log(10.0), 0.8, len(points)))
    points = points + rng.normal(size=points.shape) * stated[:, None]
    without = adjusted_rand_index(molecule, merge_detections(points, frame).molecule)
    merged = merge_detections(points, frame, uncertainty_nm=stated)
    assert adjusted_rand_index(molecule, merged.molecule) > without + 0.02
    assert merged.law.spread == pytest.approx(1.0, rel=0.1)  # in multiples of the stated ones
    holed = np.where(rng.random(len(points)) < 0.2, rng.choice([0.0, np.nan, -1.0, np.inf], len(points)), stated)
    found = merge_detections(points, frame, uncertainty_nm=holed)
    assert np.isfinite(found.molecules.points_nm).all() and (found.molecules.uncertainty_nm > 0.2).all()
    assert adjusted_rand_index(molecule, found.molecule) > without - 0.05


def test_positions_are_inverse_variance_means_and_photons_add_up():
    found = combine(
        np.array([0, 0, 1]),
        np.array([[0.0, 0.0, 0.0], [9.0, 3.0, 8.0], [5.0, 5.0, 5.0]]) + 1e7,
        np.array([4, 9, 2]),
        photons=np.array([100.0, 50.0, np.nan]),
        uncertainty_nm=np.array([1.0, np.sqrt(2.0), 7.0]),
        uncertainty_z_nm=np.array([2.0, 2.0, 9.0]),
    )
    assert np.allclose(found.points_nm - 1e7, [[3, 1, 4], [5, 5, 5]], atol=1e-8)
    assert found.points_nm[1].tolist() == [1e7 + 5] * 3  # of one detection, to the bit
    assert found.detections.tolist() == [2, 1]
    assert found.first_frame.tolist() == [4, 2] and found.last_frame.tolist() == [9, 2]
    assert found.photons[0] == 150 and np.isnan(found.photons[1])
    assert np.allclose(found.uncertainty_nm, [np.sqrt(2 / 3), 7.0])
    assert np.allclose(found.uncertainty_z_nm, [np.sqrt(2.0), 9.0])


@pytest.mark.parametrize("rule", ["auto", "40nm,30frames"])
def test_order_of_rows_changes_no_molecule(rule):
    rng = np.random.default_rng(9)
    points, frame, _ = blinking_field(rng, side_nm=700.0)
    stated = rng.uniform(5, 15, len(points))
    one = merge_detections(points, frame, uncertainty_nm=stated, rule=rule)
    order = rng.permutation(len(points))
    other = merge_detections(points[order], frame[order], uncertainty_nm=stated[order], rule=rule)
    assert np.array_equal(partition(other.molecule), partition(one.molecule[order]))
    for name in ("points_nm", "uncertainty_nm", "detections", "first_frame", "last_frame"):
        mine, theirs = getattr(one.molecules, name), getattr(other.molecules, name)
        assert np.array_equal(mine[one.molecule[order]], theirs[other.molecule])


@pytest.mark.parametrize("longest", [(16.0,), (16.0, 9.0)])
def test_pairs_are_counted_as_an_oracle_counts_them(longest):
    rng = np.random.default_rng(2)
    groups, axes = len(longest), 1 + len(longest)
    points, frame, scale = rng.uniform(0, 60, (80, axes)), rng.integers(0, 50, 80), rng.uniform(1, 3, (80, axes))
    scale[:, 1] = scale[:, 0]
    centers, edges = np.arange(0, 80, 3), pairs.rings(groups)
    found = pairs.count_pairs(points, frame, scale, centers, longest)
    expected = np.zeros((*(len(edges) - 1,) * groups, len(pairs.LAGS)))
    for i in centers:
        for j in range(80):
            apart = [math.dist(points[i, :2], points[j, :2]), *np.abs(points[i] - points[j])[2:]]
            apart = [
                d / math.sqrt((scale[i, k] ** 2 + scale[j, k] ** 2) / 2) for d, k in zip(apart, (0, 2), strict=False)
            ]
            if i != j and all(d < far for d, far in zip(apart, longest, strict=True)):
                cell = [sum(edge * far <= d for edge in edges) - 1 for d, far in zip(apart, longest, strict=True)]
                expected[(*cell, sum(lag <= abs(frame[i] - frame[j]) for lag in pairs.LAGS) - 1)] += 1
    assert found.sum() > 300 and np.array_equal(found, expected.reshape(found.shape))


def test_independent_pairs_are_those_of_all_frames():
    frame = np.random.default_rng(3).integers(0, 60, 90)
    lag = np.abs(frame[:, None] - frame[None])[np.triu_indices(90, 1)]
    expected = np.bincount(np.searchsorted(pairs.LAGS, lag, side="right") - 1, minlength=len(pairs.LAGS)) / len(lag)
    assert np.allclose(pairs.independent_pairs(*np.unique(frame, return_counts=True)), expected)


def test_of_many_detections_a_share_has_its_pairs_counted(monkeypatch):
    rng = np.random.default_rng(5)
    points, frame = rng.uniform(0, 1e4, (20_000, 2)), rng.integers(0, 1000, 20_000)
    monkeypatch.setattr(pairs, "CENTERS", 5_000)
    chosen = pairs.are_centers(points, frame, 20_000)
    assert 4_700 < chosen.sum() < 5_300
    order = rng.permutation(20_000)
    assert np.array_equal(pairs.are_centers(points[order], frame[order], 20_000), chosen[order])


def test_median_precision_leaves_out_what_is_missing():
    stated = np.array([0.0, np.nan, -3.0, np.inf, 5.0, 10.0, 20.0, 10.0])
    counts = pairs.precision_counts(stated)
    assert counts.sum() == 4
    assert pairs.median_precision_nm(counts, 8) == pytest.approx(10.0, rel=0.03)
    assert pairs.median_precision_nm(counts, 9) is None


def test_too_few_frames_have_no_law():
    counts = np.zeros((len(pairs.rings(1)) - 1, len(pairs.LAGS)), np.int64)
    law = estimate(Counted(counts, (256.0,), 9, np.array([3]), np.array([9]), 1.0))
    assert not law.blinks
    assert merge_detections(np.zeros((3, 2)), [1, 1, 1]).molecule.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50nm", "give auto, or a radius and a gap"),
        ("50,25", "such as 50nm,25frames"),
        ("0nm,25frames", "positive radius"),
        ("50nm,0frames", "at least 1 frame"),
        (50, "is of type int"),
    ],
)
def test_a_rule_that_cannot_be_used(text, said):
    with pytest.raises(UsageError, match=said):
        Settings(merge=text)


def test_a_rule_has_one_spelling_and_counts_in_the_digest():
    assert Settings(merge=" 0.05 um , 25 Frames").merge == Settings(merge="50nm,25frames").merge == "50nm,25frames"
    assert Settings(merge="AUTO").merge == "auto" and Settings().merge is None
    assert merge_rule("50nm,1frame") == FixedRule(50.0, 1)
    assert len({Settings(merge=m).digest() for m in (None, "auto", "50nm,25frames", "50nm,26frames")}) == 4
    assert pickle.loads(pickle.dumps(Settings(merge="auto"))) == Settings(merge="auto")


@pytest.mark.parametrize(
    ("points", "frame", "rule", "said"),
    [
        (np.zeros((3, 2)), [1, 2], "auto", "shape"),
        (np.zeros((2, 2)), [1, 2.5], "auto", "whole numbers"),
        ([[0, np.nan]], [1], "auto", "finite"),
        (np.zeros((2, 4)), [1, 2], "auto", "shape"),
        (np.zeros((0, 2)), [], "auto", "no detections"),
    ],
)
def test_arrays_that_cannot_be_merged(points, frame, rule, said):
    with pytest.raises(UsageError, match=said):
        merge_detections(points, frame, rule=rule)


def test_axial_precision_is_estimated_by_itself():
    """Whether precisions are stated or not; and each molecule has them along its own axes."""
    rng = np.random.default_rng(4)
    points, frame, molecule = blinking_field(rng, 1000, 6000.0, 10.0, 0.75, 15.0, 20_000, axial_nm=35.0)
    merged = merge_detections(points, frame)
    assert merged.law.spread == pytest.approx(10.0, rel=0.1) and merged.law.spread_z == pytest.approx(35.0, rel=0.1)
    assert len(merged.molecules.detections) == pytest.approx(1000, rel=0.05)
    assert adjusted_rand_index(molecule, merged.molecule) > 0.97
    root = np.sqrt(merged.molecules.detections)
    assert np.allclose(merged.molecules.uncertainty_z_nm, merged.law.spread_z / root)
    lateral, axial = np.full(len(points), 10.0), np.full(len(points), 70.0)
    stated = merge_detections(points, frame, uncertainty_nm=lateral, uncertainty_z_nm=axial)
    assert stated.law.spread == pytest.approx(1.0, rel=0.1) and stated.law.spread_z == pytest.approx(0.5, rel=0.1)
    instead = merge_detections(points, frame, uncertainty_nm=lateral)
    assert instead.law.spread_z == pytest.approx(3.5, rel=0.1)  # in multiples of the lateral ones


@pytest.mark.parametrize("decay", [4000.0, 1e9])
def test_dense_clusters_whose_molecules_are_active_early_are_counted(decay):
    """Forty molecules within a few precisions; half of them begin in a tenth of the time."""
    rng = np.random.default_rng(14)
    points, frame, molecule = blinking_field(rng, 600, 2500.0, 20.0, 0.75, 8.0, 30_000)
    centers = rng.uniform(0, 2500, (15, 2))[rng.integers(15, size=600)]
    begins = np.minimum(rng.exponential(decay, 600), rng.uniform(0, 30_000, 600)).astype(int)
    first = np.full(600, 10**9)
    np.minimum.at(first, molecule, frame)
    points = (centers + rng.normal(0, 30, (600, 2)))[molecule] + rng.normal(0, 20, points.shape)
    merged = merge_detections(points, frame - first[molecule] + begins[molecule])
    assert len(merged.molecules.detections) == pytest.approx(600, rel=0.1)
    assert merged.law.returns == pytest.approx(0.75, abs=0.04)


def test_long_dark_times_are_found_where_there_are_any():
    rng = np.random.default_rng(15)
    points, frame, _ = blinking_field(rng, 800, 4000.0, 10.0, 0.8, 900.0, 20_000)
    slow = merge_detections(points, frame).law
    assert slow.returns == pytest.approx(0.8, abs=0.06)
    assert (slow.weights / slow.rates**2).sum() / slow.returns == pytest.approx(900, rel=0.3)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 40)), min_size=1, max_size=60, unique_by=lambda x: x[0]))
def test_periods_hold_all_detections(drawn):
    frames, counts = (np.array(column) for column in zip(*sorted(drawn), strict=True))
    since, active = activity(frames, counts)
    assert since[0] == frames[0] and (np.diff(since) > 0).all() and len(since) <= 32 and (active > 0).all()
    lengths = np.diff(np.append(since, frames[-1] + 1))
    mean = counts.sum() / (frames[-1] - frames[0] + 1)
    held = np.histogram(np.repeat(frames, counts), np.append(since, frames[-1] + 1))[0]
    assert np.allclose(active * lengths * mean, held)
    law = replace(LAW, since=since, active=active)
    assert np.allclose(law.log_active(frames), np.log(active[np.searchsorted(since, frames, side="right") - 1]))


def test_amounts_are_found_where_the_usual_solver_gives_up(monkeypatch):
    terms = np.exp(-np.outer(np.arange(12), [0.1, 0.5, 2.0]))
    expected = estimating._not_negative(terms, terms @ [3.0, 0.0, 1.0])
    assert np.allclose(expected, [3, 0, 1], atol=1e-8)

    def gives_up(*_, **__):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("scipy.optimize.nnls", gives_up)
    assert np.allclose(estimating._not_negative(terms, terms @ [3.0, 0.0, 1.0]), expected, atol=1e-3)
