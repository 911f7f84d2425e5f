"""How the localizations of images are spread, as `caml-dask describe` found it: Ripley's L and the pair correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caml_dask.atomic import read_json
from caml_dask.describing.tables import DESCRIPTION, SUMMARY, TABLE
from caml_dask.errors import OutputError
from caml_dask.report import numbers
from caml_dask.report.results import Measured, Results, inside
from caml_dask.report.spread import SpreadPlot, spread_plot

MOST_REGIONS = 4
"""Regions of an image that are shown, the first ones."""
_SETTINGS = ("columns", "nonfinite", "any_extent", "where", "roi", "roi_pixel_nm", "cell_mask", "drift", "merge")


@dataclass(frozen=True)
class Region:
    """A region of an image: what its functions show in words, and their plots."""

    words: str
    plots: tuple[SpreadPlot, ...]


@dataclass(frozen=True)
class Descriptions:
    """What a directory of descriptions holds of the images of a report.

    entries : what its summary says of each image, by the path and the channel of its input
    notes : what readers should know of them first
    """

    root: Path
    entries: Mapping[tuple[str, str | None], Mapping[str, Any]]
    notes: tuple[str, ...]

    def regions(self, image: Measured) -> list[Region]:
        """The first regions of an image; none where it was not described.

        Raises
        ------
        OutputError : its table is missing or damaged.
        """
        entry = self.entries.get((image.path, image.summary["channel"]))
        if entry is None:
            return []
        table = _table(inside(self.root, str(entry["image_id"])) / TABLE)
        return [_region(image, one, table) for one in entry["regions"][:MOST_REGIONS]]


def read_descriptions(root: Path | None, results: Results) -> Descriptions:
    """Read what `caml-dask describe` wrote to a directory; None is a directory that holds nothing.

    Parameters
    ----------
    root : the directory.
    results : what the report shows.

    Raises
    ------
    OutputError : the directory holds no descriptions, or they are damaged.
    """
    if root is None:
        return Descriptions(Path(), {}, ())
    try:
        facts = read_json(root / SUMMARY)
        entries = {(i["path"], i["channel"]): i for i in facts["images"] if i["status"] == "done" and i["regions"]}
        settings = dict(facts["settings"])
    except FileNotFoundError:
        raise OutputError(f"{root} holds no descriptions: give a directory that `caml-dask describe` wrote") from None
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{root / SUMMARY} holds no descriptions ({error}): describe the images again") from None
    return Descriptions(root, entries, tuple(_notes(root, results, entries, settings)))


def _notes(
    root: Path, results: Results, entries: Mapping[tuple[str, str | None], Any], settings: Mapping[str, Any]
) -> Sequence[str]:
    """Images that were not described, and settings that differ: then other localizations, or regions, are meant."""
    found = []
    left = [one.image_id for one in results.images if (one.path, one.summary["channel"]) not in entries]
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        found.append(f"{len(left)} of {len(results.images)} images are not described in {root}: {shown}.")
    ours = results.facts.get("settings") or {}
    other = [name for name in _SETTINGS if name in ours and name in settings and ours[name] != settings[name]]
    if other:
        found.append(f"Images were described and analyzed with different settings ({', '.join(other)}).")
    return found


def _table(path: Path) -> pa.Table:
    try:
        with path.open("rb") as file:
            return pq.read_table(file, columns=[column.name for column in DESCRIPTION])
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{path} cannot be read ({error}): describe the images again") from None


def _region(image: Measured, entry: Mapping[str, Any], table: pa.Table) -> Region:
    rows = table.filter(pc.equal(table["region_id"], entry["region_id"]))
    if not rows.num_rows:
        raise OutputError(f"the description of {image.image_id} lacks region {entry['region']!r}: describe it again")
    names = (column.name for column in DESCRIPTION if pa.types.is_floating(column.type))
    values = {name: rows[name].to_numpy() for name in names}
    words = (
        f"{entry['region']}: L(r) − r at most {numbers.number(entry['largest_l_minus_r_nm'])} nm, "
        f"at {numbers.number(entry['at_r_nm'])} nm"
    )
    for test, of in (("l_minus_r", "L"), ("nearest_neighbor_share", "nearest neighbors")):
        if entry[test] is not None:
            words += f"; p of {of} {numbers.probability(entry[test]['p_value'])}"
    return Region(words, spread_plots(values, f"{image.image_id}_{entry['region_id']}"))


def spread_plots(values: Mapping[str, Any], name: str) -> tuple[SpreadPlot, ...]:
    """The plots of Ripley's L and of the pair correlation.

    values : column of a description to (r,) values, NaN for null
    name : of the image and its region, for the files that they are saved to
    """
    bands = [(values[f"l_minus_r{band}_low_nm"], values[f"l_minus_r{band}_high_nm"]) for band in ("_global", "")]
    of_g = [(values["pair_correlation_low"], values["pair_correlation_high"])]
    r = values["r_nm"]
    return (
        spread_plot(r, values["l_minus_r_nm"], bands, 0.0, "L(r) − r (nm)", f"ripley_{name}"),
        spread_plot(r, values["pair_correlation"], of_g, 1.0, "Pair correlation g(r)", f"pair_correlation_{name}"),
    )
