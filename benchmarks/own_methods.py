"""Methods of others that are compared: a callable in Python, or a folder of tables of labels.

A callable takes localizations, (n, 2) float64 in nm, and returns n labels: whole numbers, -1 for noise. If it has a
parameter `columns`, it also gets a dict of what else the field knows, (n,) each: `frame` and `uncertainty_nm`, or
nothing. What it cannot take it refuses with an InputError, and the field is left out of its rows. A folder of tables
has FOLDER/KEY.csv for each field, with a column `label` in the order of the field's rows.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from contest_fields import Localized

from caml_dask.atomic import fingerprint
from caml_dask.errors import InputError, UsageError
from caml_dask.schema import NO_CLUSTER


@dataclass(frozen=True)
class OwnSpec:
    """A method of others.

    source : FILE.py:NAME with its whole path, MODULE:NAME, or the folder of tables
    digest : of the file, the module's or all tables
    """

    source: str
    digest: str

    @property
    def folder(self) -> Path | None:
        """Of tables; None for a callable."""
        return None if ":" in self.source else Path(self.source)

    @property
    def name(self) -> str:
        """As figures and tables have it."""
        module, _, function = self.source.rpartition(":")
        return f"{Path(module).stem}:{function}" if module else Path(self.source).name


def own_method(text: str) -> OwnSpec | None:
    """What a text names; None for what is neither a callable nor a folder of tables.

    Raises
    ------
    UsageError : no such file, module or callable.
    """
    if Path(text).is_dir():
        tables = any(Path(text).rglob("*.csv"))
        return OwnSpec(str(Path(text).resolve()), _digest(Path(text))) if tables else None
    module, colon, name = text.rpartition(":")
    if not colon:
        return None
    module = str(Path(module).resolve()) if module.endswith(".py") else module
    _named(f"{module}:{name}")
    return OwnSpec(f"{module}:{name}", _digest(Path(inspect.getfile(_module(module)))))


def label_own(given: Localized, spec: OwnSpec) -> np.ndarray:
    """Labels of a field, (n,) int64.

    Raises
    ------
    InputError : there is no table of this field, or the callable refuses it.
    UsageError : what came are not labels of its localizations.
    """
    n = len(given.points_nm)
    if spec.folder is not None:
        path = spec.folder / f"{given.key}.csv"
        return checked_labels(_read(path), n, str(path))
    function = _named(spec.source)
    known = {"columns": dict(given.columns)} if "columns" in inspect.signature(function).parameters else {}
    return checked_labels(function(given.points_nm.copy(), **known), n, f"{spec.name} on {given.key}")


def checked_labels(labels: Any, n: int, of: str) -> np.ndarray:
    """Labels as (n,) int64.

    Raises
    ------
    UsageError : another shape, or what are no labels.
    """
    try:
        found = np.asarray(labels)
    except ValueError:
        raise UsageError(f"{of}: labels are no array: give {n} whole numbers, (n,)") from None
    if found.shape != (n,):
        raise UsageError(f"{of}: labels of the shape {found.shape} for {n} localizations: give one for each, (n,)")
    if found.dtype.kind not in "iuf":
        raise UsageError(f"{of}: labels of the type {found.dtype}: give whole numbers, -1 for noise")
    wrong = ~np.isfinite(found) | (found != np.floor(found)) | (found < NO_CLUSTER)
    if wrong.any():
        raise UsageError(f"{of}: the label {found[wrong][0]:g}: give -1 for noise, and 0 or more for clusters")
    return found.astype(np.int64)


def refuse_unknown(spec: OwnSpec, keys: Iterable[str]) -> None:
    """Raise a UsageError if the folder has a table of no field."""
    if spec.folder is None:
        return
    wanted = set(keys)
    there = {path.relative_to(spec.folder).with_suffix("").as_posix() for path in spec.folder.rglob("*.csv")}
    unknown = sorted(there - wanted)
    if unknown:
        raise UsageError(
            f"{spec.folder}: {unknown[0]}.csv is of no field of this run, which has {', '.join(sorted(wanted)[:3])} "
            "and others: name tables as --fields does, and give the same --labelled and --quick"
        )


def _read(path: Path) -> pd.Series:
    if not path.exists():
        raise InputError("no labels of this field", path)
    table = pd.read_csv(path)
    if "label" not in table:
        raise UsageError(f"{path}: columns {', '.join(table.columns)}: give one called label")
    return table["label"]


def _digest(path: Path) -> str:
    return str(fingerprint(path))


@functools.cache
def _named(source: str) -> Callable[..., Any]:
    module, _, name = source.rpartition(":")
    function = getattr(_module(module), name, None)
    if not callable(function):
        raise UsageError(f"{module} has no function {name}: give FILE.py:NAME or MODULE:NAME")
    return function


@functools.cache
def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise UsageError(f"{name} cannot be imported ({error}): install it, or give FILE.py:NAME") from None
    if not Path(name).is_file():
        raise UsageError(f"{name} is no file: give FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"own_method_{Path(name).stem}", name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
