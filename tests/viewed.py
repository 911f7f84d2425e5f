"""Images for the tests of the viewer: results that no run made, and what a server or a browser asks of them."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.io.exporters.exporter import Exportable
from caml_dask.schema import CLUSTERS, arrow_schema


def drawn_image(seed: int, n: int, clusters: int, *, scores: Sequence[str] = ("p_clustered",), rows: int = 97):
    """An image of `n` localizations, half of them in some clusters, and a hot spot; every tenth row was not analyzed.

    scores : columns of them; with p_fiber some clusters are fibers
    rows : of a batch of its points
    """
    size_nm = 9000.0
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-size_nm / 3, size_nm, (n, 2))
    cluster = np.where(rng.random(n) < 0.5, rng.integers(0, max(1, clusters), n), -1) if clusters else np.full(n, -1)
    xy[cluster >= 0] = (rng.uniform(0, size_nm, (max(1, clusters), 2))[cluster] + rng.normal(0, 60, (n, 2)))[
        cluster >= 0
    ]
    xy[: n // 8] = xy[0]
    left_out = np.arange(n) % 10 == 9
    found, cluster = np.unique(np.where(left_out, -1, cluster), return_inverse=True)
    ids = np.array([np.flatnonzero(cluster == k)[0] for k in range(len(found)) if found[k] >= 0], np.int64)
    of = np.where(found[cluster] >= 0, ids[np.minimum(cluster - (found[0] < 0), len(ids) - 1)] if len(ids) else -1, -1)
    table = pa.table(
        {
            "loc_id": pa.array(range(n), pa.uint64()),
            "x_nm": xy[:, 0],
            "y_nm": xy[:, 1],
            "z_nm": xy.sum(axis=1),
            **{name: pa.array(rng.random(n).astype(np.float32), mask=left_out) for name in scores},
            "label": pa.array(np.where(of < 0, 0, 1 + ("p_fiber" in scores) * of % 2).astype(np.int8), mask=left_out),
            "cluster_id": pa.array(of, pa.int64(), mask=left_out),
        }
    )
    order = np.argsort(ids)
    ids = ids[order]
    outlines = [_outline(xy[(of == one) & ~left_out]) for one in ids]

    def batches(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        return iter((table if columns is None else table.select(list(columns))).to_batches(rows))

    kept = xy[~left_out]
    return Exportable(
        image_id="0001_drawn",
        localizations=len(kept),
        bounds_nm=(*kept.min(axis=0), *kept.max(axis=0)),
        schema=table.schema,
        points=batches,
        clusters=lambda: _clusters(ids, outlines),
        outlines=lambda: iter([pa.table({"cluster_id": ids, "geometry": pa.array(shapely.to_wkb(outlines))})]),
        provenance={"program": "drawn"},
    )


def _outline(xy: np.ndarray) -> shapely.Geometry | None:
    hull = shapely.convex_hull(shapely.multipoints(xy))
    return hull if hull.geom_type == "Polygon" else None


def _clusters(ids: np.ndarray, outlines: list) -> pa.Table:
    values = {
        c.name: pa.array(np.random.default_rng(len(c.name)).random(len(ids)) * 100).cast(c.type, safe=False)
        for c in CLUSTERS
        if not pa.types.is_string(c.type) and not c.optional
    }
    area = [None if outline is None else outline.area for outline in outlines]
    values |= {"cluster_id": pa.array(ids), "area_nm2": pa.array(area, pa.float64())}
    values["image_id"] = pa.array(["0001_drawn"] * len(ids), pa.string())
    schema = arrow_schema([c for c in CLUSTERS if not c.optional])
    return pa.table([values[name] for name in schema.names], schema=schema)


def analyzed(image: Exportable) -> dict[str, np.ndarray]:
    """The localizations that have results."""
    table = pa.Table.from_batches(image.points(None)).filter(pa.compute.field("cluster_id").is_valid())
    return {name: table[name].to_numpy() for name in table.column_names}


def unpacked(message: bytes) -> dict:
    """What caml_dask/viewer/packing.py packed, its arrays among them."""
    (length,) = struct.unpack_from("<I", message)
    about = json.loads(message[4 : 4 + length])
    for name, array in about.pop("arrays").items():
        values = np.frombuffer(message, "<" + array["type"], int(np.prod(array["shape"])), 4 + length + array["offset"])
        about[name] = values.reshape(array["shape"])
    return about


class Asked:
    """An ASGI application asked without a port.

    headers : sent unless others are given
    """

    def __init__(self, app, token: str):
        self.app, self.token = app, token

    def __call__(
        self, path: str, *, token: str | None = None, method: str = "GET", host: str | None = "127.0.0.1:8000"
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; the query is part of the path."""
        path, _, query = path.partition("?")
        full = f"/{self.token if token is None else token}{path}"
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": full, "query_string": query.encode(), "root_path": "",
            "headers": [(b"host", host.encode())] if host is not None else [],
            "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        return asyncio.run(self._ask(scope))

    async def _ask(self, scope):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:])


def small_run(root: Path, table: Path, **settings: object) -> Path:
    """A run of one image, by DBSCAN where nothing else is asked for."""
    from caml_dask.methods import DBSCAN
    from caml_dask.runs.session import execute
    from caml_dask.settings import Settings

    execute([table], root, Settings(**{"test": False, "method": DBSCAN(50.0), **settings}), workers=0)
    return root
