"""The tables of clusters that were followed: every column with its type, unit and meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from caml_dask.schema import Column, arrow_schema

APPEAR, VANISH, MERGE, SPLIT = "appear", "vanish", "merge", "split"
UNSEEN = "unseen"
"""How a track began or ended where there is no window before or behind, or one with too few localizations."""

_INTS = pa.list_(pa.int64())

WINDOWS = (
    Column("window", pa.int64(), "number of the window, from 0"),
    Column("first_frame", pa.int64(), "its first frame"),
    Column("last_frame", pa.int64(), "its last frame"),
    Column("localizations", pa.int64(), "its localizations"),
    Column("clusters", pa.int64(), "its clusters; null where it has too few localizations to be analyzed"),
    Column("image_id", pa.string(), "the image in `windows` that it is; null where it was not analyzed"),
)
"""Columns of the windows."""

TRACKS = (
    Column("track_id", pa.int64(), "number of the track, from 0, by its first window"),
    Column("first_window", pa.int64(), "the first window that it is seen in"),
    Column("last_window", pa.int64(), "the last one; it is seen in all between"),
    Column("first_frame", pa.int64(), "frame of the first localization in the cluster"),
    Column("last_frame", pa.int64(), "frame of the last one"),
    Column("lifetime_frames", pa.int64(), "frames from the first to the last"),
    Column(
        "lifetime_is_lower_bound",
        pa.bool_(),
        f"it began or ended `{UNSEEN}`: it may have lived longer",
    ),
    Column(
        "began_by",
        pa.string(),
        f"`{APPEAR}`, `{MERGE}` of others, `{SPLIT}` of another; `{UNSEEN}` where no window before was analyzed",
    ),
    Column(
        "ended_by",
        pa.string(),
        f"`{VANISH}`, `{MERGE}` with others, `{SPLIT}` into others; `{UNSEEN}` where no window behind was analyzed",
    ),
    Column("displacement_nm", pa.float64(), "distance of its last centroid from its first"),
    Column("path_nm", pa.float64(), "length of the way over all centroids; errors of centroids make it longer"),
    Column(
        "speed_nm_per_frame", pa.float64(), "the way over the frames between its windows' middles; null if in one only"
    ),
    Column("first_area_nm2", pa.float64(), "area in its first window"),
    Column("last_area_nm2", pa.float64(), "area in its last window"),
    Column(
        "growth_nm2_per_frame",
        pa.float64(),
        "slope of the line of least squares through its areas; null if in one window only",
    ),
    Column("mean_localizations", pa.float64(), "mean of its localizations in a window"),
)
"""Columns of the tracks."""

TRACK_POINTS = (
    Column("track_id", pa.int64(), "the track"),
    Column("window", pa.int64(), "the window"),
    Column("cluster_id", pa.int64(), "the cluster in that window"),
    Column("first_frame", pa.int64(), "frame of its first localization in the window"),
    Column("last_frame", pa.int64(), "frame of its last one"),
    Column("centroid_x_nm", pa.float64(), "mean x of its localizations"),
    Column("centroid_y_nm", pa.float64(), "mean y of them"),
    Column("area_nm2", pa.float64(), "its area"),
    Column("n_localizations", pa.int64(), "its localizations"),
)
"""Columns of the clusters of all windows, by track."""

EVENTS = (
    Column("window", pa.int64(), "the window in which it shows: clusters differ from those of the window before"),
    Column("frame", pa.int64(), "the first frame of that window"),
    Column("kind", pa.string(), f"`{APPEAR}`, `{VANISH}`, `{MERGE}` or `{SPLIT}`"),
    Column("tracks_from", _INTS, "the tracks of the clusters before"),
    Column("tracks_to", _INTS, "the tracks of the clusters after; one that is among those before goes on"),
    Column(
        "smallest_share",
        pa.float64(),
        "of what merges, or of what a cluster splits into, localizations of the smallest part over those of all: near "
        "0 a few localizations came or went; null for the others",
    ),
    Column("x_nm", pa.float64(), "mean x of the centroids of the clusters"),
    Column("y_nm", pa.float64(), "mean y of them"),
)
"""Columns of the events."""


def frame_of(columns: Sequence[Column], values: Mapping[str, object]) -> pd.DataFrame:
    """A table of ours as pandas.

    Parameters
    ----------
    columns : sequence of Column
        Its columns.
    values : mapping
        Values by the names of columns.

    Returns
    -------
    pandas.DataFrame
        The columns in their order and types.
    """
    schema = arrow_schema(tuple(columns))
    arrays = [pa.array(values[field.name], field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema).to_pandas()
