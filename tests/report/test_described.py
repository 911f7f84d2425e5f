"""Descriptions beside the images of a report: which image each is of, their curves, and no text that is markup."""

from __future__ import annotations

import shutil

import cohorts
import numpy as np
import pyarrow.parquet as pq
import pytest
from poisoned import Markup, payload

from caml_dask.atomic import publish_json, read_json
from caml_dask.describing.image import Asked
from caml_dask.describing.session import describe_images
from caml_dask.errors import OutputError
from caml_dask.report import write_report
from caml_dask.report.described import spread_plots
from caml_dask.report.spread import spread_plot


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two images that were analyzed, of which the second was described, in two regions."""
    root = tmp_path_factory.mktemp("described")
    tables = [cohorts.table(root / "in" / f"{k}.csv", cohorts.TIGHT, seed=k) for k in range(2)]
    cohorts.screened(root / "out", [{"path": str(path), "condition": "a"} for path in tables])
    settings = {"roi": "x=0..1200,y=0..2400;x=1300..2400,y=0..2400"}
    outcome = describe_images(tables[1:], root / "described", Asked(simulations=19), settings, threads=1)
    assert not outcome.failed
    return root


@pytest.fixture
def both(kept, tmp_path):
    """The directories of results and of descriptions."""
    return [shutil.copytree(kept / name, tmp_path / name) for name in ("out", "described")]


def test_functions_are_beside_the_image_they_are_of(both):
    out, described = both
    written = write_report(out, described=described)
    page = written.page.read_text()
    names = [a["data-name"] for tag, a in Markup(page).elements if tag == "svg" and "0002_1" in a.get("data-name", "")]
    assert names == [f"{what}_0002_1_{region}" for region in (0, 1) for what in ("ripley", "pair_correlation")]
    first, second = (card.count("Pair correlation g(r)</figcaption>") for card in page.split("<article")[1:])
    assert (first, second) == (0, 2)
    (region, _) = read_json(described / "summary.json")["images"][0]["regions"]
    assert f"at {region['at_r_nm']:.3g}" in page and "p of L 0.050" in page
    assert any("1 of 2 images are not described" in note and "0001_0" in note for note in written.notes)
    assert any("different settings (roi)" in note for note in written.notes)
    assert "ripley_" not in write_report(out).page.read_text()


def test_the_curves_lie_on_their_axes(both):
    table = pq.read_table(both[1] / "0001_1" / "describe.parquet").slice(0, 250)
    values = {name: table[name].to_numpy() for name in table.column_names if name != "region"}
    of_l, of_g = spread_plots(values, "name")
    x, y = np.array([corner.split(",") for corner in of_l.line.split()], float).T
    assert x[np.argmin(y)] == pytest.approx(
        of_l.across * np.argmax(values["l_minus_r_nm"]) / 250, abs=0.02 * of_l.across
    )
    assert len(of_l.bands) == 2 and len(of_g.bands) == 1 and 0 <= of_g.random <= of_g.tall
    wide, narrow = (np.array([c.split(",") for c in band.split()], float)[:, 1] for band in of_l.bands)
    assert np.ptp(wide) >= np.ptp(narrow) > 0


def test_without_random_fields_there_is_no_band():
    r, nothing = np.arange(1.0, 101.0), np.full(100, np.nan)
    plot = spread_plot(r, 1.0 + 1000.0 / r**2, [(nothing, nothing)], 1.0, "g", "name")
    assert plot.bands == () and float(plot.line.split()[0].split(",")[1]) < 0, "it leaves the plot near 0"
    flat = spread_plot(r, np.zeros(100), [], 0.0, "L", "name")
    assert np.isfinite([float(v) for corner in flat.line.split() for v in corner.split(",")]).all()


def test_no_name_of_a_region_is_markup(both):
    out, described = both
    plain = {tag for tag, _ in Markup(write_report(out, described=described).page.read_text()).elements}
    summary = read_json(described / "summary.json")
    summary["images"][0]["regions"][0]["region"] = payload("region")
    publish_json(described / "summary.json", summary)
    found = Markup(write_report(out, described=described).page.read_text())
    assert {tag for tag, _ in found.elements} == plain and payload("region") in "".join(found.text)


def test_what_holds_no_descriptions_is_refused(both, tmp_path):
    out, described = both
    with pytest.raises(OutputError, match="holds no descriptions: give a directory that `caml-dask describe` wrote"):
        write_report(out, described=tmp_path / "none")
    with pytest.raises(OutputError, match="holds no descriptions"):
        write_report(out, described=out)
    (described / "0001_1" / "describe.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="cannot be read .*: describe the images again"):
        write_report(out, described=described)
