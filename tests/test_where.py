"""Filters of rows: the grammar against that of pandas, and what they do to an image."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from caml_dask import analyze
from caml_dask.cli import main
from caml_dask.errors import InputError, TooFewLocalizations, UsageError
from caml_dask.settings import Settings
from caml_dask.where import parse_filter
from tests.layouts import layouts
from tests.support import Threshold, analyse_in_memory, result_tables, same, simulated_table

COLUMNS = ("frame", "photons", "uncertainty_nm")


def passing(text: str, **columns: object) -> list[bool]:
    values = {name: pa.chunked_array([pa.array(column)]) for name, column in columns.items()}
    return parse_filter(text).passing(values).tolist()


def conditions() -> st.SearchStrategy[str]:
    number = st.one_of(
        st.integers(-3, 3).map(str), st.sampled_from(["0.5", "-1.5", "1e0", "2.", ".5", "9007199254740993"])
    )
    column = st.sampled_from(COLUMNS)
    compare = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    simple = st.tuples(column, compare, st.one_of(number, column)).map(" ".join)
    turned = st.tuples(number, compare, column).map(" ".join)
    chained = st.tuples(number, compare, column, compare, number).map(" ".join)
    return st.recursive(
        st.one_of(simple, turned, chained),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
            inner.map("({})".format),
            inner.map("not ({})".format),
        ),
        max_leaves=6,
    )


VALUES = st.one_of(st.none(), st.integers(-3, 3).map(float), st.sampled_from([0.5, -1.5, float("inf")]))


@given(conditions(), st.lists(st.tuples(st.none() | st.integers(-3, 3), VALUES, VALUES), min_size=1, max_size=12))
def test_filters_are_those_of_pandas(text, rows):
    """pandas' nullable types know missing values as SQL does."""
    kinds = ("Int64", "Float64", "Float64")
    frame = pd.DataFrame(
        {
            name: pd.array([row[i] for row in rows], dtype=kind)
            for i, (name, kind) in enumerate(zip(COLUMNS, kinds, strict=True))
        }
    )
    columns = {
        name: pa.array([row[i] for row in rows], kind)
        for i, (name, kind) in enumerate(zip(COLUMNS, (pa.int64(), pa.float64(), pa.float64()), strict=True))
    }
    expected = frame.eval(text, engine="python").fillna(False).to_numpy(dtype=bool)
    np.testing.assert_array_equal(passing(text, **columns), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1 and b > 1 or c > 1", [True, False, True, False]),  # `and` binds closer than `or`
        ("a > 1 and (b > 1 or c > 1)", [False, False, True, False]),
        ("not a > 1 and c > 1", [True, False, False, False]),  # `not` closer than both
        ("1 < c <= 2 != a", [True, False, False, False]),
        ("NOT a>1 AND c>1", [True, False, False, False]),
        ("a<-1 or a==+5", [False, True, False, False]),
    ],
)
def test_precedence_by_hand(text, expected):
    assert passing(text, a=[0, 5, 2, 1], b=[0, 0, 3, 0], c=[2, 0, 2, 1]) == expected


def test_a_row_with_a_missing_value_passes_neither_a_filter_nor_its_opposite():
    values = [1.0, None, float("nan"), 3.0]
    assert passing("a > 2", a=values) == [False, False, False, True]
    assert passing("not a > 2", a=values) == [True, False, False, False]
    assert passing("a != a", a=values) == [False] * 4
    assert passing("a > 2 or b > 0", a=values, b=[0, 1, 1, 0]) == [False, True, True, True]


def test_whole_numbers_are_compared_exactly():
    big = 2**53
    assert passing(f"a == {big + 1}", a=[big, big + 1, big + 2]) == [False, True, False]
    assert passing("a < 1e30 and a > -99999999999999999999", a=[2**63 - 1, -(2**63)]) == [True, True]
    assert passing("a > -1 and a >= 255", a=pa.array([0, 255], pa.uint8())) == [False, True]


