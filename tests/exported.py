"""Results of the hand-drawn field as exporters get them, with columns and rows that formats may stumble over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import shapely
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask.io.exporters.exporter import Exportable
from caml_dask.schema import CLUSTERS, arrow_schema

NOWHERE = 3
"""Row of the localization without coordinates."""
FINITE = np.arange(len(HAND_DRAWN) + 1) != NOWHERE
HOLLOW = shapely.Polygon(
    [(9, 9), (13, 9), (13.25, 13), (9, 13)], [[(10.5, 10.5), (11.5, 10.5), (11.5, 11.5), (10.5, 11.5)]]
)
IN_PARTS = shapely.MultiPolygon([shapely.box(49, 49, 53, 50.1), shapely.box(49, 51, 53, 53.3)])


def points_table(shift_nm: float = 0.0) -> pa.Table:
    """One row more than the field has localizations, all in thirds of a nm, so that no decimal number is exact."""
    xy = np.insert(HAND_DRAWN / 3 + shift_nm, NOWHERE, np.nan, axis=0)
    n = len(xy)
    cluster = np.insert(HAND_DRAWN_CLUSTERS, NOWHERE, -1)
    where = ~FINITE
    ours = {
        "loc_id": pa.array(range(n), pa.uint64()),
        "x_nm": pa.array(xy[:, 0]),
        "y_nm": pa.array(xy[:, 1]),
        "p_clustered": pa.array(np.linspace(0, 1, n).astype(np.float32), mask=where),
        "label": pa.array((cluster >= 0).astype(np.int8), mask=where),
        "cluster_id": pa.array(cluster, pa.int64(), mask=where),
        "window_saturated": pa.array(cluster == 5, mask=where),
    }
    uncertainty = np.where(np.arange(n) == 7, np.nan, 10 + np.arange(n) / 7)
    own = {
        "frame": pa.array(np.arange(n) // 2 + 1.0),
        "x [nm]": pa.array(xy[:, 0]),
        "intensity [photon]": pa.array(100 + np.arange(n) / 3),
        "uncertainty [nm]": pa.array(uncertainty),
        "chi2": pa.array([None, np.nan, np.inf, -np.inf, *np.arange(n - 4) / 3]),
        "inside": pa.array(np.arange(n) % 2 == 0),
        "sigma [nm]": pa.array(np.arange(n) + 100, pa.int32()),
        "note": pa.array(["=1+1", "-2", 'a "b", c', "", None, *["µm"] * (n - 5)]),
        "kind": pa.array(["a", "+b"] * (n // 2) + ["a"] * (n % 2)).dictionary_encode(),
        "trace": pa.array([[1.0, 2.0]] * n),
    }
    return pa.table(ours | own)


def clusters_table() -> pa.Table:
    """Two clusters that span an area and one of duplicates only, which has none."""
    columns = {
        c.name: np.arange(3) / 3 + k if c.type == pa.float64() else [0, 5, 9] for k, c in enumerate(CLUSTERS)
    } | {"image_id": ["0001_hand"] * 3, "label": [1, 1, 1], "touches_border": [True, False, False]}
    columns["circularity"] = [0.5, 0.25, None]
    schema = arrow_schema(CLUSTERS)
    return pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def outlines_tables() -> Iterator[pa.Table]:
    """Their outlines, in two tables: one with a hole, one of two parts, and none."""
    wkb = [shapely.to_wkb(HOLLOW), shapely.to_wkb(IN_PARTS), None]
    table = pa.table({"cluster_id": pa.array([0, 5, 9], pa.int64()), "geometry": pa.array(wkb, pa.binary())})
    return iter([table[:2], table[2:]])


def hand_drawn(given: pa.Table | None = None, **changes: object) -> Exportable:
    """The field, its points in batches of five rows."""
    table = points_table() if given is None else given
    finite = table.filter(FINITE)
    x, y = finite["x_nm"].to_numpy(), finite["y_nm"].to_numpy()

    def batches(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        return iter((table if columns is None else table.select(list(columns))).to_batches(5))

    image = Exportable(
        image_id="0001_hand",
        localizations=int(FINITE.sum()),
        bounds_nm=(x.min(), y.min(), x.max(), y.max()),
        schema=table.schema,
        points=batches,
        clusters=clusters_table,
        outlines=outlines_tables,
        provenance={"program": "caml_dask 0.2.0", "network": "XPILJZ", "input": "=hand.csv"},
    )
    return replace(image, **changes)
