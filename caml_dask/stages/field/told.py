"""What the field network tells of an image as a whole: whether its localizations are repeated detections of molecules.

It is the mean over localizations of what is told of their regions, added up in whole steps, which no tiling changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.networks.field.architecture import SURE, TRAITS
from caml_dask.stages.field.tables import TOLD
from caml_dask.stages.shared.work import Work

STEPS = 1_000
"""Of a probability or the log of a number."""


def told_of_tile(traits: np.ndarray, unit_nm: np.ndarray, counts: np.ndarray) -> pa.Table:
    """What a tile adds to :data:`TOLD`.

    Parameters
    ----------
    traits : (r, TRAITS) float32
        Told of the regions that localizations of the tile lie in.
    unit_nm : (r,) float64
        Their units of length.
    counts : (r,) int64
        Localizations of the tile in each.
    """
    of = {name: traits[:, at].astype(np.float64) for at, name in enumerate(TRAITS)}
    values = {
        "blinking": 1 / (1 + np.exp(-of["blinking"])),
        "log_precision": of["log_precision"] + np.log(unit_nm),
        "log_detections": of["log_detections"],
    }
    sums = {name: [int(np.rint(STEPS * value).astype(np.int64) @ counts)] for name, value in values.items()}
    return pa.table({"localizations": [int(counts.sum())], **sums})


def summary_of_told(work: Work) -> dict[str, Any]:
    """The part of an image's summary: how likely its molecules re-blink; if more likely than not, how.

    "probability"; "detections_per_molecule" and "precision_nm", None where it is below a half.
    """
    tiles = [work.get(TOLD, tile).to_pylist()[0] for tile in range(work.partition().n_tiles)]
    sums = {name: sum(tile[name] for tile in tiles) for name in (column.name for column in TOLD.columns)}
    of = {name: value / STEPS / sums["localizations"] for name, value in sums.items()}
    known = of["blinking"] > 0.5
    return {
        "probability": of["blinking"],
        "detections_per_molecule": max(float(np.exp(of["log_detections"])), 1.0) if known else None,
        "precision_nm": float(np.exp(of["log_precision"])) if known else None,
    }


def warnings_of_told(work: Work, told: dict[str, Any], others: list[str]) -> list[str]:
    """That localizations seem to be repeated detections, where nothing else in the table has said so."""
    if told["probability"] < SURE or any(other.startswith("repeated-detections") for other in others):
        return []
    left = "merging left them" if work.settings.merge else "merge them with --merge auto, which needs frames"
    return [
        f"looks-repeated: by how they lie, molecules are detected {told['detections_per_molecule']:.1f} times in the "
        f"mean, with a precision of {told['precision_nm']:.2g} nm: clusters count detections, not molecules: {left}"
    ]
