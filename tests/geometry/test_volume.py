from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

import caml_dask.geometry.volume
from caml_dask.geometry.volume import closing_volumes

FloatArray = npt.NDArray[np.float64]
LONGEST_LINK = 2.0 * math.sqrt(3.0)


def volume(xyz: FloatArray | list[list[float]], b: float = 1.0) -> float:
    points = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
    points = points[np.lexsort(points.T[::-1])]
    return float(closing_volumes(points, np.array([0, len(points)]), np.array([b]))[0])


def finely(xyz: FloatArray, halvings: int, monkeypatch: pytest.MonkeyPatch) -> float:
    with monkeypatch.context() as patch:
        patch.setattr(caml_dask.geometry.volume, "HALVINGS", halvings)
        return volume(xyz)


def grown(rng: np.random.Generator, n: int) -> FloatArray:
    """A cluster that grows by links of at most 2 sqrt(3) b with b = 1, as the cut leaves them."""
    xyz = np.zeros((n, 3))
    for k in range(1, n):
        direction = rng.normal(size=3)
        step = rng.uniform(0, LONGEST_LINK) * direction / np.linalg.norm(direction)
        xyz[k] = xyz[rng.integers(k)] + step
    return xyz


def shared_foots(centers: FloatArray, at: FloatArray) -> FloatArray:
    """What lies on all spheres of radius 2 around one, two or three centers, nearest to each place; NaN for none."""
    if len(centers) == 1:
        away = at - centers
        return centers + 2.0 * away / np.linalg.norm(away, axis=1, keepdims=True)
    axes = np.linalg.qr((centers[1:] - centers[0]).T)[0]
    middle = centers.mean(axis=0)
    # the point of the centers' span that is equally far from all of them
    a = 2.0 * (centers[1:] - centers[0]) @ axes
    r = (centers[1:] ** 2).sum(axis=1) - (centers[0] ** 2).sum() - 2.0 * (centers[1:] - centers[0]) @ middle
    middle = middle + axes @ np.linalg.solve(a, r)
    radius2 = 4.0 - ((centers[0] - middle) ** 2).sum()
    if radius2 < 0:
        return np.full(at.shape, np.nan)
    away = (at - middle) - (at - middle) @ axes @ axes.T
    return middle + np.sqrt(radius2) * away / np.linalg.norm(away, axis=1, keepdims=True)


def inside(xyz: FloatArray, at: FloatArray) -> npt.NDArray[np.bool_]:
    """The definition, by trying every sphere, pair and triple for the nearest place that no ball covers."""
    distance = np.where(cKDTree(xyz).query(at)[0] >= 2.0, 0.0, np.inf)
    for size in (1, 2, 3):
        for some in itertools.combinations(range(len(xyz)), size):
            feet = shared_foots(xyz[list(some)], at)
            other = np.delete(xyz, some, axis=0)
            with np.errstate(invalid="ignore"):
                free = np.all(np.linalg.norm(feet[:, None] - other[None], axis=2) >= 2.0, axis=1)
            found = np.where(free, np.linalg.norm(feet - at, axis=1), np.inf)
            distance = np.fmin(distance, found)
    return distance >= 1.0


def test_one_localization_is_a_ball_of_b() -> None:
    assert volume([[3.0, -7.0, 11.0]], 5.0) == pytest.approx(4 / 3 * math.pi * 125, rel=5e-3)
    assert volume(np.full((4, 3), 7.5), 5.0) == volume([[3.0, -7.0, 11.0]], 5.0)


def neck(d: float) -> float:
    """Exact volume of two localizations d apart, 0 < d < 4, for b = 1: a neck of a torus between two caps of balls.

    The surface of the neck is h - sqrt(1 - z^2) from the axis at the height z over the middle plane, up to d / 4, where
    it meets the balls; h is where the balls of 2b meet. Below h = 1 the neck parts into two cusps.
    """
    h, top = math.sqrt(4 - d * d / 4), d / 4
    bottom = math.sqrt(max(0.0, 1 - h * h))

    def below(z: float) -> float:
        return h * h * z + z - z**3 / 3 - h * (z * math.sqrt(1 - z * z) + math.asin(z))

    caps = 2 / 3 + top - top**3 / 3
    return 2 * math.pi * (below(top) - below(bottom) + caps)


@pytest.mark.parametrize("d", [0.05, 0.5, 1.0, 2.0, 3.0, 3.4, LONGEST_LINK, 3.7, 3.95])
def test_two_localizations_have_a_toroidal_neck(d: float) -> None:
    for direction in np.array([[0.48, -0.6, 0.64], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]):
        assert volume([[1, 2, 3], [1, 2, 3] + d * direction]) == pytest.approx(neck(d), rel=4e-3)


