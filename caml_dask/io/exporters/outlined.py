"""Clusters with their outlines, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

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
