"""Every snippet of the README and of the documentation runs, on simulated tables and, where they are, on real ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from snippets import command_in, run, runnable, snippets
from support import SHARED, simulated_table

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "tests/faults/README.md"]
WITH_SNIPPETS = [
    page for page in PAGES if runnable(page) and "_generated" not in page.parts and "_build" not in page.parts
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    return command_in(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return [simulated_table(folder / f"{i}.csv", side_nm=3000.0, seed=i) for i in range(2)]


def lay_out(folder: Path, tables: list[Path]) -> None:
    """The files that snippets name: two cells, a folder of them, a table without units, a cohort; the benchmarks."""
    for name, table in zip(("cell_a.csv", "cell_b.csv"), tables, strict=False):
        shutil.copy(table, folder / name)
        for place in (folder / "cells", folder / "data" / ("naive" if name == "cell_a.csv" else "activated") / "1"):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(table, place / name)
    x, y = [0.1, 2.5], [0.2, 2.1]
    rows = [f"{x[0] + (x[1] - x[0]) * i / 300},{y[0] + (y[1] - y[0]) * (i * 37 % 300) / 300}" for i in range(300)]
    (folder / "table.csv").write_text("X,Y\n" + "\n".join(rows) + "\n")
    cohort = "path,condition,replicate,protein\ncell_a.csv,naive,donor 1,Csk\ncell_b.csv,activated,donor 1,Csk\n"
    (folder / "cohort.csv").write_text(cohort)
    (folder / "benchmarks").symlink_to(PROJECT / "benchmarks")


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=lambda page: str(page.relative_to(PROJECT)))
def test_snippets_run(page, simulated, tools, tmp_path, monkeypatch):
    lay_out(tmp_path, simulated)
    monkeypatch.chdir(tmp_path)
    run(page, tmp_path, tools)


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="no ../shared/data/real beside the project")
def test_snippets_of_the_readme_run_on_real_tables(tools, tmp_path, monkeypatch):
    lay_out(tmp_path, sorted((SHARED / "real").glob("*.csv")))
    monkeypatch.chdir(tmp_path)
    run(PROJECT / "README.md", tmp_path, tools)


def test_what_is_not_run_says_why():
    reasons = {s.reason for page in PAGES for s in snippets(page) if s.reason}
    assert reasons == {
        "needs a batch system",
        "needs a bucket",
        "needs a group",
        "needs snakemake",
        "needs the network trained above",
        "opens a window",
        "serves until it is interrupted",
        "takes an hour and a half",
        "takes half an hour",
        "training takes about an hour",
        "training takes hours",
    }


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 6_000
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 8
    assert [link for link in links if not link.startswith("http") and not (PROJECT / link).exists()] == []


def test_the_recipes_of_contributing_have_ten_lines_at_most_and_name_what_there_is():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipes = text.split("\n## ")[1:]
    lines = [len(re.findall(r"^\d+\. ", recipe, re.MULTILINE)) for recipe in recipes]
    assert len(lines) == 7 and 5 <= min(lines) <= max(lines) <= 10
    named = {path for path in re.findall(r"`((?:caml_dask|tests|benchmarks)/[^`<]+)`", text) if "*" not in path}
    assert [path for path in sorted(named) if not (PROJECT / path).exists()] == []
