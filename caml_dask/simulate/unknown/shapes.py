"""How the members of a cluster lie around its center: unit shapes whose root mean square radius is 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Shape = Callable[[int, int, np.random.Generator], NDArray[np.float64]]
"""Takes a number of members, of axes, and a source of chance; returns (n, d) float64 offsets."""


def _directions(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.normal(size=(n, axes))
    return drawn / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-12)


def _turned(offsets: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The same offsets in a random orientation."""
    turn, _ = np.linalg.qr(rng.normal(size=(offsets.shape[1],) * 2))
    return offsets @ turn


def _gaussian(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=(n, axes)) / math.sqrt(axes)


def _ball(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniform in a disc or ball."""
    radius = rng.random((n, 1)) ** (1 / axes) * math.sqrt((axes + 2) / axes)
    return _directions(n, axes, rng) * radius


def _core_dense(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The "Uniform" law of Williamson et al. 2020: radius the root of a uniform number, in 3D, seen from above."""
    return _directions(n, 3, rng)[:, :axes] * np.sqrt(rng.random((n, 1))) * math.sqrt(2 * 3 / axes)


def _elliptic(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian, up to six times as long as wide."""
    spread = np.exp(rng.uniform(0, math.log(6.0), axes))
    spread[0] = 1.0
    return _turned(rng.normal(size=(n, axes)) * spread / math.sqrt((spread**2).sum()), rng)


def _ring(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A ring, or a shell, of a thickness of 5 to 25 % of its radius."""
    radius = 1 + rng.uniform(0.05, 0.25) * rng.normal(size=(n, 1))
    return _directions(n, axes, rng) * radius


def _heavy(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Student's t with 3 to 8 degrees of freedom: a core with a halo."""
    freedom = rng.uniform(3.0, 8.0)
    drawn = rng.normal(size=(n, axes)) / np.sqrt(rng.chisquare(freedom, (n, 1)) / freedom)
    return drawn / math.sqrt(axes * freedom / (freedom - 2))


def _core_and_shell(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two Gaussians of one center, the outer two to four times as wide."""
    wide = np.where(rng.random((n, 1)) < rng.uniform(0.2, 0.7), rng.uniform(2.0, 4.0), 1.0)
    drawn = rng.normal(size=(n, axes)) * wide
    return drawn / max(math.sqrt(float((wide**2).mean()) * axes), 1e-12)


def _lumps(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two to four Gaussians that touch: a cluster of no simple outline."""
    lumps = int(rng.integers(2, 5))
    places = rng.normal(size=(lumps, axes))
    drawn = places[rng.integers(lumps, size=n)] + rng.uniform(0.5, 0.9) * rng.normal(size=(n, axes))
    drawn -= drawn.mean(axis=0)
    return drawn / max(math.sqrt(float((drawn**2).sum(axis=1).mean())), 1e-12)


def _fiber(n: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A curved line, 8 to 60 times as long as wide, its direction a random walk."""
    steps = 64
    bend = rng.uniform(0.0, 2.5) / math.sqrt(steps)
    turn = 2 * np.pi * rng.random() + np.cumsum(rng.normal(scale=bend, size=steps))
    moves = np.zeros((steps, axes))
    moves[:, 0], moves[:, 1] = np.cos(turn), np.sin(turn)
    if axes == 3:
        moves[:, 2] = rng.uniform(-0.5, 0.5)
    chain = np.concatenate([np.zeros((1, axes)), np.cumsum(moves, axis=0)]) / steps
    place = rng.random(n) * steps
    step = np.minimum(place.astype(np.int64), steps - 1)
    along = chain[step] + (place - step)[:, None] * (chain[step + 1] - chain[step])
    drawn = along + rng.normal(size=(n, axes)) / math.exp(rng.uniform(math.log(8.0), math.log(60.0))) / 2
    drawn -= chain.mean(axis=0)
    return drawn / max(math.sqrt(float((drawn**2).sum(axis=1).mean())), 1e-12)


SHAPES: dict[str, tuple[Shape, float]] = {
    "gaussian": (_gaussian, 0.38),
    "ball": (_ball, 0.10),
    "core-dense": (_core_dense, 0.08),
    "elliptic": (_elliptic, 0.17),
    "ring": (_ring, 0.05),
    "heavy": (_heavy, 0.05),
    "core-and-shell": (_core_and_shell, 0.04),
    "lumps": (_lumps, 0.04),
    "fiber": (_fiber, 0.09),
}
"""Each shape with its share in the prior."""
