"""The channels of pictures of localizations: one for those in no cluster, and one for each class of clusters."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from caml_dask.io.exporters.columns import finite_rows
from caml_dask.schema import FIBER, NO_CLUSTER

Ints: TypeAlias = npt.NDArray[np.int64]

COLUMNS = ("x_nm", "y_nm", "label", "cluster_id")
"""What of the points decides where, and in which channel, a localization counts."""


def channels_of(schema: pa.Schema) -> list[str]:
    """Names of the channels of an image, by the columns of its points."""
    return ["in no cluster", *(("round", "fiber") if "p_fiber" in schema.names else ("in clusters",))]


def counted(batch: pa.RecordBatch, channels: int) -> tuple[npt.NDArray[np.float64], Ints]:
    """Localizations of a batch of `COLUMNS` that were analyzed.

    Returns
    -------
    tuple
        (n, 2) coordinates in nm, and (n,) the channel of each.
    """
    rows = finite_rows(batch)
    x, y, label, cluster = (rows.column(name).to_numpy() for name in COLUMNS)
    fiber = (label == FIBER) & (channels > 2)
    return np.column_stack([x, y]), np.where(cluster == NO_CLUSTER, 0, 1 + fiber)
