"""Points in the formats of other programs, read back: by pandas, by Picasso's rules, and by our own readers."""

from __future__ import annotations

import json
import weakref

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from exported import FINITE, hand_drawn, points_table

from caml_dask import analyze, read_localizations
from caml_dask.errors import StoreError, UsageError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.formats import EXPORTERS
from caml_dask.io.exporters.write import export


def written(tmp_path, to, image=None, **options):
    return export([image or hand_drawn()], to, tmp_path, Options(**options), overwrite=False)


def loaded_by_picasso(path):
    """Rows that Picasso's loader keeps, and the documents: the rules of picasso.lib.ensure_sanity 0.11.3."""
    with h5py.File(path) as file:
        locs = pd.DataFrame.from_records(file["locs"][:])
    info = list(yaml.safe_load_all(path.with_suffix(".yaml").read_text()))

    def last(key):
        return next(document[key] for document in reversed(info) if document.get(key))

    kept = locs.replace([np.inf, -np.inf], np.nan).dropna()
    kept = kept[(kept.x < last("Width")) & (kept.y < last("Height"))]
    for name in {"x", "y", "lpx", "lpy", "lpz", "photons", "ellipticity", "sx", "sy"} & {*kept}:
        kept = kept[kept[name] >= 0]
    assert last("Frames") > kept.frame.max()
    return kept, info


def test_a_csv_holds_every_row_and_bit(tmp_path, caplog):
    (path,) = written(tmp_path, "csv")
    table = points_table()
    found = pd.read_csv(path, engine="python")
    assert list(found) == [name for name in table.column_names if name != "trace"]
    assert "has no column trace: CSV holds no lists and no bytes" in caplog.text
    for name in ("x_nm", "y_nm", "uncertainty [nm]", "chi2", "loc_id", "sigma [nm]"):
        np.testing.assert_array_equal(found[name], table[name].to_numpy())
    np.testing.assert_array_equal(found["p_clustered"].astype(np.float32), table["p_clustered"].to_numpy())
    np.testing.assert_array_equal(found["cluster_id"][FINITE], table["cluster_id"].drop_null().to_numpy())


def test_a_csv_holds_no_formula(tmp_path):
    (path,) = written(tmp_path, "csv")
    found = pd.read_csv(path, keep_default_na=False)
    assert found["note"].tolist()[:6] == ["'=1+1", "'-2", 'a "b", c', "", "", "µm"]
    assert found["kind"].tolist()[:2] == ["a", "'+b"]
    assert pd.read_csv(path)["chi2"].dtype == np.float64, "-inf stays a number"


@pytest.mark.parametrize("to", ["csv", "thunderstorm"])
def test_our_readers_read_back_the_same_bits(tmp_path, to):
    (path,) = written(tmp_path, to)
    found, table = read_localizations(path), points_table()
    expected = table if to == "csv" else table.filter(FINITE)
    for name in ("x_nm", "y_nm"):
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())
    assert {"input_cluster_id", "input_label"} <= {*found.column_names}


def java_double(cell):
    """A number as Java's Double.parseDouble takes it, which knows NaN and Infinity in this spelling alone."""
    assert cell.lower().lstrip("-") not in ("", "nan", "inf", "infinity") or cell in ("NaN", "Infinity", "-Infinity")
    return float(cell)


def test_thunderstorm_reads_every_row(tmp_path, caplog):
    """As its DLMImportExport does: header cells in quotes, rows split at commas, numbers only."""
    (path,) = written(tmp_path, "thunderstorm")
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    labels = [cell.strip('"') for cell in header.split(",")]
    assert labels == [
        *("id", "x [nm]", "y [nm]", "frame", "intensity [photon]", "uncertainty_xy [nm]"),
        *("loc_id", "cluster_id", "label", "p_clustered", "chi2", "inside", "sigma [nm]"),
    ]
    assert "has no column note, kind, trace: ThunderSTORM takes numbers only" in caplog.text
    rows = [line.split(",") for line in lines]
    assert {len(row) for row in rows} == {len(labels)} and len(rows) == FINITE.sum()
    values = dict(zip(labels, np.array([[java_double(cell) for cell in row] for row in rows]).T, strict=True))
    table = points_table().filter(FINITE)
    assert values["id"].tolist() == list(range(1, len(rows) + 1))
    for label, name in {"x [nm]": "x_nm", "y [nm]": "y_nm", "uncertainty_xy [nm]": "uncertainty [nm]"}.items():
        np.testing.assert_array_equal(values[label], table[name].to_numpy())
    for name in ("loc_id", "cluster_id", "label", "chi2", "frame", "intensity [photon]", "sigma [nm]"):
        np.testing.assert_array_equal(values[name], table[name].to_numpy())


