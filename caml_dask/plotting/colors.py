"""What localizations are colored by: their class, their cluster, or a number; told apart by the color-blind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from caml_dask.errors import UsageError
from caml_dask.io.exporters.columns import is_numerical, numbers
from caml_dask.io.exporters.exporter import Exportable
from caml_dask.overview.raster import BACKGROUND, CLUSTERED_COLOR, FIBER_COLOR, NON_CLUSTERED_COLOR
from caml_dask.schema import NO_CLUSTER

FloatArray: TypeAlias = npt.NDArray[np.float64]

PAPER = BACKGROUND / 255
GRAY = np.array([0.45, 0.48, 0.54])
"""Localizations without a value."""
_OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#EFEFEF")
"""Okabe & Ito's colors; blue and black are too dark on dark ground, and a light gray takes their place."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: close ids get colors far apart


@dataclass(frozen=True)
class Classes:
    """Localizations colored by one of a few classes.

    Parameters
    ----------
    columns : sequence of str
        What of the points it is found from.
    of : callable
        From a batch of these columns: (n,) class of each localization, from 0.
    colors : (classes, 3) float64
        Red, green and blue of each, 0 to 1; the first is drawn below the others.
    names : sequence of str
        For the legend; none where it has nothing to say.
    """

    columns: Sequence[str]
    of: Callable[[pa.RecordBatch], npt.NDArray[np.int64]]
    colors: FloatArray
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Values:
    """Localizations colored by a number.

    Parameters
    ----------
    columns : sequence of str
        What of the points it is found from.
    of : callable
        From a batch of these columns: (n,) float64, NaN for a localization without a value.
    title : str
        For the color bar.
    """

    columns: Sequence[str]
    of: Callable[[pa.RecordBatch], FloatArray]
    title: str


@dataclass(frozen=True)
class Density:
    """All localizations counted, whatever they are."""

    columns: Sequence[str] = ()


Coloring: TypeAlias = Classes | Values | Density


def coloring(image: Exportable, color: str) -> Coloring:
    """How localizations are colored.

    Parameters
    ----------
    image : Exportable
        Whose localizations.
    color : str
        "label", "cluster", "density", or a column of numbers of the points or of the clusters.

    Raises
    ------
    UsageError
        No such column, or none of numbers.
    """
    if color == "density":
        return Density()
    if color == "label":
        three = "p_fiber" in image.schema.names
        names = ("non-clustered", "round", "fiber") if three else ("non-clustered", "clustered")
        colors = np.array([NON_CLUSTERED_COLOR, CLUSTERED_COLOR, FIBER_COLOR])[: len(names)] / 255
        return Classes(["label"], lambda batch: batch.column("label").to_numpy().astype(np.int64), colors, names)
    if color == "cluster":
        return Classes(["cluster_id"], lambda batch: color_of_cluster(batch.column("cluster_id").to_numpy()), PALETTE)
    if color in image.schema.names and is_numerical(image.schema.field(color).type):
        return Values([color], lambda batch: numbers(batch.column(color)), color)
    return _of_clusters(image, color)


def color_of_cluster(cluster_id: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place in `PALETTE` of clusters by their ids, the same in every picture; 0 for no cluster."""
    mixed = (cluster_id.astype(np.uint64) * _SPREAD) >> np.uint64(40)
    place = 1 + (mixed % np.uint64(len(_OKABE_ITO))).astype(np.int64)
    return np.where(cluster_id == NO_CLUSTER, 0, place)


def _of_clusters(image: Exportable, color: str) -> Values:
    """Localizations colored by a measure of their clusters.

    Raises
    ------
    UsageError : no column of numbers is called so, of points or of clusters.
    """
    clusters = image.clusters()
    of_points, of_clusters = (
        [name for name in schema.names if is_numerical(schema.field(name).type)]
        for schema in (image.schema, clusters.schema)
    )
    if color not in of_clusters:
        known = ", ".join(dict.fromkeys([*of_points, *of_clusters]))
        raise UsageError(
            f'color={color!r} is no column of numbers: use "label", "cluster", "density" or one of {known}'
        )
    ids, values = clusters["cluster_id"].to_numpy(), numbers(clusters[color].combine_chunks())

    def of(batch: pa.RecordBatch) -> FloatArray:
        wanted = batch.column("cluster_id").to_numpy()
        place = np.minimum(np.searchsorted(ids, wanted), max(0, len(ids) - 1))
        found = ids[place] == wanted if len(ids) else np.zeros(len(wanted), dtype=bool)
        return np.where(found, values[place] if len(ids) else np.nan, np.nan)

    return Values(["cluster_id"], of, f"{color} of the cluster")


def _rgb(code: str) -> list[float]:
    return [int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)]


PALETTE = np.array([GRAY, *map(_rgb, _OKABE_ITO)])
"""(8, 3) red, green and blue: of no cluster, and of clusters in turn."""
