"""Images that the page holds whole, to be zoomed into: as many as a page can hold that is sent by mail."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from caml_dask.errors import CamlError
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import Run
from caml_dask.report.pictures import turns
from caml_dask.report.results import Measured
from caml_dask.results.image import ImageResult, analyzed_rows
from caml_dask.viewer.held import MOST_HELD, block, frame, held

MOST_BYTES = 12_000_000
"""Of all images that a page holds; 250,000 to 500,000 localizations. Mail servers refuse messages of some 25 MB."""
_LEAST_BYTES = 20  # of a localization in no cluster: an image that cannot fit is not read
_FRAME = "view"
_log = logging.getLogger("caml_dask")


def views(images: Sequence[Measured], by: str, places: Collection[int]) -> dict[int, str]:
    """Blocks of the page with what an image is drawn from, by the place of the image.

    Parameters
    ----------
    images : those of the page.
    by : the factor compared: first ones of all conditions come before second ones.
    places : of the images that may be held.
    """
    order = turns(images, by)
    found: dict[int, str] = {}
    left, most = MOST_BYTES, MOST_HELD
    for place in sorted(places, key=lambda place: (order[place], place)):
        rows = analyzed_rows(images[place].summary)
        if rows > most or rows * _LEAST_BYTES > left:
            continue
        text = _view(images[place], place)
        if len(text) > left:
            most = rows - 1  # others of as many localizations are not read in vain
        elif text:
            found[place] = text
            left -= len(text)
    return dict(sorted(found.items()))


def view_frame() -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The block with the page that shows an image, and what its scripts and its styles are allowed by."""
    around = frame()
    return block(_FRAME, f"{around.before}\0{around.after}".encode()), around.scripts, around.styles


def view_name(place: int) -> str:
    """The id of the block of an image."""
    return f"{_FRAME}-{place}"


def _view(image: Measured, place: int) -> str:
    """The block of an image; empty where its files cannot be read."""
    name = image.folder.name
    try:
        store = Run.open(image.folder.parent).store(Image(name))
        return block(view_name(place), held(ImageResult(name, image.folder, image.summary, store)).encode())
    except CamlError as error:
        _log.warning("%s cannot be zoomed into from the report: %s", image.image_id, error)
        return ""
