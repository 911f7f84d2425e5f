"""The cohort table: which image belongs to which condition, replicate, channel or other factor."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caml_dask.errors import UsageError

NO_FACTORS: dict[str, str] = {}
"""What :meth:`CohortTable.factors` returns of an image that is not in the table."""


@dataclass(frozen=True)
class CohortTable:
    """Rows of a cohort table.

    rows : (path, factors), the path resolved against the table's folder
    """

    rows: tuple[tuple[Path, Mapping[str, str]], ...]

    @classmethod
    def read(cls, path: Path) -> CohortTable:
        """Read a table: UTF-8, comma, a header with `path`; every other column is a factor.

        Raises
        ------
        UsageError : a table that is missing, is no such table, or has no rows.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                names = [name.strip() for name in reader.fieldnames or ()]
                reader.fieldnames = names
                listed = list(reader)
        except (OSError, ValueError, csv.Error) as error:
            raise UsageError(f"{path}: no cohort table ({error}): give a CSV, UTF-8, with a header") from None
        if "path" not in names or not listed:
            raise UsageError(
                f"{path}: a cohort table has a column `path` and a row an image; this has the columns "
                f"{', '.join(names) or '(none)'} and {len(listed)} rows"
            )
        rows = []
        for number, row in enumerate(listed):
            if None in row or None in row.values():
                raise UsageError(f"{path}: row {number} does not have {len(names)} cells")
            factors = {name: row[name].strip() for name in names if name and name != "path"}
            rows.append(((path.parent / row["path"].strip()).resolve(), factors))
        return cls(tuple(rows))

    def factors(self, path: str, channel: str) -> Mapping[str, str]:
        """The factors of an image: by its path, or by its file name where one path alone has that.

        channel : the image's, where its file holds several; a row that names one is of that channel alone
        """
        wanted = Path(path).resolve()
        mine = [row for row in self.rows if row[0] == wanted]
        if not mine:
            named = [row for row in self.rows if row[0].name == wanted.name]
            mine = named if len({row_path for row_path, _ in named}) == 1 else []
        for _, factors in mine:
            if not channel or factors.get("channel", "") in ("", channel):
                return factors
        return NO_FACTORS
