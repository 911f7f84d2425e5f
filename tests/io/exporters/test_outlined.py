"""Some of very many outlines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from caml_dask.io.exporters.outlined import outlines_at, polygons

SHAPES = [None if n % 5 == 3 else shapely.box(n, 0, n + 1, 1) for n in range(40)]
ENCODED = [None if shape is None else shapely.to_wkb(shape) for shape in SHAPES]


@given(st.lists(st.integers(0, 40), max_size=6), st.sets(st.integers(0, 39)))
def test_outlines_are_those_of_the_rows_however_they_lie_in_parts(cuts, rows):
    edges = [0, *sorted(cuts), 40]
    parts = [pa.array(ENCODED[a:b], pa.binary()) for a, b in zip(edges, edges[1:])]
    found = polygons(outlines_at(parts, np.array(sorted(rows), np.int64)))
    assert found.tolist() == [SHAPES[row] for row in sorted(rows)]


def test_outlines_of_more_than_2_gib_are_not_put_together():
    part = pa.array([bytes(1 << 26)], pa.binary())
    parts = [part] * 40  # the same bytes each time
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        pa.chunked_array(parts).take(pa.array([39]))
    before = pa.total_allocated_bytes()
    (found,) = outlines_at(parts, np.array([39]))
    assert len(found[0].as_py()) == 1 << 26 and pa.total_allocated_bytes() - before < 1 << 27
