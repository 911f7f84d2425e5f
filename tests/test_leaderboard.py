"""The leaderboard, and what others can add to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import leaderboard
import numpy as np
import pandas as pd
import pytest
from contenders import contender_named, labels_of, method
from contest_fields import UNKNOWN, Field, Localized, drawn
from from_leaderboard import of_leaderboard
from own_methods import checked_labels, own_method, refuse_unknown

from caml_dask.errors import InputError, UsageError
from caml_dask.simulate.unknown import draw_field

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "leaderboard.json"
GIVEN = Localized("group/1", np.arange(8.0).reshape(4, 2), np.array([0, 0, -1, -1]), {"frame": np.arange(4)})
FUNCTIONS = """
from dataclasses import dataclass
from caml_dask.errors import InputError

@dataclass
class Setting:
    label: int = 0

def one(points_nm):
    points_nm[:] = 0
    return [Setting().label] * len(points_nm)

def frames(points_nm, columns):
    return columns.get("frame", points_nm[:, 0] * 0 - 1)

def refuses(points_nm):
    raise InputError("no")

number = 3
"""


@pytest.fixture
def functions(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FUNCTIONS)
    return path


def asked(text: str) -> np.ndarray:
    found = contender_named(method(text))
    return labels_of(found, GIVEN, found.default)


def test_a_function_gets_localizations_and_columns_and_gives_labels(functions):
    assert contender_named(f"{functions}:one").name == "mine:one"
    assert asked(f"{functions}:one").tolist() == [0] * 4
    assert GIVEN.points_nm.max() == 7, "what a method does to its array is its own"
    assert asked(f"{functions}:frames").tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="no"):
        asked(f"{functions}:refuses")


def test_a_changed_file_is_another_method(functions):
    before = own_method(f"{functions}:one")
    functions.write_text(FUNCTIONS + "\n# changed")
    assert own_method(f"{functions}:one").digest != before.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{folder}/none.py:one", "is no file: give FILE.py:NAME"),
        ("{folder}/mine.py:none", "has no function none"),
        ("{folder}/mine.py:number", "has no function number"),
        ("no_such_module:one", "cannot be imported .*: install it"),
        ("no_such_network", "unknown network"),
    ],
)
def test_methods_that_are_not_there_are_refused(functions, text, said):
    with pytest.raises(UsageError, match=said):
        method(text.format(folder=functions.parent))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 2], r"shape \(3,\) for 4 localizations"),
        (np.zeros((4, 1)), r"shape \(4, 1\)"),
        (None, r"shape \(\)"),
        ([[0], [0, 1], [2], [3]], "no array"),
        ([0, 1, 0.5, 1], "the label 0.5"),
        ([0, 1, np.nan, 1], "the label nan"),
        ([0, 1, -2, 1], "the label -2"),
        (["a", "b", "c", "d"], "of the type"),
        ([True, False, True, True], "of the type bool"),
    ],
)
def test_what_are_no_labels_is_refused(labels, said):
    with pytest.raises(UsageError, match=f"mine: .*{said}"):
        checked_labels(labels, 4, "mine")
    assert checked_labels([2.0, -1.0, 0.0, 7.0], 4, "mine").tolist() == [2, -1, 0, 7]


def test_tables_of_labels_are_known_by_their_field(tmp_path):
    folder = tmp_path / "theirs"
    (folder / "group").mkdir(parents=True)
    table = folder / "group" / "1.csv"
    pd.DataFrame({"other": 9, "label": [3, 3, -1, 0]}).to_csv(table, index=False)
    assert asked(str(folder)).tolist() == [3, 3, -1, 0]
    refuse_unknown(own_method(str(folder)), ["group/1", "group/2"])
    with pytest.raises(UsageError, match=r"group/1.csv is of no field of this run, which has group/2"):
        refuse_unknown(own_method(str(folder)), ["group/2"])
    spec = own_method(str(folder))
    with pytest.raises(InputError, match="no labels of this field"):
        labels_of(contender_named(str(folder)), Localized("group/2", GIVEN.points_nm, GIVEN.truth, {}), spec)
    pd.DataFrame({"label": [0, 0]}).to_csv(table, index=False)
    with pytest.raises(UsageError, match=r"group/1.csv: labels of the shape \(2,\) for 4"):
        asked(str(folder))
    pd.DataFrame({"cluster": [0] * 4}).to_csv(table, index=False)
    with pytest.raises(UsageError, match=r"columns cluster: give one called label"):
        asked(str(folder))


@pytest.mark.parametrize("group", UNKNOWN)
def test_unknown_samples_are_those_of_the_prior_and_hold_clusters(group):
    (first, second) = (field.read() for field in drawn(group, 2, 1_500, 0)[1])
    assert np.array_equal(first.points_nm, Field(group, "0", (1_500, 0)).read().points_nm)
    assert not np.array_equal(first.points_nm[:100], second.points_nm[:100])
    for given in (first, second):
        assert 1_100 <= len(given.points_nm) <= 1_500 and given.truth.max() >= 0
        assert set(given.columns) == ({"frame", "uncertainty_nm"} if "re-blinking" in group else set())
    training = draw_field(np.random.default_rng([0, 0, 0]), blinking=UNKNOWN[group], least=1_100, most=1_500)
    assert not np.array_equal(first.points_nm[:100], training.points_nm[:100])


@pytest.fixture
def tables(tmp_path):
    """A data set of two tables of tight clusters in some noise."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for number in range(2):
        rng = np.random.default_rng(number)
        centers = np.repeat(rng.uniform(200, 3800, (30, 2)), 20, axis=0)
        xy = np.vstack([rng.normal(centers, 15), rng.uniform(0, 4000, (200, 2))])
        index = np.append(np.repeat(np.arange(1, 31), 20), np.zeros(200))
        pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "index": index}).to_csv(folder / f"{number}.csv", index=False)
    return folder


