"""Files read once, by the types of their first rows: what is read is what it is when all rows are read for them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import open_sources, result_tables, simulated_table

from caml_dask.errors import ContradictedError, InputError
from caml_dask.io.readers import delimited
from caml_dask.io.readers.sources import list_channels, open_source
from caml_dask.runs.session import execute
from caml_dask.settings import ColumnMap, Settings

CELLS = {
    "int": st.integers(-999, 999).map(str),
    "float": st.integers(-999, 999).map(lambda i: f"{i}.5"),
    "text": st.sampled_from(["a", "b c", '"d,e"', "café"]),
    "empty": st.sampled_from(["", "NA"]),
    "zero": st.just("0.0"),
}


@st.composite
def files(draw: st.DrawFn) -> str:
    """A table whose columns turn into something else at some row, or do not."""
    kinds = st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3)
    columns = draw(st.lists(st.tuples(kinds, kinds), min_size=1, max_size=3))
    z = draw(st.sampled_from(["zero", "float"])), draw(st.sampled_from(["zero", "float"]))
    before, after = draw(st.integers(1, 12)), draw(st.integers(0, 12))
    rows = ["x_nm,y_nm,z_nm," + ",".join(f"n{i}" for i in range(len(columns)))]
    for row in range(before + after):
        late = row >= before
        cells = [str(row), f"{row}.25", draw(CELLS[z[late]])]
        cells += [draw(st.one_of(*(CELLS[kind] for kind in column[late]))) for column in columns]
        rows.append(",".join(cells))
    return "\n".join(rows) + "\n"


@given(content=files(), block=st.integers(20, 200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_tables_or_a_contradiction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, block: int
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    (settled,) = open_sources(path)
    expected = pa.concat_tables(settled.tables(5))
    unsettled = open_source(path, ColumnMap(), None, settle=False)
    try:
        found = pa.concat_tables(unsettled.tables(5))
    except ContradictedError:
        assert not unsettled.reader.settled
        same_types = unsettled.reader.types == settled.reader.types
        assert not (same_types and unsettled.has_z == settled.has_z and unsettled.reader.empty == settled.reader.empty)
    else:
        assert found.equals(expected)


@pytest.mark.parametrize("late", ["1.5", "word", "caf\xe9"])
def test_what_contradicts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    path = tmp_path / "table.csv"
    path.write_bytes(("x_nm,y_nm,n\n" + "1,2,3\n" * 40 + f"4,5,{late}\n").encode("latin-1"))
    with pytest.raises(ContradictedError):
        list(open_source(path, ColumnMap(), None, settle=False).tables(7))


def test_a_run_of_a_file_that_contradicts_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again from its start: the run's tables are those of a file read in one block."""
    table = simulated_table(tmp_path / "field.csv", side_nm=2500.0)
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ',"note"', *(line + "," for line in lines[1:-1]), lines[-1] + ",late"]))
    execute([table], tmp_path / "whole", Settings(test=False), workers=0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr("caml_dask.stages.read.CHUNK_ROWS", 200)
    execute([table], tmp_path / "blocks", Settings(max_localizations=150, test=False), workers=0)
    expected = result_tables(tmp_path / "whole")
    points = pq.read_table(tmp_path / "blocks" / "0001_field" / "points")
    assert points.equals(expected["0001_field/points"])
    assert points["note"].to_pylist() == [""] * (len(points) - 1) + ["late"]


def test_channels_are_listed_as_they_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    path = tmp_path / "table.csv"
    for cells in (["1"] * 30, [*["1"] * 30, "2"], [*["1"] * 30, "1.5"], [*["1"] * 30, "red", ""]):
        path.write_text("x_nm,y_nm,dye\n" + "".join(f"{i},2,{cell}\n" for i, cell in enumerate(cells)))
        columns = ColumnMap(channel="dye")
        listed = list_channels(path, columns)
        assert listed == [source.channel for source in open_sources(path, columns)]
        rows = [table.num_rows for c in listed for table in open_source(path, columns, c, settle=True).tables(100)]
        assert sum(rows) == len(cells)
    with pytest.raises(InputError, match="holds no channel 'blue'"):
        list(open_source(path, columns, "blue", settle=True).tables(100))
    with pytest.raises(InputError, match="holds no channel 'blue'"):
        open_source(path, ColumnMap(), "blue", settle=True)
