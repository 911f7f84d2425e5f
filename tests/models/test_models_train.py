from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from caml_dask.errors import UsageError
from caml_dask.models import NETWORKS, load_weights, network, training_sets
from caml_dask.models import fit as fitting
from caml_dask.models import train as training
from caml_dask.models.features import norm_self
from caml_dask.models.fit import fit
from caml_dask.models.registry import FitSettings
from caml_dask.models.train import CSR_DENSITIES_PER_UM2, main, measure, measure_csr, train
from caml_dask.models.training_sets import (
    SPLITS,
    Samples,
    TrainingSets,
    draw_samples,
    load_set,
    neighbor_distances,
)
from caml_dask.simulate import Scenario, draw_cell, simulate

TINY = TrainingSets(
    n_train=1_200,
    n_validation=400,
    n_test=400,
    scenarios=(
        Scenario(20, 25.0, 50.0, 50.0),
        Scenario(10, 15.0, 20.0, 100.0),
        Scenario(10, 40.0, 100.0, 20.0),
    ),
)
QUICK = FitSettings(epochs=3, batch=64, learning_rate=1e-2)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def samples(work: Path) -> dict[str, Samples]:
    return {split: load_set(TINY, split, 100, work) for split in SPLITS}


def test_no_replicate_feeds_two_sets():
    replicates = [replicate for split in SPLITS.values() for replicate in split]
    assert len(replicates) == len(set(replicates))


