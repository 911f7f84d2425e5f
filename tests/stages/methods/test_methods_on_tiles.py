"""Methods in the pipeline: what others find, and the same bits on any tiling (DESIGN section 4)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, components, distances, same_partition, without_small
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts
from sklearn.cluster import HDBSCAN as Fitted
from sklearn.metrics import adjusted_rand_score
from tiled_methods import analysis, stages
from voronoi_oracle import sr_tesseler

from caml_dask import CAML, analyze
from caml_dask.errors import InputError, UsageError
from caml_dask.methods import DBSCAN, HDBSCAN, METHODS, DominantSets, GetisFranklin, ToMATo, Voronoi
from caml_dask.spatial.dominant import dominant_sets
from caml_dask.stages.methods import fit
from caml_dask.stages.methods.settle import settled

TRIED = [
    GetisFranklin(40.0, 60.0),
    GetisFranklin(25.0, 30.0, 60.0),
    Voronoi(1.5, 0),
    Voronoi(2.0, 1),
    HDBSCAN(4),
    ToMATo(50.0, 200.0, 4),
    DominantSets(60.0, 0.5),
    DBSCAN("auto", 4),
]


@settings(max_examples=30)
@given(layouts(most=40), st.sampled_from(TRIED), st.sampled_from([1, 5, 13, 20]))
def test_tiling_changes_nothing(points, method, tile):
    try:
        one = analysis(points, method)
    except InputError as error:  # a line has no area, and some fields no radius
        with pytest.raises(InputError, match=str(error)[:20]):
            analysis(points, method, tile)
        return
    many = analysis(points, method, tile)
    assert one.work.partition().n_tiles == 1
    assert many.points.equals(one.points)
    assert many.clusters.equals(one.clusters)


@pytest.mark.parametrize("method", TRIED, ids=str)
def test_the_order_of_rows_changes_nothing_and_lengths_scale(method):
    xy, _ = clustered_field(3)
    order = np.random.default_rng(0).permutation(len(xy))
    one = analysis(xy, method).cluster_id
    assert same_partition(one[order], analysis(xy[order], method, 30).cluster_id)
    assert len(set(one)) > 2
    if isinstance(method, Voronoi):
        assert np.array_equal(analysis(xy * 4, method, 30).cluster_id, one)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("link", [None, 20.0])
def test_getis_franklin_is_that_of_all_pairs(seed, link):
    xy, _ = clustered_field(seed)
    d = distances(xy)
    l_nm = np.sqrt(1e6 * ((d <= 40).sum(axis=1) - 1) / (math.pi * (len(xy) - 1)))
    want = components(d <= (link or 40), np.flatnonzero(l_nm >= 90))
    found = analysis(xy, GetisFranklin(40.0, 90.0, link), 25, min_points=4, area_um2=1.0).cluster_id
    assert same_partition(found, without_small(want, 4))
    assert 2 <= len(set(found)) < len(xy)


def test_the_threshold_is_met_by_its_least_neighbors_in_a_closed_form():
    """Three of four localizations within 5 nm of one another, in 100 nm2: L = sqrt(100 x 2 / (3 pi)) = 4.607 nm."""
    limit = math.sqrt(200 / (3 * math.pi))
    for threshold, least in ((limit, 3), (np.nextafter(limit, 9), 4), (limit / 2, 2), (1e-9, 2)):
        assert GetisFranklin(5.0, threshold).least_samples(4, 100.0) == least


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_voronoi_is_that_of_scipys_diagram(seed, rank):
    xy, _ = clustered_field(seed)
    xy = np.vstack([xy, xy[:5]])
    found = analysis(xy, Voronoi(1.7, rank), 20, min_points=4).cluster_id
    assert same_partition(found, sr_tesseler(xy, 1.7, rank, 4))
    given = analysis(xy, Voronoi(1.7, rank), 20, min_points=4, area_um2=0.5).cluster_id
    assert same_partition(given, sr_tesseler(xy, 1.7, rank, 4, area_um2=0.5))
    assert not same_partition(given, found)


def test_two_knots_in_a_lattice_are_found():
    """Nine localizations 2 nm apart at two places of a lattice of 20 nm."""
    knot = 2.0 * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    lattice = 20.0 * np.stack(np.meshgrid(range(21), range(21)), axis=-1).reshape(-1, 2)
    xy = np.vstack([knot + 90.0, lattice, knot + np.array([310.0, 210.0])])
    want = np.concatenate([np.zeros(9), np.full(len(lattice), -1), np.ones(9)])
    assert same_partition(analysis(xy, Voronoi(2.0, 0), 100).cluster_id, want)


def test_hdbscan_is_scikit_learns():
    xy, _ = clustered_field(1)
    order = np.lexsort(xy.T[::-1])
    for method in (HDBSCAN(8), HDBSCAN(5, 3, leaf=True)):
        theirs = Fitted(
            min_cluster_size=method.min_cluster_size,
            min_samples=method.min_samples,
            cluster_selection_method="leaf" if method.leaf else "eom",
            copy=True,
        ).fit_predict(xy[order])
        assert same_partition(analysis(xy, method, 25).cluster_id[order], theirs)


def test_dominant_sets_that_are_coherent_and_large_enough_are_clusters():
    xy, truth = clustered_field(1)
    order = np.lexsort(xy.T[::-1])
    number, cohesiveness = dominant_sets(xy[order], 100.0)
    large, coherent = np.bincount(number) >= 6, cohesiveness >= 0.6
    assert (coherent & ~large).any() and not coherent.all()
    want = np.where((coherent & large)[number], number, -1)
    found = analysis(xy, DominantSets(100.0, 0.6), 25, min_points=6).cluster_id
    assert same_partition(found[order], want)
    assert adjusted_rand_score(truth, found) > 0.75


@pytest.mark.parametrize("method", [HDBSCAN(4), ToMATo(50.0, 200.0, 4), DominantSets(60.0)], ids=str)
def test_what_one_worker_cannot_hold_is_refused_before_anything_is_done(method, monkeypatch):
    monkeypatch.setattr(type(method), "most_localizations", 100)
    said = rf"has 132 localizations; {method.name} looks at all of an image at once, and takes up to 100: analyze parts"
    with pytest.raises(InputError, match=said) as refused:
        analyze(clustered_field(1)[0], method=method)
    assert "--method dbscan or getis-franklin or voronoi" in str(refused.value)


def test_a_graph_of_too_many_links_is_refused(monkeypatch):
    monkeypatch.setattr(fit, "MOST_PAIRS", 1000)
    with pytest.raises(
        InputError, match="pairs of localizations lie within link_nm 200; one worker looks at up to 1,0"
    ):
        analysis(clustered_field(1)[0], ToMATo(200.0, 200.0, 4))


@pytest.mark.parametrize("method", [m for m in TRIED if m.dimensions == 2], ids=str)
def test_three_dimensions_are_refused(method):
    with pytest.raises(InputError, match=f"has 3 coordinates a localization; {method.name} takes 2"):
        analysis(np.random.default_rng(0).uniform(0, 900, (40, 3)), method)


@pytest.mark.parametrize("method", [HDBSCAN(10), DominantSets(60.0)], ids=str)
def test_three_dimensions_are_told_apart(method):
    rng = np.random.default_rng(0)
    xyz = np.vstack([rng.normal((200, 200, z), 5, (30, 3)) for z in (0, 300)])
    found = CAML(method=method, max_localizations=13, n_jobs=1).fit_predict(xyz)
    assert same_partition(found, np.repeat([0, 1], 30))


def test_the_mean_density_is_that_of_what_is_counted():
    """A dense quarter: relative to it alone, fewer are over the threshold than relative to the whole field."""
    rng = np.random.default_rng(2)
    xy = np.vstack([rng.uniform(0, 2000, (200, 2)), rng.uniform(0, 1000, (600, 2))])
    quarter = "x=0..1000,y=0..1000"
    inside = int((xy <= 1000).all(axis=1).sum())
    for method in (GetisFranklin(60.0), Voronoi()):
        of_region = settled(stages(xy, method, 100, "plan", roi=quarter))
        assert of_region["density_per_um2"] == pytest.approx(inside)
        assert settled(stages(xy, method, 100, "plan", area_um2=8.0))["density_per_um2"] == pytest.approx(100)
        masked = settled(stages(xy, method, 100, "plan", cell_mask="auto"))["density_per_um2"]
        assert 200 < masked < 800
        whole, part = (analysis(xy, method, **chosen) for chosen in ({}, {"roi": quarter}))
        assert (whole.cluster_id >= 0).sum() > (part.cluster_id >= 0).sum()


def test_random_fields_are_compared_with_the_density_of_the_image():
    """Random fields of a dense part would hold no cluster if their own density decided."""
    rng = np.random.default_rng(3)
    xy = np.vstack([rng.uniform(0, 10_000, (300, 2)), rng.uniform(0, 1_500, (1500, 2))])
    result = analyze(xy, method=GetisFranklin(60.0), n_jobs=1)
    assert result.summary["csr_test"]["percent_clustered_random"] > 30


@pytest.mark.parametrize("method", [GetisFranklin(60.0), Voronoi()], ids=str)
def test_a_line_has_no_mean_density(method):
    for line in (np.column_stack([np.arange(9.0), np.zeros(9)]), np.arange(18.0).reshape(9, 2)):
        with pytest.raises(InputError, match="line"):
            analysis(line * 100, method)


def test_the_radius_is_found_kept_and_told(tmp_path):
    xy, _ = clustered_field(2, clusters=12, members=25, others=200, side=2500.0)
    result = analyze(xy, method=DBSCAN("auto"), test=False, n_jobs=1)
    found = result.summary["settled"]
    assert found["eps_from_nm"] < found["eps_nm"] < found["eps_to_nm"]
    again = analyze(xy, method=DBSCAN(found["eps_nm"]), test=False, n_jobs=1)
    assert again.clusters.equals(result.clusters) and len(result.clusters) > 8
    assert "settled" not in again.summary
    assert result.summary["method"]["eps_nm"] == "auto" and result.summary["warnings"] == []
    noise = analyze(np.random.default_rng(1).uniform(0, 3000, (1500, 2)), method=DBSCAN("auto"), test=False)
    assert [text.split(":")[0] for text in noise.summary["warnings"]] == ["radius-not-flat"]
    with pytest.raises(InputError, match="no radius makes clusters of min_samples 5"):
        analyze(np.repeat([[0.0, 0], [600, 0]], 20, axis=0), method=DBSCAN("auto"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HDBSCAN(1), "min_cluster_size=1: give a whole number from 2 on, such as 5"),
        (lambda: HDBSCAN(min_samples=0), "min_samples=0"),
        (lambda: HDBSCAN(leaf=1), "leaf=1: give True or False"),
        (lambda: GetisFranklin(50, float("nan")), "threshold_nm=nan: give a threshold of L"),
        (lambda: GetisFranklin(50, link_nm=-1.0), "link_nm=-1.0"),
        (lambda: GetisFranklin("50"), "radius_nm='50': give a radius above 0 in nm, such as 50"),
        (lambda: Voronoi(rank=2), "rank=2: give 0"),
        (lambda: Voronoi(0), "density_factor=0"),
        (lambda: ToMATo(50, -1), "persistence_per_um2=-1"),
        (lambda: ToMATo(50, 1, k=0), "k=0"),
        (lambda: DominantSets(0), "sigma_nm=0: give a distance above 0 in nm, such as 200"),
        (lambda: DominantSets(200, 1), "min_cohesiveness=1.0: give a cohesiveness from 0 to below 1, such as 0.8"),
        (lambda: DominantSets(200, -0.1), "min_cohesiveness=-0.1"),
        (lambda: DBSCAN("automatic"), "eps_nm='automatic': give a radius"),
    ],
)
def test_parameters_out_of_range_are_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_each_method_takes_the_place_of_the_network_in_the_clusterer():
    xy, truth = clustered_field(1)
    for method in (GetisFranklin(40.0), Voronoi(), HDBSCAN(8), ToMATo(50.0, 200.0), DominantSets(60.0), DBSCAN(25)):
        fitted = CAML(method=method, n_jobs=1).fit(xy)
        assert same_partition(fitted.labels_, analysis(xy, method).cluster_id)
        assert np.isnan(fitted.p_clustered_).all() and len(set(fitted.labels_[truth >= 0])) > 1
    assert {type(one).name for one in TRIED} == set(METHODS)
    with pytest.raises(UsageError, match="give one of them"):
        CAML("XPILJZ", method=Voronoi()).fit(xy)
