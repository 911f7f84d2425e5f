"""The networks that can be used: one entry each, and weights with a card for every entry; variants of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from caml_dask.errors import UsageError
from caml_dask.networks.inference.scoring import Scorer
from caml_dask.networks.kinds.convolution import build_convolution, convolution_scores, convolution_shapes
from caml_dask.networks.kinds.dense import build_dense, dense_scores, dense_shapes
from caml_dask.networks.kinds.lstm import build_lstm, lstm_scores, lstm_shapes
from caml_dask.networks.layers import Shapes
from caml_dask.networks.spec import INPUT_FORMS, THREE_CLASSES, TWO_CLASSES, FitSettings, NetworkSpec
from caml_dask.networks.training.keras import keras_scores
from caml_dask.settings import network_named

if TYPE_CHECKING:
    import keras

MOST_NEIGHBORS = 10_000
"""Of a window: ten times the largest one published."""


@dataclass(frozen=True)
class _Kind:
    """How networks of one architecture are made for a window and a number of classes.

    layers : for the card; {} stands for the last layer's activation.
    least_window : neighbors below which a layer has nothing left.
    """

    shapes: Callable[[int, int], Shapes]
    build: Callable[[int, int], keras.Model]
    score: Scorer
    layers: str
    least_window: int


KINDS = {
    "dense": _Kind(
        dense_shapes, build_dense, dense_scores, "32 rectified units at each step, then one {} over all of them", 4
    ),
    "lstm": _Kind(
        lstm_shapes,
        build_lstm,
        lstm_scores,
        "convolution of 32 rectified filters over 3 steps, maximum of 4, dropout 0.2, two LSTM layers of 32 units,"
        " dropout 0.2, maximum of 4, rectified layers of 32 and 16 units, one {}; left out: the dropout inside the LSTM"
        " layers, of their input and of their recurrent state",
        18,
    ),
    "convolution": _Kind(
        convolution_shapes,
        build_convolution,
        convolution_scores,
        "convolutions of 48, 64, 64 and 64 rectified filters over 8, 6, 4 and 4 steps in strides of 4, 4, 2 and 2,"
        " rectified layers of 128 and 32 units, one {}; the published layers of this network are not stated",
        184,
    ),
}


def _network(
    kind: str,
    name: str,
    n_neighbors: int,
    dimensions: int,
    classes: tuple[str, ...],
    grid: str,
    settings: FitSettings,
    holds: str,
    fails: str,
) -> NetworkSpec:
    made = KINDS[kind]
    return NetworkSpec(
        name,
        kind,
        n_neighbors,
        dimensions,
        classes,
        grid,
        shapes=made.shapes(n_neighbors, len(classes)),
        build=partial(made.build, n_neighbors, len(classes)),
        score=partial(made.score, n_neighbors=n_neighbors),
        settings=settings,
        architecture=made.layers.format("sigmoid" if len(classes) == 2 else "softmax"),
        holds=holds,
        fails=fails,
    )


BLINKING = "repeated detections of single molecules, fields without any clusters"
NETWORKS = {
    entry.name: entry
    for entry in (
        _network(
            "dense",
            "XPILJZ",
            100,
            2,
            TWO_CLASSES,
            "training",
            FitSettings(20, 1_024, 3e-3),
            holds="clusters of 5 to 90 localizations, at any density; the fastest",
            fails=f"clusters of more than 100 localizations, most of which it misses; {BLINKING}",
        ),
        _network(
            "lstm",
            "07VEJJ",
            100,
            2,
            TWO_CLASSES,
            "training",
            FitSettings(16, 512, 3e-3),
            holds="clusters of 5 to 90 localizations, at any density; more accurate than XPILJZ, and slower",
            fails="clusters of more than 100 localizations: it misses a third of those of 150, most of those of 200; "
            + BLINKING,
        ),
        _network(
            "lstm",
            "87B144",
            1_000,
            2,
            TWO_CLASSES,
            "training",
            FitSettings(10, 512, 2e-3),
            holds="clusters of 5 to some hundred localizations, fibers and other large structures; the most accurate",
            fails=f"{BLINKING}, fields of fewer than 1,001 localizations",
        ),
        _network(
            "dense",
            "GAXJPR",
            1_000,
            3,
            TWO_CLASSES,
            "slabs",
            FitSettings(12, 1_024, 2e-3),
            holds="clusters of 20 or more localizations in 3D, also where they are stretched along z",
            fails="clusters of 5 localizations, a third of which it misses; contrasts below 6, most of which it misses;"
            + f" {BLINKING}",
        ),
        _network(
            "convolution",
            "3TXKFS",
            1_000,
            2,
            THREE_CLASSES,
            "fibers",
            FitSettings(12, 256, 1e-3),
            holds="round clusters and fibers in one field, from 10 times denser than their surroundings on",
            fails=f"contrasts below 6, where it often takes round clusters and fibers for one another; {BLINKING}",
        ),
    )
}


def spec_named(name: str) -> NetworkSpec:
    """The network that ships with the package under a published code or an alias, in any case.

    Parameters
    ----------
    name : str
        A published code or an alias, in any case.

    Returns
    -------
    NetworkSpec
        Its entry in the registry.

    Raises
    ------
    UsageError
        No such network; the message lists those there are.
    """
    try:
        return NETWORKS[network_named(name)]
    except KeyError:
        known = ", ".join(f"{entry.name} ({entry.alias})" for entry in NETWORKS.values())
        raise UsageError(
            f"unknown network {name!r}: use one of {known}, or a folder that `caml-dask train --out` wrote"
        ) from None


def variant(name: str, window: int | None = None, clusters: str = "all", relative_xy: bool = False) -> NetworkSpec:
    """A network as the sensitivity analyses of Williamson et al. 2020 change it; the network itself where nothing is.

    Parameters
    ----------
    name : str
        A network in the registry.
    window : int or None
        Neighbors in the input window; None keeps the network's.
    clusters : str
        "small", "large" or "all", as in :class:`NetworkSpec`.
    relative_xy : bool
        Whether positions of neighbors take the place of distances; for the dense network in the plane.

    Returns
    -------
    NetworkSpec
        The changed network, whose name says what is changed.

    Raises
    ------
    UsageError
        No such network, a window too small for its layers or too large, or positions for another network.
    """
    entry = spec_named(name)
    suffix = ""
    if window not in (None, entry.n_neighbors):
        entry = _with_window(entry, window)
        suffix += f"-w{window}"
    if clusters != "all":
        entry = replace(entry, clusters=clusters)
        suffix += f"-{clusters}"
    if relative_xy:
        entry = _with_positions(entry)
        suffix += "-xy"
    return replace(entry, name=entry.name + suffix)


def from_card(about: Mapping[str, Any]) -> NetworkSpec:
    """The network that a card describes, which was trained by this or another version; no code comes from the card.

    Parameters
    ----------
    about : mapping
        The card's values, checked (:mod:`caml_dask.networks.card_fields`).

    Returns
    -------
    NetworkSpec
        The network.

    Raises
    ------
    UsageError
        A window too small for the layers, positions where the network takes none, or arrays that are not those of the
        architecture.
    """
    training = about["training"]
    entry = _network(
        about["kind"],
        about["name"],
        about["n_neighbors"],
        about["dimensions"],
        tuple(about["classes"]),
        training["grid"],
        FitSettings(training["epochs"], training["batch"], training["learning_rate"], training["seed"]),
        holds="fields like those it was trained on",
        fails=f"any other; {BLINKING}",
    )
    entry = replace(_with_window(entry, entry.n_neighbors), clusters=training["clusters"])
    return _with_positions(entry) if about["input_form"] == INPUT_FORMS[True] else entry


def _with_window(entry: NetworkSpec, window: int) -> NetworkSpec:
    least = KINDS[entry.kind].least_window
    if not least <= window <= MOST_NEIGHBORS:
        raise UsageError(
            f"a window of {window} neighbors for {entry.name}: give at least {least}, and at most {MOST_NEIGHBORS}"
        )
    return _network(
        entry.kind,
        entry.name,
        window,
        entry.dimensions,
        entry.classes,
        entry.grid,
        entry.settings,
        entry.holds,
        entry.fails,
    )


def _with_positions(entry: NetworkSpec) -> NetworkSpec:
    if entry.dimensions != 2 or entry.kind != "dense":
        raise UsageError(f"{entry.name} does not take relative positions: use XPILJZ")
    build = partial(build_dense, entry.n_neighbors, len(entry.classes), channels=2)
    shapes = dense_shapes(entry.n_neighbors, len(entry.classes), channels=2)
    score = partial(keras_scores, build, shapes)
    return replace(entry, shapes=shapes, build=build, score=score, relative_xy=True)
