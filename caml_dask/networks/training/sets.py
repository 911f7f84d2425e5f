"""Training, validation and test sets: neighbor windows sampled from simulated fields, each field feeding one set.

A set is compiled in parts, one for each replicate and block of scenarios; parts can be compiled side by side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caml_dask.atomic import publish
from caml_dask.errors import UsageError
from caml_dask.networks.inference.features import relative_positions
from caml_dask.simulate import AnyScenario, Field, simulate
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest

SPLITS = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
"""Replicates of every scenario that feed each set: the five of Williamson et al. 2020, none of them twice."""
BLOCK = 28
"""Scenarios a part; about a twentieth of the training grid."""


@dataclass(frozen=True)
class TrainingSets:
    """What the sets hold; the sizes of Williamson et al. 2020 by default.

    Parameters
    ----------
    scenarios : tuple of AnyScenario
        What is simulated.
    n_neighbors : int
        Width of the window.
    n_classes : int
        Classes that share each set evenly.
    n_train, n_validation, n_test : int
        Samples of the sets.
    seed : int
        Seed of the fields and of the samples drawn from them.
    relative_xy : bool
        Whether a window holds the neighbors' relative positions in place of their distances.

    Raises
    ------
    UsageError
        Sizes too small for a sample of each class, or scenarios that lack a class.
    """

    scenarios: tuple[AnyScenario, ...]
    n_neighbors: int
    n_classes: int = 2
    n_train: int = 500_000
    n_validation: int = 100_000
    n_test: int = 100_000
    seed: int = 0
    relative_xy: bool = False

    def __post_init__(self) -> None:
        sizes = (self.n_train, self.n_validation, self.n_test)
        lacking = [c for c in range(self.n_classes) if not any(_holds(s, c) for s in self.scenarios)]
        if min(sizes) < self.n_classes or lacking:
            raise UsageError(
                f"sets of {sizes} samples from {len(self.scenarios)} scenarios, none of which holds classes {lacking}:"
                f" give at least {self.n_classes} samples a set, and scenarios that hold every class"
            )

    def size(self, split: str) -> int:
        """Samples in the set `split`.

        Parameters
        ----------
        split : str
            "train", "validation" or "test".

        Returns
        -------
        int
            Number of samples.
        """
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}[split]

    def digest(self) -> str:
        """Short digest of everything that decides the sets.

        Returns
        -------
        str
            Hexadecimal digits.
        """
        values = {**asdict(self), "scenarios": [scenario.name for scenario in self.scenarios]}
        text = json.dumps([values, SPLITS], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Part(NamedTuple):
    """A unit of compiling: the scenarios `first` to `stop` of one replicate of a set."""

    split: str
    replicate: int
    first: int
    stop: int


class Samples(NamedTuple):
    """Some samples of a set.

    windows : (n, N) float32 ascending distances in nm, or (n, N, 2) float32 relative positions
    labels : (n,) int8
    field : (n,) int64, number of each sample's field, replicate x scenarios + scenario
    """

    windows: NDArray[np.float32]
    labels: NDArray[np.int8]
    field: NDArray[np.int64]


def parts(setup: TrainingSets, split: str) -> list[Part]:
    """The parts of the set `split`, in order.

    Parameters
    ----------
    setup : TrainingSets
        What the sets hold.
    split : str
        "train", "validation" or "test".

    Returns
    -------
    list of Part
        The parts of the set.
    """
    n = len(setup.scenarios)
    return [
        Part(split, replicate, first, min(first + BLOCK, n))
        for replicate in SPLITS[split]
        for first in range(0, n, BLOCK)
    ]


def missing_parts(setup: TrainingSets, folder: Path) -> list[Part]:
    """The parts of all sets that are not compiled yet.

    Parameters
    ----------
    setup : TrainingSets
        What the sets hold.
    folder : Path
        Folder of the compiled parts.

    Returns
    -------
    list of Part
        The parts that are missing.
    """
    return [part for split in SPLITS for part in parts(setup, split) if not _place(setup, part, folder).exists()]


def compile_part(setup: TrainingSets, part: Part, folder: Path) -> None:
    """Simulate a part's fields, sample them, and publish windows, labels and fields as a Zarr group.

    Parameters
    ----------
    setup : TrainingSets
        What the sets hold.
    part : Part
        The part of a set.
    folder : Path
        Folder of the compiled parts.

    Raises
    ------
    UsageError
        A field with fewer localizations, or fewer of a class, than asked.
    """
    import zarr

    drawn = []
    counts = _samples_of_fields(setup, part)
    for scenario, of_class in zip(range(part.first, part.stop), counts.T, strict=True):
        rng = np.random.default_rng([setup.seed, scenario, part.replicate])
        field = simulate(setup.scenarios[scenario], rng)
        windows, labels = draw_samples(field, of_class.tolist(), setup.n_neighbors, rng, setup.relative_xy)
        number = part.replicate * len(setup.scenarios) + scenario
        drawn.append(Samples(windows, labels, np.full(len(labels), number, np.int64)))
    place = _place(setup, part, folder)

    def write(working: Path) -> None:
        group = zarr.open_group(str(working), mode="w")
        for name, columns in zip(Samples._fields, zip(*drawn, strict=True), strict=True):
            group.create_array(name, data=np.concatenate(columns))

    if not place.exists():  # another process may have compiled it in the meantime, from the same seeds
        publish(place, write)


def read_parts(setup: TrainingSets, split: str, folder: Path) -> Iterator[Samples]:
    """The parts of a compiled set, one after another.

    Parameters
    ----------
    setup : TrainingSets
        What the sets hold.
    split : str
        "train", "validation" or "test".
    folder : Path
        Folder of the compiled parts.

    Returns
    -------
    iterator of Samples
        The samples of each part.

    Raises
    ------
    FileNotFoundError
        A part that was not compiled.
    """
    import zarr

    for part in parts(setup, split):
        group = zarr.open_group(str(_place(setup, part, folder)), mode="r")
        yield Samples(*(np.asarray(group[name]) for name in Samples._fields))


def draw_samples(
    field: Field, of_class: Sequence[int], n_neighbors: int, rng: np.random.Generator, relative_xy: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Sample localizations without repetition: their windows and labels.

    Parameters
    ----------
    field : Field
        What to sample.
    of_class : sequence of int
        How many of each class, by label.
    n_neighbors : int
        Width of the window.
    rng : np.random.Generator
        The only source of chance.
    relative_xy : bool
        As in :class:`TrainingSets`.

    Returns
    -------
    (n, N) or (n, N, 2) float32
        Windows: distances or relative positions, in nm.
    (n,) int8
        Labels.

    Raises
    ------
    UsageError
        A field with fewer localizations of a class than asked, or than the window needs.
    """
    if len(field.points_nm) <= n_neighbors:
        raise UsageError(
            f"a window of {n_neighbors} neighbors needs {n_neighbors + 1} localizations; {field.scenario.name} has"
            f" {len(field.points_nm)}: simulate a larger or denser one"
        )
    ids = []
    for label in sorted(range(len(of_class)), key=lambda c: (c == 0, c)):
        members = np.flatnonzero(field.classes == label)
        if of_class[label] > len(members):
            raise UsageError(
                f"{field.scenario.name} has {len(members)} localizations of class {label}, {of_class[label]} asked:"
                " ask fewer"
            )
        ids.append(rng.choice(members, of_class[label], replace=False))
    picked = np.concatenate(ids).astype(np.int64)
    if relative_xy:
        return relative_positions(field.points_nm, picked, n_neighbors), field.classes[picked]
    return nearest(BlockIndex.build(field.points_nm), n_neighbors, picked).distances_nm, field.classes[picked]


