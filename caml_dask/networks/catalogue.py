"""Networks described for users: all that ship in a few lines each, and the card of one in full."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from caml_dask.networks.cards import card, read_card
from caml_dask.networks.field.trained import (
    LEAST_LOCALIZATIONS,
    TrainedFieldNetwork,
    is_field_network,
    load_field_network,
    ships,
)
from caml_dask.networks.registry import NETWORKS
from caml_dask.settings import FIELD_NETWORKS, network_named


def catalogue() -> str:
    """The networks that ship with the package, a few lines each.

    Returns
    -------
    str
        Lines of text.
    """
    lines = []
    for entry in NETWORKS.values():
        found = card(entry.name)
        test = found["results"]["test"]
        lines += [
            f"{entry.name} ({entry.alias}): {entry.dimensions}D, {entry.n_neighbors} neighbors, "
            f"{' / '.join(entry.classes)}",
            f"  {100 * test['accuracy']:.1f} % right on {test['n']:,} localizations of held-out simulated fields "
            f"(F1 {test['f1']:.3f}, precision {test['precision']:.3f}, recall {test['recall']:.3f})",
            f"  for {entry.holds}",
            f"  not for {entry.fails}",
            f"  weights SHA-256 {found['weights_sha256']}",
        ]
    for name in filter(ships, FIELD_NETWORKS):
        lines += _of_field_network(load_field_network(name))
    return "\n".join([*lines, "All that is known of one: caml-dask networks NAME, or the FOLDER of one of your own"])


def readable(network: str | os.PathLike[str]) -> str:
    """The card of a network as text; `network` and errors as of :func:`caml_dask.networks.cards.read_card`.

    Parameters
    ----------
    network : str or path-like
        Name, folder, card or weights of a network, as of :func:`read_card`.

    Returns
    -------
    str
        Markdown.
    """
    if is_field_network(name := network_named(network)):
        return _readable_field_network(load_field_network(name))
    source = read_card(network)
    entry, found = source.spec, source.about
    training, results = found["training"], found["results"]
    ranges = found["trained_on"]
    test, mixed = results["test"], results["test"]["mixed_fields"]
    csr = results["csr_percent_called_clustered_by_density_per_um2"]
    lines = [
        f"# {entry.name}" + (f" ({entry.alias})" if source.place.ships else ""),
        f"{entry.dimensions}D, {entry.n_neighbors} neighbors; classes {', '.join(entry.classes)}.",
        f"Layers: {found['architecture']}.",
        f"Weights: {found['origin']}; SHA-256 {found['weights_sha256']}.",
        *([] if source.place.ships else [f"Card: {source.place.card}; SHA-256 {source.sha256}."]),
        "",
        "## Trained on",
        f"{training['data']}.",
        f"Grid `{training['grid']}`{_subset(training['clusters'])}: {_span(ranges['points_per_cluster'])} points per "
        f"cluster, {_span(ranges['percent_clustered'])} % clustered, clusters {_span(ranges['contrast'])} times denser "
        "than what surrounds them. No re-blinking, drift or localization uncertainty; no fields without clusters.",
        f"{training['samples']['train']:,} samples, {training['epochs']} epochs, seed {training['seed']}; epoch "
        f"{training['kept_epoch']} kept by the {training['kept_by']}. Command: `{found['command']}`.",
        "",
        *(_promises(entry.holds, entry.fails) if source.place.ships else ()),
        "## On held-out simulated fields",
        f"Accuracy {_percent(test['accuracy'])}, F1 {test['f1']:.4f}, precision {test['precision']:.4f}, recall "
        f"{test['recall']:.4f} (means over classes) of {test['n']:,} localizations.",
        _by_density(test),
        *(_without_full_fields(mixed) if mixed["n"] < test["n"] else ()),
        f"Confusion (rows true, columns found): {test['confusion']}.",
        f"Called clustered where nothing is: {_listed(csr, 'per um2', 1.0)}.",
    ]
    if "cross_validation" in results:
        folds = results["cross_validation"]
        lines.append(
            f"{folds['folds']}-fold cross-validation on {folds['samples']:,} samples, {folds['epochs']} epochs each: "
            f"accuracy {_percent(folds['mean'])} +- {100 * folds['standard_deviation']:.2f}."
        )
    losses = ", ".join(f"{train:.4f} / {held:.4f}" for train, held in training["losses_train_validation"])
    return "\n".join([*lines, f"Loss by epoch, training / validation: {losses}."])


def _of_field_network(network: TrainedFieldNetwork) -> list[str]:
    """A field network in a few lines."""
    about = network.card
    molecules, blinking = (about["results"][sort] for sort in ("molecules", "re-blinking"))
    return [
        f"{network.name}: {network.dimensions}D, whole fields of {LEAST_LOCALIZATIONS} localizations or more, "
        f"{' / '.join(network.classes)}",
        f"  {100 * molecules['accuracy']:.1f} % right on molecules and {100 * blinking['accuracy']:.1f} % on "
        f"re-blinking detections of fields of which nothing was known beforehand (adjusted Rand index of clusters "
        f"{molecules['ari']:.2f} and {blinking['ari']:.2f})",
        "  for clusters of any size, shape and density, also touching ones, with or without localization precision",
        f"  fails: {about['fails']}",
        f"  weights SHA-256 {about['weights_sha256']}",
    ]


def _readable_field_network(network: TrainedFieldNetwork) -> str:
    """The card of a field network as Markdown."""
    about = network.card
    seen, results = about["seen"], about["results"]
    kinds = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in about["prior"]["kinds"].items())
    lines = [
        f"# {about['name']}",
        f"{about['dimensions']}D, whole fields of {LEAST_LOCALIZATIONS} localizations or more; classes "
        f"{', '.join(network.classes)}.",
        f"{about['weights']:,} weights; SHA-256 {about['weights_sha256']}.",
        "",
        "## Trained on",
        f"Simulated fields of `{about['prior']['module']}`: {kinds}.",
        f"{seen['steps']:,} steps, about {seen['localizations']:,} localizations, {seen['seconds']:,} s, seed "
        f"{about['settings']['seed']}. Command: `{about['command']}`.",
        *([f"It began with other settings: {about['began_with']}."] if "began_with" in about else []),
        "",
        "## On fields of the same kinds that it has not seen",
    ]
    for sort in ("molecules", "re-blinking"):
        found = results[sort]
        lines.append(f"{sort}: accuracy {_percent(found['accuracy'])}, adjusted Rand index {found['ari']:.2f}.")
    csr = results["percent_in_clusters_on_random_fields"]
    shares = ", ".join(f"{said}: {true:.2f}" for said, true in results["clustered_by_p"].items())
    lines += [
        f"In clusters where nothing is: {_listed(csr, 'localizations', 1.0)}.",
        f"Share of clustered localizations by what was said: {shares}.",
    ]
    if network.fibers:
        lines += ["", "## Fibers and round clusters", *_of_fibers(about["fibers"])]
    if "fails" in about:
        lines += ["", "## Where it fails", f"{about['fails']}."]
    for look in about.get("looks_at_labelled_fields", ()):
        of = ", ".join(f"{sort} {ari:.3f}" for sort, ari in look["mean_ari"].items())
        lines.append(f"Looked at labelled fields: {of} ({look['of']}).")
    return "\n".join(lines)


def _of_fibers(about: Mapping[str, Any]) -> Iterator[str]:
    found = about["results"]
    recall = ", ".join(f"{name.replace('_', '-')} {_percent(value)}" for name, value in found["recall"].items())
    yield (
        f"Learned of {about['localizations']:,} localizations in clusters of {about['fields']:,} fields, half of the "
        f"published kind with fibers, in {about['seconds']} s, on top of {about['on']['name']} (SHA-256 "
        f"{about['on']['weights_sha256']}), which stays as it is. Command: `{about['command']}`."
    )
    yield f"Recall in {found['fields']} more fields of that kind: {recall}; mean {_percent(found['macro_recall'])}."


def _promises(holds: str, fails: str) -> tuple[str, ...]:
    """What is known of a shipped network beyond its own test set; of a user's nobody has measured it."""
    return "## Where it holds, where it fails", f"Holds for {holds}.", f"Fails for {fails}.", ""


def _subset(clusters: str) -> str:
    return "" if clusters == "all" else f", its {clusters} clusters alone"


def _by_density(found: Mapping[str, Any]) -> str:
    by_density = _listed(found["balanced_accuracy_by_density_per_um2"], "per um2", 100.0)
    return f"Balanced accuracy by density, mean over fields: {by_density}."


def _without_full_fields(mixed: Mapping[str, Any]) -> Iterator[str]:
    yield "Without the fully clustered fields:"
    yield f"Accuracy {_percent(mixed['accuracy'])}, mean recall {_percent(mixed['recall'])}."
    yield _by_density(mixed)


def _span(ends: list[float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _listed(values: Mapping[str, float], unit: str, factor: float) -> str:
    return ", ".join(f"{factor * value:.1f} % at {key}" for key, value in values.items()) + f" {unit}"