def test_picassos_loader_drops_no_row(tmp_path, caplog):
    path, _ = written(tmp_path, "picasso")
    found, info = loaded_by_picasso(path)
    table = points_table().filter(FINITE)
    assert len(found) == FINITE.sum() == 16
    assert found["group"].tolist() == table["cluster_id"].to_pylist()
    assert found["loc_id"].tolist() == table["loc_id"].to_pylist()
    assert found["frame"].tolist() == table["frame"].to_pylist()
    np.testing.assert_array_equal(found["x"], (table["x_nm"].to_numpy() / 130).astype(np.float32))
    lpx = np.nan_to_num(table["uncertainty [nm]"].to_numpy() / 130, nan=0.0)
    np.testing.assert_array_equal(found["lpx"], lpx.astype(np.float32))
    np.testing.assert_array_equal(found["lpy"], found["lpx"])
    assert {"inside", "sigma_nm", "photons"} <= {*found} and not {"chi2", "note"} & {*found}
    assert "has no column note, kind, trace, chi2" in caplog.text
    assert info == [
        {
            "Generated by": "caml_dask 0.2.0 export",
            "network": "XPILJZ",
            "input": "=hand.csv",
            "group": "cluster_id, -1 for none",
            "Pixelsize": 130.0,
            "Width": 1,
            "Height": 1,
            "Frames": 10,
        }
    ]
    with h5py.File(path) as file:
        assert json.loads(file["metadata"][()]) == info


@pytest.mark.parametrize("pixel_nm", [1 / 3, 0.1, 7.0, 32.0, 1e6])
@pytest.mark.parametrize("shift_nm", [-1e5, -20.0, 0.0, 1e5])
def test_no_row_is_dropped_at_any_place_and_size_of_pixels(tmp_path, pixel_nm, shift_nm):
    table = points_table(shift_nm)
    path, _ = written(tmp_path, "picasso", hand_drawn(table), pixel_nm=pixel_nm)
    found, info = loaded_by_picasso(path)
    assert len(found) == FINITE.sum()
    moved = np.array(info[-1].get("Shift [nm]", [0.0, 0.0]))
    assert moved.any() == (shift_nm < 0)
    x_nm = table.filter(FINITE)["x_nm"].to_numpy()
    within = np.spacing(np.float32(found["x"].max())) * pixel_nm
    np.testing.assert_allclose(found["x"].to_numpy(np.float64) * pixel_nm + moved[0], x_nm, rtol=0, atol=within)


def test_our_reader_reads_what_is_written_for_picasso(tmp_path):
    path, _ = written(tmp_path, "picasso", pixel_nm=128.0)
    found, table = read_localizations(path), points_table().filter(FINITE)
    # 128 nm a pixel: nothing is lost but what 32 bits do not hold
    np.testing.assert_array_equal(found["x_nm"].to_numpy(), table["x_nm"].to_numpy().astype(np.float32))
    assert found["group"].to_pylist() == table["cluster_id"].to_pylist()
    assert found["frame"].to_pylist() == table["frame"].to_pylist()


def picasso_input():
    """Points of an input that Picasso wrote, with its metadata."""
    table = points_table().drop_columns(["x [nm]", "uncertainty [nm]", "note", "kind", "trace", "chi2"])
    n = len(table)
    for name in ("sx", "sy", "lpx", "lpy"):
        table = table.append_column(name, pa.array(np.random.default_rng(len(name)).random(n).astype(np.float32)))
    table = table.append_column("ellipticity", pa.array(np.linspace(-1, 1, n)))
    documents = [{"Width": 64, "Height": 32, "Frames": 500}, {"Generated by": "Picasso Localize", "Pixelsize": 107}]
    return table, documents


