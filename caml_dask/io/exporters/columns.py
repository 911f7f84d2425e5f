"""Columns of points as other programs take them: their own names of what is known, and numbers for all the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.io.readers.carried import CarriedColumn, find_carried
from caml_dask.io.readers.headers import label_and_unit
from caml_dask.schema import CARRIED, COORDINATES, POINTS

_log = logging.getLogger("caml_dask")


def is_numerical(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers, truth values included."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def own_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns of points that came with the input, its coordinates left out: a second x would confuse."""
    ours = {column.name for column in POINTS}
    return [name for name in schema.names if name not in ours and label_and_unit(name)[0] not in ("x", "y", "z")]


def carried_columns(schema: pa.Schema) -> dict[str, CarriedColumn]:
    """Which columns of the input hold frame, photons, precision and the like, by their canonical names."""
    numerical = [name for name in own_columns(schema) if is_numerical(schema.field(name).type)]
    return {found.name: found for found in find_carried(numerical, [column.name for column in CARRIED])}


def finite_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of a batch with finite coordinates; where it has what was found of them, those that were analyzed."""
    there = np.logical_and.reduce(
        [np.isfinite(numbers(batch.column(name))) for name in COORDINATES if name in batch.schema.names]
    )
    if "cluster_id" in batch.schema.names:
        there &= batch.column("cluster_id").is_valid().to_numpy(zero_copy_only=False)
    return batch if there.all() else batch.filter(pa.array(there))


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """A column as (n,) float64, NaN where it is null."""
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def note_left_out(image_id: str, title: str, names: Iterable[str], reason: str) -> None:
    """Say which columns a file does not have, and why."""
    listed: Sequence[str] = list(names)
    if listed:
        _log.warning("%s: %s has no column %s: %s", image_id, title, ", ".join(listed), reason)
