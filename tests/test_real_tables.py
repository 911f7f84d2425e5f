"""The laws on real dSTORM tables, where they are at hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree
from support import SHARED, result_tables

from caml_dask.runs.session import execute
from caml_dask.settings import Settings
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest

REAL = SHARED / "real"
TABLES = sorted(REAL.glob("*.csv"))
pytestmark = pytest.mark.skipif(not TABLES, reason="the real tables of ../shared/data/real are not on this machine")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "out"
    assert execute(TABLES, out, Settings(max_localizations=1_000_000, test=False), workers=0).exit_code == 0
    return result_tables(out)


def test_points_are_the_rows_in_order(whole):
    for number, path in enumerate(TABLES, start=1):
        points = whole[f"{number:04d}_{path.stem}/points"]
        table = pa_csv.read_csv(path)
        assert np.array_equal(points["loc_id"].to_numpy(), np.arange(len(table)))
        for name in table.column_names:
            assert np.array_equal(points[name].to_numpy(), table[name].to_numpy())
        assert points["cluster_id"].null_count == 0


@pytest.mark.parametrize(("tile", "workers"), [(5000, 0), (1000, 2), (1_000_000, 2)])
def test_tiles_workers_and_executors_change_nothing(whole, tile, workers, tmp_path):
    outcome = execute(TABLES, tmp_path / "out", Settings(max_localizations=tile, test=False), workers=workers)
    assert outcome.exit_code == 0
    found = result_tables(tmp_path / "out")
    assert found.keys() == whole.keys()
    for name, table in whole.items():
        assert found[name].equals(table), name


def test_shuffled_rows_change_nothing_but_the_ids(whole, tmp_path):
    path = TABLES[0]
    table = pa_csv.read_csv(path)
    order = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(pa.array(order)), tmp_path / "shuffled.parquet")
    execute([tmp_path / "shuffled.parquet"], tmp_path / "out", Settings(max_localizations=3000, test=False), workers=0)
    shuffled, one = result_tables(tmp_path / "out"), {k.split("/")[1]: v for k, v in whole.items() if path.stem in k}
    points = shuffled["0001_shuffled/points"]
    for name in ("p_clustered", "label", "window_saturated"):
        assert points[name].equals(one["points"][name].take(pa.array(order)))
    old, new = one["points"]["cluster_id"].to_numpy()[order], points["cluster_id"].to_numpy()
    pairs = np.unique(np.column_stack([old, new]), axis=0)
    assert len(pairs) == len(np.unique(old)) == len(np.unique(new))
    same = dict(pairs.tolist())
    assert same[-1] == -1
    area = dict(
        zip(*(shuffled["0001_shuffled/clusters"][c].to_pylist() for c in ("cluster_id", "area_nm2")), strict=True)
    )
    for cluster, expected in zip(*(one["clusters"][c].to_pylist() for c in ("cluster_id", "area_nm2")), strict=True):
        assert area[same[cluster]] == expected


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("k", [100, 1000])
def test_distances_are_scipys_to_the_bit(path, k):
    table = pa_csv.read_csv(path)
    xy = np.column_stack([table["x [nm]"].to_numpy(), table["y [nm]"].to_numpy()])
    expected = np.sort(cKDTree(xy).query(xy, k + 1, workers=2)[0], axis=1)
    found = nearest(BlockIndex.build(xy), k)
    assert np.array_equal(found.distances_nm, expected[:, 1:].astype(np.float32))
    assert np.array_equal(found.window_nm, expected[:, -1])
