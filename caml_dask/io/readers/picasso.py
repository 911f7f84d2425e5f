"""Picasso: localizations as records in HDF5, and documents of metadata in a YAML file beside them.

x, y and their errors are in camera pixels, z in nm; frames count from 0. The size of a pixel is ``Pixelsize`` of the
last document that has one, as in Picasso. Since 0.11 the documents may lie in the HDF5 file itself; a YAML file beside
it wins over those. ``Camera.Pixelsize`` is a setting of Picasso's simulation and not used.
"""

from __future__ import annotations

import functools
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from caml_dask.errors import InputError, UnreadableError
from caml_dask.io.readers import apart, hdf5
from caml_dask.io.readers.arrays import BLOCK_ROWS, ArrayColumn, ArrayTable, Part, array_table, column, is_numerical
from caml_dask.io.readers.dialect import HEAD_BYTES
from caml_dask.io.readers.reader import Reader
from caml_dask.settings import ColumnMap

_log = logging.getLogger("caml_dask")
_LARGEST_METADATA = 32 << 20
_SIMULATED = "Camera.Pixelsize"
_ASK = "say how large a pixel is with --columns pixel_nm=130, or another size in nm"


def begins(path: Path, head: bytes) -> bool:
    """Whether an HDF5 file holds records called locs."""
    return hdf5.is_hdf5(head) and "locs" in hdf5.names_in(path)


def opens(path: Path, head: bytes, columns: ColumnMap, settle: bool) -> ArrayTable:
    """Open a file of localizations.

    Raises
    ------
    InputError : no records, no localizations, or a size of pixels that is missing or not certain.
    """
    table, warning = apart.call(path, _opens, path, columns)
    if warning:
        _warn(path, warning)
    return table


def _opens(path: Path, columns: ColumnMap) -> tuple[ArrayTable, str]:
    """`opens` in another process, with a warning."""
    warning = ""
    with hdf5.opened(path) as file:
        locs = hdf5.dataset(file, "locs")
        fields = None if locs is None else locs.dtype.fields
        if locs is None or fields is None or locs.ndim != 1:
            raise InputError("its locs are no records, as Picasso writes them: open and save it with Picasso", path)
        names = [name for name, (kind, *_) in fields.items() if is_numerical(kind)]
        rows = int(locs.shape[0])
        hdf5.refuse_hollow(path, [locs])
        pixel_nm = columns.pixel_nm
        if columns.x is None and "x" in names and pixel_nm is None:
            documents = _documents(path, file)
            pixel_nm, warning = _pixel_nm(path, documents)
            _refuse_another_image(path, documents, locs)
    canonical = [] if pixel_nm is None else _canonical(names, pixel_nm)
    own = [column(name, name) for name in names]
    return array_table(path, rows, own, canonical, hdf5.Hdf5Blocks(path, rows, {"": "locs"}), columns), warning


def _canonical(names: list[str], pixel_nm: float) -> list[ArrayColumn]:
    fields = {"x_nm": "x", "y_nm": "y", "z_nm": "z"}
    factors = {"x_nm": pixel_nm, "y_nm": pixel_nm}
    fields |= {"frame": "frame", "photons": "photons", "background_photons": "bg", "uncertainty_z_nm": "lpz"}
    found = [column(name, field, factors.get(name, 1.0)) for name, field in fields.items() if field in names]
    errors = tuple(Part(name, pixel_nm) for name in ("lpx", "lpy") if name in names)
    return [*found, ArrayColumn("uncertainty_nm", errors)] if errors else found