def test_text_and_columns_of_other_types():
    assert passing("c == 'A' and not c != 'A'", c=["A", "B", None]) == [True, False, False]
    assert passing("c != 'A'", c=pa.array(["A", "B", None]).dictionary_encode()) == [False, True, False]
    assert passing('"sigma [nm]" < 2', **{"sigma [nm]": [1, 2]}) == [True, False]
    assert passing("a == 1", a=[True, False, None]) == [True, False, False]
    assert passing("a == 1", a=pa.nulls(2)) == [False, False]
    with pytest.raises(InputError, match="c is text and 3 a number"):
        passing("c > 3", c=["A"])
    with pytest.raises(InputError, match="'x' is text and a a number"):
        passing("'x' == a", a=[1])
    with pytest.raises(InputError, match="by == and !=, not by <"):
        passing("c < 'B'", c=["A"])
    with pytest.raises(InputError, match="only numbers and text"):
        passing("c < 1", c=[[1, 2]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("frame >=", "after 'frame >=' a column, a number or a 'text' is wanted, and the text ends"),
        ("frame", "a comparison, such as < or ==, is wanted"),
        ("frame = 5", "'=' came: write =="),
        ("frame > 5 & photons > 3", "'&' came: write and"),
        ("frame > 5 || photons > 3", "write or"),
        ("!frame", "write not"),
        ("photons < 20nm", "after 'photons < 20' 'and' or 'or' is wanted, and 'nm' came"),
        ("frame-5 > 3", "cannot be computed"),
        ("frame * 2 > 3", "cannot be computed"),
        ("`sigma [nm]` > 3", "double quotes"),
        ('"sigma > 3', "close the double quotes"),
        ("(frame > 5", "')', 'and' or 'or' is wanted"),
        ("frame > 5)", "'and' or 'or' is wanted, and ')' came"),
        ("frame > and", "a column, a number or a 'text' is wanted, and 'and' came"),
        ("5 < 6", "5 < 6 compares no column"),
        ("5 < 6 < frame", "5 < 6 compares no column"),
        ("__import__('os').system('ls') == 0", "is wanted, and '(' came"),
        ("(" * 5000, "4,000 at most"),
        ("(" * 2000, "inside each other"),
        ("not " * 900 + "a > 1", "inside each other"),
    ],
)
def test_what_is_no_filter_is_refused_and_says_where(text, said):
    with pytest.raises(UsageError) as caught:
        Settings(where=text)
    assert said in str(caught.value)


@given(st.text(alphabet="abnotdr<>=!()'\"&|. 0123456789-e[]\n`", max_size=40))
def test_any_text_is_a_filter_or_a_usage_error(text):
    try:
        parsed = parse_filter(text)
    except UsageError:
        return
    assert all(name in text for name in parsed.names)


def test_settings_take_a_text_and_count_it_in_their_digest():
    assert Settings(where="frame > 5").digest() != Settings().digest()
    with pytest.raises(UsageError, match="where=5"):
        Settings(where=5)


