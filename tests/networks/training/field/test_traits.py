from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train'")

from caml_dask.networks.field.architecture import TRAITS
from caml_dask.networks.field.graph import build_graph
from caml_dask.networks.field.network import Layers
from caml_dask.networks.training.field import traits
from caml_dask.networks.training.field.model import initial_weights
from caml_dask.networks.training.field.traits import learn_traits, measure_traits, trait_loss, traits_of
from caml_dask.simulate.unknown import Sample

DRAW = {"least": 200, "most": 600}


def sample(points: np.ndarray, truth: np.ndarray, molecule: np.ndarray, blinking: bool) -> Sample:
    n = len(points)
    scatter, stated, frame = np.full(n, 6.0), np.full(n, 4.0), np.zeros(n, np.int64)
    return Sample(points, truth, truth.astype(np.int8), molecule, scatter, stated, frame, "mixed", blinking)


def test_traits_of_a_field_that_is_known() -> None:
    square = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    points = np.vstack([10 * square, 40 * square + 500, [[900.0, 0]]])
    truth, molecule = np.array([0] * 4 + [1] * 4 + [-1]), np.array([0, 0, 0, 1, 2, 3, 4, 5, 6])
    found = dict(zip(TRAITS, traits_of(sample(points, truth, molecule, True), 2.0), strict=True))
    radii = np.log(np.sqrt(2) * np.array([10, 40]) / 2)
    assert found["blinking"] == 1
    assert found["share"] == pytest.approx(8 / 9)
    assert found["log_precision"] == pytest.approx(np.log(3))
    assert found["log_detections"] == pytest.approx(np.log(9 / 7))
    assert found["log_radius"] == pytest.approx(radii.mean())
    assert found["radius_spread"] == pytest.approx(radii.std())
    assert found["log_members"] == pytest.approx(np.log(4))
    assert found["members_spread"] == pytest.approx(0)


def test_a_field_has_no_traits_of_what_is_not_there() -> None:
    found = traits_of(sample(np.zeros((9, 2)), np.full(9, -1), np.arange(9), False), 1.0)
    known = {trait for trait, value in zip(TRAITS, found, strict=True) if np.isfinite(value)}
    assert known == {"blinking", "share"}
    told = np.full((1, len(TRAITS)), 3.0, np.float32)
    loss = float(trait_loss(found[None], told)[0])
    assert loss == pytest.approx(2 * np.log1p(np.exp(3.0)), rel=1e-5)  # nothing but two cross-entropies


def test_what_was_learned_tells_fields_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "FIELDS_A_PART", 200)
    weights = learn_traits(1, 400, DRAW, tmp_path, 0)
    layers = Layers({**initial_weights(0), **weights})
    inputs, wanted = traits._drawn(2, range(150), DRAW, tmp_path / "others" / "traits", 0)
    _, told = layers.regions(inputs)
    for trait in ("share", "log_precision", "log_radius"):
        at = TRAITS.index(trait)
        known = np.isfinite(wanted[:, at])
        assert np.corrcoef(told[known, at], wanted[known, at])[0, 1] > 0.3, trait
    found = measure_traits(layers.raw, 2, 0, 150, DRAW, tmp_path / "others", 0)
    right = ((told[:, 0] > 0) == (wanted[:, 0] > 0)).mean()
    assert found["rightly_told_whether_they_re_blink"] == pytest.approx(right, abs=1e-3)
    assert found["median_error"]["log_precision"] < np.nanstd(wanted[:, TRAITS.index("log_precision")])


def test_learning_that_was_stopped_draws_no_field_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "FIELDS_A_PART", 100)
    monkeypatch.setattr(traits, "EPOCHS", 1)
    whole = learn_traits(1, 256, DRAW, tmp_path / "whole", 0)
    drawn = []
    draw = traits.draw_field
    monkeypatch.setattr(traits, "draw_field", lambda *a, **k: drawn.append(1) or draw(*a, **k))
    parts = tmp_path / "folder" / "traits"
    parts.mkdir(parents=True)
    traits._part(1, range(100), DRAW, parts)
    again = learn_traits(1, 256, DRAW, tmp_path / "folder", 0)
    assert len(drawn) == 256
    for name, value in whole.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6, err_msg=name)


def test_learning_from_more_fields_goes_on_with_those_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "FIELDS_A_PART", 256)
    monkeypatch.setattr(traits, "EPOCHS", 1)
    before = learn_traits(1, 256, DRAW, tmp_path, 0)
    drawn = []
    part = traits._part
    monkeypatch.setattr(traits, "_part", lambda *a: drawn.append(a[1]) or part(*a))
    after = learn_traits(1, 512, DRAW, tmp_path, 0)
    assert drawn == [range(256, 512)]
    afresh = learn_traits(1, 256, DRAW, tmp_path / "afresh", 0)
    for name, value in before.items():
        np.testing.assert_allclose(value, afresh[name], atol=1e-6)
        # one batch: a step of at most a quarter of the largest for each weight
        assert 0 < np.abs(after[name] - value).max() < traits.LARGEST_STEP / 3, name


def test_a_precision_that_is_told_counts_where_none_is_given() -> None:
    layers = Layers(initial_weights(0))
    points = np.random.default_rng(0).uniform(0, 1_000, (60, 2))
    given = np.where(np.arange(60) < 30, 12.0, 0.0)
    nodes = build_graph(points, given).nodes
    context = np.zeros((60, 32), np.float32)
    told = np.zeros((60, len(TRAITS)), np.float32)
    other = told.copy()
    other[:, 1] = 2.0
    moved = (layers.enter(nodes, context, told) != layers.enter(nodes, context, other)).any(axis=1)
    np.testing.assert_array_equal(moved, given == 0)
