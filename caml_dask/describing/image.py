"""An image described: from its input to the table and the summary of each of its regions.

The stages of an analysis bring the input to tiles. The localizations of a tile are counted with those of tiles around
it, one of them at a time; a pair of two tiles is counted once, by the one of the lower number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from caml_dask.describing.counts import Counts, Rings, counts_of, lower_to_others, nearest_among
from caml_dask.describing.curves import curves_of, random_share
from caml_dask.describing.envelopes import FEWEST_SIMULATIONS, Beside, beside, simulate
from caml_dask.describing.pairs import Pairs
from caml_dask.describing.summary import summary_of, summary_of_region, too_few
from caml_dask.describing.tables import DESCRIPTION
from caml_dask.describing.window import Border, Window, in_windows, windows_of
from caml_dask.errors import InputError, TooFewLocalizations, UsageError
from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.store import Store
from caml_dask.pipeline import carried_by
from caml_dask.schema import COORDINATES
from caml_dask.settings import Settings
from caml_dask.spatial.partition import Partition
from caml_dask.stages import occupied
from caml_dask.stages.shared.work import Work, xy
from caml_dask.stages.tables import TILE

LEAST_LOCALIZATIONS = 10
"""Localizations of a region that is described."""
USUAL_NM = 500.0
"""Largest distance, unless a quarter of the shorter side of the region is less or another one is asked for."""
RINGS = 250
_LARGEST_SHARE = 0.5  # of the shorter side of a region, that a distance may be
_STAGES_OF = "XPILJZ"  # of a network of windows, whose first stages bring localizations to tiles and do nothing else


@dataclass(frozen=True)
class Asked:
    """What is asked of a region.

    Parameters
    ----------
    most_nm : float or None
        Largest distance, in nm; None for 500 nm, or a quarter of the shorter side of the region if that is less.
    simulations : int
        Random fields that it is compared with; 0 for none, or at least 19.
    seed : int
        Of all chance.

    Raises
    ------
    UsageError
        A value out of its range.
    """

    most_nm: float | None = None
    simulations: int = 99
    seed: int = 0

    def __post_init__(self) -> None:
        if self.most_nm is not None and not 0 < self.most_nm < np.inf:
            raise UsageError(f"--most-nm {self.most_nm}: a distance is above 0")
        if self.simulations and not FEWEST_SIMULATIONS <= self.simulations <= 100_000:
            raise UsageError(
                f"--simulations {self.simulations}: give {FEWEST_SIMULATIONS} to 100,000, of which 95 % can be told, "
                "or 0 for none"
            )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give a whole number from 0")


@dataclass(frozen=True)
class _Unlabelled:
    """Takes the place of a network: localizations are brought to tiles, and not labelled."""

    name: str = "describe"
    n_neighbors: int = 0
    least_localizations: int = 2
    dimensions: int = 2
    classes: tuple[str, ...] = ("localizations",)
    score_columns: tuple[str, ...] = ()
    trained_on: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    csr_percent: tuple[float, ...] = ()

    def labels(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
        """All of the one class."""
        return np.zeros(len(scores), dtype=np.int8)


def work_on(image: Image, settings: Mapping[str, Any], store: Store) -> Work:
    """An image that is to be described, over a store.

    Parameters
    ----------
    image : Image
        The image.
    settings : mapping
        Fields of :class:`caml_dask.settings.Settings` that say what is read.
    store : Store
        An empty store.

    Returns
    -------
    Work
        The image with its settings.

    Raises
    ------
    UsageError
        A setting that cannot be used.
    """
    chosen = Settings(network=_STAGES_OF, test=False, **settings)
    return Work(image, chosen, _Unlabelled(), store, carried_by(chosen))


def describe_image(
    work: Work, tables: Iterable[pa.Table], asked: Asked, threads: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Describe an image.

    Parameters
    ----------
    work : Work
        As :func:`work_on` makes it.
    tables : iterable of pyarrow.Table
        Its input.
    asked : Asked
        What is asked of it.
    threads : int
        Threads; they never change a result.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``describing.tables.DESCRIPTION``.
    dict
        What the summary says of it.

    Raises
    ------
    InputError
        An input that cannot be described, or regions without localizations enough.
    """
    try:
        analyse(work, _in_the_plane(work, tables), {}, before="classify", threads=threads)
    except TooFewLocalizations as error:
        raise InputError(
            f"a region needs {LEAST_LOCALIZATIONS} localizations to be described ({error.message.partition(': ')[0]})",
            work.image.path,
        ) from None
    occupied.occupied(work, 0)
    windows = windows_of(work)
    _refuse_flat(work, windows)
    rings = [_rings(work, window, asked) for window in windows]
    with ThreadPoolExecutor(threads) as pool:
        mapped = map if threads == 1 else pool.map
        counts = _counted(work, windows, rings, mapped)
        described = [number for number, one in enumerate(counts) if one.n >= LEAST_LOCALIZATIONS]
        if not described:
            raise InputError(too_few(windows, counts, LEAST_LOCALIZATIONS), work.image.path)
        found = [
            _describe(work, windows[number], counts[number], rings[number], asked, number, mapped)
            for number in described
        ]
    curves = pd.concat([table for table, _ in found], ignore_index=True)
    regions = [summary for _, summary in found]
    return curves, summary_of(work, windows, counts, regions, LEAST_LOCALIZATIONS)


