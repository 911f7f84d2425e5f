"""The drift of an image in the report: its curve, its figures, and no file that its run did not write."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from caml_dask.errors import StoreError
from caml_dask.report import write_report
from caml_dask.report.images import read_drift
from caml_dask.report.plots import drift_plot
from caml_dask.runs.session import execute
from caml_dask.settings import Settings


def test_the_report_shows_drift_where_it_was_corrected(tmp_path):
    rng = np.random.default_rng(0)
    frame = rng.integers(1, 2001, 3000)
    places = rng.uniform(0, 3000, (200, 2))[rng.integers(0, 200, 3000)] + rng.normal(0, 6, (3000, 2))
    places[:, 0] += 0.05 * frame
    file = tmp_path / "cell.csv"
    pd.DataFrame({"x [nm]": places[:, 0], "y [nm]": places[:, 1], "frame": frame}).to_csv(file, index=False)
    out = tmp_path / "out"
    assert execute([file], out, Settings("XPILJZ", drift="aim", test=False), workers=0).exit_code == 0
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"path,condition,replicate\n{file},a,1\n")
    page = write_report(out, cohort).page.read_text()
    assert "Drift that was corrected" in page
    assert "by adaptive intersection maximization (Ma et al., 2024) and corrected" in page
    assert re.search(r"aim, \d+ intervals; range x (9|10)\d(\.\d+)? nm ± \d.*nm before, .* nm after", page)
    (out / "0001_cell" / "drift.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match="not the file that its run wrote"):
        read_drift(out / "0001_cell")


def test_the_curve_lies_on_its_axes():
    frame = np.arange(0, 5000, 7)
    plot = drift_plot(frame, {"x": frame / 50.0, "y": 0.0 * frame}, "words", "name")
    assert [curve.name for curve in plot.curves] == ["x", "y"] and plot.ticks[-1].label == f"{frame[-1]:,}"
    rising, flat = (np.array([p.split(",") for p in c.points.split()], float) for c in plot.curves)
    assert np.all(np.diff(rising[:, 0]) > 0) and np.all(np.diff(rising[:, 1]) < 0)
    zero = next(mark.at for mark in plot.heights if mark.label == "0")
    assert np.allclose(flat[:, 1], zero, atol=0.1) and rising[0, 1] == pytest.approx(zero, abs=0.1)
    alone = drift_plot(np.array([5]), {"x": np.zeros(1)}, "one frame", "name")
    assert len(alone.curves[0].points.split()) == 1
