"""The drift of an image in the report: its curve, its figures, and no file that its run did not write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caml_dask.io.run_directory import Run
from caml_dask.report import page as page_of
from caml_dask.report import views as views_of
from caml_dask.report import write_report
from caml_dask.report.plots import drift_plot
from caml_dask.runs.session import execute
from caml_dask.settings import Settings


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of two images whose drift was corrected, and a cohort table."""
    folder, files = tmp_path_factory.mktemp("drift"), []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        frame = rng.integers(1, 2001, 3000)
        places = rng.uniform(0, 3000, (200, 2))[rng.integers(0, 200, 3000)] + rng.normal(0, 6, (3000, 2))
        places[:, 0] += 0.05 * frame
        files.append(folder / f"cell_{seed}.csv")
        columns = {"x [nm]": places[:, 0], "y [nm]": places[:, 1], "frame": frame}
        pd.DataFrame(columns).to_csv(files[-1], index=False)
    assert execute(files, folder / "out", Settings("XPILJZ", drift="aim", test=False), workers=0).exit_code == 0
    lines = [f"{file},{condition},1\n" for file, condition in zip(files, "ab")]
    (folder / "cohort.csv").write_text("path,condition,replicate\n" + "".join(lines))
    return folder


@pytest.fixture
def written(kept, tmp_path):
    """What writes the page of a copy of the run, as text."""
    out = shutil.copytree(kept / "out", tmp_path / "out")
    return lambda: write_report(out, kept / "cohort.csv").page.read_text()


def test_the_report_shows_drift_where_it_was_corrected(written, monkeypatch):
    opened = []
    monkeypatch.setattr(views_of, "MOST_HELD", 0)
    monkeypatch.setattr(Run, "open", lambda folder, read=Run.open: opened.append(folder) or read(folder))
    page = written()
    assert page.count("Drift that was corrected") == 2 and len(opened) == 1, "a run is opened once"
    assert "by adaptive intersection maximization (Ma et al., 2024) and corrected" in page
    assert re.search(r"aim, \d+ intervals; range x (9|10)\d(\.\d+)? nm ± \d.*nm before, .* nm after", page)


def test_drift_is_drawn_beside_pictures_only(written, monkeypatch):
    monkeypatch.setattr(page_of, "pictured", lambda images, by: {1})
    assert written().count("Drift that was corrected") == 1


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b""), Path.unlink])
def test_an_image_whose_drift_was_altered_fails_alone(written, damage, tmp_path):
    damage(tmp_path / "out" / "0001_cell_0" / "drift.parquet")
    page = written()
    assert page.count("Drift that was corrected") == 1
    assert re.search(r"results cannot be used: \S*0001_cell_0/drift.parquet is (not the file|missing)", page)


def test_the_curve_lies_on_its_axes():
    frame = np.arange(0, 5000, 7)
    plot = drift_plot(frame, {"x": frame / 50.0, "y": 0.0 * frame}, "words", "name")
    assert [curve.name for curve in plot.curves] == ["x", "y"] and plot.ticks[-1].label == f"{frame[-1]:,}"
    rising, flat = (np.array([p.split(",") for p in c.points.split()], float) for c in plot.curves)
    assert np.all(np.diff(rising[:, 0]) > 0) and np.all(np.diff(rising[:, 1]) < 0)
    zero = next(mark.at for mark in plot.heights if mark.label == "0")
    assert np.allclose(flat[:, 1], zero, atol=0.1) and rising[0, 1] == pytest.approx(zero, abs=0.1)
    (falling, *_, top) = drift_plot(frame, {"x": frame / -50.0}, "words", "name").heights
    assert (falling.label, top.label) == ("−100", "0"), "a minus as elsewhere on the page"
    alone = drift_plot(np.array([5]), {"x": np.zeros(1)}, "one frame", "name")
    assert len(alone.curves[0].points.split()) == 1
