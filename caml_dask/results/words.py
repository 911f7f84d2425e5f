"""The figures and warnings of an image as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from caml_dask.methods import method_as_kept

Summary: TypeAlias = Mapping[str, Any]
"""What summary.json says of an image: counts, percent clustered, clusters per um2, medians with IQR, warnings."""

SHOWN = 10
"""Images, failures or warnings listed when a run is printed."""


def finder_of(network: str | None, method: Mapping[str, Any] | None) -> tuple[str, str]:
    """What found the clusters.

    Parameters
    ----------
    network : str or None
        Name of the network, where it was one.
    method : mapping or None
        Name and parameters of the method, where it was one.

    Returns
    -------
    kind : str
        "network" or "method".
    name : str
        Its name; of a method with its parameters, such as "DBSCAN (eps_nm=30, min_samples=5)".
    """
    return ("network", str(network)) if method is None else ("method", method_as_kept(method).in_words())


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
