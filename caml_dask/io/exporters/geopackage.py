"""Outlines as GeoPackage in nm, the measures of each cluster beside it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from caml_dask.io.exporters.exporter import Exportable, Exporter, Options, Writes
from caml_dask.io.exporters.outlined import outlined_clusters

_ENDING = "_outlines.gpkg"


def _plan(image: Exportable, options: Options) -> Mapping[str, Writes]:
    return {_ENDING: lambda path: _write(image, path)}


def _write(image: Exportable, path: Path) -> None:
    import pyogrio

    fields = [pa.field(f.name, pa.int16() if f.type == pa.int8() else f.type) for f in image.clusters().schema]
    schema = pa.schema([*fields, pa.field("geometry", pa.binary())])

    def batches() -> Iterator[pa.RecordBatch]:
        for clusters, outlines in outlined_clusters(image):
            columns = [column.cast(field.type) for column, field in zip(clusters.columns, fields, strict=True)]
            yield from pa.Table.from_arrays([*columns, outlines], schema=schema).to_batches()

    # GDAL wants the ending, which a working file does not have.
    named = path.with_name(path.name + ".gpkg")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(schema, batches()),
                named,
                layer="outlines",
                driver="GPKG",
                geometry_name="geometry",
                geometry_type="Unknown",
                crs=None,
            )
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)


EXPORTER = Exporter(
    name="geopackage",
    title="GeoPackage of outlines",
    endings=(_ENDING,),
    writes="a polygon for each cluster, null where it spans no area, with all columns of `clusters.parquet`; one "
    "layer, `outlines`",
    units="nm; no coordinate reference system",
    opens="QGIS, geopandas, R (sf)",
    plan=_plan,
    extra="geopackage",
)
