"""The wide tables for Prism hold the values that are compared."""

from __future__ import annotations

import csv

import made
import numpy as np
import pytest

from caml_dask.report.families import families
from caml_dask.report.measures import measures_of
from caml_dask.report.prism import write_prism

MEASURES = measures_of({"n_localizations", "area_nm2", "density_per_um2"})


def written(folder, images):
    """The tables as lists of rows, by name."""
    found, _ = families(made.results(images), "condition", ())
    write_prism(folder, found, MEASURES)
    return {path.stem: list(csv.reader(path.open(newline=""))) for path in folder.glob("*.csv")}


def columns(table):
    head, *rows = table
    return {name: [float(row[k]) for row in rows if row[k]] for k, name in enumerate(head)}


def test_columns_are_conditions_replicates_of_conditions_and_medians(tmp_path):
    images = made.cohort(replicates=4, images=3)[:-2]  # conditions of 12 and 10 images
    tables = written(tmp_path, images)
    assert len(tables) == 3 * len(MEASURES)
    for m in MEASURES:
        values = np.array([image.values[m.name] for image in images])
        found = columns(tables[m.name])
        assert found == {"control": pytest.approx(values[:12]), "treated": pytest.approx(values[12:])}
        nested = columns(tables[f"{m.name}_nested"])
        assert next(iter(nested)) == "control: donor 1" and len(nested) == 8
        assert nested["treated: donor 4"] == pytest.approx(values[21:])
        head, *rows = tables[f"{m.name}_replicates"]
        assert head == ["replicate", "control", "treated"] and [row[0] for row in rows] == [
            f"donor {k}" for k in (1, 2, 3, 4)
        ]
        assert [float(row[1]) for row in rows] == pytest.approx(np.median(values[:12].reshape(4, 3), axis=1))


def test_replicates_of_one_condition_leave_the_others_empty(tmp_path):
    tables = written(tmp_path, made.cohort(replicates=3, images=2, shared=False))
    _, *rows = tables["area_nm2_replicates"]
    assert [bool(cell) for row in rows for cell in row[1:]] == [True, False] * 3 + [False, True] * 3


def test_without_replicates_there_is_one_table_of_each_measure(tmp_path):
    (tmp_path / "area_nm2_nested.csv").write_text("old")
    images = [made.image(np.random.default_rng(k), k, {"condition": ("=a", "b\n,c")[k % 2]}) for k in range(5)]
    tables = written(tmp_path, images)
    assert set(tables) == {m.name for m in MEASURES}
    assert tables["area_nm2"][0] == ["'=a", "b\n,c"] and [len(row) for row in tables["area_nm2"]] == [2] * 4
    assert tables["area_nm2"][3][1] == ""
