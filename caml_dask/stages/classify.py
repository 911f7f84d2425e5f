"""Scores and labels of a tile: neighbor distances, certified, then the network (DESIGN laws 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import Neighbors, nearest_in_batches
from caml_dask.stages.shared.certified import certified
from caml_dask.stages.shared.work import WindowNetwork, Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, LABELS, TILE


def classify(work: Work, unit: int) -> dict[str, Any]:
    """Score the localizations of one tile; keep the distances too where the settings ask for them."""
    table = work.get(TILE, unit)
    network = cast(WindowNetwork, work.network)
    names = network.score_columns
    scores = np.full((len(table), len(names)), np.nan, np.float32)
    window_nm, nearest_nm = np.full(len(table), np.nan), np.full(len(table), np.nan)

    def score(path: Path | None) -> None:
        features = None if path is None else _Features(path, table["loc_id"].to_numpy(), work.network.n_neighbors)
        for part in certified(work, unit, Distances(work.network.n_neighbors)):
            scores[part.rows] = network.scores(part.distances_nm)
            window_nm[part.rows] = part.window_nm
            nearest_nm[part.rows] = part.nearest_nm
            if features is not None:
                features.append(part)

    if work.settings.save_features:
        work.store.output(f"features.zarr/tile_{unit:06d}", score)
    else:
        score(None)
    labels = {**dict(zip(names, scores.T, strict=True)), "label": network.labels(scores)}
    distances = {"window_nm": window_nm, "nearest_nm": nearest_nm}
    work.put(LABELS, unit, pa.table({"loc_id": table["loc_id"], **labels, **distances}))
    return {"rows": int(np.isfinite(scores).all(axis=1).sum()), "duplicates": int(np.count_nonzero(nearest_nm == 0))}


@dataclass(frozen=True)
class Distances:
    """Finds the distances to the k nearest."""

    k: int

    def __call__(self, table: pa.Table, rows: np.ndarray) -> Iterator[Neighbors]:
        return nearest_in_batches(BlockIndex.build(coordinates(table)), self.k, rows)


class _Features:
    """Neighbor distances of a tile as a Zarr group: loc_id (n,) and distances_nm (n, N), in one order."""

    def __init__(self, path: Path, loc_id: np.ndarray, k: int):
        import zarr

        self._ids = loc_id
        self._done = 0
        group = zarr.open_group(str(path), mode="w")
        group.attrs.update({"n_neighbors": k, "order": "ascending, self excluded"})
        rows = max(1, min(len(loc_id), (4 << 20) // (4 * k)))
        self._loc_id = group.create_array("loc_id", shape=loc_id.shape, chunks=(rows,), dtype="uint64")
        self._distances = group.create_array("distances_nm", shape=(len(loc_id), k), chunks=(rows, k), dtype="float32")

    def append(self, part: Neighbors) -> None:
        stop = self._done + len(part.rows)
        self._loc_id[self._done : stop] = self._ids[part.rows]
        self._distances[self._done : stop] = part.distances_nm
        self._done = stop


STAGE = Stage(
    name="classify",
    title="finding neighbors and scoring",
    per="tile",
    run=classify,
    effort=22,
    conserves=OWNED_ROWS,
    reads=(FACTS, BOXES, CUTS, TILE),
    writes=(LABELS,),
)