def call(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["leaderboard.py", "--quick", "--workers", "0", *map(str, arguments)])
    leaderboard.main()


def test_a_method_and_a_data_set_are_added_to_a_leaderboard_that_stands(
    tmp_path, monkeypatch, capsys, tables, functions
):
    results = tmp_path / "found.json"
    where = ["--work", tmp_path / "work", "--results", results]
    call(monkeypatch, *where, "--methods", "DBSCAN")
    alone = json.loads(results.read_text())
    assert {row["tuning"] for row in alone["rows"]} == {"default", "one", "others"}
    capsys.readouterr()
    call(monkeypatch, *where, "--labelled", tables, "--methods", f"{functions}:one", "DBSCAN")
    assert capsys.readouterr().out.splitlines()[0] == "4 of 10 parts are there already"
    found = json.loads(results.read_text())
    of_dbscan = [row for row in found["rows"] if row["method"] == "DBSCAN"]
    assert [row for row in of_dbscan if row["family"] != "tables"] == alone["rows"]
    assert found["costs"][1] == alone["costs"][0], "times are not taken again"
    on_tables = {(row["method"], row["tuning"]): row for row in found["rows"] if row["family"] == "tables"}
    assert on_tables["DBSCAN", "others"]["ari"] > 0.8 and on_tables["DBSCAN", "others"]["true_clusters"] == 60
    assert on_tables["DBSCAN", "others"]["median_area_ratio"] == pytest.approx(1, abs=0.3)
    mine = on_tables["mine:one", "none"]
    assert (mine["ari"], mine["found_clusters"], mine["percent_called_clustered"]) == (0.0, 2, 100.0)
    # a method by itself beside those that stand; theirs stay, but on a family whose tables have changed
    kept = [row for row in found["rows"] if row["method"] == "DBSCAN"]
    call(monkeypatch, *where, "--methods", f"{functions}:frames")
    again = json.loads(results.read_text())
    assert [row for row in again["rows"] if row["method"] == "DBSCAN"] == kept
    assert {of["method"] for of in again["costs"]} == {"DBSCAN", "mine:one", "mine:frames"}
    (tables / "1.csv").write_text((tables / "0.csv").read_text())
    assert leaderboard.joined({**again, "rows": [], "costs": []}, results)["rows"] == again["rows"]
    other = [{**of, "digest": "another"} if of["family"] == "tables" else of for of in again["families"]]
    left = leaderboard.joined({**again, "families": other, "rows": [], "costs": []}, results)
    assert {row["family"] for row in again["rows"]} - {row["family"] for row in left["rows"]} == {"tables"}
    assert results.with_suffix(".png").stat().st_size > 5_000
    texts = of_leaderboard(results)
    ranks = {line.split(" | ")[0].strip("| "): line for line in texts["ranks"].splitlines()[2:]}
    assert set(ranks) == {"DBSCAN", "mine:one", "mine:frames"}
    assert f" {kept[0]['ari']:.2f}\N{NO-BREAK SPACE}/" in ranks["DBSCAN"]
    assert "A quick run" in texts["fields"] and "### Tables" in texts["scores"]


def test_fields_are_written_without_their_truth_and_labels_of_them_taken(tmp_path, monkeypatch, capsys, tables):
    call(monkeypatch, "--fields", tmp_path / "fields", "--labelled", tables)
    written = sorted(path.relative_to(tmp_path / "fields").as_posix() for path in tmp_path.glob("fields/*/*.csv"))
    assert len(written) == 10 and "tables/0.csv" in written
    blinking = pd.read_csv(tmp_path / "fields" / "unknown samples, re-blinking" / "0.csv")
    assert list(blinking) == ["x [nm]", "y [nm]", "frame", "uncertainty [nm]"]
    assert list(pd.read_csv(tmp_path / "fields" / "tables" / "0.csv")) == ["x [nm]", "y [nm]"]
    theirs = tmp_path / "theirs" / "tables"
    theirs.mkdir(parents=True)
    truth = pd.read_csv(tables / "0.csv")["index"].astype(int) - 1
    pd.DataFrame({"label": truth}).to_csv(theirs / "0.csv", index=False)
    where = ["--work", tmp_path / "work", "--results", tmp_path / "found.json", "--methods", theirs.parent]
    call(monkeypatch, *where, "--labelled", tables)
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert (row["method"], row["family"], row["fields"], row["ari"], row["hull_iou"]) == ("theirs", "tables", 1, 1, 1)
    assert "theirs: 9 fields left out, first: " in capsys.readouterr().out
    assert "(1 of 2 fields)" in of_leaderboard(tmp_path / "found.json")["ranks"]
    with pytest.raises(SystemExit):
        call(monkeypatch, *where)
    assert "tables/0.csv is of no field of this run" in capsys.readouterr().err


def test_the_committed_leaderboard_has_every_contender():
    found = json.loads(RESULTS.read_text())
    methods = {row["method"] for row in found["rows"]}
    assert methods >= set(leaderboard.CONTENDERS) and methods == {of["method"] for of in found["costs"]}
    assert {of["family"] for of in found["families"]} >= {leaderboard.PUBLISHED, leaderboard.NO_CLUSTERS, *UNKNOWN}
