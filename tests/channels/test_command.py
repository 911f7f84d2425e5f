"""`caml-dask colocalize` on runs: what it writes, what does not change it, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from pairs_made import clustered
from PIL import Image

from caml_dask import colocalize, open_run
from caml_dask.channels.figures import Measures
from caml_dask.channels.pairs import pairs_of
from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.results.run import Images
from caml_dask.runs.session import execute
from caml_dask.settings import ColumnMap, Settings

SHIFT = (40.0, -25.0)
FAST = ["--radius-nm", "200", "--step-nm", "20"]
MEASURES = Measures(reach_nm=200.0, step_nm=20.0)


def two_channels() -> pd.DataFrame:
    """Three of four clusters of B lie on those of A; all of B is shifted."""
    rng = np.random.default_rng(4)
    first, second = rng.uniform(100, 2900, (2, 40, 2))
    second[:30] = first[:30]
    a, _ = clustered(rng, 3000.0, first, each=20, loners=150)
    b, _ = clustered(rng, 3000.0, second, each=20, loners=150)
    xy = np.vstack([a, b + SHIFT]).round(2)
    table = pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], "dye": np.repeat(["A", "B"], [len(a), len(b)])})
    return table.sample(frac=1, random_state=0)


def analyzed(folder, table: pd.DataFrame, tile: int | None = None):
    folder.mkdir(exist_ok=True)
    path = folder / "cell.csv"
    table.to_csv(path, index=False)
    settings = Settings(columns=ColumnMap(channel="dye"), max_localizations=tile, test=False)
    execute([path], folder / "out", settings, workers=0)
    return folder / "out"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return analyzed(tmp_path_factory.mktemp("channels") / "one", two_channels())


def call(*arguments):
    return CliRunner().invoke(main, ["colocalize", *map(str, arguments)])


def test_the_command_writes_tables_a_picture_and_methods(run):
    done = call(run, *FAST, "--randomizations", 9)
    assert done.exit_code == 0, done.output
    assert "0001_cell_chA and 0002_cell_chB:" in done.stdout
    folder = run / "colocalization"
    row = pd.read_csv(folder / "colocalization.csv").iloc[0]
    assert (row["a"], row["b"]) == ("0001_cell_chA", "0002_cell_chB")
    assert row["shift_source"] == "data" and not row["shift_applied"]
    assert (row["shift_dx_nm"], row["shift_dy_nm"]) == pytest.approx(SHIFT, abs=6)
    assert row["pair_correlation"] > 2 and row["pair_correlation_p_shift"] == pytest.approx(0.2)
    pair = folder / row["pair"]
    clusters = pd.read_csv(pair / "clusters_a.csv")
    assert (
        clusters["with_other"].sum()
        == (clusters["other_share"] > 0).sum()
        == round(row["clusters_share_a"] * len(clusters))
    )
    points = pd.read_parquet(pair / "localizations_b.parquet")
    assert points["doc"].mean() == pytest.approx(row["doc_b"])
    assert len(points) == row["localizations_b"] and points["loc_id"].is_monotonic_increasing
    tests = pd.read_csv(folder / "tests.csv")
    assert set(tests["test"]) == {"shift", "placement"} and len(tests) == 34
    assert set(pd.read_csv(pair / "curves.csv")["curve"]) == {
        *("distances_a", "distances_b", "cluster_distances_a", "cluster_distances_b", "pair_correlation")
    }
    assert "9 times" in (folder / "methods.txt").read_text()
    with Image.open(pair / "colocalization.png") as picture:
        colors = np.asarray(picture)
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) > 50
    again = call(run, *FAST, "--randomizations", 0)
    assert again.exit_code == 2 and "--overwrite" in again.output
    assert call(run, *FAST, "--randomizations", 0, "--overwrite").exit_code == 0
    assert "doc_a_p_shift" not in pd.read_csv(folder / "colocalization.csv")


def test_a_shift_that_is_applied_brings_the_clusters_together(run):
    plain = colocalize(run, measures=MEASURES, randomizations=0)[0]
    corrected = colocalize(run, measures=MEASURES, randomizations=2, correct_shift=True)[0]
    assert corrected.shift.applied and not plain.shift.applied
    assert corrected.figures["area_share_a"] > 1.5 * plain.figures["area_share_a"]
    assert corrected.figures["clusters_share_b"] == pytest.approx(0.75, abs=0.15)


def test_beads_that_give_no_way_to_the_region_are_refused(run, tmp_path):
    beads = tmp_path / "beads.csv"
    beads.write_text("x_a,y_a,x_b,y_b\n0,0,99999,0\n")
    with pytest.raises(UsageError, match="leaves the region by the shift of 99999, 0 nm"):
        colocalize(run, fiducials=beads, correct_shift=True, randomizations=0)


def test_neither_tiles_nor_the_order_of_rows_change_it(run, tmp_path):
    table = two_channels()
    other = analyzed(tmp_path / "two", table.sample(frac=1, random_state=7), tile=300)
    one, two = (colocalize(folder, measures=MEASURES, randomizations=2)[0] for folder in (run, other))
    assert one.figures == two.figures and one.shift == two.shift
    assert one.tests == two.tests


def test_pairs_are_named_or_listed(run, tmp_path):
    opened = open_run(run)
    ids = [(a.image_id, b.image_id) for a, b in pairs_of(opened)]
    assert ids == [("0001_cell_chA", "0002_cell_chB")]
    table = tmp_path / "pairs.csv"
    table.write_text("A;B\n0002_cell_chB;0001_cell_chA\n")
    assert [(a.image_id, b.image_id) for a, b in pairs_of(opened, table=table)] == [ids[0][::-1]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pair", "0001_cell_chA", "0001_cell_chA"], "paired with itself"),
        (["--pair", "0001_cell_chA", "nothing"], "there is no image 'nothing'"),
        (["--pairs", "missing.csv"], "cannot be read"),
        (["--radius-nm", "-5"], "--radius-nm -5"),
        (["--fiducials", "missing.csv"], "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, tmp_path, arguments, words):
    done = call(run, "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 2 and words in done.output
    assert not (tmp_path / "out" / "colocalization.csv").exists()


def test_images_of_other_fields_or_units_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    xy = clustered(rng, 2000.0, rng.uniform(100, 1900, (10, 2)), each=20, loners=100)[0]
    paths = [tmp_path / f"{name}.csv" for name in ("near", "far")]
    pd.DataFrame(xy, columns=["x [nm]", "y [nm]"]).to_csv(paths[0], index=False)
    pd.DataFrame(xy * 3 + 90_000, columns=["x [nm]", "y [nm]"]).to_csv(paths[1], index=False)
    execute(paths, tmp_path / "out", Settings(test=False), workers=0)
    with pytest.raises(UsageError, match="do not overlap: pair channels of one field, in one unit"):
        colocalize(tmp_path / "out", [("near", "far")])
    with pytest.raises(UsageError, match="no file of .* has two channels: name images with --pair"):
        colocalize(tmp_path / "out")


def test_one_image_in_2d_and_one_in_3d_are_refused(run):
    opened = open_run(run)
    first, second = opened.images.values()
    summary = {**second.summary, "medians": {**second.summary["medians"], "volume_nm3": None}}
    deep = replace(second, summary=summary)
    mixed = replace(opened, images=Images({one.image_id: one for one in (first, deep)}, {}))
    with pytest.raises(UsageError, match="0001_cell_chA is 2D and 0002_cell_chB is 3D"):
        pairs_of(mixed)