def _in_the_plane(work: Work, tables: Iterable[pa.Table]) -> Iterable[pa.Table]:
    for table in tables:
        if COORDINATES[2] in table.column_names:
            raise InputError(
                "has 3 coordinates a localization, and regions are described in the plane: leave z out "
                + ("with --columns x=...,y=...,unit=..." if work.image.path else "of the table"),
                work.image.path,
            )
        yield table


def _refuse_flat(work: Work, windows: list[Window]) -> None:
    if not all(window.area_nm2 > 0 for window in windows):
        raise InputError("the localizations lie on a line, which has no area: give one with --roi", work.image.path)


def _rings(work: Work, window: Window, asked: Asked) -> Rings:
    side = window.shorter_side_nm
    most = min(USUAL_NM, side / 4) if asked.most_nm is None else asked.most_nm
    if most > _LARGEST_SHARE * side:
        raise InputError(
            f"--most-nm {most:g} is more than half of the shorter side, {side:,.0f} nm, of region {window.name!r}: "
            f"give {side / 4:,.3g} or less",
            work.image.path,
        )
    return Rings(most / RINGS, RINGS)


def _counted(work: Work, windows: list[Window], rings: list[Rings], mapped: Any) -> list[Counts]:
    """The counts of each region, over all tiles."""
    borders = [Border(window.shape, one.most_nm) for window, one in zip(windows, rings, strict=True)]
    of_tile = partial(_count_tile, work, work.partition(), windows, borders, rings)
    found = list(mapped(of_tile, range(work.partition().n_tiles)))
    return [reduce(add, one) for one in zip(*found, strict=True)]


def _count_tile(
    work: Work, tiles: Partition, windows: list[Window], borders: list[Border], rings: list[Rings], unit: int
) -> list[Counts]:
    """The counts of each region that a tile adds."""
    own = list(in_windows(windows, xy(work.get(TILE, unit, COORDINATES[:2]))))
    cells = [Pairs.build(points, one.step_nm, one.number) for points, one in zip(own, rings, strict=True)]
    pairs, nearest = [one.among() for one in cells], [nearest_among(points) for points in own]
    pad_nm = max(one.most_nm for one in rings) * (1 + 1e-6)
    lower, upper = tiles.lower_nm[unit] - pad_nm, tiles.upper_nm[unit] + pad_nm
    for other in tiles.overlapping(lower, upper):
        if other == unit:
            continue
        points = xy(work.get(TILE, int(other), COORDINATES[:2]))
        near = points[np.all((points >= lower) & (points <= upper), axis=1)]
        for number, others in enumerate(in_windows(windows, near)):
            if other > unit:
                pairs[number] += cells[number].with_others(others)
            lower_to_others(nearest[number], own[number], others)
    return [counts_of(pairs[k], nearest[k], borders[k].distances(own[k]), rings[k]) for k in range(len(windows))]


def _describe(
    work: Work, window: Window, counts: Counts, rings: Rings, asked: Asked, number: int, mapped: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the summary of a region."""
    radii, expected = rings.radii_nm, window.expected_pairs(rings.step_nm, rings.number)
    if not (expected > 0).all():
        raise InputError(
            f"region {window.name!r} is too narrow for distances of {rings.most_nm:g} nm: give less with --most-nm",
            work.image.path,
        )
    curves = curves_of(counts, expected, rings)
    random = random_share(counts.n, window.area_nm2, radii)
    table = {
        "region_id": np.int32(number),
        "region": window.name,
        "r_nm": radii,
        "pairs": counts.pairs,
        "k_nm2": curves.k_nm2,
        "l_minus_r_nm": curves.l_minus_r_nm,
        "pair_correlation": curves.pair_correlation,
        "nearest_neighbor_share": curves.nearest_share,
        "nearest_neighbor_share_random": random,
    }
    simulated, of_l, of_nearest = 0, None, None
    if asked.simulations:
        fields = simulate(window, counts.n, expected, rings, asked.simulations, [asked.seed, number], mapped)
        simulated = fields.localizations
        of_l = beside(curves.l_minus_r_nm, fields.l_nm)
        of_g = beside(curves.pair_correlation - 1, fields.pair_correlation)
        of_nearest = beside(curves.nearest_share - random, fields.nearest_share)
        table |= _envelopes("l_minus_r{}_nm", of_l, 0.0, True)
        table |= _envelopes("pair_correlation{}", of_g, 1.0, False)
        table |= _envelopes("nearest_neighbor_share{}", of_nearest, random, True)
    frame = pd.DataFrame(table).reindex(columns=[column.name for column in DESCRIPTION])
    return frame, {"region_id": number} | summary_of_region(window, counts, rings, curves, simulated, of_l, of_nearest)


def _envelopes(name: str, of: Beside, random: Any, whole: bool) -> dict[str, Any]:
    """Columns of the envelopes of a function, whose value under randomness is `random`."""
    found = {name.format("_low"): random + of.low, name.format("_high"): random + of.high}
    if whole:
        found |= {name.format("_global_low"): random - of.critical, name.format("_global_high"): random + of.critical}
    return found
