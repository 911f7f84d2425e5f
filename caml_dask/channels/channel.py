"""One channel of a pair: the localizations, clusters and outlines of an image that is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from caml_dask.channels.cells import FloatArray, IntArray
from caml_dask.errors import UsageError
from caml_dask.results.image import ImageResult
from caml_dask.schema import NO_CLUSTER

_COORDINATES = ("x_nm", "y_nm", "z_nm")
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Channel:
    """Localizations and clusters of a channel, in an order that is that of their coordinates.

    Attributes
    ----------
    name : str
        The image_id.
    points_nm : (n, d) float64
        Coordinates of the localizations in nm; of molecules, where detections were merged.
    loc_id : (n,) int64
        Their loc_id, or molecule_id.
    member_of : (n,) int64
        The cluster each belongs to, by its place among the clusters; -1 for none.
    lot : (n,) uint64
        A number as if drawn by chance, which the coordinates decide: those with the lowest are a sample.
    cluster_id : (c,) int64
        Ids of the clusters.
    centroids_nm : (c, d) float64
        Centroids of the clusters in nm.
    outlines : (c,) object
        Their outlines, shapely polygons in nm; empty where they span no area.
    heights_nm : (c, 2) float64
        Lowest and highest z of a cluster's body in nm; 0 and 1 in 2D, so that a volume is an area.
    """

    name: str
    points_nm: FloatArray
    loc_id: IntArray
    member_of: IntArray
    lot: npt.NDArray[np.uint64]
    cluster_id: IntArray
    centroids_nm: FloatArray
    outlines: npt.NDArray[np.object_]
    heights_nm: FloatArray

    @property
    def axes(self) -> int:
        """Coordinates of a localization, 2 or 3."""
        return int(self.points_nm.shape[1])

    @property
    def bodies(self) -> FloatArray:
        """(c,) float64 area of each cluster in nm2, or volume of its body in nm3."""
        return np.asarray(shapely.area(self.outlines) * np.ptp(self.heights_nm, axis=1).reshape(-1))

    def sample(self, most: int, among: npt.NDArray[np.bool_] | None = None) -> IntArray:
        """(m,) int64 rows of at most `most` localizations, the same whatever the order of the input."""
        rows = np.arange(len(self.lot)) if among is None else np.flatnonzero(among)
        if len(rows) <= most:
            return rows
        return np.sort(rows[np.argsort(self.lot[rows], kind="stable")[:most]])

    def kept(self, points: npt.NDArray[np.bool_], clusters: npt.NDArray[np.bool_]) -> Channel:
        """Those of its localizations and clusters, (n,) and (c,) bool."""
        place = np.where(clusters, np.cumsum(clusters) - 1, NO_CLUSTER)
        member = self.member_of[points]
        member = np.where(member == NO_CLUSTER, NO_CLUSTER, place[member] if len(place) else NO_CLUSTER)
        return Channel(
            self.name,
            self.points_nm[points],
            self.loc_id[points],
            member,
            self.lot[points],
            self.cluster_id[clusters],
            self.centroids_nm[clusters],
            self.outlines[clusters],
            self.heights_nm[clusters],
        )

    def moved(self, points_nm: FloatArray, centroids_nm: FloatArray) -> Channel:
        """The channel with its localizations and the centroids of its clusters elsewhere; outlines go with these."""
        by_nm = centroids_nm - self.centroids_nm
        coordinates, of = shapely.get_coordinates(self.outlines, return_index=True)
        outlines = shapely.set_coordinates(self.outlines.copy(), coordinates + by_nm[of, :2])
        heights = self.heights_nm + by_nm[:, 2:] if self.axes == 3 else self.heights_nm
        return replace(self, points_nm=points_nm, centroids_nm=centroids_nm, outlines=outlines, heights_nm=heights)

    def shifted(self, by_nm: FloatArray) -> Channel:
        """All of it moved by (d,) nm."""
        return self.moved(self.points_nm + by_nm, self.centroids_nm + by_nm)


def read_channel(image: ImageResult) -> Channel:
    """Read the channel that an image of a run is; points are streamed, and their coordinates and clusters kept.

    Parameters
    ----------
    image : ImageResult
        An image that is done.

    Returns
    -------
    Channel
        Its localizations, or molecules where detections were merged, and its clusters.

    Raises
    ------
    UsageError
        It has no localization that was analyzed.
    StoreError
        A file is not as the run left it.
    """
    parts = [_columns(batch) for batch in _batches(image)]
    points, loc_id, cluster = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(points):
        raise UsageError(f"{image.image_id} has no localizations that were analyzed: leave it out of the pairs")
    return channel_of(image, points, loc_id, cluster)


def channel_of(image: ImageResult, points: FloatArray, loc_id: IntArray, cluster: IntArray) -> Channel:
    """A channel from (n, d) coordinates in nm, and (n,) loc_id and cluster_id of an image's localizations."""
    table, axes = image.clusters, points.shape[1]
    centroids = table[[f"centroid_{name}" for name in _COORDINATES[:axes]]].to_numpy(np.float64)
    order = np.lexsort([table["n_localizations"].to_numpy(), *centroids.T[::-1]])
    ids = table["cluster_id"].to_numpy(np.int64)[order]
    outlines = image.outlines.reindex(ids).to_numpy(object)
    empty = shapely.Polygon()
    outlines = np.array([empty if o is None else o for o in outlines], dtype=object).reshape(-1)
    # places of the ids, which are sorted by where clusters lie
    by_id = np.argsort(ids)
    found = np.searchsorted(ids[by_id], cluster)
    member = np.full(len(cluster), NO_CLUSTER, dtype=np.int64)
    within = cluster != NO_CLUSTER
    member[within] = by_id[found[within]]
    rows = np.lexsort([member, *points.T[::-1]])
    points, member = np.ascontiguousarray(points[rows]), member[rows]
    heights = np.tile([0.0, 1.0], (len(ids), 1))
    if axes == 3:
        heights = _heights(points[:, 2], member, table["b_nm"].to_numpy(np.float64)[order])
    return Channel(
        image.image_id, points, loc_id[rows], member, _lots(points), ids, centroids[order], outlines, heights
    )


