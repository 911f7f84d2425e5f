"""Where molecules may lie: regions of many outlines, with gradients and holes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.simulate.cells import draw_cell

_PILOT = 2_000  # places that estimate how much of the rectangle a region fills


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle, or box, with the chance of a molecule at each of its places.

    Attributes
    ----------
    size_nm : (d,) float64
        Sides in nm; the lower corner is at the origin.
    allow : callable
        Takes (n, d) places in nm and returns (n,) float64 in 0..1, relative chances of a molecule.
    """

    size_nm: NDArray[np.float64]
    allow: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw places under the region's law.

        Parameters
        ----------
        n : int
            Number of places.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        (n, d) float64
            Places in nm.
        """
        kept = [np.empty((0, len(self.size_nm)))]
        missing = n
        while missing > 0:
            drawn = rng.random((2 * missing + 64, len(self.size_nm))) * self.size_nm
            drawn = drawn[rng.random(len(drawn)) < self.allow(drawn)][:missing]
            kept.append(drawn)
            missing -= len(drawn)
        return np.concatenate(kept)

    def thin(self, places_nm: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Decide which places stay: none outside the rectangle, the others by the region's law.

        Parameters
        ----------
        places_nm : (n, d) float64
            Places in nm.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        (n,) bool
            True where a place stays.
        """
        inside = ((places_nm >= 0) & (places_nm < self.size_nm)).all(axis=1)
        kept: NDArray[np.bool_] = inside & (rng.random(len(places_nm)) < self.allow(places_nm))
        return kept


def draw_region(content: float, axes: int, rng: np.random.Generator) -> Region:
    """Draw a region: square, rectangle, disc or cell, at times with holes, at times with a gradient.

    Parameters
    ----------
    content : float
        Area of the region in nm2, or its volume in nm3, a gradient counted as if it were none.
    axes : int
        2, or 3 for a slab whose depth is between a twentieth and the whole of its width.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    Region
        The region.
    """
    outline = rng.choice(["square", "rectangle", "disc", "cell"], p=[0.5, 0.2, 0.15, 0.15])
    aspect = math.exp(rng.uniform(0, math.log(4))) if outline == "rectangle" else 1.0
    mask = _OUTLINES.get(outline, _everywhere)(rng)
    if rng.random() < 0.15:
        mask = _with_holes(mask, rng)
    graded = _gradient(rng) if rng.random() < 0.3 else _everywhere(rng)
    unit = rng.random((_PILOT, 2))
    filled = max(float(mask(unit).mean()), 0.02)
    flatness = math.exp(rng.uniform(math.log(0.05), 0.0))
    width = math.sqrt(content / filled) if axes == 2 else (content / filled / flatness) ** (1 / 3)
    size = np.array([width * math.sqrt(aspect), width / math.sqrt(aspect), width * flatness][:axes])

    def allow(places_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = places_nm[:, :2] / size[:2]
        return mask(scaled) * graded(scaled)

    return Region(size, allow)


_Law = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # of (n, 2) places in the unit square


def _everywhere(rng: np.random.Generator) -> _Law:
    return lambda unit: np.ones(len(unit))


def _disc(rng: np.random.Generator) -> _Law:
    return lambda unit: (((unit - 0.5) ** 2).sum(axis=1) <= 0.25).astype(np.float64)


def _cell(rng: np.random.Generator) -> _Law:
    cell = draw_cell(rng, base_radius_nm=0.25, roughness_nm=0.25, field_nm=1.0)
    return lambda unit: cell.contains(unit).astype(np.float64)


_OUTLINES: dict[str, Callable[[np.random.Generator], _Law]] = {"disc": _disc, "cell": _cell}


def _with_holes(mask: _Law, rng: np.random.Generator) -> _Law:
    """The same, without one to six discs that cover at most half of the square."""
    holes = int(rng.integers(1, 7))
    centers, radii = rng.random((holes, 2)), rng.uniform(0.03, math.sqrt(0.5 / holes / math.pi), holes)

    def law(unit: NDArray[np.float64]) -> NDArray[np.float64]:
        gaps = ((unit[:, None] - centers) ** 2).sum(axis=2)
        return mask(unit) * (gaps > radii**2).all(axis=1)

    return law


def _gradient(rng: np.random.Generator) -> _Law:
    """A law between a floor and one: along a line, or up and down in waves."""
    floor, turn, phase = rng.uniform(0.05, 0.7), 2 * np.pi * rng.random(), 2 * np.pi * rng.random()
    waves = 0.5 if rng.random() < 0.5 else rng.uniform(0.5, 3.0)
    direction = np.array([np.cos(turn), np.sin(turn)])
    return lambda unit: floor + (1 - floor) * (0.5 + 0.5 * np.sin(2 * np.pi * waves * (unit @ direction) + phase))
