"""Our own tables as input: canonical columns win over those of the original file, whatever that calls them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support import SHARED

from caml_dask import analyze, open_run, read_localizations
from caml_dask.errors import InputError
from caml_dask.io.readers.headers import Axis, Header, find_axes
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.runs.session import execute
from caml_dask.schema import COORDINATES, POINTS
from caml_dask.settings import ColumnMap, Settings

REAL = sorted((SHARED / "real").glob("*.csv"))
TWICE = ("label", "cluster_id", "window_saturated", "p_clustered")


def axes(*names: str, columns: ColumnMap | None = None) -> tuple[Axis, ...]:
    return find_axes(Header(Path("table"), names), columns or ColumnMap())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("loc_id", "x_nm", "y_nm", "x [nm]", "y [nm]"), (1, 2)),
        (("loc_id", "x_nm", "y_nm", "z_nm", "x [nm]", "y [nm]", "z [nm]"), (1, 2, 3)),
        (("x [um]", "y [um]", "loc_id", "y_nm", "x_nm"), (4, 3)),
        (("loc_id", "x_nm", "y_nm", "z"), (1, 2)),  # a z that we left out stays out
        (("loc_id", "x_nm", "y_nm", "z [nm]"), (1, 2)),
        (("x_nm", "y_nm", "X (nm)", "Y (nm)"), (0, 1)),
        (("x_nm", "y_nm", "z_nm", "z [nm]"), (0, 1, 2)),
        (("x_nm", "y_nm", "z [nm]"), (0, 1, 2)),  # not known to be ours: a z of any name is one
    ],
)
def test_canonical_columns_win(names, expected):
    assert tuple(axis.column for axis in axes(*names)) == expected


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("x_nm", "x [nm]", "y [nm]"), "'x_nm', 'x \\[nm\\]' may all be x"),
        (("loc_id", "x_nm", "x_nm", "y_nm"), "2 columns are called 'x_nm'"),
        (("x_nm", "y_nm", "z"), "the unit of 'z' is not known"),
    ],
)
def test_half_of_our_columns_decide_nothing(names, said):
    with pytest.raises(InputError, match=said):
        axes(*names)


def test_a_map_wins_over_our_columns():
    ours = ("loc_id", "x_nm", "y_nm", "X [um]", "Y [um]")
    assert axes(*ours, columns=ColumnMap(x="X [um]", y="Y [um]")) == (Axis(3, 1000.0), Axis(4, 1000.0))


LABELS = ["{} [nm]", "{} (um)", "{}_nm", "{}nm", "{}_um", "{}", "{} [px]"]
EXTRAS = [
    "",
    "id",
    "frame",
    "label",
    "cluster_id",
    "loc_id",
    "x",
    "Z",
    "x_nm",
    "input_x_nm",
    "input_loc_id",
    "note",
    "y [px]",
]


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A table of any program: coordinates of one style of header, and other columns before and after them."""
    style, upper = draw(st.sampled_from(LABELS)), draw(st.booleans())
    labels = ["x", "y", "z"][: draw(st.sampled_from([2, 3]))]
    names = [style.format(label.upper() if upper else label) for label in labels]
    for extra in draw(st.lists(st.sampled_from(EXTRAS), unique=True, max_size=4)):
        if extra not in names:
            names.insert(draw(st.integers(0, len(names))), extra)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.uniform(-1e5, 1e5, (5, len(names)))
    if draw(st.booleans()):
        values[draw(st.integers(0, 4)), draw(st.integers(0, len(names) - 1))] = np.nan
    return pd.DataFrame(values, columns=names)


def coordinates(table: pa.Table) -> dict[str, bytes]:
    return {name: table[name].to_numpy().tobytes() for name in table.column_names if name in COORDINATES}


@given(frame=tables(), columns=st.sampled_from(["", "unit=nm", "unit=um", "pixel_nm=160", "unit=px,pixel_nm=100"]))
@examples(max_examples=300, deadline=None)
def test_our_own_output_has_the_same_coordinates_when_it_is_read_again(tmp_path_factory, frame, columns):
    folder = tmp_path_factory.mktemp("again")
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "theirs.parquet")
    try:
        first = read_localizations(folder / "theirs.parquet", ColumnMap.parse(columns) if columns else ColumnMap())
    except InputError:
        return  # not sure enough to be read even once
    pq.write_table(first, folder / "ours.parquet")
    pa_csv.write_csv(first, folder / "ours.csv")
    again = read_localizations(folder / "ours.parquet")
    assert coordinates(again) == coordinates(first)
    assert coordinates(read_localizations(folder / "ours.csv")) == coordinates(first)
    assert coordinates(as_localizations(first.to_pandas(), ColumnMap())) == coordinates(first)
    pq.write_table(again, folder / "thrice.parquet")
    third = read_localizations(folder / "thrice.parquet")
    assert coordinates(third) == coordinates(first)
    assert len(set(third.column_names)) == third.num_columns == len(frame.columns) + 3 * (len(coordinates(first)) + 1)


@pytest.mark.parametrize("z", [[0.0] * 4, [1.0, 2.0, 3.0, 4.0]])
def test_a_z_that_a_map_names_or_leaves_out_stays_so(tmp_path, z):
    frame = pd.DataFrame({"x [nm]": [1.0, 2, 3, 4], "y [nm]": [1.0, 2, 3, 4], "z [nm]": z})
    frame.to_csv(tmp_path / "theirs.csv", index=False)
    for columns in ("x=x [nm],y=y [nm],z=z [nm]", "x=x [nm],y=y [nm]"):
        first = read_localizations(tmp_path / "theirs.csv", columns)
        pq.write_table(first, tmp_path / "ours.parquet")
        assert coordinates(read_localizations(tmp_path / "ours.parquet")) == coordinates(first)


@pytest.mark.skipif(not REAL, reason="the real tables of ../shared/data/real are not on this machine")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_tables_go_round(path, tmp_path):
    """A path, a table read from it, the points of an analysis of it and of a run of it: four inputs, one result."""
    untested = partial(analyze, test=False)
    by_path = untested(path)
    by_table = untested(read_localizations(path))
    again = untested(by_table.points)
    execute([path], tmp_path / "first", Settings(test=False), workers=0)
    (image,) = open_run(tmp_path / "first").images.values()
    execute([image.directory / "points.parquet"], tmp_path / "second", Settings(test=False), workers=0)
    (second,) = open_run(tmp_path / "second").images.values()
    for other in (by_table, again, untested(image.points), image, second):
        for column in (*COORDINATES[:2], *TWICE):
            assert by_path.points[column].equals(other.points[column]), column
        assert by_path.clusters.drop(columns="image_id").equals(other.clusters.drop(columns="image_id"))
    ours = [column.name for column in POINTS if column.name in by_path.points]
    assert {f"input_{name}" for name in ours} <= set(again.points) & set(second.points)
    assert again.points["input_cluster_id"].equals(by_path.points["cluster_id"])
