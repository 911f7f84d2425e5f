"""Tables written as CSV, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

_FORMULA = r"^[=+\-@\t\r]"


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a column of this type fits the cells of a CSV."""
    return not (pa.types.is_nested(kind) or is_bytes(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes that need not be text."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def write_csv(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table]) -> None:
    """Write batches of one schema. Floating-point numbers are written in full, so reading them gives the same bits.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, as in our other CSV files.
    """
    fields = [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in schema]
    plain = pa.schema(fields)
    texts = [i for i, f in enumerate(plain) if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    with pa_csv.CSVWriter(path, plain) as writer:
        for batch in batches:
            columns = list(batch.columns)
            for i in texts:
                columns[i] = _harmless(pc.cast(columns[i], plain.field(i).type))
            writer.write_table(pa.Table.from_arrays(columns, schema=plain))


def _harmless(column: pa.Array) -> pa.Array:
    formula = pc.fill_null(pc.match_substring_regex(column, _FORMULA), False)
    if not pc.any(formula).as_py():
        return column
    return pc.if_else(formula, pc.binary_join_element_wise(pa.scalar("'", column.type), column, ""), column)
