"""What is seen of the clusters of one window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely

from caml_dask.following.windows import Window

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Seen:
    """The clusters of a window, by their ids.

    Attributes
    ----------
    window : Window
        The window.
    cluster_id : (c,) int64
        Their ids in the window.
    centroids_nm : (c, 2) float64
        Their centroids in nm.
    area_nm2 : (c,) float64
        Their areas in nm2.
    n_localizations : (c,) int64
        Their members.
    frames : (c, 2) int64
        The frames of their first and of their last member.
    outlines : (c,) object
        Their outlines, shapely polygons in nm; empty where they span no area.
    """

    window: Window
    cluster_id: IntArray
    centroids_nm: FloatArray
    area_nm2: FloatArray
    n_localizations: IntArray
    frames: IntArray
    outlines: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.cluster_id)


def see(window: Window, clusters: pd.DataFrame, outlines: pd.Series, points: Iterable[pa.RecordBatch]) -> Seen:
    """What is seen of a window that was analyzed.

    Parameters
    ----------
    window : Window
        The window.
    clusters : pandas.DataFrame
        Its clusters, as of ``schema.CLUSTERS``, by cluster_id.
    outlines : pandas.Series
        Their outlines, by cluster_id.
    points : iterable of pyarrow.RecordBatch
        Its localizations, with cluster_id and frame.

    Returns
    -------
    Seen
        Its clusters.
    """
    ids = clusters["cluster_id"].to_numpy(np.int64)
    first, last = np.full(len(ids), window.stop), np.full(len(ids), window.start - 1)
    for batch in points:
        cluster, frame = (batch[name].to_numpy(zero_copy_only=False) for name in ("cluster_id", "frame"))
        member = cluster >= 0
        place = np.searchsorted(ids, cluster[member].astype(np.int64))
        np.minimum.at(first, place, frame[member])
        np.maximum.at(last, place, frame[member])
    empty = shapely.Polygon()
    drawn = [empty if outline is None else outline for outline in outlines.reindex(ids)]
    return Seen(
        window,
        ids,
        clusters[["centroid_x_nm", "centroid_y_nm"]].to_numpy(np.float64),
        clusters["area_nm2"].to_numpy(np.float64),
        clusters["n_localizations"].to_numpy(np.int64),
        np.column_stack([first, last]),
        np.array(drawn, dtype=object).reshape(-1),
    )
