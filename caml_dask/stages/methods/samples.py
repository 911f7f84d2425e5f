"""Parts of an image from which a method takes its parameters: whole boxes, so that clusters in them are whole too."""

from __future__ import annotations

import numpy as np

from caml_dask.spatial.partition import partition
from caml_dask.stages.shared.selection import selected, selected_xy
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.tables import INPUT

BOX = 32_000
"""Most localizations of a box."""
MOST_BOXES = 4


def samples(work: Work) -> list[np.ndarray]:
    """Localizations of boxes of a partition of their own, (n, d) in nm, in the order of their coordinates.

    Neither tiles nor the order of rows change them. An image of up to MOST_BOXES boxes is taken whole.
    """
    facts = work.facts()
    boxes = partition(lambda: selected_xy(work), facts["finite"], facts["bounds_nm"], BOX)
    chosen = np.linspace(0, boxes.n_tiles - 1, min(MOST_BOXES, boxes.n_tiles)).round().astype(np.int64)
    found: list[list[np.ndarray]] = [[] for _ in chosen]
    for chunk in range(facts["chunks"]):
        table = work.get(INPUT, chunk)
        points = coordinates(table)[selected(work, table, facts)]
        box = boxes.tile_of(points[:, :2])
        for place, one in enumerate(chosen):
            found[place].append(points[box == one])
    fields = [np.concatenate(parts) for parts in found]
    return [field[np.lexsort(field.T[::-1])] for field in fields if len(field)]
