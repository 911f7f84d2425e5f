"""Stages touch the tables they declare, and no others; tables are as they are declared; carried columns flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support import HAND_DRAWN, Threshold, TwoThresholds

from caml_dask.blinking.law import Law
from caml_dask.errors import ConservationError, StoreError
from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.methods import DBSCAN, HDBSCAN, GetisFranklin, Voronoi
from caml_dask.networks import load
from caml_dask.pipeline import DENSITY_STAGES, FIELD_STAGES, METHOD_STAGES, STAGE_NAMED, WINDOW_STAGES, stages_by
from caml_dask.schema import NON_CLUSTERED
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages import gather, read
from caml_dask.stages.field import regions
from caml_dask.stages.merging.tables import MOLECULE_RESULT
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import OWNED_ROWS, UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, INPUT, LABELS, PIXELS, RESULT, TILE, Table

LAW = Law(5.0, 0.0, np.array([0.1]), np.array([0.05]), 0.0, 0.5, 40, 1e-4, np.array([0]), np.ones(1), 9.0)


class Recording(MemoryStore):
    """Notes which tables are read and written."""

    def __init__(self, outputs=None):
        super().__init__(outputs)
        self.read, self.wrote = set(), set()

    def put(self, name, key, table, parts=None, ranged=False):
        self.wrote.add(name)
        super().put(name, key, table, parts, ranged)

    def get(self, name, key, columns=None):
        self.read.add(name)
        return super().get(name, key, columns)

    def get_part(self, name, key, part):
        self.read.add(name)
        return super().get_part(name, key, part)

    def filled(self, name, key):
        self.read.add(name)
        return super().filled(name, key)

    def get_rows(self, name, key, rows, columns):
        self.read.add(name)
        return super().get_rows(name, key, rows, columns)


def drawn(n=900):
    """Clusters of twenty on a loose field, (n, 2) nm."""
    rng = np.random.default_rng(3)
    centers = rng.uniform(0, 3000, (n // 40, 1, 2))
    dense = (centers + rng.normal(0, 12, (n // 40, 20, 2))).reshape(-1, 2)
    return np.vstack([dense, rng.uniform(0, 3000, (n - len(dense), 2))])


def names(tables):
    return {table.name for table in tables}


def with_frames():
    """The same with frames, as localizations."""
    xy = drawn()
    columns = {"x_nm": xy[:, 0], "y_nm": xy[:, 1], "frame": np.arange(len(xy)) % 40}
    return as_localizations(pa.table(columns), ColumnMap())


def work_on(store, network=None, carried=(), tile=150, of="XPILJZ", **settings):
    chosen = Settings(of, max_localizations=tile, **{"test": False, **settings})
    return Work(Image("drawn"), chosen, network or Threshold(), store, carried)


def route(stages, network, **settings):
    return stages, network, settings


ROUTES = pytest.mark.parametrize(
    ("stages", "network", "settings"),
    [
        route(WINDOW_STAGES, TwoThresholds(below=0.8)),
        route(FIELD_STAGES, load("field-2d")),
        route(stages_by("XPILJZ", "auto", None, False), TwoThresholds(below=0.8), merge="auto"),
        route(stages_by("XPILJZ", "auto", "aim", False), TwoThresholds(below=0.8), merge="auto", drift="aim"),
        route(stages_by("XPILJZ", None, "rcc", True), TwoThresholds(below=0.8), drift="rcc", test=True),
        route(stages_by("XPILJZ", None, None, True), TwoThresholds(below=0.8), test=True, fdr=0.5),
        route(DENSITY_STAGES, DBSCAN(30, 5), of=None, method=DBSCAN(30, 5)),
        route(DENSITY_STAGES, GetisFranklin(30), of=None, method=GetisFranklin(30), roi="x=0..2000,y=0..2000"),
        route(METHOD_STAGES["voronoi"], Voronoi(), of=None, method=Voronoi()),
        route(METHOD_STAGES["hdbscan"], HDBSCAN(), of=None, method=HDBSCAN()),
        route(
            stages_by("dbscan", "5nm,3frames", "aim", True),
            DBSCAN(30, 5),
            **{"of": None, "method": DBSCAN(30, 5), "merge": "5nm,3frames", "drift": "aim", "test": True},
        ),
        route(
            stages_by("field-2d", "5nm,3frames", None, True), load("field-2d"), merge="5nm,3frames", test=True, fdr=0.1
        ),
    ],
)


@ROUTES
@pytest.mark.parametrize("outputs", [False, True])
def test_a_stage_touches_just_what_it_declares(tmp_path, monkeypatch, outputs, stages, network, settings):
    monkeypatch.setattr(regions, "REGION_LOCALIZATIONS", 200)
    store = Recording(tmp_path if outputs else None)
    monkeypatch.setattr("caml_dask.stages.merging.estimate.estimate", lambda _: LAW)
    work = work_on(store, network, ("frame",), tile=60, **settings)
    first = {"read": work.store.read, "wrote": work.store.wrote}
    read.ingest(replace(work, reads=stages[0].reads, writes=stages[0].writes), [with_frames()])
    assert first == {"read": names(stages[0].reads), "wrote": names(stages[0].writes)}
    for stage in stages[1:] if outputs else stages[1:-1]:
        count = stage.units(work)
        store.read, store.wrote = set(), set()
        for unit in range(count):
            stage.do(work, unit)
        unwritten = {RESULT.name, MOLECULE_RESULT.name} if outputs else {PIXELS.name}
        assert store.wrote == names(stage.writes) - unwritten, stage.name
        assert store.read <= names(stage.reads), stage.name
        # some serve output files alone, and what is settled needs not always be looked for
        assert not outputs or stage.name == "settle" or store.read == names(stage.reads), stage.name


def test_memory_lets_large_tables_go_once_no_stage_reads_them():
    store = MemoryStore()
    analyse(work_on(store, load("field-2d"), tile=10**6, of="field-2d"), [as_localizations(drawn(), ColumnMap())], {})
    passing = {table.name for stage in FIELD_STAGES for table in stage.writes if table.passing}
    assert passing >= {"state_0", "state_4", "edges"}
    for name in passing:
        with pytest.raises(KeyError):
            store.get(name, 0)
    assert len(store.get("labels", 0)) == 900


@ROUTES
def test_every_table_is_written_by_one_stage_before_others_read_it(stages, network, settings):
    written: list[Table] = []
    for stage in stages:
        assert set(stage.reads) <= set(written), stage.name
        written += stage.writes
    assert len(written) == len(set(written)) == len(names(written))


def test_every_table_and_column_says_what_it_is():
    for table in {table for stage in STAGE_NAMED.values() for table in stage.writes}:
        assert table.meaning.endswith(".") and table.per in ("image", "chunk", "tile")
        assert all(column.meaning for column in table.columns)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda w, unit: w.get(INPUT, 0), "reads the table input"),
        (lambda w, unit: w.put(CUTS, 0, None), "writes the table cuts"),
    ],
)
def test_a_stage_that_touches_what_it_did_not_declare_is_refused(run, said):
    stage = Stage("sly", "peeking", "image", run, 1, UNCOMPARED, (), ())
    work = work_on(MemoryStore())
    read.ingest(work, [as_localizations(drawn(), ColumnMap())])
    with pytest.raises(StoreError, match=f"{said} and does not declare it"):
        stage.do(work, 0)


BOX = {"x0_nm": [0.0], "y0_nm": [0.0], "x1_nm": [1.0], "y1_nm": [1.0]}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x0_nm": [0.0], "y0_nm": [0.0], "x1_nm": [1.0]}, "has no column y1_nm"),
        (
            {"x0_nm": [0], "y0_nm": [0.0], "x1_nm": [1.0], "y1_nm": [1.0]},
            "x0_nm of boxes is int64; it is declared as double",
        ),
        ({"x0_nm": [0.0], "y0_nm": [0.0], "x1_nm": [1.0], "y1_nm": [1.0], "z0_nm": [0.0]}, "declares no column z0_nm"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(columns, said):
    with pytest.raises(StoreError, match=said):
        work_on(MemoryStore()).put(BOXES, 0, pa.table(columns))


def test_a_stage_that_loses_a_row_of_a_tile_is_named():
    work = work_on(MemoryStore())
    read.ingest(work, [as_localizations(drawn(), ColumnMap())])
    lossy = Stage("lose", "losing", "tile", lambda w, u: {"rows": 1}, 1, OWNED_ROWS, (TILE,), ())
    with pytest.raises(ConservationError, match="drawn: lose returned 3 rows of 900"):
        lossy.check_rows(work, [1, 1, 1], [300, 300, 300])
    with pytest.raises(ConservationError, match="lose returned 301 rows of tile 1, which owns 300"):
        lossy.check_rows(work, [299, 301, 300], [299, 300, 301])
    assert gather.STAGE.check_rows(work, [400, 500], []) == [400, 500]


def late(work: Work, unit: int) -> dict:
    """A stage of another's: the last frame and the best precision of the clustered localizations of a tile."""
    tile = work.get(TILE, unit)
    clustered = work.get(LABELS, unit)["label"].to_numpy() != NON_CLUSTERED
    work.put(LATE, unit, tile.select(["loc_id", "frame", "uncertainty_nm", "dye"]).filter(pa.array(clustered)))
    return {"rows": len(tile)}


