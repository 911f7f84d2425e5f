"""Layouts of localizations that are hard on tilings, as hypothesis strategies."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

HEIGHTS = ("slab", "flat", "column", "tilted", "layers", "like x")
KINDS = ("two_places", "scattered", "void", "duplicates", "grid", "corners", "chain", "ring", "hot_spot", "collinear")


def draw_layout(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(about n, 2) float64 in nm, within roughly 1 um."""
    loose = rng.uniform(0, 1000, (n, 2))
    if kind == "void":
        return np.vstack([loose[:, :] * [0.2, 1.0], loose[: n // 3] * [0.1, 0.1] + [5000, 5000]])
    if kind == "duplicates":
        return np.vstack([loose, loose[rng.integers(0, n, n // 2)], np.full((4, 2), 500.0)])
    if kind == "two_places":
        return np.vstack([np.full((n, 2), 100.0), np.full((2 * n, 2), 900.0), loose[: n // 8]])
    if kind == "grid":
        side = int(np.sqrt(n)) + 1
        return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 25.0
    if kind == "corners":  # clusters on the middle, where the cuts of any tiling like to meet
        return np.vstack([loose[: n // 2], rng.normal(500, 12, (n // 2, 2)), rng.normal([500, 250], 10, (n // 4, 2))])
    if kind == "chain":
        along = np.linspace(0, 1000, n)
        wave = np.column_stack([along, 500 + 100 * np.sin(along / 90)])
        return np.vstack([wave + rng.normal(0, 1.5, (n, 2)), loose[: n // 4]])
    if kind == "ring":
        angle = rng.uniform(0, 2 * np.pi, n)
        ring = 500 + 300 * np.column_stack([np.cos(angle), np.sin(angle)])
        return np.vstack([ring + rng.normal(0, 3, (n, 2)), loose[: n // 4]])
    if kind == "hot_spot":
        return np.vstack([loose[: n // 3], rng.normal(700, 0.5, (n, 2))])
    if kind == "collinear":
        return np.column_stack([np.sort(rng.uniform(0, 1000, n)), np.full(n, 42.0)])
    return loose


@st.composite
def layouts(draw: st.DrawFn, least: int = 12, most: int = 60) -> np.ndarray:
    """A layout; some lie on a lattice, so that ties and localizations on tile borders are common.

    Differences of coordinates are exact on the coarse lattice, and rounded on the fine one, as tables written with one
    decimal have them.
    """
    kind = draw(st.sampled_from(KINDS))
    n = draw(st.integers(least, most))
    xy = draw_layout(kind, n, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    return _somewhere(draw, xy)


@st.composite
def layouts_3d(draw: st.DrawFn, least: int = 12, most: int = 60) -> np.ndarray:
    """(about n, 3) float64 in nm: a layout with heights, on lattices and far away as in the plane."""
    kind = draw(st.sampled_from(KINDS))
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    xy = draw_layout(kind, n, rng)
    return _somewhere(draw, raised(xy, draw(st.sampled_from(HEIGHTS)), rng))


def raised(xy: np.ndarray, height: str, rng: np.random.Generator) -> np.ndarray:
    """A layout of the plane with a z; duplicates may part, and all may come to lie above one place."""
    if height == "column":
        return np.column_stack([np.full((len(xy), 2), 400.0), xy[:, 0]])
    z = {
        "slab": rng.uniform(0, 300, len(xy)),
        "flat": np.full(len(xy), 77.0),
        "tilted": 0.5 * xy[:, 0] - 0.25 * xy[:, 1],
        "layers": 100.0 * rng.integers(0, 3, len(xy)),
        "like x": xy[:, 0],
    }[height]
    return np.column_stack([xy, z])


def _somewhere(draw: st.DrawFn, points: np.ndarray) -> np.ndarray:
    lattice = draw(st.sampled_from(["none", "coarse", "fine", "far away"]))
    if lattice == "coarse":
        points = np.round(points / 16.0) * 16.0
    elif lattice == "fine":
        points = np.round(points * 0.02, 1)
    elif lattice == "far away":
        points = points * 0.3 + 1e8
    return points[np.random.default_rng(len(points)).permutation(len(points))]
