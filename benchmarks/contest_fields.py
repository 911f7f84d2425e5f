"""Fields with known truth that methods are compared on: scenarios, unknown samples, tables that others labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caml_dask.atomic import fingerprint
from caml_dask.evaluation.labelled import labelled_folders, read_labelled
from caml_dask.evaluation.protocol import Protocol, generator, sized_field
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate import scenario_named
from caml_dask.simulate.unknown import draw_field

SCENARIOS = (
    "uniform-p20-r50-c50-d100",
    "uniform-p20-r20-c50-d100",
    "uniform-p20-r80-c50-d100",
    "uniform-p20-r50-c20-d100",
    "uniform-p20-r50-c80-d100",
    "uniform-p10-r50-c50-d50",
    "uniform-p50-r50-c50-d500",
    "uniform-p100-r100-c50-d300",
    "gaussian-p20-r50-c50-d100",
    "line-p20-r50-c50-d100",
    "ring-p20-r50-c50-d100",
)
RANDOM = "csr"
"""Begins the names of scenarios without clusters."""
UNKNOWN = {"unknown samples, molecules": 0.0, "unknown samples, re-blinking": 1.0}
"""Fields of the prior from which the field network learns, by the chance that their molecules re-blink."""
UNKNOWN_LEAST = 1_100
"""Localizations of an unknown sample at least, so that every network can take it."""
_UNKNOWN_STREAM = 20_300
"""First word of their seeds, where a training has its own: those of the networks that ship are below 100."""

Group = tuple[str, tuple["Field", ...]]
"""A scenario, a kind of unknown samples or a labelled folder, and its fields."""


@dataclass(frozen=True, eq=False)
class Localized:
    """A field as methods get it, and its truth.

    key : its group and name, such as "ring-p20-r50-c50-d100/0"
    points_nm : (n, 2) float64
    truth : (n,) int64 cluster of each localization, -1 for noise
    columns : what else is known of each localization, (n,) each: `frame` and `uncertainty_nm`, or nothing
    """

    key: str
    points_nm: np.ndarray
    truth: np.ndarray
    columns: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Field:
    """Where a field comes from.

    name : the file of a labelled table; the number of any other field
    place : that file; or about how many localizations, at most as many of an unknown sample, and the seed
    """

    group: str
    name: str
    place: Path | tuple[int, int]

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name.removesuffix('.csv')}"

    def read(self) -> Localized:
        if isinstance(self.place, Path):
            table = read_labelled(self.place)
            return Localized(self.key, table.points_nm, table.truth, {})
        localizations, seed = self.place
        if self.group in UNKNOWN:
            return self._unknown(localizations, seed)
        scenario = scenario_named(self.group)
        field = sized_field(scenario, generator("rivals", scenario, int(self.name), Protocol(seed=seed)), localizations)
        return Localized(self.key, field.points_nm, field.truth, {})

    def _unknown(self, most: int, seed: int) -> Localized:
        """The first draw with clusters."""
        rng = np.random.default_rng([_UNKNOWN_STREAM, seed, list(UNKNOWN).index(self.group), int(self.name)])
        while True:
            drawn = draw_field(rng, blinking=UNKNOWN[self.group], least=UNKNOWN_LEAST, most=most)
            if (drawn.truth != NO_CLUSTER).any():
                known = {"frame": drawn.frame, "uncertainty_nm": drawn.uncertainty_nm} if drawn.blinking else {}
                return Localized(self.key, drawn.points_nm, drawn.truth, known)

    def asked(self) -> Any:
        """What its contents follow from."""
        return [self.key, fingerprint(self.place) if isinstance(self.place, Path) else list(self.place)]


def drawn(group: str, fields: int, localizations: int, seed: int) -> Group:
    """Simulated fields of a scenario, or unknown samples."""
    return group, tuple(Field(group, str(k), (localizations, seed)) for k in range(fields))


def labelled(root: Path, most: int | None = None) -> list[Group]:
    """Every folder of labelled tables in the plane, each with its first tables by name."""
    found = []
    for folder in labelled_folders(root):
        flat = [path for path, dimensions in folder.tables if dimensions == 2][:most]
        if flat:
            found.append((folder.name, tuple(Field(folder.name, path.name, path) for path in flat)))
    return found


def write_field(field: Field, folder: Path) -> None:
    """A table of a field without its truth, as FOLDER/KEY.csv."""
    given = field.read()
    path = folder / f"{given.key}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"frame": "frame", "uncertainty_nm": "uncertainty [nm]"}
    columns = {names[name]: values for name, values in given.columns.items()}
    x, y = given.points_nm.T
    pd.DataFrame({"x [nm]": x, "y [nm]": y, **columns}).to_csv(path, index=False)
