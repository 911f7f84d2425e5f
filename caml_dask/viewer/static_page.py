"""One image as a page that holds all it needs, to send to a colleague."""

from __future__ import annotations

from pathlib import Path

from caml_dask.atomic import publish_text
from caml_dask.errors import UsageError
from caml_dask.results.image import analyzed_rows
from caml_dask.results.run import open_run
from caml_dask.viewer.held import MOST_HELD, frame, held


def write_page(directory: Path, image: str, out: Path | None) -> Path:
    """Write the page of one image of a run or a screening.

    Parameters
    ----------
    directory : Path
        Of the run or screening.
    image : str
        image_id, or stem of the input.
    out : Path or None
        The file; None for the image_id in the working directory. One that is there already is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownImageError
        No such image is done.
    UsageError
        It has more localizations than a page can hold, or the file is in no folder.
    StoreError
        Its results are damaged.
    """
    found = open_run(directory).images[image]
    if (rows := analyzed_rows(found.summary)) > MOST_HELD:
        raise UsageError(
            f"{found.image_id} has {rows:,} localizations to show, and a page holds {MOST_HELD:,}: "
            f"look at it with `caml-dask view {directory}`"
        )
    path = out or Path(f"{found.image_id}.html")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"{path} cannot be written: name a file in a folder that exists with --out")
    around = frame()
    publish_text(path, around.before + held(found) + around.after)
    return path
