"""What the field network says of localizations, without the framework that trained it.

The steps of `Layers` take a part of an image: each computes `h` and `vectors`, the numbers that stand for
localizations, of its own from those of all that these exchange messages with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.architecture import NODE_HEADS, SHARED, SHARED_STEPS, TRAIT_WIDTHS, TRAITS
from caml_dask.networks.field.graph import ROUNDS, WIDTH
from caml_dask.networks.field.layers import add_pulls, one_layer, two_layers
from caml_dask.networks.field.messages import Edges, forward
from caml_dask.networks.field.ranks import NEAR_EDGES
from caml_dask.networks.field.region import FARTHEST, QUANTILE_INPUTS
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED, packed

_Packed = tuple[NDArray[np.float32], NDArray[np.float32]]
_F = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Said:
    """What the network says.

    Attributes
    ----------
    clustered : (n,) float32
        Probability that the localization is in a cluster.
    offset_nm : (n, d) float64
        From the localization to the center of its cluster, in nm.
    radius_nm : (n,) float64
        Root mean square radius of its cluster in nm.
    error_nm : (n,) float64
        Scale of the offset's error in nm.
    same : (n, E) float32
        Probability that both ends of an edge are in one cluster.
    fiber : (n,) float32
        Probability that its cluster is a fiber, were it in one; 0 of a network that does not tell.
    """

    clustered: NDArray[np.float32]
    offset_nm: NDArray[np.float64]
    radius_nm: NDArray[np.float64]
    error_nm: NDArray[np.float64]
    same: NDArray[np.float32]
    fiber: NDArray[np.float32]


class Layers:
    """The weights of a network, laid out for the kernels.

    Parameters
    ----------
    weights : mapping of str to float32 array
        By name, as trained.
    """

    def __init__(self, weights: Mapping[str, _F]):
        none = np.zeros(WIDTH, np.float32)
        names = [name.removesuffix("_kernel") for name in weights if name.endswith("_kernel")]
        dense = [name for name in names if not name.startswith("edge")]
        self.raw = weights
        self.packed = {name: packed(weights[f"{name}_kernel"], weights.get(f"{name}_bias", none)) for name in dense}

    def regions(self, regions: _F) -> tuple[_F, _F]:
        """What is known of regions at the start.

        Parameters
        ----------
        regions : (r, REGION_INPUTS) float32
            Of :func:`caml_dask.networks.field.region.region_inputs`.

        Returns
        -------
        context : (r, c) float32
            Their context.
        traits : (r, TRAITS) float32
            What is told of them, as :data:`caml_dask.networks.field.architecture.TRAITS` says.
        """
        hidden = regions
        for i, width in enumerate(TRAIT_WIDTHS, 1):
            before, hidden = hidden, np.empty((len(regions), width), np.float32)
            one_layer(before, _nothing(before), False, self.packed[f"traits{i}"], RECTIFIED, hidden)
        traits = np.empty((len(regions), len(TRAITS)), np.float32)
        one_layer(hidden, _nothing(hidden), False, self.packed[f"traits{len(TRAIT_WIDTHS) + 1}"], LINEAR, traits)
        context = np.empty((len(regions), self.packed["region2"][1].size), np.float32)
        known = np.concatenate([regions[:, :QUANTILE_INPUTS], hidden], axis=1)
        two_layers(known, _nothing(known), _nothing(known), False, *self._both("region1", "region2"), context)
        return np.maximum(context, 0), traits

    def context_after(self, r: int, context: _F, steps: NDArray[np.int64], n: NDArray[np.int64]) -> _F:
        """The context of regions once their localizations have shared what they saw in a round, (r, c) float32.

        Parameters
        ----------
        r : int
            The round, from 0.
        context : (r, c) float32
            That of the round.
        steps : (r, SHARED) int64
            Sums of :meth:`share` over the localizations of each region.
        n : (r,) int64
            How many these are.
        """
        mean = (steps / (SHARED_STEPS * n[:, None])).astype(np.float32)
        more = np.empty_like(context)
        one_layer(4 * mean - 2, _nothing(mean), False, self.packed[f"shared{r}"], RECTIFIED, more)
        return context + more

    def enter(self, nodes: _F, around: _F, traits: _F) -> _F:
        """What localizations start from, (n, WIDTH) float32.

        Parameters
        ----------
        nodes : (n, NODE_INPUTS) float32
            As in a Graph. Where it gives no precision, that told of the region takes its place.
        around : (n, c) float32
            Context of each one's region.
        traits : (n, TRAITS) float32
            What is told of it.
        """
        nodes, h = nodes.copy(), np.empty((len(nodes), WIDTH), np.float32)
        _guess_precision(nodes, traits)
        two_layers(nodes, around, _nothing(nodes), False, *self._both("enter1", "enter2"), h)
        return h

    def exchange(
        self, r: int, edges: Edges, h: _F, vectors: _F, around: _F, pool: ThreadPoolExecutor | None = None
    ) -> tuple[_F, _F]:
        """One round of messages.

        Parameters
        ----------
        r : int
            The round, from 0.
        edges : Edges
            Of n localizations to m.
        h : (m, WIDTH) float32
            What stands for localizations, the n first.
        vectors : (m, CHANNELS, d) float32
            What stands for them beside it.
        around : (n, c) float32
            Context of each one's region.
        pool : ThreadPoolExecutor or None
            Threads that share the work.

        Returns
        -------
        h : (n, WIDTH) float32
            What stands for the n localizations from now on.
        vectors : (n, CHANNELS, d) float32
            What stands for them beside it.
        """
        n = len(around)
        means, pulls, _ = self._messages(r, edges, h, vectors, around, pool)
        moved, own = vectors[:n].copy(), np.ascontiguousarray(h[:n])
        head, keep = np.ascontiguousarray(self.raw[f"edge{r}_head"].T), self.raw[f"keep{r}"].reshape(-1)
        add_pulls(pulls, head, keep, edges.present.sum(axis=1), moved)
        change = np.empty_like(own)
        two_layers(own, means, around, True, *self._both(f"update{r}a", f"update{r}b"), change)
        return own + change, moved

    def share(self, r: int, h: _F) -> NDArray[np.int64]:
        """What localizations tell their region after a round, in whole steps, (n, SHARED) int64.

        Parameters
        ----------
        r : int
            The round, from 0.
        h : (n, WIDTH) float32
            What stands for them after it.
        """
        given = np.empty((len(h), SHARED), np.float32)
        one_layer(h, _nothing(h), True, self.packed[f"share{r}"], LINEAR, given)
        steps = np.empty(given.shape, np.int64)
        _in_steps(given, steps)
        return steps

    def answer(
        self,
        edges: Edges,
        h: _F,
        vectors: _F,
        around: _F,
        unit_nm: NDArray[np.float64],
        pool: ThreadPoolExecutor | None = None,
    ) -> Said:
        """What the network says once all rounds are done.

        Parameters
        ----------
        edges, h, vectors, around, pool
            As of :meth:`exchange`.
        unit_nm : (n,) float64
            Unit of length of each localization's region in nm.

        Returns
        -------
        Said
            Of the n localizations.
        """
        n, axes = len(around), vectors.shape[2]
        own, means, out = self.seen_at_last(edges, h, vectors, around, pool)
        last = np.empty((n, NODE_HEADS), np.float32)
        two_layers(own, means, _nothing(own), True, *self._both("last", "heads"), last)
        said = Said(
            np.empty(n, np.float32),
            np.empty((n, axes)),
            np.empty(n),
            np.empty(n),
            np.empty(out.shape[:2], np.float32),
            np.zeros(n, np.float32),
        )
        bend = self.raw["bend"]
        answers = said.clustered, said.offset_nm, said.radius_nm, said.error_nm, said.same
        _conclude(last, out, edges.present, edges.inputs, edges.directions, unit_nm, bend, *answers)
        if "fiber1" in self.packed:
            logit = np.empty((n, 1), np.float32)
            two_layers(own, means, around, True, *self._both("fiber1", "fiber2"), logit)
            _probabilities(logit, said.fiber)
        return said

    def seen_at_last(
        self, edges: Edges, h: _F, vectors: _F, around: _F, pool: ThreadPoolExecutor | None = None
    ) -> tuple[_F, _F, _F]:
        """What the answer is made of.

        Parameters
        ----------
        edges, h, vectors, around, pool
            As of :meth:`exchange`.

        Returns
        -------
        own : (n, WIDTH) float32
            What stands for the n localizations.
        means : (n, 2 WIDTH) float32
            Means of their last messages.
        out : (n, E, EDGE_HEADS) float32
            Of their edges.
        """
        means, _, out = self._messages(ROUNDS, edges, h, vectors, around, pool)
        return np.ascontiguousarray(h[: len(around)]), means, out

    def _messages(
        self, r: int, edges: Edges, h: _F, vectors: _F, around: _F, pool: ThreadPoolExecutor | None
    ) -> tuple[_F, ...]:
        own, other = np.empty((len(around), WIDTH), np.float32), np.empty((len(h), WIDTH), np.float32)
        one_layer(np.ascontiguousarray(h[: len(around)]), around, True, self.packed[f"own{r}"], LINEAR, own)
        one_layer(h, _nothing(h), True, self.packed[f"other{r}"], LINEAR, other)
        kernel, bias, head = (self.raw[f"edge{r}_{part}"] for part in ("kernel", "bias", "head"))
        wanted = head if r == ROUNDS else head[:, :0]
        return forward(edges, NEAR_EDGES, r < ROUNDS, own, other, vectors, bias, kernel, wanted, pool=pool)

    def _both(self, first: str, second: str) -> tuple[_Packed, _Packed]:
        return self.packed[first], self.packed[second]


def _nothing(values: _F) -> _F:
    return np.empty((len(values), 0), np.float32)


@njit()
def _sigmoid(logit):  # type: ignore[no-untyped-def]
    return 1 / (1 + math.exp(-np.float64(logit)))


@njit()
def _probabilities(logit, p):  # type: ignore[no-untyped-def]
    for i in range(len(p)):
        p[i] = _sigmoid(logit[i, 0])


@njit()
def _guess_precision(nodes, traits):  # type: ignore[no-untyped-def]
    """Fill in, where no precision is given, how likely molecules re-blink, and that times the log of its mean."""
    last = nodes.shape[1] - 1
    for i in range(nodes.shape[0]):
        if nodes[i, last - 1] == 0:
            nodes[i, last - 1] = _sigmoid(traits[i, 0])
            nodes[i, last] = nodes[i, last - 1] * min(max(traits[i, 1], -FARTHEST), FARTHEST)


@njit()
def _in_steps(given, steps):  # type: ignore[no-untyped-def]
    for i in range(given.shape[0]):
        for c in range(given.shape[1]):
            steps[i, c] = np.int64(np.rint(SHARED_STEPS * _sigmoid(given[i, c])))


@njit()
def _conclude(last, out, present, inputs, directions, unit, bend, clustered, offset, radius, error, same):  # type: ignore[no-untyped-def]
    """Fill arrays of a `Said` from the heads of localizations and edges."""
    edges, axes = present.shape[1], directions.shape[2]
    for i in range(len(clustered)):
        plain = _sigmoid(last[i, 0])
        clustered[i] = _sigmoid(np.float32(last[i, 0] + plain * (bend[0] + plain * bend[1])))
        radius[i] = math.exp(np.float64(last[i, 2])) * unit[i]
        error[i] = math.exp(min(max(np.float64(last[i, 3]), -6.0), 5.0)) * unit[i]
        top = np.float64(last[i, 1])
        for e in range(edges):
            same[i, e] = _sigmoid(out[i, e, 1])
            if present[i, e] > 0:
                top = max(top, np.float64(out[i, e, 0]))
        total = math.exp(np.float64(last[i, 1]) - top)
        offset[i, :] = 0
        for e in range(edges):
            if present[i, e] > 0:
                weight = math.exp(np.float64(out[i, e, 0]) - top)
                total += weight
                length = math.exp(np.float64(inputs[i, e, 0])) * unit[i]
                for x in range(axes):
                    offset[i, x] += weight * length * directions[i, e, x]
        offset[i, :] /= total
