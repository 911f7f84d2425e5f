"""CSV tables for people, who open them in spreadsheets."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV text that UTF-8 can hold: of a path that is no UTF-8, the bytes that are none are spelled out."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        table.writerow([_cell(value) for value in row])
    return writable(text.getvalue())


def writable(text: str) -> str:
    """Text as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cell(value: Any) -> Any:
    """A cell: nothing for what is not known, and no text that a spreadsheet would take for a formula."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