def _heights(z_nm: FloatArray, member: IntArray, b_nm: FloatArray) -> FloatArray:
    """Lowest and highest z of the members of clusters, and b beyond."""
    low, high = np.full(len(b_nm), np.inf), np.full(len(b_nm), -np.inf)
    inside = member != NO_CLUSTER
    np.minimum.at(low, member[inside], z_nm[inside])
    np.maximum.at(high, member[inside], z_nm[inside])
    return np.column_stack([low - b_nm, high + b_nm])


def _batches(image: ImageResult) -> Iterator[pa.RecordBatch]:
    if image.summary.get("merge") is None:
        yield from image.points_in_batches()
    else:
        table = pa.Table.from_pandas(image.molecules.rename(columns={"molecule_id": "loc_id"}), preserve_index=False)
        yield from table.to_batches()


def _columns(batch: pa.RecordBatch) -> tuple[FloatArray, IntArray, IntArray]:
    """Coordinates, loc_id and cluster_id of the rows of a batch that were analyzed."""
    table = pa.Table.from_batches([batch])
    names = [name for name in _COORDINATES if name in table.column_names]
    table = table.select([*names, "loc_id", "cluster_id"]).filter(table["label"].is_valid())
    points = np.column_stack([table[name].to_numpy() for name in names])
    return points, table["loc_id"].to_numpy().astype(np.int64), table["cluster_id"].to_numpy().astype(np.int64)


def _lots(points_nm: FloatArray) -> npt.NDArray[np.uint64]:
    """A mixed number (splitmix64) of the bits of the coordinates of each localization."""
    mixed = np.zeros(len(points_nm), dtype=np.uint64)
    for column in points_nm.T:
        mixed = (mixed ^ np.ascontiguousarray(column + 0.0).view(np.uint64)) + _ODD
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return mixed
