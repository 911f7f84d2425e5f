"""From molecules to detections: re-blinking, localization precision, drift left over."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES = 20_000
COUNTS = {
    "geometric": 0.3,
    "poisson": 0.12,
    "negative binomial": 0.2,
    "log-normal": 0.2,
    "two kinds": 0.1,
    "fixed": 0.08,
}
"""Laws of the number of a molecule's detections, with their shares."""
MOST_DETECTIONS = 500
"""Of a molecule, where their number has a long tail."""


class Detections(NamedTuple):
    """What a microscope records of molecules.

    Attributes
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    molecule : (n,) int64
        Row of the molecule.
    scatter_nm : (n,) float64
        Standard deviation of the detection's lateral coordinates in nm.
    uncertainty_nm : (n,) float64
        What a fitter states of it.
    frame : (n,) int64
        Frame, from 0.
    """

    points_nm: NDArray[np.float64]
    molecule: NDArray[np.int64]
    scatter_nm: NDArray[np.float64]
    uncertainty_nm: NDArray[np.float64]
    frame: NDArray[np.int64]


def detect(
    molecules_nm: NDArray[np.float64], *, blinking: bool, precision_nm: float, rng: np.random.Generator
) -> Detections:
    """Detect molecules.

    Without re-blinking each molecule is seen once. With it, up to 40 % of them are never seen, and the others blink by
    a law drawn for the field: geometric, Poisson, negative binomial, log-normal, near a fixed number, or geometric of
    two kinds of molecules, of some 1.3 to 12 detections in the mean; each lasts a frame, dark times are exponential.
    Precision is gamma-distributed around `precision_nm`, twice to four times worse along z. The detections of some
    molecules scatter more than those of others, and in half of the fields more than a fitter states, up to twice as
    much. Some drift may be left over.

    Parameters
    ----------
    molecules_nm : (m, d) float64
        Molecules in nm.
    blinking : bool
        Whether molecules re-blink.
    precision_nm : float
        Mean standard deviation of a detection in nm, but for what molecules differ; 0 leaves them where they are.
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
    usual = np.maximum(rng.gamma(shape, precision_nm / shape, n), 0.05 * precision_nm)
    scatter = usual * np.exp(rng.normal(scale=rng.choice([0.0, 0.3, 0.5]), size=len(molecules_nm)))[molecule]
    stated = usual / (math.exp(rng.uniform(math.log(0.9), math.log(2.0))) if rng.random() < 0.5 else 1.0)
    first = rng.integers(FRAMES, size=len(molecules_nm))
    dark = rng.exponential(math.exp(rng.uniform(math.log(2.0), math.log(FRAMES / 4))), n)
    dark[np.flatnonzero(np.diff(molecule, prepend=-1))] = 0.0  # before the first detection of a molecule
    elapsed = np.cumsum(dark)
    since = elapsed - elapsed[np.searchsorted(molecule, molecule)]
    frame = np.minimum(first[molecule] + since.astype(np.int64), FRAMES - 1)
    blur = np.ones(axes)
    blur[2:] = rng.uniform(2.0, 4.0)
    points = molecules_nm[molecule] + rng.normal(size=(n, axes)) * scatter[:, None] * blur
    if rng.random() < 0.15:
        walk = np.cumsum(rng.normal(size=(64, axes)), axis=0) / 8 * precision_nm * rng.uniform(0.0, 2.0)
        points += walk[frame * 64 // FRAMES]
    return Detections(points, molecule, scatter, stated, frame)


def _counts(molecules: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Detections of each molecule."""
    mean = math.exp(rng.uniform(math.log(1.3), math.log(12.0)))
    law = rng.choice(list(COUNTS), p=list(COUNTS.values()))
    if law == "geometric":
        counts = rng.geometric(1 / mean, molecules)
    elif law == "poisson":
        counts = 1 + rng.poisson(mean - 1, molecules)
    elif law == "negative binomial":
        spread = rng.uniform(0.5, 4.0)
        counts = 1 + rng.negative_binomial(spread, spread / (spread + mean - 1), molecules)
    elif law == "log-normal":
        width = rng.uniform(0.6, 1.5)
        drawn = np.exp(rng.normal(math.log(mean) - width**2 / 2, width, molecules))
        counts = np.clip(np.rint(drawn), 1, MOST_DETECTIONS).astype(np.int64)
    elif law == "two kinds":
        longer = np.where(rng.random(molecules) < rng.uniform(0.01, 0.1), rng.uniform(5.0, 40.0), 1.0)
        counts = np.minimum(rng.geometric(1 / (mean * longer)), MOST_DETECTIONS)
    else:
        counts = np.maximum(np.rint(rng.normal(mean, 0.2 * mean, molecules)), 1).astype(np.int64)
    return np.where(rng.random(molecules) < rng.uniform(0.0, 0.4), 0, counts).astype(np.int64)
