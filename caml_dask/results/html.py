"""Results as a notebook shows them: a small picture beside the key figures; all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from caml_dask.results.words import SHOWN, Summary, finder_of

_SIDE_BY_SIDE = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start"
_MEDIANS = {
    "n_localizations": ("localizations per cluster", ""),
    "area_nm2": ("area of a cluster", " nm²"),
    "volume_nm3": ("volume of a cluster", " nm³"),
    "radius_of_gyration_nm": ("radius of gyration", " nm"),
}


def figures_of(summary: Summary) -> list[tuple[str, str]]:
    """The key figures of an image, in words.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    list of (str, str)
        What each is, and its value with its unit.
    """
    rate, test = summary["clusters_per_um2"], summary.get("csr_test")
    found = [
        ("localizations", f"{summary['localizations']:,}"),
        ("in clusters", f"{summary['percent_clustered']:.1f} %"),
        ("clusters", f"{summary['clusters']:,}"),
        ("clusters per µm²", "-" if rate is None else f"{rate:.2f}"),
        ("area", f"{summary['area_um2']:,.1f} µm² ({summary['area_defined_by']})"),
    ]
    for name, (words, unit) in _MEDIANS.items():
        if (median := summary["medians"].get(name)) is not None:
            low, middle, high = (_short(median[key]) for key in ("q25", "median", "q75"))
            found.append((words, f"{middle}{unit} ({low} to {high})"))
    return [*found, *([("p value", f"{test['p_value']:.2g}")] if test else [])]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def page_of(summary: Summary, picture: str | None) -> str:
    """One image.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.
    picture : str or None
        A data URI.
    """
    by = " ".join(finder_of(summary["network"], summary.get("method")))
    title = f"<strong>{escape(str(summary['image_id']))}</strong>, {escape(by)}"
    figures = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in figures_of(summary)
    )
    seen = _img(picture, str(summary["image_id"]), 280)
    return (
        f'<div>{title}<div style="{_SIDE_BY_SIDE}">{seen}<table>{figures}</table></div>'
        f"{_listed(_warnings(summary['warnings']))}</div>"
    )


def page_of_run(
    title: str, images: Sequence[tuple[Summary, str | None]], n_images: int, failed: Mapping[str, str]
) -> str:
    """The images of a run, a row each.

    Parameters
    ----------
    title : str
        What the run is called.
    images : sequence of (mapping, str or None)
        The first images: their parts of summary.json, and pictures as data URIs.
    n_images : int
        How many there are in all.
    failed : mapping of str to str
        image_id to reason.
    """
    names = ("", "image", "localizations", "in clusters", "clusters", "clusters per µm²")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for summary, picture in images:
        cells = [str(summary["image_id"]), *(value for _, value in figures_of(summary)[:4])]
        text = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f"<tr><td>{_img(picture, cells[0], 96)}</td>{text}</tr>")
    more = [f"and {n_images - len(images):,} more images"] if n_images > len(images) else []
    reasons = [f"{name} failed: {reason}" for name, reason in list(failed.items())[:SHOWN]]
    if len(failed) > SHOWN:
        reasons.append(f"and {len(failed) - SHOWN:,} more that failed")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div><strong>{escape(title)}</strong>{table}{_listed([*more, *reasons])}</div>"


def _warnings(texts: Sequence[Any]) -> list[str]:
    return [f"warning: {text}" for text in texts[:SHOWN]]


def _listed(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _img(picture: str | None, name: str, width_px: int) -> str:
    if picture is None:
        return ""
    return f'<img src="{escape(picture)}" alt="{escape(name)}" style="width:{width_px}px">'
