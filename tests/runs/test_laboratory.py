"""Simulating and training as the commands do it, on Dask workers and without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from caml_dask import read_localizations
from caml_dask.cli import main
from caml_dask.errors import CamlError, UsageError
from caml_dask.executors.items import each
from caml_dask.networks.registry import spec_named
from caml_dask.networks.spec import FitSettings
from caml_dask.networks.training.train import sets_of
from caml_dask.runs import laboratory
from caml_dask.runs.laboratory import compile_and_train
from caml_dask.simulate import Scenario, field_rng, scenario_named, simulate

NAMES = ["uniform-p20-r50-c50-d5", "slab-z150-p20-r50-c50-d20", "fiber-f50-p30-r40-c50-d10"]


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_simulated_tables_follow_from_their_names(tmp_path: Path, workers: str):
    out = call("simulate", *NAMES, "--out", str(tmp_path), "--seed", "3", "--format", "parquet", "--workers", workers)
    assert "3 fields" in out
    for name in NAMES:
        table = pq.read_table(tmp_path / f"{name}_s3_0.parquet")
        scenario = scenario_named(name)
        field = simulate(scenario, field_rng(scenario, 3))
        columns = ["x_nm", "y_nm", "z_nm"][: field.points_nm.shape[1]]
        assert np.array_equal(np.column_stack([table[c].to_numpy() for c in columns]), field.points_nm)
        assert np.array_equal(table["true_cluster"].to_numpy(), field.truth)
        assert np.array_equal(table["true_class"].to_numpy(), field.classes)
        assert table.schema.metadata[b"scenario"].decode() == name


def test_simulated_csv_is_read_like_any_other(tmp_path: Path):
    call("simulate", NAMES[1], "--out", str(tmp_path), "--replicates", "2", "--workers", "0")
    first, second = sorted(tmp_path.iterdir())
    table = read_localizations(first)
    scenario = scenario_named(NAMES[1])
    expected = simulate(scenario, field_rng(scenario, 0)).points_nm
    found = np.column_stack([table[c].to_numpy() for c in ("x_nm", "y_nm", "z_nm")])
    assert np.abs(found - expected).max() <= 0.0005 + 1e-9
    assert pa_csv.read_csv(second).column_names == ["x [nm]", "y [nm]", "z [nm]", "true_cluster", "true_class"]
    assert first.read_bytes() != second.read_bytes()


def test_without_names_the_grids_are_listed_and_unknown_names_say_what_is_known(tmp_path: Path):
    assert "training: 553 scenarios" in call("simulate")
    for arguments, said in (([NAMES[0]], "--out"), (["blobs", "--out", str(tmp_path)], "one of the grids training")):
        done = CliRunner().invoke(main, ["simulate", *arguments])
        assert done.exit_code == 2
        assert said in done.output


@pytest.mark.parametrize("workers", [0, 2])
def test_each_gives_every_result_once_and_the_first_failure(workers: int):
    def square(item: int) -> int:  # local, so that it is pickled whole: workers cannot import a test
        if item == 7:
            raise UsageError("seven came, wanted another: give six")
        return item * item

    assert sorted(each(square, range(5), workers, "numbers")) == [0, 1, 4, 9, 16]
    with pytest.raises(CamlError, match="seven came"):
        list(each(square, range(9), workers, "numbers"))
    assert list(each(square, [], workers, "numbers")) == []


def test_training_compiles_on_workers_and_gives_the_same_twice(tmp_path: Path):
    scenarios = (Scenario(20, 25.0, 50.0, 50.0), Scenario(10, 15.0, 20.0, 100.0))
    entry = spec_named("XPILJZ")
    sets = replace(sets_of(entry, 600), scenarios=scenarios)
    cards = [
        compile_and_train(
            entry,
            sets,
            tmp_path / f"out{turn}",
            tmp_path / f"work{turn}",
            FitSettings(epochs=2, batch=64, learning_rate=1e-2),
            workers=2 - 2 * turn,
            restarts=1,
            folds=0,
            command="a test",
        )
        for turn in range(2)
    ]
    first, second = (card["results"]["test"]["accuracy"] for card in cards)
    assert abs(first - second) <= 0.01
    assert json.loads((tmp_path / "out0" / "XPILJZ.json").read_text())["command"] == "a test"


def test_the_command_takes_what_it_is_given_and_else_the_network_s_own(tmp_path: Path, monkeypatch):
    taken = {}

    def compile_and_train(entry, sets, out, work, settings, **others):
        taken.update(others, entry=entry, sets=sets, settings=settings)
        return {"results": {}}

    monkeypatch.setattr(laboratory, "compile_and_train", compile_and_train)
    where = ["--out", str(tmp_path), "--work", str(tmp_path)]
    call("train", "GAXJPR", *where)
    assert taken["settings"] == spec_named("GAXJPR").settings
    assert (taken["restarts"], taken["folds"], taken["sets"].n_train) == (1, 0, 500_000)
    call("train", "XPILJZ", *where, "--epochs", "7", "--window", "50", "--samples", "1000", "--folds", "10")
    assert taken["settings"] == replace(spec_named("XPILJZ").settings, epochs=7)
    assert (taken["entry"].name, taken["folds"], taken["sets"].n_test) == ("XPILJZ-w50", 10, 200)
    for wrong in (["XPILJY"], ["XPILJZ", "--batch", "0"], ["07VEJJ", "--relative-xy"], ["XPILJZ", "--window", "3"]):
        assert CliRunner().invoke(main, ["train", *wrong, *where]).exit_code == 2


def test_folds_are_looked_at_before_anything_is_compiled(tmp_path: Path):
    wrong = ["train", "XPILJZ", "--out", str(tmp_path / "w"), "--work", str(tmp_path / "sets"), "--folds", "1"]
    done = CliRunner().invoke(main, wrong)
    assert done.exit_code == 2 and "1 folds: give at least 2, or 0 for none" in done.output
    assert not (tmp_path / "sets").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["simulate", NAMES[0], "--out", str(tmp_path / "file"), "--workers", "0"])
    assert done.exit_code == 2 and "cannot be made" in done.output
