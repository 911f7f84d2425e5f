"""Labelled tables: two layouts read alike, others refused; records of tables of our own making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS, SHARED

from caml_dask.errors import InputError, UsageError
from caml_dask.evaluation.labelled import (
    COLUMNS,
    NO_TRUTH,
    Labelled,
    compare_table,
    labelled_folders,
    labelled_records,
    read_labelled,
)

LABELLED = SHARED / "labelled"


def write(path: Path, rows: np.ndarray, header: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.18e")
    return path


def test_both_layouts_read_alike(tmp_path):
    truth = np.where(HAND_DRAWN_CLUSTERS == 5, 1, HAND_DRAWN_CLUSTERS)
    nieves = write(tmp_path / "n.csv", np.column_stack([HAND_DRAWN, truth + 1]), '"x","y","index"')
    dbopt = write(tmp_path / "d.csv", np.column_stack([HAND_DRAWN, truth]))
    space = write(tmp_path / "s.csv", np.column_stack([HAND_DRAWN, HAND_DRAWN[:, 0], truth]))
    for path, dimensions in ((nieves, 2), (dbopt, 2), (space, 3)):
        table = read_labelled(path)
        assert table.points_nm.shape == (16, dimensions)
        assert np.array_equal(table.points_nm[:, :2], HAND_DRAWN) and np.array_equal(table.truth, truth)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y,cluster,index\n1,2,3,4\n", "wanted the header x,y,index"),
        ("a,b,c\n1,2,3\n", "wanted the header x,y,index"),
        ("1,2\n3,4\n", "x,y,label"),
        ("1,2,0.5\n3,4,0\n", "x,y,label"),
        ("1,2,0\n3,4,0.5\n", "label 0.5"),
        ("1,2,0\n3,4,-2\n", "label -2"),
        ("x,y,index\n1,2,0\n3,4,-1\n", "label -1"),
        ("x,y,index\n1,2,0\n3,zwölf,1\n", "zwölf"),
        ("1,2,0\n3,4\n", "3 finite numbers"),
        ("1,2,0\n3,4,5,6\n", "cannot be read"),
        ("", "begins with"),
        ("x,y,frame\n1,2,3\n", "no column of labels"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, said):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match="table.csv") as error:
        read_labelled(tmp_path / "table.csv")
    assert said in str(error.value)


def test_folders_by_name_and_those_without_truth_passed_over(tmp_path):
    rows = np.column_stack([HAND_DRAWN, HAND_DRAWN_CLUSTERS])
    write(tmp_path / "b" / "2.csv", rows)
    write(tmp_path / "b" / "1.csv", rows)
    write(tmp_path / "a" / "deep" / "1.csv", np.column_stack([HAND_DRAWN[:, 0], rows]))
    write(tmp_path / "real" / "1.csv", rows, "x,y,frame")
    found = labelled_folders(tmp_path)
    assert [folder.name for folder in found] == ["a/deep", "b", "real"]
    assert [(path.name, d) for path, d in found[1].tables] == [("1.csv", 2), ("2.csv", 2)]
    assert found[2].tables == () and found[2].reason == NO_TRUTH
    write(tmp_path / "real" / "2.csv", rows)
    with pytest.raises(InputError, match="1.csv: has no column of labels"):
        labelled_folders(tmp_path)
    for nothing in ("absent", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=nothing):
            labelled_folders(tmp_path / nothing)


def test_one_bad_table_is_named_before_anything_is_analysed(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.csv").write_text("1,2,0\n3,4,0.5\n")
    with pytest.raises(InputError, match="1.csv"):
        labelled_folders(tmp_path)


def test_a_perfect_answer_and_one_cluster_missed():
    table = Labelled(HAND_DRAWN, HAND_DRAWN_CLUSTERS)
    perfect = compare_table(table, (HAND_DRAWN_CLUSTERS >= 0).astype(np.int8), HAND_DRAWN_CLUSTERS)
    for name in ("accuracy", "balanced_accuracy", "f1", "precision", "recall", "ari", "ari_clustered", "hull_iou"):
        assert perfect[name] == pytest.approx(1.0), name
    assert perfect["true_clusters"] == perfect["found_clusters"] == perfect["matched_clusters"] == 2
    first = np.where(HAND_DRAWN_CLUSTERS == 0, 0, -1)
    half = compare_table(table, (first >= 0).astype(np.int8), first)
    assert half["recall"] == pytest.approx(5 / 9) and half["precision"] == 1.0
    assert half["found_clusters"] == half["matched_clusters"] == 1 and half["hull_iou"] == pytest.approx(0.5)
    assert half["called_percent_clustered"] == 100 * 5 / 16


def test_records_of_a_table_and_one_too_small(tmp_path):
    rng = np.random.default_rng(3)
    centers = rng.uniform(300, 2_700, (10, 2))
    members = (centers[:, None] + rng.normal(scale=12, size=(10, 20, 2))).reshape(-1, 2)
    points = np.vstack([members, rng.uniform(0, 3_000, (300, 2))])
    truth = np.concatenate([np.repeat(np.arange(10), 20), np.full(300, -1)])
    rows = np.column_stack([points, truth])
    enough, few = write(tmp_path / "1.csv", rows), write(tmp_path / "2.csv", rows[:100])
    for record in labelled_records("mine", enough, ["XPILJZ", "07VEJJ"]):
        assert set(record) == set(COLUMNS)
        assert record["localizations"] == 500 and record["true_clusters"] == 10 and record["dimensions"] == 2
        assert record["accuracy"] > 0.9 and record["ari"] > 0.8 and record["reason"] == ""
    (record,) = labelled_records("mine", few, ["XPILJZ"])
    assert record["reason"] == "XPILJZ needs 101 localizations; the table has 100" and "accuracy" not in record


@pytest.mark.skipif(not LABELLED.is_dir(), reason="../shared/data/labelled is not on this machine")
def test_the_tables_at_hand_are_recognised():
    found = {folder.name: folder for folder in labelled_folders(LABELLED)}
    assert {d for f in found.values() if "3d" in f.name or "spherical" in f.name for _, d in f.tables} == {3}
    assert [name for name, folder in found.items() if folder.reason] == ["nieves2023/fgfr1_real"]
    blinking, molecules = (
        read_labelled(found[f"nieves2023/{name}_s2"].tables[0][0]) for name in ("multiple_blinking", "ground_truth")
    )
    assert len(np.unique(blinking.truth)) == len(np.unique(molecules.truth)) == 21