LATE = Table("late", "tile", "Frames of clustered localizations.", TILE.columns[:1], others="carried columns")
NEEDS = ("frame", "uncertainty_nm", "uncertainty_z_nm", "dye")
LATE_STAGE = Stage("late", "looking", "tile", late, 1, OWNED_ROWS, (FACTS, BOXES, CUTS, TILE, LABELS), (LATE,), NEEDS)


@pytest.mark.parametrize("tile", [None, 150, 40])
def test_columns_that_a_stage_carries_flow_through_any_tiling(tile):
    """As canonical names in their units; what the input has not is left out; the points keep the file's own columns."""
    xy = drawn()
    ids = np.arange(len(xy))
    own = {"frame": ids[::-1].astype(float), "uncertainty [um]": ids / 1e6, "dye": [f"dye {i % 3}" for i in ids]}
    table = as_localizations(pa.table({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], **own}), ColumnMap())
    work = work_on(MemoryStore(), carried=NEEDS, tile=tile)
    read.ingest(work, [table.slice(0, 500), table.slice(500)])
    for stage in [*WINDOW_STAGES[1:5], LATE_STAGE, *WINDOW_STAGES[5:-1]]:
        records = [stage.do(work, unit) for unit in range(stage.units(work))]
        stage.check_rows(work, [record.get("rows", 0) for record in records], [r.get("rows", 0) for r in records])
    found = pa.concat_tables([work.get(LATE, t) for t in range(work.partition().n_tiles)]).sort_by("loc_id")
    rows = found["loc_id"].to_numpy().astype(int)
    assert 40 < len(rows) < len(xy)
    assert found.schema.field("frame").type == pa.int64()
    assert np.array_equal(found["frame"].to_numpy(), ids[::-1][rows])
    assert np.allclose(found["uncertainty_nm"].to_numpy(), rows / 1e3, rtol=1e-12)
    assert found["dye"].to_pylist() == [f"dye {i % 3}" for i in rows]
    points = pa.concat_tables([work.get(RESULT, chunk) for chunk in range(2)])
    assert points.column_names[-5:] == ["x [nm]", "y [nm]", "frame", "uncertainty [um]", "dye"]


def test_nothing_is_carried_unless_a_stage_asks():
    work = work_on(MemoryStore(), carried=())
    frame = np.arange(len(HAND_DRAWN))
    table = pa.table({"x_nm": 100 * HAND_DRAWN[:, 0], "y_nm": 100 * HAND_DRAWN[:, 1], "frame": frame})
    read.ingest(work, [as_localizations(table, ColumnMap())])
    for stage in WINDOW_STAGES[1:4]:
        for unit in range(stage.units(work)):
            stage.do(work, unit)
    assert work.get(TILE, 0).column_names == ["loc_id", "x_nm", "y_nm"]
