"""`--cell-mask auto`: what it finds decides what is counted, as a given region does; and what is said without it."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support import Threshold, analyse_in_memory, result_tables, same

from caml_dask import analyze
from caml_dask.atomic import read_json
from caml_dask.cli import main
from caml_dask.errors import InputError, UsageError
from caml_dask.runs.session import execute
from caml_dask.settings import STEPS, Settings
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared.measured import MeasuredClusters

COUNTED = ("localizations", "in_clusters", "clusters", "clusters_per_um2", "area_um2", "outside_regions", "medians")


def cells() -> np.ndarray:
    """Two cells of 1 um in a field of 8 um, in each 20 clusters of 15; a few localizations far away."""
    rng = np.random.default_rng(6)
    parts = []
    for center in ((2000, 2000), (6500, 6000)):
        angle, r = rng.uniform(0, 2 * np.pi, 1020), 1000 * np.sqrt(rng.uniform(0, 1, 1020))
        places = np.column_stack([r * np.cos(angle), r * np.sin(angle)]) + center
        parts += [places[:1000], np.repeat(places[1000:], 15, axis=0) + rng.normal(0, 8, (300, 2))]
    return np.vstack([*parts, rng.uniform(0, 8000, (60, 2))])


@pytest.fixture(scope="module")
def masked():
    return analyse_in_memory(cells(), Threshold(), 10_000, cell_mask="auto")


@pytest.mark.parametrize("tile", [97, 700])
def test_tiling_does_not_change_it(masked, tile):
    tiled = analyse_in_memory(cells(), Threshold(), tile, cell_mask="auto")
    assert tiled.work.partition().n_tiles > 2
    assert same(
        {"points": tiled.points, "clusters": tiled.clusters}, {"points": masked.points, "clusters": masked.clusters}
    )
    assert tiled.work.rois() == masked.work.rois()


def test_the_order_of_rows_does_not_change_it(masked):
    order = np.random.default_rng(1).permutation(len(cells()))
    again = analyse_in_memory(cells()[order], Threshold(), 300, cell_mask="auto")
    assert again.work.rois() == masked.work.rois()
    assert again.points["region_id"].equals(masked.points["region_id"].take(order))


@pytest.mark.parametrize("axes", [2, 3])
def test_it_is_that_of_the_molecules_where_detections_are_merged_whatever_the_tiles(axes, tmp_path):
    xy = np.repeat(cells(), 2, axis=0)
    table = pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], "frame": np.tile([1, 3], len(xy) // 2)})
    if axes == 3:
        table["z [nm]"] = np.repeat(np.random.default_rng(5).uniform(0, 400, len(xy) // 2), 2)
    network = "XPILJZ" if axes == 2 else "GAXJPR"
    table.to_csv(tmp_path / "cells.csv", index=False)
    for tile in (400, 10_000):
        asked = Settings(network, merge="1nm,5frames", cell_mask="auto", max_localizations=tile, test=False)
        assert execute([tmp_path / "cells.csv"], tmp_path / str(tile), asked, workers=0).exit_code == 0
    assert same(result_tables(tmp_path / "400"), result_tables(tmp_path / "10000"))
    found = [read_json(tmp_path / tile / "summary.json")["images"][0] for tile in ("400", "10000")]
    assert found[0]["regions"] == found[1]["regions"] and found[0]["outside_regions"] > 0
    assert found[0]["area_um2"] == pytest.approx(2 * np.pi, rel=0.15)


def test_it_is_one_region_and_leaves_labels_as_they_are(masked):
    whole = analyse_in_memory(cells(), Threshold(), 10_000)
    assert whole.points.equals(masked.points.drop_columns("region_id"))
    assert whole.clusters.equals(masked.clusters.drop_columns("region_id"))
    summary = summarise(masked.work, MeasuredClusters(masked.work))
    assert summary["area_um2"] == pytest.approx(2 * np.pi, rel=0.15) and summary["area_defined_by"] == "cell mask"
    (region,) = summary["regions"]
    assert region["name"] == "cell mask" and len(masked.work.rois()[0].shape.geoms) == 2
    assert 2480 < region["localizations"] == summary["localizations"] < 2640


def test_a_hull_that_is_mostly_empty_is_told_with_both_densities(masked):
    work = analyse_in_memory(cells(), Threshold(), 500).work
    summary = summarise(work, MeasuredClusters(work))
    inside = summarise(masked.work, MeasuredClusters(masked.work))
    (said,) = [w for w in summary["warnings"] if w.startswith("hull-mostly-empty: ")]
    densities = [float(number) for number in re.findall(r"([\d.]+) (?:clusters )?per um2", said)]
    assert densities == pytest.approx([summary["clusters_per_um2"], inside["clusters_per_um2"]], rel=0.01)
    assert "--cell-mask auto" in said and "--roi" in said
    assert not any("hull-mostly-empty" in w for w in inside["warnings"])
    for settings in ({"area_um2": 20.0}, {"roi": "x=0..8000,y=0..8000"}):
        work = analyse_in_memory(cells(), Threshold(), 10_000, **settings).work
        assert not any("empty" in w for w in summarise(work, MeasuredClusters(work))["warnings"])
    full = analyse_in_memory(np.random.default_rng(2).uniform(0, 3000, (2000, 2)), Threshold(), 10_000).work
    assert not any("empty" in w for w in summarise(full, MeasuredClusters(full))["warnings"])


def test_the_run_keeps_the_outline_which_is_a_region_to_give(tmp_path):
    xy = cells()
    pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1]}).to_csv(tmp_path / "cells.csv", index=False)
    command = ["run", str(tmp_path / "cells.csv"), "-n", "XPILJZ", "-j", "0", "--no-test", "-o"]
    done = CliRunner().invoke(main, [*command, str(tmp_path / "out"), "--cell-mask", "auto"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    kept = tmp_path / "out" / "0001_cells" / "regions.geojson"
    assert json.loads(kept.read_text())["features"][0]["properties"]["name"] == "cell mask"
    (found,) = read_json(tmp_path / "out" / "summary.json")["images"]
    given = analyze(tmp_path / "cells.csv", "XPILJZ", roi=str(kept), test=False).summary
    assert {name: found[name] for name in COUNTED} == {name: given[name] for name in COUNTED}
    assert (tmp_path / "out" / "regions.csv").read_text().count("cell mask") == 1
    assert read_json(tmp_path / "out" / ".run" / "manifest.json")["steps"] == ["read", "region", "analysis"]


def test_a_screening_finds_the_cells_of_each_image(tmp_path):
    """The figures of a run; with the option left out, the images are analyzed anew."""
    xy = cells()
    for name, part in (("both", xy), ("lower", xy[xy[:, 1] < 4000])):
        pd.DataFrame({"x [nm]": part[:, 0], "y [nm]": part[:, 1]}).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "cohort.csv").write_text("path,condition,replicate\nboth.csv,a,1\nlower.csv,b,1\n")

    def night(*options):
        command = ["screen", str(tmp_path / "cohort.csv"), "-o", str(tmp_path / "out"), "-n", "XPILJZ", "-j", "0"]
        command += ["--no-test"]
        done = CliRunner().invoke(main, [*command, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout, read_json(tmp_path / "out" / "summary.json")["images"]

    images = night("--cell-mask", "auto")[1]
    execute(
        [tmp_path / "both.csv", tmp_path / "lower.csv"],
        tmp_path / "run",
        Settings("XPILJZ", cell_mask="auto", test=False),
        workers=0,
    )
    of_run = read_json(tmp_path / "run" / "summary.json")["images"]
    for found, expected, area in zip(images, of_run, (2 * np.pi, np.pi), strict=True):
        assert {name: found[name] for name in (*COUNTED, "regions")} == {
            name: expected[name] for name in (*COUNTED, "regions")
        }
        assert found["area_um2"] == pytest.approx(area, rel=0.15) and found["area_defined_by"] == "cell mask"
        assert (tmp_path / "out" / found["folder"] / "regions.geojson").exists()
    assert "nothing was new" in night("--cell-mask", "auto")[0]
    said, images = night()
    assert "2 images analyzed in this call" in said and all(image["area_um2"] > 8 for image in images)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UsageError, match="leave one of them out"):
        Settings(cell_mask="auto", roi="x=0..1,y=0..1")
    with pytest.raises(UsageError, match="leave one of them out"):
        Settings(cell_mask="auto", area_um2=3.0)
    with pytest.raises(UsageError, match="give auto"):
        Settings(cell_mask="300")
    line = np.column_stack([np.arange(50) * 40.0, np.full(50, 7.0)])
    with pytest.raises(InputError, match="lie on a line"):
        analyse_in_memory(line, Threshold(), 100, cell_mask="auto")


def test_too_few_localizations_for_an_outline_are_told():
    work = analyse_in_memory(np.random.default_rng(3).uniform(0, 900, (40, 2)), Threshold(), 15, cell_mask="auto").work
    summary = summarise(work, MeasuredClusters(work))
    assert any(w.startswith("no-cell-outline: ") for w in summary["warnings"])
    assert summary["localizations"] == 40


def test_steps_are_in_their_order():
    asked = Settings(where="frame > 3", drift="aim", merge="auto", cell_mask="auto")
    assert tuple(asked.steps()) == STEPS == ("read", "where", "drift", "merge", "region", "analysis")
    assert Settings().steps() == ["read", "analysis"]
