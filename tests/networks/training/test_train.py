from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.distance import cdist

from caml_dask import analyze, open_run
from caml_dask.cli import main
from caml_dask.errors import InputError, UsageError
from caml_dask.networks import NETWORKS, load, load_weights, spec_named
from caml_dask.networks.inference.features import norm_self, relative_positions
from caml_dask.networks.registry import variant
from caml_dask.networks.spec import FitSettings, NetworkSpec
from caml_dask.networks.training import fit as fitting
from caml_dask.networks.training import sets as training_sets
from caml_dask.networks.training.card import mean_rates, measure_csr, measure_set
from caml_dask.networks.training.fit import LabelledInputs, fit
from caml_dask.networks.training.sets import (
    SPLITS,
    Samples,
    TrainingSets,
    compile_part,
    draw_samples,
    missing_parts,
    parts,
    read_parts,
)
from caml_dask.networks.training.train import cross_validate, read_inputs, sets_of, train
from caml_dask.simulate import GRIDS, FiberScenario, Scenario, SlabScenario, draw_cell, simulate
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest

TINY = TrainingSets(
    scenarios=(
        Scenario(20, 25.0, 50.0, 50.0),
        Scenario(10, 15.0, 20.0, 100.0),
        Scenario(10, 40.0, 100.0, 20.0),
    ),
    n_neighbors=100,
    n_train=1_200,
    n_validation=400,
    n_test=400,
)
FIBERS = replace(TINY, scenarios=tuple(FiberScenario(s, 50.0) for s in TINY.scenarios), n_classes=3)
SLABS = replace(TINY, scenarios=(SlabScenario(20, 50.0, 150.0, 50.0, 50.0),), n_neighbors=60)
QUICK = FitSettings(epochs=3, batch=64, learning_rate=1e-2)


def compiled(setup: TrainingSets, folder: Path) -> Path:
    for part in missing_parts(setup, folder):
        compile_part(setup, part, folder)
    return folder