def test_sets_are_balanced_and_share_no_sample(samples: dict[str, Samples]):
    rows = {}
    for split, found in samples.items():
        assert found.distances.shape == (TINY.size(split), 100)
        assert found.distances.dtype == np.float32
        assert (found.labels == 1).sum() == (found.labels == 0).sum() == TINY.size(split) // 2
        assert (np.bincount(found.scenario[found.labels == 1]) > TINY.size(split) // 8).all()
        assert (found.labels[found.scenario == 2] == 1).all()
        rows[split] = {row.tobytes() for row in found.distances}
        assert len(rows[split]) == TINY.size(split)
    assert not rows["train"] & rows["validation"]
    assert not (rows["train"] | rows["validation"]) & rows["test"]


def test_finished_parts_are_not_simulated_again(samples, work: Path, monkeypatch: pytest.MonkeyPatch):
    def again(*_):
        raise AssertionError("simulated again")

    monkeypatch.setattr(training_sets, "simulate", again)
    assert load_set(TINY, "test", 100, work).distances.tobytes() == samples["test"].distances.tobytes()
    with pytest.raises(AssertionError, match="again"):
        load_set(replace(TINY, seed=1), "test", 100, work)


def test_same_seed_same_sets(samples, tmp_path: Path):
    assert load_set(TINY, "validation", 100, tmp_path).distances.tobytes() == samples["validation"].distances.tobytes()


def test_neighbor_distances_leave_self_out_by_number():
    rng = np.random.default_rng(0)
    xy = rng.integers(0, 12, (300, 2)).astype(float)
    xy[:40] = 3.0
    ids = np.array([5, 0, 39, 250, 299])
    every = cdist(xy[ids], xy)
    every[np.arange(5), ids] = np.inf
    for n_neighbors in (10, 38, 39, 120, 299):
        expected = np.sort(every, axis=1)[:, :n_neighbors].astype(np.float32)
        assert neighbor_distances(xy, ids, n_neighbors).tolist() == expected.tolist()


def test_a_field_too_small_for_the_window_is_refused():
    with pytest.raises(UsageError, match="needs 101 localizations; the field has 100"):
        neighbor_distances(np.zeros((100, 2)), np.array([0]), 100)


def test_asking_more_than_a_field_holds_is_refused():
    rng = np.random.default_rng(1)
    cell = draw_cell(rng, base_radius_nm=2_000, roughness_nm=500, field_nm=8_000)
    field = simulate(Scenario(20, 50.0, 100.0, 100.0), rng, cell=cell)
    with pytest.raises(UsageError, match="has 0 localizations of a class, 1 asked"):
        draw_samples(field, 10, 1, 100, rng)


@pytest.mark.parametrize("sizes", [{"n_train": 3}, {"n_test": 0}, {"scenarios": TINY.scenarios[2:]}])
def test_sets_that_cannot_be_balanced_are_refused(sizes):
    with pytest.raises(UsageError, match="even sizes"):
        replace(TINY, **sizes)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_scores_equal_those_of_keras(name: str, samples: dict[str, Samples]):
    entry, weights = network(name), load_weights(name)
    model = entry.build()
    model.set_weights([weights[key] for key, _ in entry.shapes])
    distances = samples["test"].distances
    expected = model.predict(norm_self(distances)[..., None], verbose=0)[:, 0]
    assert 0 < (expected > 0.5).mean() < 1
    assert np.abs(entry.score(weights, distances) - expected).max() < 1e-5


@pytest.mark.parametrize(("name", "settings"), [("XPILJZ", QUICK), ("07VEJJ", replace(QUICK, batch=400))])
def test_a_fit_that_was_interrupted_ends_like_one_that_was_not(name, settings, samples, tmp_path: Path, monkeypatch):
    entry = network(name)
    sets = [(norm_self(samples[s].distances), samples[s].labels) for s in ("train", "validation")]
    whole = fit(entry, *sets, settings, tmp_path / "whole.npz")

    publish = fitting.publish
    turns = iter(range(9))

    def stop_at_the_second(at: Path, arrays) -> None:
        if next(turns) == 1:
            raise KeyboardInterrupt
        publish(at, arrays)

    monkeypatch.setattr(fitting, "publish", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit(entry, *sets, settings, tmp_path / "cut.npz")
    resumed = fit(entry, *sets, settings, tmp_path / "cut.npz")
    assert resumed[1] == whole[1]
    for key, array in whole[0].items():
        np.testing.assert_allclose(resumed[0][key], array, atol=1e-5)


def test_a_finished_fit_is_read_and_not_done_again(samples, tmp_path: Path, monkeypatch):
    entry = network("XPILJZ")
    train_set = (norm_self(samples["train"].distances), samples["train"].labels)
    # Labels turned round: the first epoch stays the best, so that what is kept must come from the checkpoint.
    turned = (norm_self(samples["validation"].distances), 1 - samples["validation"].labels)
    first = fit(entry, train_set, turned, QUICK, tmp_path / "fit.npz")
    assert first[1] == 1

    def publish(*_) -> None:
        raise AssertionError("an epoch was done again")

    monkeypatch.setattr(fitting, "publish", publish)
    again = fit(entry, train_set, turned, QUICK, tmp_path / "fit.npz")
    assert again[1:] == first[1:]
    assert {key: array.tobytes() for key, array in again[0].items()} == {k: a.tobytes() for k, a in first[0].items()}


def test_training_writes_weights_their_card_pins(samples, work: Path, tmp_path: Path):
    found = train("XPILJZ", tmp_path, work, TINY, QUICK, restarts=2, command="a test")
    blob = (tmp_path / "XPILJZ.safetensors").read_bytes()
    assert json.loads((tmp_path / "XPILJZ.json").read_text()) == found
    assert found["weights_sha256"] == hashlib.sha256(blob).hexdigest()
    weights = load_weights("XPILJZ", tmp_path)
    assert found["results"]["test"] == measure(network("XPILJZ"), weights, samples["test"], TINY)
    assert found["results"]["test"]["n"] == 400
    assert found["results"]["test"]["accuracy"] > 0.85
    assert found["training"]["restarts"] == 2
    assert found["training"]["seed"] in (0, 1)
    assert found["results"]["csr_percent_called_clustered_by_density_per_um2"] == measure_csr(
        network("XPILJZ"), weights, TINY.seed
    )


def test_measures_by_hand(samples: dict[str, Samples]):
    entry = replace(network("XPILJZ"), score=lambda _, rows: rows[:, 0])
    scores = np.array([0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1], np.float32)[:, None]
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0], np.int8)
    found = measure(entry, {}, Samples(scores, labels, np.array([0, 0, 0, 0, 1, 1, 1, 1])), TINY)
    # Clustered: 2 of 3 found, 2 of 3 said are right. Non-clustered: 4 of 5, 4 of 5.
    assert found["accuracy"] == 0.75
    assert found["f1"] == found["precision"] == found["recall"] == round((2 / 3 + 4 / 5) / 2, 4)
    assert found["balanced_accuracy_by_density_per_um2"] == {"50": round((2 / 3 + 0) / 2, 4), "100": 1.0}
    assert found["balanced_accuracy_mixed_fields"] == round((2 / 3 + 4 / 5) / 2, 4)


def test_csr_counts_what_is_called_clustered():
    entry = replace(network("XPILJZ"), score=lambda _, rows: (np.arange(len(rows)) % 4 == 0).astype(np.float32))
    assert measure_csr(entry, {}, 0) == {f"{density:g}": 25.0 for density in CSR_DENSITIES_PER_UM2}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_command_takes_what_it_is_given_and_else_the_network_s_own(name: str, tmp_path: Path, monkeypatch):
    taken = {}

    def train(*_, **arguments):
        taken.update(arguments)
        return {"results": {"test": {}}}

    monkeypatch.setattr(training, "train", train)
    where = ["--out", str(tmp_path), "--work", str(tmp_path)]
    assert main([name, *where]) == 0
    assert taken["settings"] == network(name).settings
    assert main([name, *where, "--epochs", "7", "--learning-rate", "0.25"]) == 0
    assert taken["settings"] == replace(network(name).settings, epochs=7, learning_rate=0.25)
    assert taken["command"].endswith("--epochs 7 --learning-rate 0.25")
    assert main([name, *where, "--batch", "0"]) == 2


def test_the_command_refuses_an_unknown_model(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert main(["XPILJY", "--out", str(tmp_path), "--work", str(tmp_path)]) == 2
    assert "use one of XPILJZ" in caplog.text
