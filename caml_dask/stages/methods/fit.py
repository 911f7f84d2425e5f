"""Stages `fit` and `link_fitted`: methods that look at a whole image, and what they hand to its tiles.

They see localizations in the order of their coordinates, so that neither tiles nor the order of rows change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa

from caml_dask.errors import InputError
from caml_dask.methods import HDBSCAN, DominantSets, Method, ToMATo
from caml_dask.schema import arrow_schema
from caml_dask.spatial.dominant import dominant_sets
from caml_dask.spatial.graph import counts_within
from caml_dask.spatial.persistence import knn_density_per_um2, persistent
from caml_dask.stages.methods.found import FOUND_READS, FOUND_WRITES, NO_PIECE, put_found
from caml_dask.stages.methods.tables import FITTED
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.stage import OWNED_ROWS, UNCOMPARED, Stage
from caml_dask.stages.tables import BOXES, CUTS, TILE

MOST_PAIRS = 500_000_000
"""Links of a graph that one worker looks at."""


def fit(work: Work, unit: int) -> dict[str, Any]:
    """Find the clusters of the image, and keep which localization is in which."""
    tables = [work.get(TILE, tile) for tile in range(work.partition().n_tiles)]
    points, ids = (
        np.vstack([coordinates(table) for table in tables]),
        np.concatenate([t["loc_id"].to_numpy() for t in tables]),
    )
    tile = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    order = np.lexsort((ids, *points.T[::-1]))
    cluster = _FITS[cast(Method, work.network).name](work, np.ascontiguousarray(points[order]))
    inside = order[cluster >= 0]
    # by loc_id, so that the first of a cluster is its smallest
    place = np.argsort(ids[inside])
    inside, cluster = inside[place], cluster[cluster >= 0][place]
    _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
    root = inside[first[number]]
    columns = {"loc_id": ids[inside], "root": ids[root], "root_tile": tile[root]}
    work.put(FITTED, 0, pa.table(columns, schema=arrow_schema(FITTED.columns)))
    return {"clusters": len(first)}


def link_fitted(work: Work, unit: int) -> dict[str, Any]:
    """Label a tile's localizations, and link the part of each cluster to the smallest of its ids."""
    tile, fitted = work.get(TILE, unit), work.get(FITTED, 0)
    ids, known = tile["loc_id"].to_numpy(), fitted["loc_id"].to_numpy()
    row = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    inside = known[row] == ids if len(known) else np.zeros(len(ids), np.bool_)
    roots, first, number = np.unique(fitted["root"].to_numpy()[row[inside]], return_index=True, return_inverse=True)
    piece = np.full(len(ids), NO_PIECE)
    piece[inside] = number
    home = fitted["root_tile"].to_numpy()[row[inside]][first]
    away = np.flatnonzero(home != unit)
    return put_found(
        work, unit, tile, piece, len(roots), {"piece": away, "foreign_id": roots[away], "foreign_tile": home[away]}
    )


def _hdbscan(work: Work, points_nm: np.ndarray) -> np.ndarray:
    from sklearn.cluster import HDBSCAN as Fitted

    method = cast(HDBSCAN, work.network)
    fitted = Fitted(
        min_cluster_size=method.min_cluster_size,
        min_samples=method.min_samples,
        cluster_selection_method="leaf" if method.leaf else "eom",
        copy=True,
    ).fit(points_nm)
    return fitted.labels_.astype(np.int64)


def _tomato(work: Work, points_nm: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    method = cast(ToMATo, work.network)
    links = int(counts_within(cKDTree(points_nm), points_nm, method.link_nm).sum()) // 2
    if links > MOST_PAIRS:
        raise InputError(
            f"{links:,} pairs of localizations lie within link_nm {method.link_nm:g}; one worker looks at up to "
            f"{MOST_PAIRS:,}: give a smaller --link-nm, or analyze parts of the image with --where",
            work.image.path,
        )
    density = knn_density_per_um2(points_nm, method.k)
    kept = np.flatnonzero(density >= method.min_density_per_um2)
    cluster = np.full(len(points_nm), NO_PIECE)
    cluster[kept] = persistent(points_nm[kept], density[kept], method.link_nm, method.persistence_per_um2)
    return cluster


def _dominant_sets(work: Work, points_nm: np.ndarray) -> np.ndarray:
    method = cast(DominantSets, work.network)
    number, cohesiveness = dominant_sets(points_nm, method.sigma_nm)
    return np.where(cohesiveness[number] >= method.min_cohesiveness, number, NO_PIECE)


_FITS: Mapping[str, Callable[[Work, np.ndarray], np.ndarray]] = {
    HDBSCAN.name: _hdbscan,
    ToMATo.name: _tomato,
    DominantSets.name: _dominant_sets,
}
FIT = Stage(
    name="fit",
    title="finding clusters",
    per="image",
    run=fit,
    effort=30,
    conserves=UNCOMPARED,
    reads=(BOXES, CUTS, TILE),
    writes=(FITTED,),
)
LINK_FITTED = Stage(
    name="link_fitted",
    title="handing clusters to tiles",
    per="tile",
    run=link_fitted,
    effort=2,
    conserves=OWNED_ROWS,
    reads=(FITTED, *FOUND_READS),
    writes=FOUND_WRITES,
)
