from __future__ import annotations

import numpy as np
import pytest

from caml_dask.errors import UsageError
from caml_dask.schema import CLUSTERED, FIBER, NO_CLUSTER, NON_CLUSTERED
from caml_dask.simulate.unknown import KINDS, Sample, draw_field

ARRAYS = ("points_nm", "truth", "classes", "molecule", "scatter_nm", "uncertainty_nm", "frame")


def drawn(seed: int, **how: object) -> Sample:
    return draw_field(np.random.default_rng(seed), **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def many() -> list[Sample]:
    return [drawn(seed, axes=2 + seed % 2, least=40, most=1_500) for seed in range(150)]


@pytest.mark.parametrize("axes", [2, 3])
def test_a_seed_gives_the_same_field(axes: int) -> None:
    one, again, other = drawn(7, axes=axes), drawn(7, axes=axes), drawn(8, axes=axes)
    assert one.points_nm.shape[1] == axes
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert one.points_nm.shape != other.points_nm.shape or (one.points_nm != other.points_nm).any()


def test_every_field_keeps_its_bounds_and_is_finite(many: list[Sample]) -> None:
    for sample in many:
        n = len(sample.points_nm)
        assert 40 <= n <= 1_500
        assert np.isfinite(sample.points_nm).all()
        assert all(len(getattr(sample, name)) == n for name in ARRAYS)


def test_truth_is_numbered_without_gaps_and_agrees_with_the_classes(many: list[Sample]) -> None:
    for sample in many:
        found = np.unique(sample.truth[sample.truth != NO_CLUSTER])
        np.testing.assert_array_equal(found, np.arange(len(found)))
        np.testing.assert_array_equal(sample.truth == NO_CLUSTER, sample.classes == NON_CLUSTERED)


def test_a_cluster_has_three_molecules_and_a_molecule_one_cluster(many: list[Sample]) -> None:
    for sample in many:
        pairs = np.unique(np.column_stack([sample.molecule, sample.truth]), axis=0)
        assert len(pairs) == len(np.unique(sample.molecule))
        clustered = pairs[pairs[:, 1] != NO_CLUSTER, 1]
        assert not len(clustered) or np.bincount(clustered).min() >= 3


def elongation(points: np.ndarray) -> float:
    """How many times longer than wide a cluster is, by its principal axes."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return float(spread[0] / max(spread[1], 1e-9))


def test_what_is_classed_as_a_fiber_is_long() -> None:
    found: dict[int, list[float]] = {CLUSTERED: [], FIBER: []}
    for seed in range(150):
        sample = drawn(seed, blinking=0.0, least=300, most=2_000)
        for cluster in range(sample.truth.max(initial=-1) + 1):
            members = sample.truth == cluster
            if members.sum() >= 20:
                (label,) = set(sample.classes[members].tolist())
                found[label].append(elongation(sample.points_nm[members]))
    assert len(found[FIBER]) > 15
    assert np.median(found[FIBER]) > 4 > np.quantile(found[CLUSTERED], 0.8)


def test_molecules_blink_only_where_it_says_so(many: list[Sample]) -> None:
    for sample in many:
        repeats = len(sample.molecule) - len(np.unique(sample.molecule))
        assert (repeats > 0) == sample.blinking


def test_detections_of_a_molecule_scatter_by_their_uncertainty() -> None:
    scaled = []
    for seed in range(200):
        sample = drawn(seed, blinking=1.0, least=100, most=2_000)
        of = {m: np.flatnonzero(sample.molecule == m) for m in np.unique(sample.molecule)[:50]}
        for rows in of.values():
            if len(rows) == 2:
                gap = sample.points_nm[rows[0]] - sample.points_nm[rows[1]]
                scaled.extend(gap / np.sqrt((sample.scatter_nm[rows] ** 2).sum()))
    assert len(scaled) > 500
    # the drift that some fields have left over makes it a little more than 1
    assert np.median(np.abs(scaled)) / 0.6745 == pytest.approx(1.0, abs=0.15)


def test_a_fitter_states_at_most_a_little_too_much_and_at_times_half() -> None:
    found = []
    for seed in range(150):
        sample = drawn(seed, blinking=1.0, least=300, most=2_000)
        _, first = np.unique(sample.molecule, return_index=True)
        found.append(np.exp(np.mean(np.log(sample.scatter_nm / sample.uncertainty_nm)[first])))
    times = np.array(found)
    assert (times > 0.8).all() and (times < 2.3).all()
    assert 0.1 < np.mean(times > 1.4) < 0.35 and np.mean(np.abs(times - 1) < 0.1) > 0.4


def test_some_molecules_of_some_fields_blink_far_longer_than_the_others() -> None:
    most = []
    for seed in range(150):
        counts = np.unique(drawn(seed, blinking=1.0, least=500, most=4_000).molecule, return_counts=True)[1]
        most.append(counts.max() / counts.mean())
    assert 0.1 < np.mean(np.array(most) > 12) < 0.5


def test_all_kinds_occur_and_random_fields_have_no_cluster(many: list[Sample]) -> None:
    assert {sample.kind for sample in many} == set(KINDS)
    assert any((sample.classes == FIBER).any() for sample in many)
    for sample in many:
        if sample.kind == "random":
            assert (sample.truth == NO_CLUSTER).all()
        if sample.kind == "one cluster":
            assert sample.truth.max() <= 0


def test_clusters_are_denser_than_what_is_around_them(many: list[Sample]) -> None:
    """The nearest neighbor of a clustered molecule is nearer, in most fields, than that of another."""
    denser = []
    for sample in many:
        if sample.kind == "mixed" and not sample.blinking and 0.1 < (sample.truth >= 0).mean() < 0.9:
            gap = np.linalg.norm(sample.points_nm[:, None] - sample.points_nm, axis=2)
            nearest = np.sort(gap, axis=1)[:, 3]
            denser.append(np.median(nearest[sample.truth >= 0]) < np.median(nearest[sample.truth < 0]))
    assert len(denser) > 15
    assert np.mean(denser) > 0.9


@pytest.mark.parametrize("how", [{"axes": 4}, {"least": 500, "most": 500}, {"least": 3}])
def test_bounds_that_make_no_field_are_refused(how: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="give 2 or 3 axes"):
        drawn(0, **how)
