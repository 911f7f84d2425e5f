"""Clusters with their outlines, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from caml_dask.errors import StoreError
from caml_dask.io.exporters.exporter import Exportable


def outlined_clusters(image: Exportable) -> Iterator[tuple[pa.Table, pa.Array]]:
    """Successive clusters, and their outlines as WKB, null where a cluster spans no area.

    Raises
    ------
    StoreError : clusters and outlines are not of the same ids.
    """
    clusters, start = image.clusters(), 0
    for outlines in image.outlines():
        rows = clusters.slice(start, len(outlines))
        start += len(outlines)
        if not rows["cluster_id"].combine_chunks().equals(outlines["cluster_id"].combine_chunks()):
            break
        yield rows, outlines.column(1).combine_chunks()
    else:
        if start == len(clusters):
            return
    raise StoreError(f"clusters and outlines of {image.image_id} are of other ids: make them again with --resume")


def outlines_at(outlines: Sequence[pa.Array], rows: npt.NDArray[np.int64]) -> Iterator[pa.Array]:
    """Some of many outlines, part by part: taken of all at once, all would be copied first, and past 2 GiB it fails.

    Parameters
    ----------
    outlines : sequence of pyarrow.Array
        Successive outlines as WKB, null where a cluster spans no area.
    rows : (c,) int64
        Which, ascending.
    """
    start = 0
    for part in outlines:
        first, last = np.searchsorted(rows, (start, start + len(part)))
        if first < last:
            yield part.take(pa.array(rows[first:last] - start))
        start += len(part)


def polygons(outlines: Iterable[pa.Array]) -> npt.NDArray[np.object_]:
    """(c,) Shapely polygons of successive outlines as WKB; None for null."""
    decoded = [shapely.from_wkb(part.to_numpy(zero_copy_only=False)) for part in outlines]
    return np.concatenate([np.empty(0, np.object_), *decoded])