def simulated_frame(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    xy = np.vstack([rng.uniform(0, 2000, (n, 2)), rng.normal([700, 700], 15, (60, 2))])
    return pd.DataFrame(
        {
            "frame": rng.integers(0, 100, len(xy)),
            "x [nm]": xy[:, 0],
            "y [nm]": xy[:, 1],
            "intensity [photon]": rng.exponential(800, len(xy)),
            "uncertainty [um]": rng.exponential(0.015, len(xy)),
            "channel": rng.choice(["A", "B"], len(xy)),
        }
    )


@pytest.mark.parametrize("tile", [50, None])
def test_a_filter_gives_what_the_table_without_these_rows_gives(tile):
    """The names and units are those of carried columns, whatever the file calls them."""
    table = simulated_frame()
    table.loc[[5, 50], "x [nm]"] = np.nan
    passes = (table["uncertainty [um]"] < 0.02) & (table["intensity [photon]"] >= 100) & (table["channel"] == "A")
    rows = np.flatnonzero(passes)
    where = "uncertainty_nm < 20 and photons >= 100 and channel == 'A'"
    found = analyze(table, "XPILJZ", where=where, max_localizations=tile, test=False)
    alone = analyze(table.iloc[rows], "XPILJZ", max_localizations=tile, test=False)
    assert len(found.points) == len(table)
    np.testing.assert_array_equal(found.points["loc_id"], np.arange(len(table)))
    finite = ~table["x [nm]"].isna()
    assert found.summary["dropped_where"] == int((finite & ~passes).sum()) > 50
    assert found.summary["dropped_nonfinite"] == 2
    assert found.summary["localizations"] == int((finite & passes).sum()) == alone.summary["localizations"]
    results = ["p_clustered", "label", "cluster_id", "window_saturated"]
    assert found.points.loc[~(finite & passes), results].isna().all(axis=None)
    kept = found.points.iloc[rows].reset_index(drop=True)
    at_least_one = alone.points["cluster_id"].dropna().ge(0)
    assert at_least_one.any()
    pd.testing.assert_series_equal(kept["p_clustered"], alone.points["p_clustered"])
    # ids are rows of the table that was given
    expected = alone.points["cluster_id"].map(lambda c: c if pd.isna(c) or c < 0 else rows[int(c)])
    np.testing.assert_array_equal(kept["cluster_id"].to_numpy(float), expected.to_numpy(float))
    measured = [name for name in found.clusters.columns if name not in ("cluster_id", "image_id")]
    pd.testing.assert_frame_equal(found.clusters[measured], alone.clusters[measured])
    assert found.summary["area_um2"] == alone.summary["area_um2"]
    assert found.summary["bounds_nm"] == alone.summary["bounds_nm"]


def test_a_filter_with_the_field_network():
    table = simulated_frame()
    passes = table["frame"] < 70
    found = analyze(table, "field-2d", where="frame < 70", max_localizations=60, test=False)
    alone = analyze(table[passes], "field-2d", max_localizations=1000, test=False)
    pd.testing.assert_series_equal(
        found.points.loc[passes, "p_clustered"].reset_index(drop=True), alone.points["p_clustered"]
    )
    assert found.points.loc[~passes, "label"].isna().all()


@settings(max_examples=30)
@given(layouts(least=20), st.integers(4, 30))
def test_tiling_does_not_change_what_a_filter_gives(xy, tile):
    middle = float(np.median(xy[:, 0]))
    where = f"x_nm <= {middle!r} or loc_id != 3"
    whole, tiled = (analyse_in_memory(xy, Threshold(), t, where=where) for t in (10_000, tile))
    assert whole.points.equals(tiled.points)
    assert whole.clusters.equals(tiled.clusters)


def test_an_image_that_a_filter_does_not_fit_fails_and_says_why():
    table = simulated_frame()
    with pytest.raises(TooFewLocalizations, match="30 of 460 pass --where 'loc_id < 30': loosen the filter, or use"):
        analyze(table, "XPILJZ", where="loc_id < 30")
    with pytest.raises(TooFewLocalizations, match="0 of 460 pass --where 'frame > 1000': loosen the filter$"):
        analyze(table, "XPILJZ", where="frame > 1000")
    with pytest.raises(InputError) as caught:
        analyze(table, where="precision < 20")
    said = "no column 'precision'; it has frame, photons, uncertainty_nm, loc_id, x_nm, y_nm, \"x [nm]\""
    assert said in str(caught.value)
    unsure = table.rename(columns={"uncertainty [um]": "uncertainty"})
    with pytest.raises(InputError, match="no column 'uncertainty_nm' of a certain unit; it has .*, uncertainty"):
        analyze(unsure, where="uncertainty_nm < 20")
    found = analyze(unsure, where="uncertainty < 0.02", test=False)  # in the file's own unit
    assert found.summary["dropped_where"] > 50


def test_the_command_streams_filters_counts_and_fails_by_image(tmp_path):
    """A table of several chunks, in one process and over tiles; and one that lacks the column."""
    good = simulated_table(tmp_path / "good.csv")
    (tmp_path / "bare.csv").write_text("x [nm],y [nm]\n" + "\n".join(f"{i},{i * i % 991}" for i in range(600)))
    options = ["-n", "XPILJZ", "-j", "0", "--no-test", "--where", "100 <= frame and not frame > 700"]
    said = {}
    for name, more in {"whole": [], "tiles": ["--max-localizations", "300"]}.items():
        inputs = [str(good), str(tmp_path / "bare.csv")]
        said[name] = CliRunner().invoke(main, ["run", *inputs, "-o", str(tmp_path / name), *options, *more])
        assert said[name].exit_code == 3, said[name].output
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    bare, done = summary["images"]
    assert re.search(r"no column 'frame'; it has loc_id, x_nm, y_nm", bare["reason"])
    frame = pq.read_table(tmp_path / "whole" / done["image_id"] / "points.parquet").to_pandas()
    expected = int((~frame["frame"].between(100, 700)).sum())
    assert done["dropped_where"] == expected == int(frame["label"].isna().sum()) > 100
    images = pd.read_csv(tmp_path / "whole" / "images.csv")
    assert images["dropped_where"].tolist()[1] == expected
    assert summary["settings"]["where"] == options[-1]
    assert same(*(result_tables(tmp_path / name) for name in ("whole", "tiles")))


def test_a_filter_that_does_not_parse_stops_the_command_before_it_writes(tmp_path):
    table = simulated_table(tmp_path / "good.csv")
    found = CliRunner().invoke(main, ["run", str(table), "-o", str(tmp_path / "out"), "--where", "frame = 5"])
    assert found.exit_code == 2
    assert "write ==" in found.output
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_filter_cannot_be_resumed(tmp_path):
    table = simulated_table(tmp_path / "good.csv")
    call = ["run", str(table), "-o", str(tmp_path / "out"), "-n", "XPILJZ", "-j", "0", "--no-test", "--where"]
    assert CliRunner().invoke(main, [*call, "frame < 800"]).exit_code == 0
    found = CliRunner().invoke(main, [*call, "frame < 500", "--resume"])
    assert found.exit_code == 2
    assert "settings.where: frame < 800 -> frame < 500" in found.output