def _holds(scenario: AnyScenario, label: int) -> bool:
    """Whether a scenario's fields hold a class."""
    if label == 0:
        return scenario.percent_clustered < 100
    fiber = getattr(scenario, "percent_fiber", 0)
    return scenario.percent_clustered > 0 and (fiber > 0 if label == 2 else fiber < 100)


def _samples_of_fields(setup: TrainingSets, part: Part) -> NDArray[np.int64]:
    """Samples of each class, (classes, fields), from each field of a part: each class evenly from all that hold it."""
    turn, turns = SPLITS[part.split].index(part.replicate), len(SPLITS[part.split])
    counts = np.zeros((setup.n_classes, len(setup.scenarios)), np.int64)
    for label, of_class in enumerate(shares(setup.size(part.split), setup.n_classes)):
        holding = [i for i, scenario in enumerate(setup.scenarios) if _holds(scenario, label)]
        counts[label, holding] = shares(shares(of_class, turns)[turn], len(holding))
    return counts[:, part.first : part.stop]


def _place(setup: TrainingSets, part: Part, folder: Path) -> Path:
    return folder / f"sets-{setup.digest()}" / f"{part.split}-{part.replicate}-{part.first:04d}.zarr"


def shares(total: int, parts: int) -> list[int]:
    """`total` in `parts` whole shares that differ by at most one.

    Parameters
    ----------
    total : int
        What is shared.
    parts : int
        Number of shares.

    Returns
    -------
    list of int
        The shares; larger ones first.
    """
    return [total * (k + 1) // parts - total * k // parts for k in range(parts)]
