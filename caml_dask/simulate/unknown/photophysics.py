"""From molecules to detections: re-blinking, localization precision, drift left over."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES = 20_000


class Detections(NamedTuple):
    """What a microscope records of molecules.

    Attributes
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    molecule : (n,) int64
        Row of the molecule.
    uncertainty_nm : (n,) float64
        Standard deviation of the detection's lateral coordinates in nm.
    frame : (n,) int64
        Frame, from 0.
    """

    points_nm: NDArray[np.float64]
    molecule: NDArray[np.int64]
    uncertainty_nm: NDArray[np.float64]
    frame: NDArray[np.int64]


def detect(
    molecules_nm: NDArray[np.float64], *, blinking: bool, precision_nm: float, rng: np.random.Generator
) -> Detections:
    """Detect molecules.

    Without re-blinking each molecule is seen once. With it, up to 40 % of them are never seen, and the others blink by
    a law drawn for the field: geometric, Poisson, negative binomial, or near a fixed number, of 1.3 to 12 detections in
    the mean; each lasts a frame, and dark times are exponential. Precision is gamma-distributed around `precision_nm`,
    twice to four times worse along z. Some drift may be left over.

    Parameters
    ----------
    molecules_nm : (m, d) float64
        Molecules in nm.
    blinking : bool
        Whether molecules re-blink.
    precision_nm : float
        Mean standard deviation of a detection in nm; 0 leaves the molecules where they are.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    Detections
        The detections, molecule by molecule.
    """
    axes = molecules_nm.shape[1]
    counts = _counts(len(molecules_nm), rng) if blinking else np.ones(len(molecules_nm), np.int64)
    molecule = np.repeat(np.arange(len(molecules_nm)), counts)
    n = len(molecule)
    shape = math.exp(rng.uniform(math.log(1.5), math.log(20.0)))
    uncertainty = np.maximum(rng.gamma(shape, precision_nm / shape, n), 0.05 * precision_nm)
    first = rng.integers(FRAMES, size=len(molecules_nm))
    dark = rng.exponential(math.exp(rng.uniform(math.log(2.0), math.log(FRAMES / 4))), n)
    dark[np.flatnonzero(np.diff(molecule, prepend=-1))] = 0.0  # before the first detection of a molecule
    elapsed = np.cumsum(dark)
    since = elapsed - elapsed[np.searchsorted(molecule, molecule)]
    frame = np.minimum(first[molecule] + since.astype(np.int64), FRAMES - 1)
    blur = np.ones(axes)
    blur[2:] = rng.uniform(2.0, 4.0)
    points = molecules_nm[molecule] + rng.normal(size=(n, axes)) * uncertainty[:, None] * blur
    if rng.random() < 0.15:
        walk = np.cumsum(rng.normal(size=(64, axes)), axis=0) / 8 * precision_nm * rng.uniform(0.0, 2.0)
        points += walk[frame * 64 // FRAMES]
    return Detections(points, molecule, uncertainty, frame)


def _counts(molecules: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Detections of each molecule."""
    mean = math.exp(rng.uniform(math.log(1.3), math.log(12.0)))
    law = rng.choice(["geometric", "poisson", "negative binomial", "fixed"], p=[0.4, 0.2, 0.25, 0.15])
    if law == "geometric":
        counts = rng.geometric(1 / mean, molecules)
    elif law == "poisson":
        counts = 1 + rng.poisson(mean - 1, molecules)
    elif law == "negative binomial":
        spread = rng.uniform(0.5, 4.0)
        counts = 1 + rng.negative_binomial(spread, spread / (spread + mean - 1), molecules)
    else:
        counts = np.maximum(np.rint(rng.normal(mean, 0.2 * mean, molecules)), 1).astype(np.int64)
    return np.where(rng.random(molecules) < rng.uniform(0.0, 0.4), 0, counts).astype(np.int64)
