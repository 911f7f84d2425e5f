"""Parts of an evaluation: what a network makes of a grid or a folder, each a CSV file that stands whole or not at all.

A part's file is named by a digest of all that decides it: the package's version, the network's weights, and the fields
or tables with what is asked of them. What was asked before is found again; what differs is another file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from caml_dask import __version__
from caml_dask.atomic import fingerprint, publish
from caml_dask.errors import StoreError
from caml_dask.evaluation import clusters, labelled, labels
from caml_dask.evaluation.labelled import LabelledFolder, labelled_records
from caml_dask.evaluation.protocol import (
    Protocol,
    cluster_grids,
    cluster_scenarios,
    label_grids,
    label_scenarios,
)
from caml_dask.networks import load
from caml_dask.simulate import AnyScenario

COLUMNS = {"labels": labels.COLUMNS, "clusters": clusters.COLUMNS, "labelled": labelled.COLUMNS}
KEYS = {"labels": labels.KEYS, "clusters": clusters.KEYS, "labelled": labelled.KEYS}
FLOATS = "%.8g"
Item: TypeAlias = tuple[AnyScenario, int] | Path
"""A field, as its scenario and replicate; or a labelled table."""
Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """What a network makes of a grid or a folder.

    kind : "labels", "clusters" or "labelled"
    network, group : name of the network, and the grid or folder
    source : what loads the network: its name, or the path of one of the user's own
    items : fields or tables, in order
    key : digest of all that decides the records
    """

    kind: str
    network: str
    source: str
    group: str
    items: tuple[Item, ...]
    key: str

    def place(self, root: Path) -> Path:
        """Its file below an evaluation's directory."""
        return root / "parts" / f"{self.kind}-{self.network}-{self.group.replace('/', '_')}-{self.key}.csv"


@dataclass(frozen=True)
class Task:
    """One field or table, for all networks that still have to see it, each as its part's `source`."""

    kind: str
    group: str
    item: Item
    networks: tuple[str, ...]
    protocol: Protocol


def parts_of(
    networks: Sequence[str], grids: Sequence[str], folders: Iterable[LabelledFolder], protocol: Protocol
) -> list[Part]:
    """All parts of an evaluation: the labels and clusters of `grids` that fit each network, and labelled folders."""
    made = []
    for source in networks:
        entry = load(source)
        for kind, fitting, scenarios in (
            ("labels", label_grids(entry), label_scenarios),
            ("clusters", cluster_grids(entry), cluster_scenarios),
        ):
            for grid in (g for g in fitting if g in grids):
                fields = tuple((s, r) for s in scenarios(grid, protocol) for r in range(protocol.replicates))
                samples = protocol.samples_taken if kind == "labels" else 0
                asked = [[s.name, r] for s, r in fields] + [samples, protocol.seed, protocol.smoke]
                made.append(Part(kind, entry.name, source, grid, fields, _key(kind, source, grid, asked)))
        for folder in folders:
            tables = tuple(path for path, dimensions in folder.tables if dimensions == entry.dimensions)
            if tables:
                asked = [[path.name, fingerprint(path)] for path in tables]
                key = _key("labelled", source, folder.name, asked)
                made.append(Part("labelled", entry.name, source, folder.name, tables, key))
    return made


def tasks_of(parts: Iterable[Part], protocol: Protocol) -> list[Task]:
    """The fields and tables of parts, each once, for all networks whose part holds it; grid by grid."""
    wanted: dict[tuple[str, str], dict[Item, list[str]]] = {}
    for part in parts:
        of_group = wanted.setdefault((part.kind, part.group), {})
        for item in part.items:
            of_group.setdefault(item, []).append(part.source)
    return [
        Task(kind, group, item, tuple(names), protocol)
        for (kind, group), of_group in wanted.items()
        for item, names in of_group.items()
    ]


def perform(task: Task) -> tuple[Task, list[dict[str, Any]]]:
    """The records of a field or table, with the task."""
    if isinstance(task.item, Path):
        return task, labelled_records(task.group, task.item, task.networks)
    make = labels.label_records if task.kind == "labels" else clusters.cluster_records
    return task, make(task.group, *task.item, task.networks, task.protocol)


def write_part(part: Part, records: Iterable[Record], root: Path) -> None:
    """Publish a part's records, sorted by what they are of."""
    frame = pd.DataFrame(list(records), columns=list(COLUMNS[part.kind]))
    publish(part.place(root), lambda working: write_csv(frame.sort_values(list(KEYS[part.kind])), working))


def read_parts(parts: Iterable[Part], kind: str, root: Path) -> pd.DataFrame:
    """The records of all parts of a kind, sorted; empty where there are none.

    Raises
    ------
    StoreError : a part's file that cannot be read.
    """
    frames = []
    for part in (part for part in parts if part.kind == kind):
        place = part.place(root)
        try:
            frame = pd.read_csv(place, dtype=dict.fromkeys(_TEXT, "str"), keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            raise StoreError(f"{place} cannot be read ({error}): remove it and evaluate again") from None
        frames.append(frame.assign(**{c: frame[c].fillna("") for c in _TEXT if c in frame}))
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS[kind]))
    return pd.concat(frames).sort_values(list(KEYS[kind]), ignore_index=True)


_TEXT = ("network", "grid", "scenario", "kind", "class", "folder", "file", "reason")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that equal values are equal bytes; NaN is an empty cell."""
    frame.to_csv(path, index=False, float_format=FLOATS, lineterminator="\n")


def _key(kind: str, source: str, group: str, asked: Sequence[Any]) -> str:
    network = load(source)
    digest = network.identity.get("card_sha256", network.identity["weights_sha256"])  # a card pins the weights
    values = [__version__, digest, COLUMNS[kind], network.name, group, asked]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
