"""The methods paragraph: how the results were made, in sentences that a paper can take as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caml_dask.io.csv_text import writable
from caml_dask.methods import Method, method_as_kept
from caml_dask.report.results import Results

_CITED = (
    "Williamson, D. J. et al. Machine learning for cluster analysis of localization microscopy data. Nat. Commun. 11, "
    "1493 (2020), doi:10.1038/s41467-020-15293-x"
)
_CAML = ", an implementation of cluster analysis by machine learning (CAML; Williamson et al., 2020)"


def methods_paragraph(results: Results) -> str:
    """One paragraph of plain text: version, network or method, settings that matter, counts and citations.

    Parameters
    ----------
    results : Results
        What a run or a screening left.

    Returns
    -------
    str
        Sentences in the order of the steps: read, where, drift, merge, analysis, region.
    """
    settings = _mapping(results.facts.get("settings"))
    method = None if settings.get("method") is None else method_as_kept(settings["method"])
    summaries = [image.summary for image in results.images]
    sentences = [
        f"Localizations of {_images(len(summaries))} were analyzed with caml_dask "
        f"{results.facts.get('caml_dask', '')}{_CAML if method is None else ''}.",
        *_taken(settings, summaries),
        *_corrected(settings),
        *_merged(settings, summaries),
        *_found(settings, _mapping(results.facts.get("network")), method),
        *_settled(summaries),
        *_tested(settings, summaries),
        *_counted(settings, summaries),
    ]
    cited = _CITED if method is None else method.reference
    return writable(" ".join(" ".join(sentences).split()) + f" Reference: {cited}.")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _images(n: int) -> str:
    return f"{n:,} image{'' if n == 1 else 's'}"


def _sum(summaries: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(int(summary.get(name) or 0) for summary in summaries)


def _taken(settings: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was read, and what of it was left out."""
    found = [f"{_sum(summaries, 'rows'):,} localizations were read"]
    if invalid := _sum(summaries, "dropped_nonfinite"):
        found.append(f"{invalid:,} without finite coordinates were left out")
    if settings.get("where") is not None:
        found.append(
            f"{_sum(summaries, 'dropped_where'):,} were left out by the filter that keeps rows with {settings['where']}"
        )
    return [f"{_listed(found)}."]


def _corrected(settings: Mapping[str, Any]) -> list[str]:
    """How drift was corrected."""
    named = {
        "aim": "adaptive intersection maximization (Ma et al., 2024)",
        "rcc": "redundant cross-correlation (Wang et al., 2014)",
    }.get(str(settings.get("drift")))
    return [] if named is None else [f"Drift was estimated from the localizations by {named} and corrected."]


def _merged(settings: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """How repeated detections were merged."""
    merged = [_mapping(summary.get("merge")) for summary in summaries]
    if settings.get("merge") is None:
        return []
    if settings["merge"] == "auto":
        rule = "by re-blinking that was estimated from each image (rule auto)"
    else:
        radius, _, frames = str(settings["merge"]).partition(",")
        rule = f"if they were within {radius} and {frames.removesuffix('frames')} frames of each other"
    return [
        f"Repeated detections of a molecule were merged {rule}: {_sum(merged, 'detections'):,} detections became "
        f"{_sum(merged, 'molecules'):,} molecules, which are the localizations of what follows."
    ]


def _found(settings: Mapping[str, Any], network: Mapping[str, Any], method: Method | None) -> list[str]:
    """How clusters were found."""
    least = settings.get("min_points", 3)
    if method is not None:
        small = f"Clusters with fewer than {least} localizations were discarded."
        return [method.sentence(), *([small] if least > 1 else [])]
    return [
        f"The network {network.get('name', '')} (SHA-256 of its weights: {network.get('weights_sha256', '')}) labeled "
        "each localization as clustered or not from the localizations around it. Localizations were then joined to "
        f"clusters, of which those with fewer than {least} localizations were discarded."
    ]


def _settled(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which radius was taken from the data, and how flat the choice is."""
    found = [_mapping(summary.get("settled")) for summary in summaries]
    taken = [figures for figures in found if "eps_nm" in figures]
    if not taken:
        return []
    radius, agreement = (_range([figures[name] for figures in taken]) for name in ("eps_nm", "agreement"))
    return [
        f"The radius was {radius} nm; clusters of radii within a third of it agreed by {agreement} (1 is perfect "
        "agreement)."
    ]


def _range(values: Sequence[float]) -> str:
    low, high = (f"{end(values):.3g}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _tested(settings: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the images were compared with random fields."""
    found = [_mapping(summary.get("csr_test")) for summary in summaries if summary.get("csr_test")]
    if not found:
        return []
    below = f"{sum(test['p_value'] < 0.05 for test in found)} of {_images(len(found))}"
    same = "network" if settings.get("method") is None else "method"
    sentences = [
        "Each image was compared with simulated fields of molecules placed at random, with its outline, number of "
        f"localizations and density trend, labeled by the same {same}; p was below 0.05 in {below}."
    ]
    if settings.get("fdr") is not None:
        sentences.append(
            f"Clusters above a false discovery rate of {settings['fdr']:g} (target-decoy competition by Kulldorff's "
            f"scan statistic) were discarded ({_sum(summaries, 'clusters_dropped'):,})."
        )
    return sentences


def _counted(settings: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was counted, and on which area."""
    counts = f"{_sum(summaries, 'localizations'):,} localizations and {_sum(summaries, 'clusters'):,} clusters"
    total = sum(float(summary.get("area_um2") or 0.0) for summary in summaries)
    area = f"{total:,.4g} um2" + (" in all" if len(summaries) > 1 else "")
    outside = f"{_sum(summaries, 'outside_regions'):,} localizations outside served as neighbors only"
    if settings.get("cell_mask") is not None:
        where = (
            "within the part of each image that localizations occupy, found as the half-maximum contour of the blurred "
            f"density of localizations (cell mask {settings['cell_mask']})"
        )
    elif settings.get("roi") is not None:
        where = "within regions of interest"
    else:
        of = "the stated area" if settings.get("area_um2") is not None else "the convex hull of the localizations"
        return [f"Densities refer to {of} of each image ({area}), with {counts}."]
    return [f"Only what lies {where} was counted ({area}), with {counts}; {outside}."]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
