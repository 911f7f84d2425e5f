"""Pairs of channels with known clusters, for the benchmark and the tests of channels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import shapely

from caml_dask.channels.channel import Channel, channel_of


def made_channel(name: str, points: np.ndarray, member: np.ndarray) -> Channel:
    """A channel of (n, d) localizations in nm with the cluster of each, -1 for none; outlines are hulls, 5 nm wider."""
    ids = np.unique(member[member >= 0])
    groups = [points[member == i] for i in ids]
    axes = points.shape[1]
    table = pd.DataFrame({"cluster_id": ids, "n_localizations": [len(g) for g in groups], "b_nm": 5.0})
    for axis, letter in enumerate("xyz"[:axes]):
        table[f"centroid_{letter}_nm"] = [np.sort(g[:, axis]).mean() for g in groups]
    hulls = [shapely.convex_hull(shapely.multipoints(g[:, :2])).buffer(5.0) for g in groups]
    outlines = pd.Series(hulls, index=pd.Index(ids, name="cluster_id"), dtype=object)
    image = SimpleNamespace(image_id=name, clusters=table, outlines=outlines)
    return channel_of(image, np.asarray(points, float), np.arange(len(points)), np.asarray(member, np.int64))


def clustered(
    rng: np.random.Generator,
    side_nm: float,
    centers: np.ndarray,
    each: int = 12,
    sigma_nm: float = 15.0,
    loners: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clusters around centers, and loners: coordinates within the field, and clusters."""
    of = np.repeat(np.arange(len(centers)), each)
    points = centers[of] + rng.normal(0, sigma_nm, (len(of), centers.shape[1]))
    points = np.vstack([points, rng.uniform(0, side_nm, (loners, centers.shape[1]))])
    member = np.concatenate([of, np.full(loners, -1)])
    inside = ((points[:, :2] >= 0) & (points[:, :2] <= side_nm)).all(axis=1)
    return points[inside], member[inside]


def made_pair(
    rng: np.random.Generator,
    together: float,
    *,
    side_nm: float = 4000.0,
    clusters: int = 40,
    shift_nm: tuple[float, float] = (0.0, 0.0),
    loners: int = 100,
) -> tuple[Channel, Channel]:
    """Two channels of which a share of B's clusters lie on A's, and all of B is shifted."""
    first = rng.uniform(60, side_nm - 60, (clusters, 2))
    second = rng.uniform(60, side_nm - 60, (clusters, 2))
    same = round(together * clusters)
    second[:same] = first[:same]
    a = clustered(rng, side_nm, first, loners=loners)
    points, member = clustered(rng, side_nm, second, loners=loners)
    return made_channel("a", *a), made_channel("b", points + shift_nm, member)
