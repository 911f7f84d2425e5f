"""What a page without a server holds of an image, and the page around it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from caml_dask.io.exporters.channels import channels_of
from caml_dask.io.exporters.exporter import Exportable, Options
from caml_dask.io.exporters.ome_zarr import Levels
from caml_dask.results.image import ImageResult
from caml_dask.viewer.about import Grid, about
from caml_dask.viewer.clusters import Clusters
from caml_dask.viewer.library import listed
from caml_dask.viewer.one_script import one_script
from caml_dask.viewer.packing import packed
from caml_dask.viewer.points import Points
from caml_dask.viewer.prepare import BOUNDS, CLUSTERS, POINTS, lay_out
from caml_dask.viewer.pyramid import BRIGHTEST

PAGE = Path(__file__).parent / "page"
MOST_HELD = 300_000
"""Localizations of an image that a page can hold, whether they count in its figures or not: some 10 MB."""
_EVERYWHERE = (-math.inf, -math.inf, math.inf, math.inf)  # detections can lie beyond the molecules of which bounds are
_OUTLINES_PX_NM = 1.0  # outlines are as on a screen with pixels of this size
_PLACE = "<!-- what the page holds -->"


@dataclass(frozen=True)
class Frame:
    """The page around what it holds.

    Parameters
    ----------
    before, after : str
        Its text, before and behind that.
    scripts, styles : tuple of str
        What allows those of the page, and no others, to a policy (CSP).
    """

    before: str
    after: str
    scripts: tuple[str, ...]
    styles: tuple[str, ...]


def frame() -> Frame:
    """The page of the server, with its files in it."""
    script, css = one_script(PAGE, "page"), (PAGE / "style.css").read_text(encoding="utf-8")
    vendor = (PAGE / "vendor" / "ol.js").read_text(encoding="utf-8")
    licence = (PAGE / "vendor" / "LICENSES.txt").read_text(encoding="utf-8").replace("--", "- -")
    allowed, styles = (allowance(vendor), allowance(script)), (allowance(css),)
    policy = (
        f"default-src 'none'; script-src {' '.join(allowed)}; style-src {' '.join(styles)}; "
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
        "</body>": f"{_PLACE}\n{scripts}\n</body>",
    }.items():
        before, found, after = text.partition(line)
        if not found:
            raise ValueError(f"index.html lacks {line}")
        text = before + put + after
    before, _, after = text.partition(_PLACE)
    return Frame(before, after, allowed, styles)


def held(image: ImageResult) -> str:
    """What the page holds of an image that has no more than `MOST_HELD` localizations, as blocks that no script runs.

    Raises
    ------
    StoreError
        Its results are damaged.
    """
    exportable = image.exportable()
    with tempfile.TemporaryDirectory() as scratch:
        lay_out(exportable, Path(scratch))
        clusters = Clusters(Path(scratch) / CLUSTERS)
        points = Points(Path(scratch) / POINTS).inside(_EVERYWHERE, MOST_HELD).columns
        columns = {name: clusters.column(name) for name in (*clusters.names, *BOUNDS)}
        rings = clusters.outlines(np.arange(len(clusters)), _OUTLINES_PX_NM)
    grid = grid_of(exportable, np.column_stack([points["x_nm"], points["y_nm"]]), points["channel"])
    most = points["loc_id"].max(initial=0)
    points["loc_id"] = points["loc_id"].astype(np.uint32 if most < 1 << 32 else np.float64)
    whole = {
        "title": image.image_id,
        "image": listed({**image.summary, "status": "done"}, done=True),
        "about": about(clusters, "score" in points, grid, image.summary),
        "rings": rings,
    }
    text = json.dumps(whole, separators=(",", ":")).replace("<", "\\u003c")
    return "\n".join(
        [
            f'<script type="application/json" id="held-about">{text}</script>',
            block("held-points", packed({}, points)),
            block("held-columns", packed({}, columns)),
        ]
    )


def grid_of(image: Exportable, xy_nm: npt.NDArray[np.float64], channel: npt.NDArray[np.int8]) -> Grid:
    """The levels of pixels of an image as its pyramid has them, counted without one.

    Parameters
    ----------
    image : Exportable
        The image.
    xy_nm : (n, 2) float64
        Its localizations that were analyzed.
    channel : (n,) int8
        The channel of each.
    """
    levels = Levels.of(image, Options())
    row, column = levels.pixels(xy_nm)
    channels, brightest = channels_of(image.schema), []
    for level in range(len(levels)):
        place = (row >> level) * levels.shape(level)[1] + (column >> level)
        counts = [np.unique(place[channel == number], return_counts=True)[1] for number in range(len(channels))]
        brightest.append([int(np.quantile(of, BRIGHTEST, method="inverted_cdf")) if len(of) else 1 for of in counts])
    shapes = [levels.shape(level) for level in range(len(levels))]
    return Grid(
        channels, levels.pixel_nm, (levels.column * levels.pixel_nm, levels.row * levels.pixel_nm), shapes, brightest
    )


def block(name: str, content: bytes) -> str:
    """A block of a page that nothing runs: compressed, in letters and digits that close no element."""
    text = base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{text}</script>'


def allowance(text: str) -> str:
    """What allows a script or style, and no other, to a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