def test_what_picasso_wrote_is_kept(tmp_path, caplog):
    """Size of pixels, widths and precision to the bit, and its documents of metadata before ours."""
    table, documents = picasso_input()
    path, _ = written(tmp_path, "picasso", hand_drawn(table, picasso_metadata=lambda: documents))
    found, info = loaded_by_picasso(path)
    assert len(found) == FINITE.sum() and info[:2] == documents
    assert [info[2][key] for key in ("Pixelsize", "Width", "Height", "Frames")] == [107, 64, 32, 500]
    for name in ("sx", "sy", "lpx", "lpy"):
        np.testing.assert_array_equal(found[name], table.filter(FINITE)[name].to_numpy())
    assert "has no column ellipticity" in caplog.text, "its loader drops rows where it is negative"


def test_widths_follow_the_size_of_the_pixels(tmp_path):
    table, documents = picasso_input()
    image = hand_drawn(table, picasso_metadata=lambda: documents)
    path, _ = written(tmp_path, "picasso", image, pixel_nm=53.5)
    found, _ = loaded_by_picasso(path)
    np.testing.assert_array_equal(found["sx"], 2 * table.filter(FINITE)["sx"].to_numpy())


def test_widths_in_unknown_pixels_are_left_out(tmp_path, caplog):
    table, _ = picasso_input()
    path, _ = written(tmp_path, "picasso", hand_drawn(table))
    assert not {"sx", "sy"} & {*loaded_by_picasso(path)[0]} and "has no column sx, sy" in caplog.text


def test_a_bare_table_has_all_that_picasso_needs(tmp_path):
    table = points_table().select(["loc_id", "x_nm", "y_nm", "label", "cluster_id"])
    path, _ = written(tmp_path, "picasso", hand_drawn(table))
    found, info = loaded_by_picasso(path)
    assert (found[["frame", "lpx", "lpy"]] == 0).all(axis=None) and info[-1]["Frames"] == 1


def test_frames_below_0_are_refused(tmp_path):
    table = points_table()
    at = table.schema.get_field_index("frame")
    table = table.set_column(at, "frame", pa.array(np.arange(len(table)) - 2))
    with pytest.raises(UsageError, match="has frames from -2 to 14, and Picasso counts them from 0: export it with"):
        written(tmp_path, "picasso", hand_drawn(table))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("n", [15, 17])
def test_points_that_are_not_those_of_the_summary_are_refused(tmp_path, n):
    with pytest.raises(StoreError, match=f"are 16 localizations and its summary counts {n}"):
        written(tmp_path, "picasso", hand_drawn(localizations=n))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("to", [one.name for one in EXPORTERS])
def test_points_are_held_a_batch_at_a_time(tmp_path, to):
    table, alive, most = pa.concat_tables([points_table()] * 40), set(), [0]

    def batches(columns):
        for k in range(40):
            (batch,) = table.select(list(columns or table.column_names)).slice(17 * k, 17).combine_chunks().to_batches()
            alive.add(k)
            weakref.finalize(batch, alive.discard, k)
            most[0] = max(most[0], len(alive))
            yield batch
            del batch

    image = hand_drawn(table.slice(0, 17), points=batches, localizations=40 * int(FINITE.sum()))
    written(tmp_path, to, image)
    assert most[0] <= 3


@pytest.mark.parametrize("merge", [None, "60nm,3frames"])
def test_rows_that_were_not_analyzed_stay_out(tmp_path, merge):
    rng = np.random.default_rng(0)
    centers = np.repeat(rng.uniform(200, 2800, (20, 2)), 15, axis=0)
    xy = np.vstack([centers + rng.normal(0, 15, centers.shape), rng.uniform(0, 3000, (300, 2))])
    frame = rng.integers(0, 1000, len(xy))
    table = pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], "frame": frame})
    result = analyze(table, where="frame >= 300", roi="x=0..1500,y=0..3000", merge=merge, test=False)
    paths = result.export(["picasso", "thunderstorm"], tmp_path, pixel_nm=100)
    locs, _ = loaded_by_picasso(next(path for path in paths if path.suffix == ".hdf5"))
    csv = pd.read_csv(next(path for path in paths if path.suffix == ".csv"))
    assert len(locs) == len(csv) == int((frame >= 300).sum()) < len(frame)
    assert result.summary["localizations"] < len(locs), "those outside the region are there, and not counted"
