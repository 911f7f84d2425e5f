"""The key figures of images in images.csv, for who looks at many of them in a spreadsheet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

_PLAIN = ("localizations", "percent_clustered", "clusters", "clusters_per_um2", "area_um2")
_SIZES = ("area_nm2", "volume_nm3")
_POINTS = "n_localizations"
_NEEDED = ("image_id", "path", "status", "reason", *_PLAIN, "dropped_where", "csr_test", "warnings", "regions")


def figures_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables here need of an entry of summary.json, which has several times as much."""
    kept = {name: entry[name] for name in _NEEDED if name in entry}
    if "medians" in entry:
        kept["medians"] = {name: entry["medians"][name] for name in (_POINTS, *_SIZES) if name in entry["medians"]}
    return kept


def key_figures(
    images: Sequence[Mapping[str, Any]], taken: Collection[str] = ()
) -> tuple[list[str], list[list[float | int | str]]]:
    """Names of the figures, and their values for each image.

    Parameters
    ----------
    images : sequence of mapping
        Entries of summary.json, with the key figures where their status is done.
    taken : collection of str
        Columns of the table that have a meaning already, such as factors of a cohort; a figure of such a name becomes
        ``measured_<name>``.

    Returns
    -------
    names, rows
        localizations, percent_clustered, clusters, clusters_per_um2, area_um2 (of the image), the medians over its
        clusters median_points_per_cluster and median_area_nm2 (median_volume_nm3 in 3D), dropped_where, the rows that
        did not pass the filter, p_value of the test against randomness, warnings, how many, and
        warned_of, their identifiers; "" for what is not known.
    """
    done = [image for image in images if image["status"] == "done"]
    size = _SIZES[1] if any(_SIZES[1] in image["medians"] for image in done) else _SIZES[0]
    names = [
        *_PLAIN,
        "median_points_per_cluster",
        f"median_{size}",
        "dropped_where",
        "p_value",
        "warnings",
        "warned_of",
    ]
    nothing: list[float | int | str] = [""] * len(names)
    rows = [_values(image, size) if image["status"] == "done" else nothing for image in images]
    return [f"measured_{name}" if name in taken else name for name in names], rows


def _values(image: Mapping[str, Any], size: str) -> list[float | int | str]:
    medians = [(image["medians"].get(name) or {}).get("median") for name in (_POINTS, size)]
    found = [
        *(image[name] for name in _PLAIN),
        *medians,
        image.get("dropped_where"),
        _p_value(image),
        len(image["warnings"]),
    ]
    found.append(" ".join(text.partition(":")[0] for text in image["warnings"]))
    return ["" if value is None else value for value in found]


def _p_value(of: Mapping[str, Any]) -> float | None:
    """That of the test against randomness, of an image or a region."""
    return (of.get("csr_test") or {}).get("p_value")


def region_figures(images: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The key figures of regions of interest, as regions.csv has them.

    Parameters
    ----------
    images : sequence of mapping
        Entries of summary.json.

    Returns
    -------
    list of list
        A header, then a row for each region of each image that is done.
    """
    done = [image for image in images if image["status"] == "done"]
    size = _SIZES[1] if any(_SIZES[1] in image["medians"] for image in done) else _SIZES[0]
    rows: list[list[Any]] = [
        ["image_id", "region_id", "name", *_PLAIN, "median_points_per_cluster", f"median_{size}", "p_value"],
    ]
    for image in done:
        for region in image.get("regions", ()):
            about = [image["image_id"], region["region_id"], region["name"]]
            medians = [(region["medians"].get(name) or {}).get("median") for name in (_POINTS, size)]
            rows.append(
                [
                    *about,
                    *("" if v is None else v for v in (*(region[name] for name in _PLAIN), *medians, _p_value(region))),
                ]
            )
    return rows
