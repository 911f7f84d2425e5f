"""Rows of other tiles: the halo of a tile, and any box of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from caml_dask.spatial.partition import Partition
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import TILE, Table


@dataclass(frozen=True)
class Surroundings:
    """A part of the image of which every localization is at hand.

    lower_nm, upper_nm : (2,) float64, its corners; infinite where it reaches the image's bounds
    rows : localizations of other tiles inside it
    whole : it is as wide as was asked for, not cut short by a bound on its rows
    """

    lower_nm: np.ndarray
    upper_nm: np.ndarray
    rows: pa.Table
    whole: bool = True


def halo(work: Work, tiles: Partition, tile: int, pad_nm: float, most: int, table: Table = TILE) -> Surroundings:
    """The rows of other tiles around a tile: those nearer than `pad_nm` to its box, at most the nearest `most`.

    table : of which rows are wanted
    """
    lower, upper = tiles.lower_nm[tile], tiles.upper_nm[tile]
    pieces, apart = [work.get(table, tile).slice(0, 0)], [np.zeros(0)]
    for other in tiles.overlapping(lower - pad_nm, upper + pad_nm):
        if other == tile:
            continue
        rows = work.get(table, int(other))
        points = xy(rows)
        inside = np.all((points > lower - pad_nm) & (points < upper + pad_nm), axis=1)
        pieces.append(rows.filter(pa.array(inside)))
        apart.append(np.maximum(lower - points[inside], points[inside] - upper).max(axis=1))
    found, distance = pa.concat_tables(pieces), np.concatenate(apart)
    whole = len(found) <= most
    if not whole:
        pad_nm = float(np.partition(distance, most)[most])
        points = xy(found)
        found = found.filter(pa.array(np.all((points > lower - pad_nm) & (points < upper + pad_nm), axis=1)))
    return Surroundings(*_open_at_bounds(work, lower - pad_nm, upper + pad_nm), found, whole)


def rows_around(work: Work, table: Table, tile: int, radius_nm: float) -> Iterator[tuple[int, pa.Table]]:
    """The other tiles with rows of a table that may lie within a radius of localizations of a tile, and these rows.

    They are those within the radius of its box in x and y, and a hair more than rounding may hide.
    """
    tiles = work.partition()
    lower, upper = tiles.lower_nm[tile], tiles.upper_nm[tile]
    sides = np.abs(np.concatenate([lower, upper]))
    pad = radius_nm * (1 + 1e-9) + 4 * np.spacing(sides[np.isfinite(sides)].max(initial=0.0))
    for other in tiles.overlapping(lower - pad, upper + pad):
        if other == tile:
            continue
        rows = work.get(table, int(other))
        points = xy(rows)
        near = np.all((points >= lower - pad) & (points <= upper + pad), axis=1)
        if near.any():
            yield int(other), rows.filter(pa.array(near))


def rows_within(
    work: Work, tiles: Partition, lower_nm: np.ndarray, upper_nm: np.ndarray, without: np.ndarray
) -> Surroundings:
    """All rows in a closed box but those whose loc_id is in `without`, which the caller has."""
    pieces = []
    for other in tiles.overlapping(lower_nm, upper_nm):
        rows = work.get(TILE, int(other))
        points = xy(rows)
        inside = np.all((points >= lower_nm) & (points <= upper_nm), axis=1)
        inside[inside] = ~np.isin(rows["loc_id"].to_numpy()[inside], without)
        pieces.append(rows.filter(pa.array(inside)))
    return Surroundings(*_open_at_bounds(work, lower_nm, upper_nm), pa.concat_tables(pieces))


def _open_at_bounds(work: Work, lower_nm: np.ndarray, upper_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.array(work.facts()["bounds_nm"])
    return np.where(lower_nm < bounds[:2], -np.inf, lower_nm), np.where(upper_nm > bounds[2:], np.inf, upper_nm)
