"""One image as a page that holds all it needs, to send to a colleague."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import tempfile
from pathlib import Path

import numpy as np

from caml_dask.atomic import publish_text
from caml_dask.errors import UsageError
from caml_dask.results.image import ImageResult, analyzed_rows
from caml_dask.results.run import open_run
from caml_dask.viewer.about import about
from caml_dask.viewer.library import listed
from caml_dask.viewer.one_script import one_script
from caml_dask.viewer.packing import packed
from caml_dask.viewer.prepare import BOUNDS
from caml_dask.viewer.shelf import Prepared, Shelf

PAGE = Path(__file__).parent / "page"
MOST_HELD = 300_000
"""Localizations of an image that a page can hold, whether they count in its figures or not: some 10 MB."""
_EVERYWHERE = (-math.inf, -math.inf, math.inf, math.inf)  # detections can lie beyond the molecules of which bounds are
_OUTLINES_PX_NM = 1.0  # outlines are as on a screen with pixels of this size


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
    with tempfile.TemporaryDirectory() as scratch:
        shelf = Shelf(Path(scratch) / "cache", Path(scratch) / "none")
        prepared = shelf.prepare(found.image_id, found.digest, found.exportable, lambda _: None)
        publish_text(path, _page(found, prepared))
    return path


def _page(image: ImageResult, prepared: Prepared) -> str:
    """The page of the server, with its files and what it would ask for in it."""
    script, css = one_script(PAGE, "page"), (PAGE / "style.css").read_text(encoding="utf-8")
    vendor = (PAGE / "vendor" / "ol.js").read_text(encoding="utf-8")
    licence = (PAGE / "vendor" / "LICENSES.txt").read_text(encoding="utf-8").replace("--", "- -")
    policy = (
        f"default-src 'none'; script-src {_digest(vendor)} {_digest(script)}; style-src {_digest(css)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    meta = '<meta charset="utf-8">'
    scripts = f'<script>{vendor}</script>\n<script type="module">{script}</script>'
    for line, put in {
        meta: f'{meta}\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<link rel="stylesheet" href="style.css">': f"<style>{css}</style>",
        '<script src="vendor/ol.js" defer></script>': f"<!-- {licence} -->",
        '<script src="page.js" type="module"></script>': "",
        "</body>": f"{_held(image, prepared)}\n{scripts}\n</body>",
    }.items():
        before, found, after = text.partition(line)
        if not found:
            raise ValueError(f"index.html lacks {line}")
        text = before + put + after
    return text


def _held(image: ImageResult, prepared: Prepared) -> str:
    clusters = prepared.clusters
    points = prepared.points.inside(_EVERYWHERE, MOST_HELD).columns
    most = points["loc_id"].max(initial=0)
    points["loc_id"] = points["loc_id"].astype(np.uint32 if most < 1 << 32 else np.float64)
    columns = {name: clusters.column(name) for name in (*clusters.names, *BOUNDS)}
    held = {
        "title": image.image_id,
        "image": listed({**image.summary, "status": "done"}, done=True),
        "about": about(prepared, image.summary),
        "rings": clusters.outlines(np.arange(len(clusters)), _OUTLINES_PX_NM),
    }
    text = json.dumps(held, separators=(",", ":")).replace("<", "\\u003c")
    return "\n".join(
        [
            f'<script type="application/json" id="held-about">{text}</script>',
            _block("held-points", packed({}, points)),
            _block("held-columns", packed({}, columns)),
        ]
    )


def _block(name: str, content: bytes) -> str:
    text = base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{text}</script>'


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
