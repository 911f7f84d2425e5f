"""The figures and warnings of an image as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Summary: TypeAlias = Mapping[str, Any]
"""What summary.json says of an image: counts, percent clustered, clusters per um2, medians with IQR, warnings."""

SHOWN = 10
"""Images, failures or warnings listed when a run is printed."""


def figures_in_words(summary: Summary) -> str:
    """The key figures of an image, in a line.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    str
        Localizations, percent clustered, clusters, clusters per um2, and the p value of the test against randomness.
    """
    rate = "-" if summary["clusters_per_um2"] is None else f"{summary['clusters_per_um2']:.2f}"
    test = summary.get("csr_test")
    return (
        f"{summary['localizations']:,} localizations, {summary['percent_clustered']:.1f} % clustered, "
        f"{summary['clusters']:,} clusters, {rate} per um2" + (f", p {test['p_value']:.2g}" if test else "")
    )


def warning_lines(summary: Summary) -> list[str]:
    """The warnings of an image as lines, cut to a readable length.

    Parameters
    ----------
    summary : mapping
        Its part of summary.json.

    Returns
    -------
    list of str
        At most ten lines.
    """
    return [f"  warning: {text if len(text) <= 150 else text[:147] + '...'}" for text in summary["warnings"][:SHOWN]]
