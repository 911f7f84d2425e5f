from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from caml_dask.networks.field.graph import Graph, build_graph
from caml_dask.networks.field.ranks import NEIGHBORS, USED_RANKS
from caml_dask.networks.field.region import region_histogram, region_inputs
from caml_dask.networks.field.said import Said
from caml_dask.networks.field.whole import say
from caml_dask.simulate.unknown import draw_field
from caml_dask.spatial.ranked import ranked_neighbors

pytest.importorskip("tensorflow", reason="draws its weights as training does: install the extra 'train'")
from caml_dask.networks.training.field.model import FieldNetwork, initial_weights, tensors

ANSWERS = ("clustered", "offset_nm", "radius_nm", "error_nm", "same")


def weights(axes: int = 2) -> dict[str, np.ndarray]:
    """Drawn weights, with biases, so that each has a say."""
    rng = np.random.default_rng(axes)
    drawn = initial_weights(axes)
    moved = {n: w + rng.normal(scale=0.1, size=w.shape).astype(np.float32) for n, w in drawn.items()}
    return {**moved, "bend": np.array([0.8, -1.7], np.float32), "decision": np.array([0.5, 0.2], np.float32)}


def field(axes: int = 2, seed: int = 0, least: int = 300) -> np.ndarray:
    return draw_field(np.random.default_rng(seed), axes=axes, least=least, most=1_000).points_nm


def answer(points: np.ndarray, threads: int = 1, uncertainty: np.ndarray | None = None) -> Said:
    return say(weights(points.shape[1]), build_graph(points, uncertainty), threads)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("n", [30, 101, 700])
def test_says_what_the_trained_network_says(axes: int, n: int) -> None:
    points = field(axes, least=n)[:n]
    uncertainty = np.random.default_rng(1).gamma(5.0, 3.0, n)
    graph = build_graph(points, uncertainty)
    said = say(weights(axes), graph)
    arrays = {name: value for name, value in vars(graph).items() if name != "unit_nm"}
    arrays |= {"region": graph.region[None], "field": np.zeros(n, np.int32)}
    wanted = {n: v.numpy() for n, v in FieldNetwork(weights(axes), 1)(tensors(arrays)).items()}
    plain = 1 / (1 + np.exp(-wanted["clustered"]))
    bent = wanted["clustered"] + 0.8 * plain - 1.7 * plain**2
    np.testing.assert_allclose(np.log(said.clustered / (1 - said.clustered)), bent, atol=1e-2)
    np.testing.assert_allclose(said.offset_nm / graph.unit_nm, wanted["offset"], atol=1e-3)
    np.testing.assert_allclose(np.log(said.radius_nm / graph.unit_nm), wanted["log_radius"], atol=1e-2)
    np.testing.assert_allclose(np.log(said.error_nm / graph.unit_nm), wanted["log_error"], atol=1e-2)
    np.testing.assert_allclose(said.same, 1 / (1 + np.exp(-wanted["same"])), atol=2e-3)


def test_no_bit_depends_on_threads() -> None:
    points = field()
    one, four = answer(points), answer(points, threads=4)
    for name in ANSWERS:
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


def test_the_order_of_rows_changes_no_bit_where_no_distances_are_equal() -> None:
    points = field()
    order = np.random.default_rng(0).permutation(len(points))
    one, moved = answer(points), answer(points[order])
    for name in ANSWERS:
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(moved, name))


def test_a_row_depends_on_its_own_input_alone() -> None:
    """The same localization among others that it exchanges no message with, in a region told to be the same."""
    points = np.vstack([field(seed=1), field(seed=2) + 1e6])
    whole = build_graph(points)
    n = len(field(seed=1))
    alone = Graph(*(getattr(whole, name)[:n] for name in ("nodes", "neighbors", "present", "edges", "directions")),
                  whole.region, whole.unit_nm)  # fmt: skip
    silent = {name: w * 0 if name.startswith("shared") else w for name, w in weights().items()}
    one, part = say(silent, whole), say(silent, alone)
    for name in ANSWERS:
        np.testing.assert_array_equal(getattr(one, name)[:n], getattr(part, name))


@pytest.mark.parametrize("axes", [2, 3])
def test_rotations_and_reflections_change_nothing_but_directions(axes: int) -> None:
    points = field(axes)
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(axes, axes)))
    for matrix in (turn, turn * np.array([-1] + [1] * (axes - 1))):
        one, turned = answer(points), answer(points @ matrix)
        np.testing.assert_allclose(turned.clustered, one.clustered, atol=2e-3)
        np.testing.assert_allclose(turned.same, one.same, atol=2e-3)
        scale = np.abs(one.offset_nm).max()
        np.testing.assert_allclose(turned.offset_nm, one.offset_nm @ matrix, atol=2e-3 * scale)


def test_the_unit_of_length_changes_nothing_but_lengths() -> None:
    points = field()
    one, larger = answer(points), answer(points * 8.0)  # whole bins of the histograms
    np.testing.assert_allclose(larger.clustered, one.clustered, atol=2e-3)
    np.testing.assert_allclose(larger.radius_nm, 8 * one.radius_nm, rtol=1e-2)


def test_known_precision_is_heard() -> None:
    points = field()
    n = len(points)
    without, fine, coarse = (answer(points, uncertainty=u) for u in (None, np.full(n, 3.0), np.full(n, 60.0)))
    assert (without.clustered != fine.clustered).mean() > 0.9
    assert (coarse.clustered != fine.clustered).mean() > 0.9


def test_histograms_of_parts_add_up_to_that_of_the_whole() -> None:
    points = field(least=500)
    distances = ranked_neighbors(points, NEIGHBORS)[1][:, USED_RANKS - 1]
    whole = region_histogram(distances)
    parts = sum(region_histogram(part) for part in np.array_split(distances, 7))
    np.testing.assert_array_equal(whole, parts)
    assert (whole.sum(axis=1) == len(points)).all()


def test_the_unit_of_a_region_is_the_median_distance_to_the_tenth_neighbor() -> None:
    points = field(least=800)
    _, distances = ranked_neighbors(points, NEIGHBORS)
    inputs, unit = region_inputs(region_histogram(distances[:, USED_RANKS - 1]), len(points))
    assert unit == pytest.approx(np.median(distances[:, 9]), rel=0.05)
    quantiles = np.log(np.quantile(distances[:, 19], [0.1, 0.5, 0.9]) / unit)
    np.testing.assert_allclose(inputs[[4 * 7 + 1, 4 * 7 + 3, 4 * 7 + 5]], quantiles, atol=0.1)


@pytest.mark.parametrize(
    "points", [np.zeros((40, 2)), np.repeat(np.random.default_rng(0).uniform(0, 99, (5, 2)), 30, 0)]
)
def test_duplicates_give_finite_answers(points: np.ndarray) -> None:
    said = answer(points)
    for name in ANSWERS:
        assert np.isfinite(getattr(said, name)).all()


def test_a_graph_without_its_far_edges_is_still_answered() -> None:
    graph = build_graph(field(least=31)[:31])
    assert graph.present.sum(axis=1).max() < graph.present.shape[1]
    changed = replace(graph, edges=graph.edges + 5 * (1 - graph.present[..., None]))
    one, other = say(weights(), graph), say(weights(), changed)
    np.testing.assert_array_equal(one.clustered, other.clustered)