def test_two_localizations_far_apart_are_two_balls() -> None:
    assert neck(4 - 1e-9) == pytest.approx(8 / 3 * math.pi, rel=1e-6)
    assert volume([[0, 0, 0], [3, LONGEST_LINK, 4]]) == pytest.approx(8 / 3 * math.pi, rel=4e-3)


def test_a_void_is_no_part_of_the_volume() -> None:
    """Localizations on a sphere of 6b: all is inside up to 7b, but for a void of nearly 5b."""
    k = np.arange(500)
    z, turn = 1 - (2 * k + 1) / 500, k * math.pi * (3 - math.sqrt(5))
    flat = np.sqrt(1 - z * z)
    shell = 6.0 * np.column_stack([flat * np.cos(turn), flat * np.sin(turn), z])
    whole, void = volume(shell), volume(np.vstack([shell, [[0.0, 0.0, 0.0]]]))
    # No place on that sphere is farther than 0.7 from a localization, so the surface dips by that much at most.
    dip = 2 - math.sqrt(4 - 0.7**2) + 0.7**2 / 12
    assert 4 / 3 * math.pi * ((7 - dip) ** 3 - (5 + dip) ** 3) < whole < 4 / 3 * math.pi * (7**3 - 5**3)
    assert void - whole == pytest.approx(4 / 3 * math.pi, rel=0.05)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_volume_is_that_of_the_definition(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(3):
        xyz = grown(rng, n)
        low, high = xyz.min(axis=0) - 1.0, xyz.max(axis=0) + 1.0
        at = rng.uniform(low, high, (30_000, 3))
        share = inside(xyz, at).mean()
        spread = math.sqrt((1 - share) / share / len(at))
        assert volume(xyz) == pytest.approx(share * np.prod(high - low), rel=0.012 + 4 * spread)


def test_what_the_definition_takes_out_is_near_a_place_that_no_ball_covers() -> None:
    """The reference of the test above, from the words alone: outside is what an uncovered ball of b reaches."""
    rng = np.random.default_rng(2)
    xyz = grown(rng, 9)
    low, high = xyz.min(axis=0) - 2.5, xyz.max(axis=0) + 2.5
    axes = [np.arange(a, z, 0.06) for a, z in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    free = cKDTree(grid[cKDTree(xyz).query(grid)[0] >= 2.0])
    at = rng.uniform(xyz.min(axis=0) - 1, xyz.max(axis=0) + 1, (20_000, 3))
    distance, said = free.query(at)[0], inside(xyz, at)
    assert not (said & (distance < 1.0)).any()
    assert (~said & (distance >= 1.0)).mean() < 0.05
    assert said[distance >= 1.0 + 0.06 * math.sqrt(3)].all()


def test_finer_cells_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(12):
        xyz = grown(rng, int(rng.integers(3, 120)))
        exact = finely(xyz, 4, monkeypatch)
        errors.append([finely(xyz, h, monkeypatch) / exact - 1 for h in (1, 2, 3)])
    rms = np.sqrt(np.mean(np.square(errors), axis=0))
    assert rms[1] < 0.005 and np.abs(errors)[:, 1].max() < 0.017
    assert rms[2] < rms[1] / 2.5 and rms[1] < rms[0] / 2.5


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(-30, 30), st.booleans())
def test_scaling_by_a_power_of_two_is_exact(seed: int, n: int, power: int, lattice: bool) -> None:
    xyz = grown(np.random.default_rng(seed), n)
    xyz = np.round(xyz) if lattice else xyz
    s = 2.0**power
    assert volume(xyz * s, s) == s**3 * volume(xyz, 1.0)


@pytest.mark.parametrize("spacing", [1.0, 1.5, 2.0, 4 / math.sqrt(3), math.sqrt(8), 3.0])
def test_lattices_sheets_and_lines(spacing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many spheres meet in one point, or touch in one."""
    side = np.arange(5.0) * spacing
    for shape in ((5, 5, 5), (5, 5, 1), (5, 1, 1)):
        lattice = np.stack(np.meshgrid(*(side[:k] for k in shape)), axis=-1).reshape(-1, 3)
        found = volume(lattice)
        assert found == pytest.approx(finely(lattice, 4, monkeypatch), rel=0.012)
        # A hair more or less between them: whether a void that is one point counts is left open.
        low, high = (volume(lattice, b) for b in (0.995, 1.005))
        assert 0.985 * low <= found <= 1.015 * high


def test_where_b_is_zero_there_is_no_volume() -> None:
    assert volume([[1, 2, 3], [1, 2, 3]], 0.0) == 0.0


def test_a_dense_spot_in_a_large_cluster() -> None:
    rng = np.random.default_rng(6)
    xyz = np.vstack([rng.normal(0, 0.05, (3_000, 3)), grown(rng, 300)])
    assert volume(xyz) == pytest.approx(volume(xyz[2_900:]), rel=0.05)


def test_a_cluster_that_reaches_too_far_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches more than"):
        volume([[0, 0, 0], [1e9, 0, 0]], 1.0)
