"""What a screening says of files and folders that vanish, cannot be read, or are reached twice; known failures."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest
from click.testing import CliRunner
from support import simulated_table

from caml_dask.atomic import publish_json
from caml_dask.cli import main
from caml_dask.screening.cohort import read_cohort
from caml_dask.screening.ledger import HIDDEN, Entry, Ledger
from caml_dask.screening.prune import prune


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two conditions of one small image each, screened once by a pattern."""
    folder = tmp_path_factory.mktemp("gone")
    for seed, condition in enumerate(("naive", "activated")):
        (folder / "data" / condition / "1").mkdir(parents=True)
        simulated_table(folder / "data" / condition / "1" / "cell.csv", side_nm=2000.0, seed=seed)
    first = call(folder)
    assert first.exit_code == 0, first.output
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert "2 of 2 images done, nothing was new" in call(tmp_path / "copy").output
    return tmp_path / "copy"


def call(folder, *options):
    os.chdir(folder)
    pattern = "data/{condition}/{replicate}/*.csv"
    return CliRunner().invoke(main, ["screen", pattern, "--out", "out", "--workers", "0", "--no-test", *options])


def rows(folder):
    with (folder / "out" / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text())


def test_a_folder_that_vanished_is_reported_until_it_is_forgotten(folder):
    shutil.move(folder / "data" / "naive", folder / "elsewhere")
    for _ in range(2):
        found = call(folder)
        assert found.exit_code == 3
        assert "naive/1/cell.csv: found by an earlier call, now missing" in found.output
        assert "1 of 2 images done" in found.output
    (lost,) = [row for row in rows(folder) if row["status"] == "failed"]
    assert lost["condition"] == "naive" and "its results are kept in nights/" in lost["reason"]
    kept = lost["reason"].rsplit(" ", 1)[1]
    assert (folder / "out" / kept / "points.parquet").exists()
    forgotten = call(folder, "--forget-gone")
    assert forgotten.exit_code == 0 and "1 of 1 images done" in forgotten.output
    assert call(folder).exit_code == 0


def test_what_comes_back_or_moves_is_not_gone(folder):
    shutil.move(folder / "data" / "naive" / "1" / "cell.csv", folder / "kept.csv")
    assert call(folder).exit_code == 3
    shutil.move(folder / "kept.csv", folder / "data" / "naive" / "1" / "renamed.csv")
    found = call(folder)
    assert found.exit_code == 0 and "2 of 2 images done, nothing was new" in found.output


