"""The clusters of an image as they are looked at: which come into a view, which a range of a measure selects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from pyarrow import ipc

from caml_dask.errors import UsageError
from caml_dask.io.exporters.columns import is_numerical, numbers
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.io.exporters.outlined import outlined_clusters, outlines_at, polygons
from caml_dask.napari_plugin.scratch import room_in
from caml_dask.plotting.view import Bounds, rings_of

Mask: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

_LEAST_NM = 50.0  # that a view of one cluster shows on each side of its middle
_AROUND = 1.5  # times the cluster's half width
_OUTLINES = pa.schema([("outline", pa.large_binary())])
_NO_MEASURES = ("cluster_id", "label", "region_id", "touches_border")


class Clusters:
    """The clusters of an image with their outlines.

    Parameters
    ----------
    image : Exportable
        The image; its table of clusters is held, and its outlines are copied to a file from which those of a view are
        read; it is removed with this object.

    Raises
    ------
    StoreError
        Clusters and outlines are not of the same ids.
    DiskFullError
        The disk for temporary files has no room for the outlines.
    """

    def __init__(self, image: Exportable) -> None:
        self.table: pa.Table = image.clusters()
        self.ids: Ints = self.table["cluster_id"].to_numpy()
        self._folder = tempfile.TemporaryDirectory(prefix="caml_dask_outlines_", ignore_cleanup_errors=True)
        path, taken = Path(self._folder.name) / "outlines.arrow", 0
        bounds = [np.zeros((0, 4))]
        with room_in(path.parent, lambda: taken), ipc.new_file(path, _OUTLINES) as file:
            for _, outlines in outlined_clusters(image):
                batch = pa.record_batch([outlines.cast(pa.large_binary())], _OUTLINES)
                taken += batch.nbytes
                file.write(batch)
                bounds.append(shapely.bounds(polygons([outlines])).reshape(-1, 4))
        with pa.memory_map(str(path)) as file:
            self._outlines: list[pa.Array] = ipc.open_file(file).read_all().column(0).chunks
        self._bounds = np.concatenate(bounds)
        self._centroids = np.column_stack([self.values("centroid_x_nm"), self.values("centroid_y_nm")])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def measures(self) -> list[str]:
        """Names of the columns of numbers that differ from cluster to cluster by more than a name."""
        names = (field.name for field in self.table.schema if is_numerical(field.type))
        return [name for name in names if name not in _NO_MEASURES]

    def values(self, measure: str) -> Floats:
        """(clusters,) float64 of a column of numbers, NaN where it is null."""
        return numbers(self.table[measure].combine_chunks())

    def between(self, measure: str, low: float, high: float) -> Mask:
        """(clusters,) bool, which have a measure in a range, both ends included."""
        values = self.values(measure)
        return (values >= low) & (values <= high)

    def place(self, cluster_id: int) -> int:
        """Row of a cluster.

        Raises
        ------
        UsageError
            There is no cluster of this id.
        """
        row = int(np.searchsorted(self.ids, cluster_id))
        if row == len(self.ids) or self.ids[row] != cluster_id:
            raise UsageError(f"there is no cluster {cluster_id}: take a cluster_id of clusters.csv")
        return row

    def around(self, row: int) -> Bounds:
        """A square with a cluster in its middle, and half as much again around it."""
        x0, y0, x1, y1 = self._bounds[row].tolist()
        if np.isnan(x0):
            x0, y0 = x1, y1 = self._centroids[row].tolist()
        half = max(_LEAST_NM, _AROUND * max(x1 - x0, y1 - y0) / 2)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        return x - half, y - half, x + half, y + half

    def in_view(self, bounds: Bounds, most: int, first: Mask) -> tuple[Ints, int]:
        """Clusters whose outlines come into a view.

        Parameters
        ----------
        bounds : tuple of float
            x0, y0, x1, y1 in nm.
        most : int
            How many at most: of more, those of `first`, then the widest.
        first : (clusters,) bool
            Clusters that come before others.

        Returns
        -------
        tuple
            Their rows, ascending, and how many there are in the view.
        """
        x0, y0, x1, y1 = bounds
        low_x, low_y, high_x, high_y = self._bounds.T
        there = np.flatnonzero((low_x <= x1) & (high_x >= x0) & (low_y <= y1) & (high_y >= y0))
        if len(there) <= most:
            return there, len(there)
        width = np.maximum(high_x - low_x, high_y - low_y)[there]
        return np.sort(there[np.lexsort((-width, ~first[there]))[:most]]), len(there)

    def rings(self, rows: Ints, tolerance_nm: float = 0.0) -> tuple[list[Floats], Ints]:
        """The outlines of clusters as rings: the outer ones and those of holes.

        Parameters
        ----------
        rows : (c,) int64
            The clusters, ascending.
        tolerance_nm : float
            How far a corner may lie from the lines that are drawn without it.

        Returns
        -------
        tuple
            (k, 2) coordinates x, y in nm of each ring, and which of the rows each is of.
        """
        shapes = polygons(outlines_at(self._outlines, rows))
        rings, of = rings_of(shapely.simplify(shapes, tolerance_nm) if tolerance_nm else shapes)
        return [ring[:-1] for ring in rings], of

    def exportable(self, image: Exportable, chosen: Mask, why: str) -> Exportable:
        """The chosen clusters as formats of clusters and outlines take them.

        Parameters
        ----------
        image : Exportable
            The image that they are of.
        chosen : (clusters,) bool
            Which.
        why : str
            How they were chosen, in words: it goes into the files that have room for it.
        """
        table = self.table.filter(pa.array(chosen))

        def in_parts() -> Iterator[pa.Table]:
            start = 0
            for outlines in outlines_at(self._outlines, np.flatnonzero(chosen)):
                ids = table["cluster_id"].slice(start, len(outlines))
                start += len(outlines)
                yield pa.table({"cluster_id": ids, "outline": outlines})

        return replace(
            image,
            image_id=f"{image.image_id}_selection",
            clusters=lambda: table,
            outlines=in_parts,
            provenance={**image.provenance, "selection": why},
        )
