"""Training, validation and test sets: neighbor distances sampled from simulated fields, each field feeding one set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from caml_dask.errors import UsageError
from caml_dask.schema import CLUSTERED, NO_CLUSTER, NON_CLUSTERED
from caml_dask.simulate import Field, Scenario, simulate, training_grid

logger = logging.getLogger(__name__)

SPLITS = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
"""Replicates of every scenario that feed each set: the five of Williamson et al. 2020, none of them twice."""


@dataclass(frozen=True)
class TrainingSets:
    """What the sets hold; the protocol of Williamson et al. 2020 by default.

    Parameters
    ----------
    n_train, n_validation, n_test : samples, half of them clustered; even numbers.
    seed : of the fields and of the samples drawn from them.
    scenarios : what is simulated.
    """

    n_train: int = 500_000
    n_validation: int = 100_000
    n_test: int = 100_000
    seed: int = 0
    scenarios: tuple[Scenario, ...] = field(default_factory=training_grid)

    def __post_init__(self) -> None:
        sizes = (self.n_train, self.n_validation, self.n_test)
        if any(size < 2 or size % 2 for size in sizes) or all(s.percent_clustered == 100 for s in self.scenarios):
            raise UsageError(
                f"sets of {sizes} samples from {len(self.scenarios)} scenarios: give positive even sizes, and scenarios"
                " that hold non-clustered points too"
            )

    def size(self, split: str) -> int:
        """Samples in the set `split`."""
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}[split]

    def digest(self, n_neighbors: int) -> str:
        """Short digest of everything that decides the sets."""
        text = json.dumps([asdict(self), SPLITS, n_neighbors], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Samples(NamedTuple):
    """A set: distances (n, N) float32, labels (n,) int8 and the number of each sample's scenario (n,) int64."""

    distances: NDArray[np.float32]
    labels: NDArray[np.int8]
    scenario: NDArray[np.int64]


def neighbor_distances(xy_nm: NDArray[np.float64], ids: NDArray[np.int64], n_neighbors: int) -> NDArray[np.float32]:
    """Distances from the localizations `ids` to their nearest others: (len(ids), n_neighbors) float32, nm, ascending.

    A localization leaves itself out by its number, so that duplicates count as neighbors at distance 0.

    Raises
    ------
    UsageError : fewer localizations than the window needs.
    """
    if len(xy_nm) <= n_neighbors:
        raise UsageError(
            f"a window of {n_neighbors} neighbors needs {n_neighbors + 1} localizations; the field has {len(xy_nm)}:"
            " simulate a larger or denser one"
        )
    near = cKDTree(xy_nm).query(xy_nm[ids], k=n_neighbors + 1)[1]
    own = near == ids[:, None]
    # Among more than N duplicates a point may be missing from its own list: the farthest then takes its place.
    own[~own.any(axis=1), -1] = True
    others = near[~own].reshape(len(ids), n_neighbors)
    gap = xy_nm[others] - xy_nm[ids][:, None]
    return np.sort(np.sqrt((gap * gap).sum(axis=2)), axis=1).astype(np.float32)


def draw_samples(
    field: Field, n_clustered: int, n_non_clustered: int, n_neighbors: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Sample localizations of both classes without repetition: their distances and labels.

    Raises
    ------
    UsageError : a field with fewer localizations of a class than asked.
    """
    ids = []
    for wanted, members in (
        (n_clustered, np.flatnonzero(field.truth != NO_CLUSTER)),
        (n_non_clustered, np.flatnonzero(field.truth == NO_CLUSTER)),
    ):
        if wanted > len(members):
            raise UsageError(f"{field.scenario} has {len(members)} localizations of a class, {wanted} asked: ask fewer")
        ids.append(rng.choice(members, wanted, replace=False))
    picked = np.concatenate(ids).astype(np.int64)
    labels = np.where(field.truth[picked] == NO_CLUSTER, NON_CLUSTERED, CLUSTERED).astype(np.int8)
    return neighbor_distances(field.xy_nm, picked, n_neighbors), labels


def load_set(setup: TrainingSets, split: str, n_neighbors: int, folder: Path) -> Samples:
    """The set `split`, from the parts under `folder`; missing parts, one a replicate, are simulated first.

    Parameters
    ----------
    setup : what the sets hold.
    split : "train", "validation" or "test".
    n_neighbors : width of the window.
    folder : where parts are kept, under a name that tells setups apart.
    """
    place = folder / f"sets-{setup.digest(n_neighbors)}"
    place.mkdir(parents=True, exist_ok=True)
    parts = []
    for turn, replicate in enumerate(SPLITS[split]):
        at = place / f"{split}-{replicate}.npz"
        if not at.exists():
            logger.info("simulating %s, replicate %d: %d fields", split, replicate, len(setup.scenarios))
            of_each_class = _shares(setup.size(split) // 2, len(SPLITS[split]))[turn]
            publish(at, _simulate_part(setup, replicate, of_each_class, n_neighbors)._asdict())
        with np.load(at) as stored:
            parts.append(Samples(*(stored[name] for name in Samples._fields)))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def publish(at: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz under a working name and rename it, so that what is there is whole."""
    working = at.with_suffix(".part.npz")
    with working.open("wb") as stream:
        np.savez(stream, **arrays)
        stream.flush()
        os.fsync(stream.fileno())
    working.replace(at)


def _simulate_part(setup: TrainingSets, replicate: int, n: int, n_neighbors: int) -> Samples:
    """`n` samples of each class from one field of each scenario.

    Each class is spread evenly over the fields that hold it: fully clustered fields give clustered samples only.
    """
    mixed = [i for i, scenario in enumerate(setup.scenarios) if scenario.percent_clustered < 100]
    clustered = _shares(n, len(setup.scenarios))
    non_clustered = dict(zip(mixed, _shares(n, len(mixed)), strict=True))
    parts = []
    for i, scenario in enumerate(setup.scenarios):
        rng = np.random.default_rng([setup.seed, i, replicate])
        drawn = draw_samples(simulate(scenario, rng), clustered[i], non_clustered.get(i, 0), n_neighbors, rng)
        parts.append(Samples(*drawn, np.full(len(drawn[1]), i, np.int64)))
        if (i + 1) % 100 == 0:
            logger.info("%d of %d fields", i + 1, len(setup.scenarios))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _shares(total: int, parts: int) -> Sequence[int]:
    """`total` in `parts` whole shares that differ by at most one."""
    return [total * (k + 1) // parts - total * k // parts for k in range(parts)]