def metadata_of(path: Path) -> list[dict[str, Any]]:
    """The documents of metadata of a file that Picasso wrote, the oldest first; none of any other, or damaged ones."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return apart.call(path, _metadata_of, path) if begins(path, head) else []
    except (InputError, OSError):
        return []


def _metadata_of(path: Path) -> list[dict[str, Any]]:
    """`metadata_of` in another process."""
    with hdf5.opened(path) as file:
        return _documents(path, file)


def _documents(path: Path, file: Any) -> list[dict[str, Any]]:
    """The documents of metadata, the oldest first: of the YAML file, or else of the HDF5 file."""
    sidecar = path.with_suffix(".yaml")
    if sidecar.is_file():
        return _of_yaml(path, sidecar)
    embedded = hdf5.dataset(file, "metadata")
    if embedded is None or embedded.shape != () or embedded.dtype.kind not in "OS":
        return []
    hdf5.refuse_damaged_heaps(path)
    try:
        found = json.loads(embedded[()])
    except (ValueError, RecursionError) as error:
        raise InputError(f"its metadata cannot be read ({error}): {_ASK}", path) from None
    return [document for document in found if isinstance(document, dict)] if isinstance(found, list) else []


def _of_yaml(path: Path, sidecar: Path) -> list[dict[str, Any]]:
    try:
        if sidecar.stat().st_size > _LARGEST_METADATA:
            raise InputError(f"{sidecar.name} beside it is too large for metadata: {_ASK}", path)
        text = sidecar.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{sidecar.name} beside it cannot be read: {error.strerror}", path) from error
    try:
        return [document for document in yaml.load_all(text, _Loader) if isinstance(document, dict)]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{sidecar.name} beside it cannot be read as YAML ({reason}): {_ASK}", path) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only: what Picasso wrote as an object of Python is None."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def _pixel_nm(path: Path, documents: list[dict[str, Any]]) -> tuple[float, str]:
    """The size of a pixel that the documents agree on, and a warning where a simulation had another.

    Raises
    ------
    InputError : none, several, or one that is no size.
    """
    found = [document["Pixelsize"] for document in documents if document.get("Pixelsize") not in (None, 0, "")]
    simulated = next((document[_SIMULATED] for document in documents if document.get(_SIMULATED)), None)
    if not found:
        where = f"neither {path.with_suffix('.yaml').name} nor metadata inside it"
        hint = "" if simulated is None else f" ({_SIMULATED} of its simulation is {simulated})"
        lacking = f"{where} is there" if not documents else "its metadata name no Pixelsize"
        raise InputError(f"x and y are in pixels and {lacking}{hint}: {_ASK}", path)
    sizes = {size for value in found for size in _sizes(path, value)}
    if len(sizes) > 1:
        named = " and ".join(f"{size:g}" for size in sorted(sizes))
        raise InputError(f"its metadata name pixels of {named} nm: {_ASK}", path)
    (size,) = sizes
    differs = simulated is not None and simulated != size
    return size, f"pixels of {size:g} nm, as Picasso takes them; its simulation had {simulated}" if differs else ""


@functools.lru_cache(maxsize=1000)
def _warn(path: Path, warning: str) -> None:
    """Once for each file, which is opened several times."""
    _log.warning("%s: %s", path, warning)


def _refuse_another_image(path: Path, documents: list[dict[str, Any]], locs: Any) -> None:
    """Refuse metadata of an image that most of the first localizations lie outside of.

    Raises
    ------
    InputError
    """
    first = locs[:BLOCK_ROWS]
    for field, key in (("x", "Width"), ("y", "Height"), ("frame", "Frames")):
        sizes = [d[key] for d in documents if isinstance(d.get(key), int | float)]
        if sizes and field in first.dtype.names and len(first):
            middle = float(np.median(first[field]))
            if middle > max(sizes):
                raise InputError(
                    f"its metadata say {key} {max(sizes)}, and half of its localizations have {field} {middle:g} or "
                    f"more: the metadata are of another file. Put the right .yaml file beside it, or {_ASK}",
                    path,
                )


def _sizes(path: Path, value: Any) -> list[float]:
    """One size, or one of x and one of y."""
    try:
        sizes = [float(size) for size in (value if isinstance(value, list | tuple) else [value])]
    except (TypeError, ValueError):
        sizes = []
    if not sizes or not all(0 < size < math.inf for size in sizes):
        raise InputError(f"its metadata name {str(value)[:60]!r} as the size of a pixel: {_ASK}", path)
    return sizes


READER = Reader(
    name="Picasso HDF5",
    endings=(".hdf5",),
    recognized="HDF5 with records called `locs`",
    reads="all fields of `locs`; precision is the mean of `lpx` and `lpy`; `group` and other fields are kept",
    units="pixels of x, y, lpx and lpy from `Pixelsize` in the YAML file beside it, or inside it; z in nm",
    export="every Picasso program saves it; keep the .yaml file beside the .hdf5 file",
    example="cell_locs.hdf5",
    begins=begins,
    opens=opens,
    sidecars=(".yaml",),
    from_folders=(".hdf5",),
)
