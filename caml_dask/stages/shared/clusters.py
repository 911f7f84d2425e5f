"""Which cluster each localization of a tile is in."""

from __future__ import annotations

import numpy as np

from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.stages.shared.work import Work, lookup
from caml_dask.stages.tables import LABELS, NUMBERS, PIECES


def clusters_of(work: Work, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """cluster_id (n,) int64 and b (n,) float64 of each localization of a tile; -1 and 0 for none."""
    roots = work.get(PIECES, unit)["root"].to_numpy()
    clustered = work.get(LABELS, unit)["label"].to_numpy() != NON_CLUSTERED
    numbers = work.get(NUMBERS, unit)
    cluster = np.full(len(roots), NO_CLUSTER, dtype=np.int64)
    b_nm = np.zeros(len(roots))
    columns = [numbers["cluster_id"].to_numpy(), numbers["b_nm"].to_numpy()]
    cluster[clustered], b_nm[clustered] = lookup(
        numbers["root"].to_numpy(), columns, roots[clustered], f"pieces of tile {unit} of {work.image.image_id}"
    )
    return cluster, b_nm
