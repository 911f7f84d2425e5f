"""Warnings where a field lies outside what its network was trained on."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from support import Threshold, analyse_in_memory

from caml_dask import analyze
from caml_dask.schema import CLUSTERED
from caml_dask.simulate import Scenario, draw_cell, simulate
from caml_dask.stages.drift import summary as drift_summary
from caml_dask.stages.merging import summary as merging_summary
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared import tested, warnings
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.tally import tally


@dataclass(frozen=True)
class Truth(Threshold):
    """Says for each localization what is true of it; it knows them by their distances."""

    true: tuple[tuple[bytes, int], ...] = ()

    def scores(self, distances: np.ndarray) -> np.ndarray:
        known = dict(self.true)
        return np.array([known[row.tobytes()] for row in distances], np.float32)[:, None]


TRAINED = {"points_per_cluster": (5.0, 30.0), "percent_clustered": (5.0, 100.0), "contrast": (1.5, 100.0)}
KNOWING = {"name": "XPILJZ", "trained_on": TRAINED, "csr_percent": (4.0, 11.0)}


def field_and_truth(scenario: Scenario, n_neighbors: int = 40):
    from caml_dask.spatial.blocks import BlockIndex
    from caml_dask.spatial.neighbors import nearest

    rng = np.random.default_rng(4)
    field = simulate(scenario, rng, cell=draw_cell(rng, base_radius_nm=3_000, roughness_nm=900, field_nm=9_000))
    rows = nearest(BlockIndex.build(field.xy_nm), n_neighbors).distances_nm
    labels = (field.classes == CLUSTERED).astype(int).tolist()
    true = tuple((row.tobytes(), label) for row, label in zip(rows, labels, strict=True))
    return field.xy_nm, Truth(n_neighbors=n_neighbors, true=true, **KNOWING)


def warned(scenario: Scenario, tile: int = 10**6, **changes) -> list[str]:
    xy, truth = field_and_truth(scenario)
    result = analyse_in_memory(xy, replace(truth, **changes), tile)
    return summarise(result.work, MeasuredClusters(result.work))["warnings"]


def test_a_field_like_those_trained_on_earns_no_warning():
    assert warned(Scenario(20, 50.0, 50.0, 100.0)) == []


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (Scenario(20, 4.0, 50.0, 100.0), "times denser than the others; XPILJZ was trained on contrasts of 1.5 to 100"),
        (Scenario(35, 50.0, 50.0, 100.0), "in clusters of more than 30, the largest that XPILJZ was trained on"),
        (Scenario(60, 50.0, 50.0, 100.0), "--network field-2d has no window that they could exceed"),
        (Scenario(4, 20.0, 50.0, 100.0), "in clusters of fewer than 5, the smallest that XPILJZ was trained on"),
        (
            Scenario(20, 30.0, 2.0, 300.0),
            "% of the localizations are labelled clustered; XPILJZ was trained on 5 to 100",
        ),
    ],
)
def test_what_was_not_trained_on_is_said(scenario: Scenario, said: str):
    assert any(said in warning for warning in warned(scenario))


def test_each_warning_begins_with_an_identifier_that_the_documentation_lists():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "warnings.md").read_text()
    source = inspect.getsource(warnings) + inspect.getsource(tested)
    source += inspect.getsource(drift_summary) + inspect.getsource(merging_summary)
    said = re.findall(r'(?:yield \(?|append\(|return \[)\s*\(?\s*f?"([^"{]*)', source)
    assert len(said) > 18
    for text in said:
        assert (identifier := re.match(r"[a-z]+(-[a-z]+)+(?=: )", text)), text
        assert f"`{identifier[0]}`" in page, "docs/reference/warnings.md lists it"
    assert len(set(said)) == len(said)


def test_a_field_that_looks_like_one_without_clusters():
    """Where what is labelled is no more, and no denser, than chance makes it."""
    xy = np.random.default_rng(1).uniform(0, 5_000, (3_000, 2))
    rule = Threshold(n_neighbors=10, rank=1, below=0.09, **KNOWING)
    result = analyse_in_memory(xy, rule, 10**6)
    counts = tally(result.work)
    assert 0 < counts.labelled_clustered < 0.11 * 3_000
    found = summarise(result.work, MeasuredClusters(result.work))["warnings"]
    assert any("there may be no clusters here" in warning for warning in found) == (counts.contrast < 6.5)
    tight = replace(rule, csr_percent=(0.1, 0.2))
    result = analyse_in_memory(xy, tight, 10**6)
    assert not any("no clusters" in w for w in summarise(result.work, MeasuredClusters(result.work))["warnings"])


@pytest.mark.parametrize("percent", [20.0, 50.0, 80.0])
@pytest.mark.parametrize("radius", [25.0, 50.0, 100.0])
def test_contrast_is_estimated(percent: float, radius: float):
    scenario = Scenario(20, radius, percent, 100.0)
    xy, truth = field_and_truth(scenario)
    one, many = (tally(analyse_in_memory(xy, truth, tile).work) for tile in (10**6, 300))
    assert one.contrast == many.contrast
    assert np.array_equal(one.nearest, many.nearest)
    assert 0.75 < one.contrast / scenario.contrast < 1.6


def test_a_field_of_few_windows_is_told_of_a_smaller_one():
    xy = np.random.default_rng(1).uniform(0, 5_000, (900, 2))
    rule = Threshold(n_neighbors=300, rank=1, below=0.05, **KNOWING)
    result = analyse_in_memory(xy, rule, 10**6)
    found = summarise(result.work, MeasuredClusters(result.work))["warnings"]
    assert any("takes in 33 % of the localizations" in w and "--network field-2d would fit" in w for w in found)


@pytest.mark.parametrize(("points", "uneven"), [(60, False), (150, True), (200, True)])
def test_clusters_larger_than_the_window_are_told_of_though_they_are_not_seen(points: int, uneven: bool):
    """From inside such a cluster all looks even: the network calls most of it non-clustered."""
    xy, _ = field_and_truth(Scenario(points, 80.0, 50.0, 300.0))
    result = analyze(xy, network="XPILJZ")
    assert (result.summary["percent_clustered"] < 30) == uneven
    said = [w for w in result.summary["warnings"] if "from inside, structures of more than the 100" in w]
    assert bool(said) == uneven
    if uneven:
        assert "--network field-2d has no window that they could exceed" in said[0]


def test_a_void_does_not_count_as_surroundings():
    xy, _ = field_and_truth(Scenario(20, 50.0, 50.0, 100.0))
    rule = Threshold(n_neighbors=40, rank=10, below=0.5)
    whole, half_empty = (tally(analyse_in_memory(p, rule, 10**6).work) for p in (xy, np.vstack([xy, xy + 1e6])))
    assert half_empty.contrast == pytest.approx(whole.contrast, rel=0.03)