def test_a_folder_that_cannot_be_listed_is_reported(folder, monkeypatch):
    """Permissions do not hold for root: the system's answer is given in its place."""
    real = os.scandir

    def refused(path):
        if str(path).endswith("naive"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = call(folder)
    assert found.exit_code == 3
    assert "cannot list the folder data/naive: Permission denied; its images are not screened" in found.output
    assert "naive/1/cell.csv: found by an earlier call, now missing" in found.output
    assert summary(folder)["notes"] == [
        line for line in found.output.splitlines() if line.startswith("cannot list the folder")
    ]


def test_a_pattern_without_files_names_the_folder_that_cannot_be_listed(folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    found = call(folder)
    assert found.exit_code == 2
    assert "no file matches, and a folder cannot be listed (data: Permission denied): check the folder" in found.output


def test_a_file_that_a_link_reaches_again_counts_once(folder):
    (folder / "data" / "naive" / "1" / "again.csv").symlink_to(folder / "data" / "naive" / "1" / "cell.csv")
    found = call(folder)
    assert found.exit_code == 0 and "2 of 2 images done, nothing was new" in found.output
    assert "again.csv and data/naive/1/cell.csv are the same file, which is analyzed once" in found.output


def test_a_broken_link_fails_by_name(folder):
    (folder / "data" / "naive" / "1" / "broken.csv").symlink_to(folder / "nowhere.csv")
    found = call(folder)
    assert found.exit_code == 3
    assert f"{folder / 'data' / 'naive' / '1' / 'broken.csv'}: is a link to {folder / 'nowhere.csv'}" in found.output
    assert "2 of 3 images done" in found.output


def test_a_known_failure_does_not_count_until_its_file_or_the_settings_change(folder):
    bad = folder / "data" / "naive" / "1" / "bad.csv"
    bad.write_text("frame,photons\n1,2\n")
    assert call(folder).exit_code == 3
    wrong = call(folder, "--acknowledge", "worse.csv")
    assert wrong.exit_code == 3 and "--acknowledge worse.csv matches no failed image" in wrong.output
    known = call(folder, "--acknowledge", "naive/*/bad.csv")
    assert known.exit_code == 0 and "failed (acknowledged): " in known.output
    assert call(folder).exit_code == 0
    (row,) = [row for row in rows(folder) if row["status"] == "failed"]
    assert row["acknowledged"] == "yes" and "no x and y column" in row["reason"]
    assert call(folder, "--area-um2", "4").exit_code == 3
    assert call(folder).exit_code == 3
    assert call(folder, "--acknowledge", "bad.csv").exit_code == 0
    bad.write_text("frame,photons\n1,3\n")
    assert call(folder).exit_code == 3


def test_a_name_with_brackets_is_acknowledged_as_it_stands(folder):
    """As a pattern it would be the other file's."""
    for name in ("bad[1].csv", "bad1.csv"):
        (folder / "data" / "naive" / "1" / name).write_text("frame,photons\n1,2\n")
    call(folder)
    for given in ("data/naive/1/bad[1].csv", "bad[1].csv"):
        found = call(folder, "--acknowledge", given)
        assert found.exit_code == 3 and "matches no failed image" not in found.output
        (known,) = [row for row in rows(folder) if row["acknowledged"]]
        assert known["path"].endswith("/bad[1].csv")
    assert call(folder, "--acknowledge", "bad[12].csv").exit_code == 0


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_as_spreadsheets_write_it(tmp_path, separator):
    lines = [
        ("Path", "CONDITION", "Replicate", "Dose; nM"),
        ("a.csv", "naive", "1", "2,5"),
        ("b.csv", "active", "1", "0"),
    ]
    with (tmp_path / "cohort.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=separator).writerows(lines)
    cohort = read_cohort(str(tmp_path / "cohort.csv"))
    assert cohort.factors == ("condition", "replicate", "Dose; nM")
    assert [dict(member.factors)["Dose; nM"] for member in cohort.members] == ["2,5", "0"]
    assert [member.path.name for member in cohort.members] == ["a.csv", "b.csv"]


def test_superseded_nights_are_listed_and_removed(folder):
    """Other settings supersede all results; nights that the summary refers to stay."""
    assert call(folder, "--area-um2", "4").exit_code == 0
    first, second = sorted(path.name for path in (folder / "out" / "nights").iterdir())
    listed = CliRunner().invoke(main, ["prune", "out"])
    assert listed.exit_code == 0 and f"{first}: 2 images, " in listed.output and "1 superseded night," in listed.output
    assert (folder / "out" / "nights" / first).is_dir()
    assert "removed 1 superseded night" in CliRunner().invoke(main, ["prune", "out", "--yes"]).output
    assert [path.name for path in (folder / "out" / "nights").iterdir()] == [second]
    assert "nothing was new" in call(folder, "--area-um2", "4").output
    assert "0 superseded nights" in CliRunner().invoke(main, ["prune", "out"]).output
    again = call(folder)
    assert again.exit_code == 0 and "2 images analyzed in this call" in again.output


def test_the_last_results_of_what_is_gone_or_fails_are_never_removed(folder):
    """All files gone at once leave no image with a folder; a file that changed for the worse has none either."""
    bad = folder / "data" / "activated" / "1" / "cell.csv"
    (first,) = (folder / "out" / "nights").iterdir()
    bad.write_text("frame,photons\n1,2\n")
    shutil.move(folder / "data" / "naive" / "1" / "cell.csv", folder / "archived.csv")
    assert call(folder).exit_code == 4
    bad.write_text("frame,photons\n1,3\n")  # a night of its own, which is then the last
    assert call(folder).exit_code == 4
    nights = sorted((folder / "out" / "nights").iterdir())
    assert len(nights) == 3 and nights[0] == first
    found = CliRunner().invoke(main, ["prune", "out", "--yes"])
    assert "removed 1 superseded night" in found.output
    assert sorted((folder / "out" / "nights").iterdir()) == [first, nights[2]]
    assert len(list(first.glob("*/points.parquet"))) == 2
    simulated_table(bad, side_nm=2000.0, seed=7)
    assert call(folder, "--forget-gone").exit_code == 0
    assert "removed 2 superseded nights" in CliRunner().invoke(main, ["prune", "out", "--yes"]).output
    assert not first.exists(), "newer results, and a loss that was accepted"


def test_the_last_results_of_what_moved_before_it_failed_are_never_removed(folder):
    """What the ledger says of them names the place that the file was first read from."""
    (first,) = (folder / "out" / "nights").iterdir()
    shutil.rmtree(folder / "data" / "naive")
    moved = (folder / "data" / "activated").rename(folder / "data" / "resting") / "1" / "cell.csv"
    assert "1 of 1 images done, nothing was new" in call(folder, "--forget-gone").output
    moved.write_text("frame,photons\n1,2\n")
    assert call(folder).exit_code == 4
    assert "0 superseded nights" in CliRunner().invoke(main, ["prune", "out"]).output
    assert first.exists()


def test_only_the_last_results_of_a_failed_image_stay(folder):
    """Newer results of each of its channels; a channel that only an older night has keeps that."""
    ledger = Ledger(
        entries={
            "a": Entry("1", "0001_cell_ch1", "/cell.csv"),
            "b": Entry("1", "0002_cell_ch2", "/cell.csv"),
            "c": Entry("2", "0003_cell_ch1", "/cell.csv"),
            "d": Entry("3", "0004_cell_ch1", "/cell.csv"),
            "e": Entry("4", "0005_cell_ch1", "/cell.csv", reason="no columns"),
        },
        last=["5"],
    )
    root = folder / "made"
    for night in "12345":
        (root / "nights" / night).mkdir(parents=True)
    (root / HIDDEN).mkdir()
    ledger.write(root)
    publish_json(root / "summary.json", {"images": [{"path": "/cell.csv", "folder": ""}]})
    assert [night.name for night in prune(root, remove=False)] == ["2", "4"]


def test_pruning_asks_for_a_screening(folder):
    for where in ("data", "nowhere"):
        refused = CliRunner().invoke(main, ["prune", where])
        assert refused.exit_code == 2 and "holds no screening" in refused.output
    (folder / "out" / "summary.json").write_text("{")
    refused = CliRunner().invoke(main, ["prune", "out", "--yes"])
    assert refused.exit_code == 2 and "cannot be read" in refused.output
    assert len(list((folder / "out" / "nights").iterdir())) == 1
