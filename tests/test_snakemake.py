"""The workflow for Snakemake under deploy/, run by snakemake itself where that is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import simulated_table

FOLDER = Path(__file__).parents[1] / "deploy" / "snakemake"
pytestmark = pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")


def workflow(folder: Path) -> subprocess.CompletedProcess[str]:
    """Snakemake's call in a folder, as the Snakefile says it, with caml-dask as these tests find it."""
    given = {"command": f"{sys.executable} -m caml_dask", "options": "--network XPILJZ --no-test", "workers": 0}
    command = ["snakemake", "--snakefile", FOLDER / "Snakefile", "--configfile", FOLDER / "config.yaml"]
    command += ["--config", *(f"{name}={value}" for name, value in given.items()), "--cores", "1", "--keep-going"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_two_tables_their_change_and_a_bad_one(tmp_path):
    for n in (1, 2):
        simulated_table(tmp_path / f"cell {n}.csv", side_nm=1500.0, seed=n)
    (tmp_path / "cohort.csv").write_text(
        "path,condition,replicate,dish\ncell 1.csv,wild type,1,a\ncell 2.csv,mutant,1,b\n", encoding="utf-8"
    )
    done = workflow(tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = rows(tmp_path / "images.csv")
    assert (first["run"], first["condition"], first["dish"]) == ("runs/wild_type_1_cell_1", "wild type", "a")
    assert (second["run"], second["condition"], second["dish"]) == ("runs/mutant_1_cell_2", "mutant", "b")
    for row in (first, second):
        (own,) = rows(tmp_path / row["run"] / "images.csv")
        assert own["status"] == "done" and int(own["clusters"]) > 0 and own.items() <= row.items()
    assert "Nothing to be done" in workflow(tmp_path).stderr

    kept = (tmp_path / first["run"] / "summary.json").stat().st_mtime_ns
    simulated_table(tmp_path / "cell 2.csv", side_nm=1800.0, seed=5)
    assert workflow(tmp_path).returncode == 0
    assert (tmp_path / first["run"] / "summary.json").stat().st_mtime_ns == kept
    again = rows(tmp_path / "images.csv")
    assert again[0] == first and again[1]["localizations"] != second["localizations"]

    (tmp_path / "cell 2.csv").write_text("no,table\n")
    assert workflow(tmp_path).returncode != 0
    assert not (tmp_path / second["run"]).exists() and (tmp_path / first["run"]).exists()
    assert "cell 2.csv" in (tmp_path / "logs" / "mutant_1_cell_2.log").read_text()


def test_a_factor_with_the_name_of_a_figure_keeps_its_values(tmp_path):
    """Headers and cells as `caml-dask screen` takes them."""
    simulated_table(tmp_path / "cell.csv", side_nm=1500.0)
    table = "\ufeffPath, CONDITION ,Replicate,clusters,warnings\n\n cell.csv , wild type ,1,few,\n,,,,\n"
    (tmp_path / "cohort.csv").write_text(table, encoding="utf-8")
    done = workflow(tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "images.csv")
    assert (row["run"], row["condition"]) == ("runs/wild_type_1_cell", "wild type")
    assert (row["clusters"], row["warnings"]) == ("few", "") and int(row["measured_clusters"]) > 0


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("path;condition;replicate\na.csv;a;1\n", "separate them by commas"),
        ("", "its first line is []"),
        ("path,condition,replicate,dish,dish\na.csv,a,1,1,2\n", "name each column once"),
        ("path,condition,replicate,Channel\na.csv,a,1,2\n", "a run analyzes all channels of a file"),
        ("path,condition,replicate,status\na.csv,a,1,ok\n", "the column 'status': images.csv has another column"),
        ("path,condition,replicate\na.csv,a\n", "give each column"),
        ("path,condition,replicate\na.csv,,1\n", "give each column"),
    ],
)
def test_a_cohort_that_cannot_be_used_is_refused(tmp_path, table, said):
    (tmp_path / "cohort.csv").write_text(table)
    done = workflow(tmp_path)
    assert done.returncode != 0 and said in done.stderr
    assert not (tmp_path / "runs").exists()
