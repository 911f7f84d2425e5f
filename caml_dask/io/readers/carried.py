"""Which of a file's columns are the ones that stages ask for beside the coordinates: frame, photons, precision, ...

A stage names them as :data:`caml_dask.schema.CARRIED` does, or by the file's own name. A length or a number of photons
counts only where the header says its unit: what is not sure is not carried.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caml_dask.io.readers.headers import IN_PHOTONS, LABELS, label_and_unit
from caml_dask.schema import CARRIED
from caml_dask.settings import NM_PER_UNIT

_BRACKETS = re.compile(r"\s*[\[(].*[\])]\s*$")
_PHOTONS = re.compile(r"[\[(]\s*(photons?|photon\s*counts?)\s*[\])]", re.IGNORECASE)


@dataclass(frozen=True)
class CarriedColumn:
    """A column that flows through the tiles.

    name : str
        What stages call it.
    column : str
        Its name in the input.
    factor : float
        What its values are multiplied by to be in the unit of `name`.
    """

    name: str
    column: str
    factor: float


def find_carried(names: Sequence[str], wanted: Sequence[str]) -> list[CarriedColumn]:
    """The columns of an input that stages ask for.

    Parameters
    ----------
    names : sequence of str
        Columns of the input, coordinates left out.
    wanted : sequence of str
        Names in ``schema.CARRIED``, or of columns of the input.

    Returns
    -------
    list of CarriedColumn
        In the order of `wanted`; what the input has not, or not for sure, is left out. Of several that would fit, the
        first.
    """
    canonical = {column.name for column in CARRIED}
    found = []
    for name in wanted:
        fitting = [
            (n, f) for n in names if (f := _factor(n, name) if name in canonical else _same(n, name)) is not None
        ]
        if fitting:
            found.append(CarriedColumn(name, *fitting[0]))
    return found


def _same(name: str, wanted: str) -> float | None:
    return 1.0 if name == wanted else None


def _factor(name: str, wanted: str) -> float | None:
    """What turns the values of a column into those of a canonical one; None where it is another."""
    label, unit = label_and_unit(name)
    plain = _BRACKETS.sub("", name).strip().lower()
    if plain == wanted:
        return 1.0
    if wanted.endswith("_nm"):
        return NM_PER_UNIT[unit] if unit in NM_PER_UNIT and label in LABELS[wanted] else None
    if plain not in LABELS[wanted]:
        return None
    if wanted == "frame":
        return 1.0
    return 1.0 if _PHOTONS.search(name) or (plain in IN_PHOTONS and plain == name.strip().lower()) else None
