"""The regions that the settings name for an image: rectangles, a file, or the file of its name in a folder."""

from __future__ import annotations

from pathlib import Path

import shapely

from caml_dask.errors import InputError, UnreadableError, UsageError
from caml_dask.io.rois.geojson import read_geojson
from caml_dask.io.rois.imagej import read_imagej, zipfile_begins
from caml_dask.io.rois.mask import read_mask
from caml_dask.io.rois.roi import LARGEST_FILE_BYTES, Roi, apart
from caml_dask.rectangles import is_rectangles, parse_rectangles

ENDINGS = (".roi", ".zip", ".geojson", ".json", ".tif", ".tiff", ".png")
_IMAGES = (b"\x89PNG", b"II*\0", b"MM\0*")


def refuse_missing(roi: str | None) -> None:
    """Refuse regions of a file or folder that does not exist, before anything is written.

    Raises
    ------
    UsageError
        There is none.
    """
    if roi is not None and not is_rectangles(roi) and not Path(roi).exists():
        raise UsageError(
            f"--roi {roi}: there is no such file or folder: give a file, a folder that holds one for each image, or a "
            "rectangle such as x=1000..5000,y=0..2000"
        )


def roi_file(roi: str | None, path: Path | None) -> Path | None:
    """The file that holds the regions of an image; None where no file does.

    Parameters
    ----------
    roi : str or None
        As the settings have it.
    path : Path or None
        The image's file.

    Returns
    -------
    Path or None
        The file that `roi` names; of a folder, the file in it with the image's stem.

    Raises
    ------
    InputError
        The folder holds none of this stem, or several.
    """
    if roi is None or is_rectangles(roi):
        return None
    given = Path(roi)
    if not given.is_dir():
        return given
    if path is None:
        raise InputError(f"--roi {roi} is a folder, which holds regions by the names of files: give one file of them")
    stem = Path(path.name.removesuffix(".gz")).stem
    found = [given / f"{stem}{ending}" for ending in ENDINGS if (given / f"{stem}{ending}").is_file()]
    if len(found) != 1:
        there = f"{len(found)} files ({', '.join(one.name for one in found)})" if found else "no file"
        raise InputError(f"--roi {roi} holds {there} of its regions: wanted is one, such as {stem}.roi", path)
    return found[0]


def read_rois(roi: str, pixel_nm: float | None, path: Path | None) -> list[Roi]:
    """The regions of an image, none overlapping another.

    Parameters
    ----------
    roi : str
        As the settings have it.
    pixel_nm : float or None
        Size of a pixel, for regions in pixels.
    path : Path or None
        The image's file.

    Returns
    -------
    list of Roi
        At least one.

    Raises
    ------
    InputError
        A file that cannot be read, of no known kind, or in pixels of unknown size; a region without an area.
    """
    file = roi_file(roi, path)
    if file is None:
        rectangles = parse_rectangles(roi)
        names = ["rectangle"] if len(rectangles) == 1 else [f"rectangle {i}" for i in range(len(rectangles))]
        return apart([Roi(name, shapely.box(*sides)) for name, sides in zip(names, rectangles, strict=True)])
    found = apart(_of_file(file, pixel_nm))
    for one in found:
        if not one.area_um2 > 0:
            raise InputError(f"its region {one.name!r} encloses no area that earlier ones do not: remove it", file)
    return found


def _of_file(file: Path, pixel_nm: float | None) -> list[Roi]:
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise InputError(f"has {file.stat().st_size:,} bytes; regions are read of {LARGEST_FILE_BYTES:,}", file)
        content = file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}", file) from error
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        found = read_geojson(file, content)
    elif content.startswith((b"Iout", *_IMAGES)) or zipfile_begins(content):
        if pixel_nm is None:
            raise InputError("has regions in pixels: say how large one is, such as --roi-pixel-nm 100", file)
        found = (read_mask if content.startswith(_IMAGES) else read_imagej)(file, content, pixel_nm)
    else:
        raise InputError("holds no regions: give ImageJ .roi or .zip, GeoJSON in nm, or a PNG or TIFF mask", file)
    if not found:
        raise InputError("holds no regions: draw one", file)
    return found
