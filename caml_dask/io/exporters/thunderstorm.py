"""Points as ThunderSTORM reads them: header cells ``label [unit]``, and nothing but numbers below.

ThunderSTORM reads every cell with Java's ``Double.parseDouble``, splits rows at commas, and skips rows that end in an
empty cell. A value that is not known is therefore written as NaN, and text is left out. It numbers the molecules anew,
so ``loc_id`` is a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from caml_dask.io.exporters.columns import carried_columns, finite_rows, is_numerical, note_left_out, own_columns
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes

_ENDING = "_thunderstorm.csv"
_COORDINATES = {"x_nm": "x [nm]", "y_nm": "y [nm]", "z_nm": "z [nm]"}
_KNOWN = {
    "frame": "frame",
    "photons": "intensity [photon]",
    "background_photons": "offset [photon]",
    "uncertainty_nm": "uncertainty_xy [nm]",
    "uncertainty_z_nm": "uncertainty_z [nm]",
}
_OURS = ("loc_id", "cluster_id", "label", "p_clustered", "p_non", "p_round", "p_fiber")
_JAVA = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    written, left_out = _columns(image.schema)
    note_left_out(image.image_id, EXPORTER.title, left_out, "ThunderSTORM takes numbers only")

    def write(path: Path) -> None:
        header = ",".join(f'"{label}"' for label in ("id", *written))
        with path.open("wb") as file:
            file.write(f"{header}\n".encode())
            names = list(dict.fromkeys(name for name, _ in written.values()))
            first = 1
            for batch in image.points(names):
                rows = finite_rows(batch)
                columns = [pa.array(range(first, first + len(rows)), pa.int64())]
                columns += [_cells(rows.column(name), factor) for name, factor in written.values()]
                first += len(rows)
                table = pa.Table.from_arrays(columns, names=["id", *written])
                pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=False, quoting_style="none"))

    return {_ENDING: write}


def _columns(schema: pa.Schema) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """Columns of the points and what their values are multiplied by, by the labels they get; and those left out."""
    carried = carried_columns(schema)
    written = {label: (name, 1.0) for name, label in _COORDINATES.items() if name in schema.names}
    written |= {_KNOWN[name]: (found.column, found.factor) for name, found in carried.items()}
    written |= {name: (name, 1.0) for name in _OURS if name in schema.names}
    taken, left_out = {name for name, _ in written.values()}, []
    for name in own_columns(schema):
        if name in taken or name == "id":
            continue
        if is_numerical(schema.field(name).type) and name not in written and not {*name} & {*'",\n\r'}:
            written[name] = (name, 1.0)
        else:
            left_out.append(name)
    return written, left_out


def _cells(column: pa.Array, factor: float) -> pa.Array:
    """Values as Java reads them."""
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    if factor != 1.0:
        column = pc.multiply(pc.cast(column, pa.float64()), factor)
    if not column.null_count and (
        not pa.types.is_floating(column.type) or pc.all(pc.is_finite(column), min_count=0).as_py()
    ):
        return column
    text = pc.fill_null(pc.cast(column, pa.string()), "nan")
    for ours, javas in _JAVA.items():
        text = pc.if_else(pc.equal(text, ours), javas, text)
    return text


EXPORTER = Exporter(
    name="thunderstorm",
    title="ThunderSTORM CSV",
    endings=(_ENDING,),
    writes="localizations with finite coordinates: coordinates, frame, photons and precision under ThunderSTORM's "
    "names, `loc_id`, `cluster_id`, label, scores, and numerical columns of the input; NaN where a value is missing",
    units="in the header: `x [nm]`, `intensity [photon]`",
    opens="ThunderSTORM: Plugins, ThunderSTORM, Import/export, Import results; restrict it with the filter "
    "`cluster_id >= 0`",
    plan=_plan,
)