def read(setup: TrainingSets, split: str, folder: Path) -> Samples:
    return Samples(*(np.concatenate(column) for column in zip(*read_parts(setup, split, folder), strict=True)))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(TINY, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def samples(work: Path) -> dict[str, Samples]:
    return {split: read(TINY, split, work) for split in SPLITS}


def test_no_replicate_feeds_two_sets(samples: dict[str, Samples]):
    replicates = [replicate for split in SPLITS.values() for replicate in split]
    assert len(replicates) == len(set(replicates))
    fields = [set(found.field.tolist()) for found in samples.values()]
    assert not fields[0] & fields[1] and not fields[1] & fields[2] and not fields[0] & fields[2]


def test_sets_are_balanced_and_share_no_sample(samples: dict[str, Samples]):
    rows = {}
    for split, found in samples.items():
        assert found.windows.shape == (TINY.size(split), 100)
        assert found.windows.dtype == np.float32
        assert (found.labels == 1).sum() == (found.labels == 0).sum() == TINY.size(split) // 2
        scenario = found.field % 3
        assert (np.bincount(scenario[found.labels == 1]) > TINY.size(split) // 8).all()
        assert (found.labels[scenario == 2] == 1).all()
        rows[split] = {row.tobytes() for row in found.windows}
        assert len(rows[split]) == TINY.size(split)
    assert not rows["train"] & rows["validation"]
    assert not (rows["train"] | rows["validation"]) & rows["test"]


def test_three_classes_share_a_set_and_come_from_fields_that_hold_them(tmp_path: Path):
    found = read(FIBERS, "train", compiled(FIBERS, tmp_path))
    assert np.bincount(found.labels).tolist() == [400, 400, 400]
    assert set(found.field[found.labels == 0] % 3) == {0, 1}
    assert set(found.field[found.labels == 2] % 3) == {0, 1, 2}


def test_windows_in_a_slab_are_distances_in_3d(tmp_path: Path):
    part = parts(SLABS, "test")[0]
    compile_part(SLABS, part, tmp_path)
    found = next(read_parts(SLABS, "test", tmp_path))
    points = simulate(SLABS.scenarios[0], np.random.default_rng([0, 0, part.replicate])).points_nm
    every = {row.tobytes() for row in nearest(BlockIndex.build(points), 60).distances_nm}
    assert {row.tobytes() for row in found.windows} <= every


def test_finished_parts_are_not_simulated_again(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert missing_parts(TINY, work) == []
    assert len(missing_parts(replace(TINY, seed=1), work)) == 5
    monkeypatch.setattr(training_sets, "BLOCK", 2)
    first = missing_parts(TINY, tmp_path)
    assert [(p.first, p.stop) for p in first[:2]] == [(0, 2), (2, 3)]
    compile_part(TINY, first[0], tmp_path)
    assert missing_parts(TINY, tmp_path) == first[1:]


def test_a_part_that_was_cut_short_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part = missing_parts(TINY, tmp_path)[0]
    replace_path = Path.replace

    def interrupted(self: Path, target: Path | str) -> Path:
        if Path(target).suffix == ".zarr":  # the whole part: Zarr renames its own files too, in a thread of its own
            raise KeyboardInterrupt
        return replace_path(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_part(TINY, part, tmp_path)
    monkeypatch.undo()
    assert part in missing_parts(TINY, tmp_path)
    compile_part(TINY, part, tmp_path)
    assert part not in missing_parts(TINY, tmp_path)


def test_the_cut_into_parts_and_the_seed_decide_the_same_samples(samples, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(training_sets, "BLOCK", 1)
    again = read(TINY, "validation", compiled(TINY, tmp_path))
    assert again.windows.tobytes() == samples["validation"].windows.tobytes()
    assert again.labels.tobytes() == samples["validation"].labels.tobytes()


def test_relative_positions_leave_self_out_by_row():
    rng = np.random.default_rng(0)
    xy = rng.integers(0, 12, (300, 2)).astype(float)
    xy[:40] = 3.0
    rows = np.array([5, 0, 39, 250, 299])
    every = cdist(xy[rows], xy)
    every[np.arange(5), rows] = np.inf
    for n_neighbors in (10, 38, 39, 120, 299):
        expected = np.sort(every, axis=1)[:, :n_neighbors]
        found = np.linalg.norm(relative_positions(xy, rows, n_neighbors), axis=2)
        scale = np.where(expected[:, -1:] > 0, expected[:, -1:], 1)
        np.testing.assert_allclose(found, expected / scale, atol=1e-6)


def test_a_field_too_small_for_the_window_is_refused():
    field = simulate(Scenario.csr(2.0), np.random.default_rng(0))
    with pytest.raises(UsageError, match=rf"needs 1001 localizations; csr-d2 has {len(field.points_nm)}"):
        draw_samples(field, (1, 0), 1_000, np.random.default_rng(0))


def test_asking_more_than_a_field_holds_is_refused():
    rng = np.random.default_rng(1)
    cell = draw_cell(rng, base_radius_nm=2_000, roughness_nm=500, field_nm=8_000)
    field = simulate(Scenario(20, 50.0, 100.0, 100.0), rng, cell=cell)
    with pytest.raises(UsageError, match="has 0 localizations of class 0, 1 asked"):
        draw_samples(field, (1, 10), 100, rng)


@pytest.mark.parametrize("change", [{"n_train": 1}, {"n_test": 0}, {"scenarios": TINY.scenarios[2:]}, {"n_classes": 3}])
def test_sets_that_lack_a_class_are_refused(change):
    with pytest.raises(UsageError, match="every class"):
        replace(TINY, **change)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_what_a_network_is_trained_on_fits_it(name: str):
    entry = spec_named(name)
    sets = sets_of(entry)
    assert (sets.n_train, sets.n_validation, sets.n_test) == (500_000, 100_000, 100_000)
    assert (sets.n_neighbors, sets.n_classes) == (entry.n_neighbors, len(entry.classes))
    assert {isinstance(s, SlabScenario) for s in sets.scenarios} == {entry.dimensions == 3}
    assert len(parts(sets, "train")) == 3 * -(-len(sets.scenarios) // training_sets.BLOCK)


def drawn_windows(entry: NetworkSpec, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return np.sort(rng.gamma(2.0, 100.0, (n, entry.n_neighbors)), axis=1).astype(np.float32)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_scores_equal_those_of_keras(name: str):
    entry, weights = spec_named(name), load_weights(name)
    scenario = next(s for s in entry.scenarios() if s.density_per_um2 >= 100)
    counts = [40] * len(entry.classes)
    windows, _ = draw_samples(
        simulate(scenario, np.random.default_rng(2)), counts, entry.n_neighbors, np.random.default_rng(3)
    )
    windows = np.concatenate([windows, drawn_windows(entry, 40)])
    model = entry.build()
    model.set_weights([weights[key] for key, _ in entry.shapes])
    expected = model.predict(norm_self(windows)[..., None], verbose=0)
    found = entry.score(weights, windows)
    assert found.shape == expected.shape == (len(windows), len(entry.score_columns))
    assert np.ptp(expected) > 0.5
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(("name", "settings"), [("XPILJZ", QUICK), ("07VEJJ", replace(QUICK, batch=400))])
def test_a_fit_that_was_interrupted_ends_like_one_that_was_not(name, settings, samples, tmp_path: Path, monkeypatch):
    entry = spec_named(name)
    sets = [LabelledInputs(entry.inputs(samples[s].windows), samples[s].labels) for s in ("train", "validation")]
    whole = fit(entry, *sets, settings, tmp_path / "whole.npz")

    save_arrays = fitting.save_arrays
    turns = iter(range(9))

    def stop_at_the_second(at: Path, arrays) -> None:
        if next(turns) == 1:
            raise KeyboardInterrupt
        save_arrays(at, arrays)

    monkeypatch.setattr(fitting, "save_arrays", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit(entry, *sets, settings, tmp_path / "cut.npz")
    resumed = fit(entry, *sets, settings, tmp_path / "cut.npz")
    assert resumed.epoch == whole.epoch
    np.testing.assert_allclose(resumed.losses, whole.losses, atol=1e-5)
    for key, array in whole.weights.items():
        np.testing.assert_allclose(resumed.weights[key], array, atol=1e-5)


def test_a_finished_fit_is_read_and_not_done_again(samples, tmp_path: Path, monkeypatch):
    entry = spec_named("XPILJZ")
    train_set = LabelledInputs(entry.inputs(samples["train"].windows), samples["train"].labels)
    # Labels turned round: the first epoch stays the best, so that what is kept must come from the checkpoint.
    turned = LabelledInputs(entry.inputs(samples["validation"].windows), 1 - samples["validation"].labels)
    first = fit(entry, train_set, turned, QUICK, tmp_path / "fit.npz")
    assert first.epoch == 1
    assert first.loss == first.losses[0, 1] == first.losses[:, 1].min()

    def save_arrays(*_) -> None:
        raise AssertionError("an epoch was done again")

    monkeypatch.setattr(fitting, "save_arrays", save_arrays)
    again = fit(entry, train_set, turned, QUICK, tmp_path / "fit.npz")
    assert again.losses.tolist() == first.losses.tolist()
    assert {k: a.tobytes() for k, a in again.weights.items()} == {k: a.tobytes() for k, a in first.weights.items()}


def test_training_writes_weights_their_card_pins(work: Path, tmp_path: Path):
    entry = spec_named("XPILJZ")
    found = train(entry, TINY, tmp_path, work, QUICK, restarts=2, folds=3, command="a test")
    blob = (tmp_path / "XPILJZ.safetensors").read_bytes()
    assert json.loads((tmp_path / "XPILJZ.json").read_text()) == found
    assert found["weights_sha256"] == hashlib.sha256(blob).hexdigest()
    weights = load_weights(tmp_path)
    results = found["results"]
    assert results["test"] == measure_set(entry, weights, read_parts(TINY, "test", work), TINY)
    assert results["test"]["n"] == 400
    assert results["test"]["accuracy"] > 0.85
    assert found["training"]["restarts"] == 2
    assert found["training"]["seed"] in (0, 1)
    assert len(found["training"]["losses_train_validation"]) == 3
    assert found["trained_on"]["points_per_cluster"] == [10, 20]
    assert found["trained_on"]["percent_clustered"] == [20, 100]
    assert results["csr_percent_called_clustered_by_density_per_um2"] == measure_csr(entry, weights, TINY.seed)
    assert len(results["cross_validation"]["accuracy"]) == 3
    assert results["cross_validation"]["mean"] > 0.85


def test_what_was_trained_labels_localizations(tmp_path: Path):
    """A window of 50 under a name of its own: from training to the tables of a run, through the folder alone."""
    entry = replace(variant("XPILJZ", window=50, clusters="small"), name="mine")
    sets = replace(TINY, n_neighbors=50)
    out = tmp_path / "network"
    found = train(entry, sets, out, compiled(sets, tmp_path), QUICK, command="a test")
    network = load(out)
    assert (network.name, network.n_neighbors, network.spec.clusters) == ("mine", 50, "small")
    assert network.weights_sha256 == found["weights_sha256"]
    field = simulate(TINY.scenarios[0], np.random.default_rng(0))
    points = analyze(field.points_nm, network=out, test=False).points
    assert (points["label"] == (field.classes > 0)).mean() > 0.85
    np.savetxt(tmp_path / "cell.csv", field.points_nm, delimiter=",", header="x [nm],y [nm]", comments="", fmt="%.17g")
    command = ["run", str(tmp_path / "cell.csv"), "--out", str(tmp_path / "out"), "--network", str(out)]
    done = CliRunner().invoke(main, [*command, "--max-localizations", "1000", "--workers", "0", "--no-test"])
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "out")
    assert run.summary["network"] == network.identity
    assert run.images["0001_cell"].points["p_clustered"].equals(points["p_clustered"])


@pytest.mark.parametrize("name", ["../mine", "", "a b", ".hidden", "x" * 65])
def test_a_name_that_files_cannot_have_is_refused(work: Path, tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="is no name for a network"):
        train(replace(spec_named("XPILJZ"), name=name), TINY, tmp_path, work)
    assert not any(tmp_path.iterdir())


def test_sets_that_are_not_compiled_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="5 parts of the sets of XPILJZ are not compiled"):
        train(spec_named("XPILJZ"), TINY, tmp_path, tmp_path)


def test_a_fold_is_tested_on_fields_it_was_not_fitted_to(work: Path, monkeypatch):
    entry = spec_named("XPILJZ")
    whole, field = read_inputs(entry, TINY, "train", work)
    of_row = {row.tobytes(): f for row, f in zip(whole.inputs, field.tolist(), strict=True)}
    fitted_to, tested_on = [], []

    def fit(_, samples, *__):
        fitted_to.append({of_row[row.tobytes()] for row in samples.inputs})
        return fitting.Fitted({}, 1, np.ones((1, 2)))

    def predict(_, __, inputs):
        tested_on.append({of_row[row.tobytes()] for row in inputs})
        return np.zeros(len(inputs), np.int8)

    monkeypatch.setattr("caml_dask.networks.training.train.fit", fit)
    monkeypatch.setattr("caml_dask.networks.training.train.predict", predict)
    cross_validate(entry, TINY, QUICK, 3, work)
    assert set().union(*tested_on) == set(field.tolist())
    assert sum(len(fields) for fields in tested_on) == len(set(field.tolist()))
    for inside, outside in zip(fitted_to, tested_on, strict=True):
        assert not inside & outside
    with pytest.raises(UsageError, match="at least 2"):
        cross_validate(entry, TINY, QUICK, 1, work)


def test_measures_by_hand():
    entry = replace(spec_named("XPILJZ"), score=lambda _, rows: rows)
    scores = np.array([0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9], np.float32)[:, None]
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0, 1], np.int8)
    found = measure_set(entry, {}, [Samples(scores, labels, np.array([0, 0, 0, 0, 1, 1, 1, 1, 2]))], TINY)
    assert found["confusion"] == [[4, 1], [1, 3]]
    assert found["accuracy"] == round(7 / 9, 4)
    assert found["recall"] == round((3 / 4 + 4 / 5) / 2, 4)
    assert found["precision"] == round((3 / 4 + 4 / 5) / 2, 4)
    # Field 0: clustered 2 of 3, non-clustered 0 of 1. Fields 1 and 2 hold one class each.
    assert found["balanced_accuracy_by_density_per_um2"] == {"20": 1.0, "50": round((2 / 3 + 0) / 2, 4), "100": 1.0}
    assert found["mixed_fields"]["n"] == 8
    assert found["mixed_fields"]["recall"] == round((2 / 3 + 4 / 5) / 2, 4)


def test_rates_of_three_classes_by_hand():
    truth, found = np.array([0, 0, 1, 1, 2, 2, 2, 2], np.int8), np.array([0, 1, 1, 1, 2, 2, 0, 2], np.int8)
    assert mean_rates(truth, found, 3) == {
        "accuracy": 6 / 8,
        "f1": pytest.approx((2 / 4 + 4 / 5 + 6 / 7) / 3),
        "precision": pytest.approx((1 / 2 + 2 / 3 + 1) / 3),
        "recall": pytest.approx((1 / 2 + 1 + 3 / 4) / 3),
    }


@pytest.mark.parametrize("name", ["XPILJZ", "GAXJPR"])
def test_csr_counts_what_is_called_clustered(name: str):
    score = lambda _, rows: (np.arange(len(rows)) % 4 == 0).astype(np.float32)[:, None]  # noqa: E731
    grid = GRIDS["csr" if name == "XPILJZ" else "slab-csr"]()
    found = measure_csr(replace(spec_named(name), score=score), {}, 0)
    assert found == {f"{scenario.density_per_um2:g}": 25.0 for scenario in grid}


def test_variants_are_named_and_of_their_shape():
    assert variant("XPILJZ") is not None and variant("XPILJZ").name == "XPILJZ"
    narrow = variant("XPILJZ", window=50)
    assert (narrow.name, narrow.n_neighbors, dict(narrow.shapes)["output_kernel"]) == ("XPILJZ-w50", 50, (1_600, 1))
    assert variant("07VEJJ", window=200).n_neighbors == 200
    small, large = (variant("XPILJZ", clusters=which).scenarios() for which in ("small", "large"))
    assert max(s.points_per_cluster for s in small) == 40 < min(s.points_per_cluster for s in large)
    assert len(small) + len(large) == 553
    for refused in ({"window": 5}, {"relative_xy": True}):
        with pytest.raises(UsageError):
            variant("07VEJJ", **refused)


def test_a_variant_that_reads_positions_is_trained_like_any_other(tmp_path: Path):
    entry = variant("XPILJZ", relative_xy=True)
    sets = replace(TINY, relative_xy=True)
    found = train(entry, sets, tmp_path, compiled(sets, tmp_path), replace(QUICK, epochs=6))
    assert found["input_form"] == "relative-xy"
    assert found["weights"]["hidden_kernel"] == [2, 32]
    assert found["results"]["test"]["accuracy"] > 0.8
    with pytest.raises(UsageError, match="XPILJZ-xy reads the positions"):
        load(tmp_path)
    with pytest.raises(InputError):
        spec_named("XPILJZ").score(load_weights("XPILJZ"), entry.inputs(drawn_windows(entry, 2))[..., None])
