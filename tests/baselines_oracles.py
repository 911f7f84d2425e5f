"""Fields and independent, slow implementations that the methods are held to."""

from __future__ import annotations

import numpy as np


def clustered_field(seed: int, clusters: int = 6, members: int = 12, others: int = 60, side: float = 1000.0):
    """Gaussian clusters among uniform localizations, (n, 2), and the truth (n,)."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(100, side - 100, (clusters, 2))
    xy = np.vstack([np.repeat(centers, members, axis=0) + rng.normal(0, 15, (clusters * members, 2)),
                    rng.uniform(0, side, (others, 2))])  # fmt: skip
    truth = np.append(np.repeat(np.arange(clusters), members), np.full(others, -1))
    order = rng.permutation(len(xy))
    return xy[order], truth[order]


def distances(xy: np.ndarray) -> np.ndarray:
    return np.sqrt(((xy[:, None] - xy[None]) ** 2).sum(axis=2))


def components(links: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Connected components of `rows` under a matrix of links, by spreading labels: (n,), -1 elsewhere."""
    label = np.full(len(links), -1)
    for row in rows:
        if label[row] < 0:
            label[row], front = row, [row]
            while front:
                p = front.pop()
                new = [q for q in rows if links[p, q] and label[q] < 0]
                label[new] = row
                front += new
    return label


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings have the same noise and the same clusters, whatever their numbers."""
    if ((a < 0) != (b < 0)).any():
        return False
    pairs = {(int(x), int(y)) for x, y in zip(a, b)}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def without_small(label: np.ndarray, least: int) -> np.ndarray:
    ids, counts = np.unique(label[label >= 0], return_counts=True)
    return np.where(np.isin(label, ids[counts >= least]), label, -1)
