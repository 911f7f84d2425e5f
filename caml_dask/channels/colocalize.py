"""Two channels of a field compared: read, shift, figures, randomizations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from caml_dask.channels.channel import Channel, read_channel
from caml_dask.channels.chromatic import Shift, shift_of_data, shift_of_fiducials
from caml_dask.channels.colocalization import Colocalization
from caml_dask.channels.domain import Domain, Torus, largest_rectangle
from caml_dask.channels.figures import Measures, measure
from caml_dask.channels.pairs import LEAST_SHARED, pairs_of, shared_extent
from caml_dask.channels.randomized import PLACEMENT, SHIFT, Aligned, Randomized, randomize
from caml_dask.channels.region import region_of
from caml_dask.errors import UsageError
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult, open_run

TESTED_LOCALIZATIONS, TESTED_DEGREES = 5_000, 2_000
SHIFT_LOCALIZATIONS = 20_000
_FEW_CLUSTERS = 10


def colocalize(
    run: RunResult | Path | str,
    pairs: Iterable[Sequence[str]] = (),
    *,
    table: Path | str | None = None,
    measures: Measures | None = None,
    randomizations: int = 199,
    seed: int = 0,
    correct_shift: bool = False,
    fiducials: Path | str | None = None,
    largest_shift_nm: float = 200.0,
) -> list[Colocalization]:
    """Compare the channels of a run's fields, two at a time, and each pair with randomness.

    Parameters
    ----------
    run : RunResult or path
        A run or screening, or its directory.
    pairs : iterable of (str, str)
        Pairs of image_ids, or of stems of inputs; by default all channels of each file with one another.
    table : path, optional
        CSV table of pairs, with the columns a and b.
    measures : Measures, optional
        Radii and numbers of the figures.
    randomizations : int
        Randomizations of each way; 0 for none. The smallest p value is 2 / (1 + randomizations).
    seed : int
        Of all chance.
    correct_shift : bool
        Take the shift between the channels from B. One from the data that is not certain is not taken; after one that
        is, each randomization is aligned to A the same way before it is compared.
    fiducials : path, optional
        CSV table of beads, with x_a, y_a, x_b, y_b in nm; by default the shift is estimated from the localizations.
    largest_shift_nm : float
        Largest shift that is looked for in the data, along x and y, in nm.

    Returns
    -------
    list of Colocalization
        One for each pair. It holds the localizations of its pair, some 150 bytes each.

    Raises
    ------
    UsageError
        Pairs or settings that cannot be used.
    OutputError
        The directory holds no run, or one that is not finished.
    StoreError
        A file of the run is not as the run left it.
    """
    return list(
        each_pair(
            run if isinstance(run, RunResult) else open_run(run),
            pairs,
            table=table,
            measures=measures,
            randomizations=randomizations,
            seed=seed,
            correct_shift=correct_shift,
            fiducials=fiducials,
            largest_shift_nm=largest_shift_nm,
        )
    )


def each_pair(
    run: RunResult,
    pairs: Iterable[Sequence[str]] = (),
    *,
    table: Path | str | None = None,
    measures: Measures | None = None,
    randomizations: int = 199,
    seed: int = 0,
    correct_shift: bool = False,
    fiducials: Path | str | None = None,
    largest_shift_nm: float = 200.0,
) -> Iterator[Colocalization]:
    """As :func:`colocalize`, one pair after another, so that one alone is held."""
    if not 0 <= randomizations <= 100_000:
        raise UsageError(f"--randomizations {randomizations}: give 0 to 100,000")
    if not (np.isfinite(largest_shift_nm) and largest_shift_nm >= 10):
        raise UsageError(f"--largest-shift-nm {largest_shift_nm:g}: it is at least 10 nm")
    beads = None if fiducials is None else shift_of_fiducials(Path(fiducials))
    for a, b in pairs_of(run, pairs, table):
        yield compare(a, b, measures or Measures(), randomizations, seed, correct_shift, beads, largest_shift_nm)


def compare(
    a: ImageResult,
    b: ImageResult,
    measures: Measures,
    randomizations: int,
    seed: int,
    correct_shift: bool,
    beads: Shift | None,
    largest_shift_nm: float,
) -> Colocalization:
    """One pair; the parameters are those of :func:`colocalize`."""
    channels = read_channel(a), read_channel(b)
    shape, region = region_of((a, b), channels)
    domain, notes = Domain(shape), list[str]()
    if shared_extent(a, b) < LEAST_SHARED:
        notes.append(f"the fields share less than {LEAST_SHARED:.0%} of their extent: check their units")

    def of_data(one: Channel, other: Channel, where: Domain) -> Shift:
        return shift_of_data(one, other, where, largest_nm=largest_shift_nm, sample=SHIFT_LOCALIZATIONS)

    def aligned(one: Channel, other: Channel, where: Domain) -> Channel:
        return _shifted_by(other, -of_data(one, other, where).vector_nm, where)

    first, second = (domain.of(channel) for channel in channels)
    for image, channel in ((a, first), (b, second)):
        if not len(channel.points_nm):
            raise UsageError(f"{image.image_id} has no localizations in the region of the pair ({region})")
    shift, align = beads or of_data(first, second, domain), None
    if correct_shift and shift.certain:
        second = domain.of(channels[1].shifted(_padded(-shift.vector_nm, second.axes)))
        shift, align = replace(shift, applied=True), (aligned if shift.source == "data" else None)
        if not len(second.points_nm):
            raise UsageError(
                f"{b.image_id} leaves the region by the shift of {shift.dx_nm:.0f}, {shift.dy_nm:.0f} nm: check the "
                "unit of the fiducials"
            )
    elif correct_shift:
        notes.append("the shift is not certain, so it was not taken from B: give beads with --fiducials")
    for image, channel in ((a, first), (b, second)):
        if len(channel.cluster_id) < _FEW_CLUSTERS:
            notes.append(
                f"{image.image_id} has {len(channel.cluster_id)} clusters in the region: figures are uncertain"
            )
    everything = max(len(first.lot), len(second.lot))
    found = measure(first, second, domain, measures, everything, everything)
    randomized: dict[str, Randomized] = {}
    if randomizations:
        randomized, said = _randomized(first, second, domain, measures, randomizations, seed, align)
        notes += said
    return Colocalization(first, second, domain, region, measures, shift, found, randomized, tuple(notes))


def _randomized(
    first: Channel,
    second: Channel,
    domain: Domain,
    measures: Measures,
    randomizations: int,
    seed: int,
    align: Aligned | None,
) -> tuple[dict[str, Randomized], list[str]]:
    """Both ways of randomization, and notes on one that is left out."""
    found, notes = dict[str, Randomized](), list[str]()
    compared = partial(
        randomize,
        measures=measures,
        number=randomizations,
        seed=seed,
        most=TESTED_LOCALIZATIONS,
        degrees_of=TESTED_DEGREES,
        aligned=align,
    )
    rectangle = largest_rectangle(domain.shape)
    torus = None if rectangle is None else Torus(rectangle)
    if torus is None or torus.sides_nm.min() < 2 * measures.last_nm:
        sides = "none" if torus is None else " x ".join(f"{side:,.0f}" for side in torus.sides_nm)
        notes.append(
            f"the largest rectangle in the region ({sides} nm) is narrower than twice the radius, so B was not "
            "shifted: give a smaller --radius-nm"
        )
    else:
        inside = torus.of(first), torus.of(second)
        if all(len(channel.points_nm) for channel in inside):
            found[SHIFT] = compared(SHIFT, *inside, torus)
            share = torus.area_nm2 / domain.area_nm2
            if share < 0.5:
                notes.append(f"the shift of B is tested in a rectangle that has {share:.0%} of the region's area")
        else:
            notes.append("the largest rectangle in the region lacks a channel, so B was not shifted")
    if len(second.cluster_id):
        found[PLACEMENT] = compared(PLACEMENT, first, second, domain)
    else:
        notes.append(f"{second.name} has no clusters in the region, so none were put elsewhere")
    return found, notes


def _padded(vector: np.ndarray, axes: int) -> np.ndarray:
    return np.pad(vector, (0, axes - 2))


def _shifted_by(channel: Channel, by_nm: np.ndarray, where: Domain) -> Channel:
    """A channel moved in the plane, back in where sides are joined."""
    moved = channel.shifted(_padded(by_nm, channel.axes))
    if isinstance(where, Torus):
        return moved.moved(where.wrapped(moved.points_nm), where.wrapped(moved.centroids_nm))
    return moved
