"""Regions of interest of ImageJ: a .roi file, or a .zip of them. Their coordinates are pixels."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import roifile
import shapely

from caml_dask.errors import InputError
from caml_dask.io.readers.arrays import refuse_bomb
from caml_dask.io.rois.roi import LARGEST_FILE_BYTES, Roi

_MOST = 10_000
_AREAS = (
    *(roifile.ROI_TYPE.POLYGON, roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.OVAL, roifile.ROI_TYPE.FREEHAND),
    roifile.ROI_TYPE.TRACED,
)


def read_imagej(path: Path, content: bytes, pixel_nm: float) -> list[Roi]:
    """The regions of a .roi file, or of a .zip of them.

    Parameters
    ----------
    path : Path
        The file, for the errors.
    content : bytes
        What it holds.
    pixel_nm : float
        Size of a pixel of the image that they were drawn on.

    Returns
    -------
    list of Roi
        Regions in nm, in the order of the file; the corner of the image is 0, 0.

    Raises
    ------
    InputError
        It is damaged, unpacks to far more than regions do, or holds lines or points, which span no area.
    """
    if not zipfile_begins(content):
        return [_roi(path, path.stem, content, pixel_nm)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".roi")]
            if not members or len(members) > _MOST:
                raise InputError(f"holds {len(members):,} .roi files; wanted are 1 to {_MOST:,}", path)
            total = sum(member.file_size for member in members)
            refuse_bomb(total, len(content), path)
            if total > LARGEST_FILE_BYTES:
                raise InputError(f"its regions take {total:,} bytes; {LARGEST_FILE_BYTES:,} are read at most", path)
            return [_roi(path, Path(m.filename).stem, _unpacked(archive, m, path), pixel_nm) for m in members]
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError(f"is a damaged ZIP archive ({error}): save the regions again", path) from None


def zipfile_begins(content: bytes) -> bool:
    """Whether a file begins as a ZIP archive does."""
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) > member.file_size:
        raise InputError(f"{member.filename} is larger than the archive says: save the regions again", path)
    return content


def _roi(path: Path, name: str, content: bytes, pixel_nm: float) -> Roi:
    if not content.startswith(b"Iout"):
        raise InputError(f"{name} is no region of ImageJ: it does not begin with Iout", path)
    try:
        read = roifile.ImagejRoi.frombytes(content)
        rings = [np.asarray(ring, dtype=np.float64) for ring in read.coordinates(multi=True)]
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error, UnicodeError) as error:
        raise InputError(f"{name} is a damaged region of ImageJ ({error}): save it again", path) from None
    if read.roitype not in _AREAS:
        raise InputError(f"{name} is a {read.roitype.name.lower()}, which spans no area: draw a closed region", path)
    shape = shapely.Polygon()
    for ring in rings:  # what an odd number of rings encloses; a ring inside another is a hole
        shape = shapely.symmetric_difference(shape, shapely.make_valid(_polygon(path, name, ring * pixel_nm)))
    return Roi(read.name or name, shape)


def _polygon(path: Path, name: str, ring: npt.NDArray[np.float64]) -> shapely.Polygon:
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise InputError(f"{name} has a ring of {len(ring)} places, which encloses no area: draw it again", path)
    return shapely.Polygon(ring)
