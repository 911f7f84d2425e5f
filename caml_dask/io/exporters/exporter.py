"""What a format that is written declares of itself, and what it gets of an image.

Each format has a file of its own with an ``EXPORTER`` at its end; :mod:`caml_dask.io.exporters.formats` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from caml_dask.errors import UsageError


@dataclass(frozen=True)
class Exportable:
    """The results of one image, of a run or in memory; tables are read when they are asked for.

    Parameters
    ----------
    image_id : str
        Its name, which the names of the files begin with.
    localizations : int
        Localizations with finite coordinates. The points have a row for each other row of the input too.
    bounds_nm : tuple of float
        x0, y0, x1, y1 of the localizations.
    schema : pyarrow.Schema
        Columns of the points.
    points : callable
        Successive rows of the points in input order, of some columns or, of None, of all.
    clusters : callable
        The clusters by cluster_id.
    outlines : callable
        cluster_id and outline (WKB) of successive clusters, by cluster_id.
    provenance : mapping of str to str
        How the results came about: `program`, then network, input and so on.
    pixel_nm : float or None
        Size of the camera's pixels, where the settings of the run name it.
    picasso_metadata : callable
        Documents of metadata of the input, the oldest first, where Picasso wrote it; otherwise none.
    """

    image_id: str
    localizations: int
    bounds_nm: tuple[float, float, float, float]
    schema: pa.Schema
    points: Callable[[Sequence[str] | None], Iterator[pa.RecordBatch]]
    clusters: Callable[[], pa.Table]
    outlines: Callable[[], Iterator[pa.Table]]
    provenance: Mapping[str, str]
    pixel_nm: float | None = None
    picasso_metadata: Callable[[], Sequence[Mapping[str, Any]]] = tuple


@dataclass(frozen=True)
class Options:
    """What a user can choose of a file.

    Parameters
    ----------
    pixel_nm : float or None
        Size of the pixels of a picture, of ImageJ regions and of Picasso's coordinates, in nm. None leaves it to the
        format.

    Raises
    ------
    UsageError
        A size that is not positive.
    """

    pixel_nm: float | None = None

    def __post_init__(self) -> None:
        if self.pixel_nm is not None and not 0 < self.pixel_nm < float("inf"):
            raise UsageError(f"pixel_nm={self.pixel_nm} is no size of a pixel: give a positive number of nm")


Writes = Callable[[Path], None]
"""Fills a file."""


@dataclass(frozen=True)
class Exporter:
    """A format that is written.

    Parameters
    ----------
    name : str
        What users give to `--to`.
    title : str
        What users call the format.
    endings : tuple of str
        What follows the image_id in the names of its files, in the order in which they are published.
    writes : str
        What is written, in words.
    units : str
        The units of what is written, in words.
    opens : str
        How it is opened in the program.
    plan : callable
        From the results of an image and the options: what fills each file, by its ending.
    extra : str or None
        The extra of pyproject.toml that installs what it needs.
    pixels : str
        What the option pixel_nm is of it, with its default, in words; "" where it has none.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    writes: str
    units: str
    opens: str
    plan: Callable[[Exportable, Options], Mapping[str, Writes]] = field(repr=False)
    extra: str | None = None
    pixels: str = ""
