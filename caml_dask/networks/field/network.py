"""What the field network says of localizations, without the framework that trained it.

The steps of `Layers` take a part of an image: each computes `h` and `vectors`, the numbers that stand for
localizations, of its own from those of all that these exchange messages with.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.architecture import CONTEXT, NODE_HEADS, SHARED, SHARED_STEPS, TRAIT_WIDTHS, TRAITS
from caml_dask.networks.field.graph import ROUNDS, WIDTH
from caml_dask.networks.field.layers import Packed, add_pulls, normalize, one_layer, packed, two_layers
from caml_dask.networks.field.messages import Edges, gather_messages, in_chunks
from caml_dask.networks.field.ranks import NEAR_EDGES
from caml_dask.networks.field.region import FARTHEST, QUANTILE_INPUTS
from caml_dask.networks.field.said import Said, conclude, probabilities, sigmoid
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED

_F = NDArray[np.float32]


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
            one_layer(before, _nothing(before), self.packed[f"traits{i}"], RECTIFIED, hidden)
        traits = np.empty((len(regions), len(TRAITS)), np.float32)
        one_layer(hidden, _nothing(hidden), self.packed[f"traits{len(TRAIT_WIDTHS) + 1}"], LINEAR, traits)
        context = np.empty((len(regions), CONTEXT), np.float32)
        known = np.concatenate([regions[:, :QUANTILE_INPUTS], hidden], axis=1)
        two_layers(known, _nothing(known), _nothing(known), *self._both("region1", "region2"), context)
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
        one_layer(4 * mean - 2, _nothing(mean), self.packed[f"shared{r}"], RECTIFIED, more)
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
        two_layers(nodes, around, _nothing(nodes), *self._both("enter1", "enter2"), h)
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
        n, (normal, other) = len(around), self._told_to_others(r, h, pool)
        moved, after = vectors[:n].copy(), np.empty((n, WIDTH), np.float32)
        head, keep = self.raw[f"edge{r}_head"], self.raw[f"keep{r}"].reshape(-1)

        def run(rows: slice) -> None:
            there, own = edges.of(rows), normal[rows]
            means, pulls, _ = self._messages(r, there, own, other, vectors, around[rows], rows.start)
            add_pulls(pulls, head, keep, there.present.sum(axis=1), moved[rows])
            two_layers(own, means, around[rows], *self._both(f"update{r}a", f"update{r}b"), after[rows])
            after[rows] += h[rows]

        in_chunks(n, run, pool)
        return after, moved

    def share(self, r: int, h: _F, pool: ThreadPoolExecutor | None = None) -> NDArray[np.int64]:
        """What localizations tell their region after a round, in whole steps, (n, SHARED) int64.

        Parameters
        ----------
        r : int
            The round, from 0.
        h : (n, WIDTH) float32
            What stands for them after it.
        pool : ThreadPoolExecutor or None
            Threads that share the work.
        """
        steps = np.empty((len(h), SHARED), np.int64)

        def run(rows: slice) -> None:
            given, normal = np.empty(steps[rows].shape, np.float32), np.empty_like(h[rows])
            normalize(h[rows], normal)
            one_layer(normal, _nothing(given), self.packed[f"share{r}"], LINEAR, given)
            _in_steps(given, steps[rows])

        in_chunks(len(h), run, pool)
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
        said = Said.empty(n, axes, edges.neighbors.shape[1])
        normal, other = self._told_to_others(ROUNDS, h, pool)

        def run(rows: slice) -> None:
            there, own = edges.of(rows), normal[rows]
            means, _, out = self._messages(ROUNDS, there, own, other, vectors, around[rows], rows.start)
            last = np.empty((len(means), NODE_HEADS), np.float32)
            two_layers(own, means, _nothing(means), *self._both("last", "heads"), last)
            answers = (
                values[rows] for values in (said.clustered, said.offset_nm, said.radius_nm, said.error_nm, said.same)
            )
            conclude(
                last, out, there.present, there.inputs, there.directions, unit_nm[rows], self.raw["bend"], *answers
            )
            if "fiber1" in self.packed:
                logit = np.empty((len(means), 1), np.float32)
                two_layers(own, means, around[rows], *self._both("fiber1", "fiber2"), logit)
                probabilities(logit, said.fiber[rows])

        in_chunks(n, run, pool)
        return said

    def seen_at_last(self, edges: Edges, h: _F, vectors: _F, around: _F) -> tuple[_F, _F]:
        """What the answer is made of.

        Parameters
        ----------
        edges, h, vectors, around
            As of :meth:`exchange`.

        Returns
        -------
        own : (n, WIDTH) float32
            What stands for the n localizations.
        means : (n, 2 WIDTH) float32
            Means of their last messages.
        """
        normal, other = self._told_to_others(ROUNDS, h)
        n = len(around)
        means, _, _ = self._messages(ROUNDS, edges, normal[:n], other, vectors, around, 0)
        return h[:n], means

    def _told_to_others(self, r: int, h: _F, pool: ThreadPoolExecutor | None = None) -> tuple[_F, _F]:
        """What stands for localizations, normalized, and what they bring into the messages to others in a round."""
        normal, other = np.empty_like(h), np.empty_like(h)

        def run(rows: slice) -> None:
            normalize(h[rows], normal[rows])
            one_layer(normal[rows], _nothing(normal[rows]), self.packed[f"other{r}"], LINEAR, other[rows])

        in_chunks(len(h), run, pool)
        return normal, other

    def _messages(
        self, r: int, edges: Edges, normal: _F, other: _F, vectors: _F, around: _F, first: int
    ) -> tuple[_F, ...]:
        """What a round gives localizations whose rows in `other` and `vectors` begin at `first`."""
        own = np.empty((len(around), WIDTH), np.float32)
        one_layer(normal, around, self.packed[f"own{r}"], LINEAR, own)
        kernel, bias, head = (self.raw[f"edge{r}_{part}"] for part in ("kernel", "bias", "head"))
        wanted = head if r == ROUNDS else head[:, :0]
        return gather_messages(edges, NEAR_EDGES, r < ROUNDS, own, other, vectors, bias, kernel, wanted, first=first)

    def _both(self, first: str, second: str) -> tuple[Packed, Packed]:
        return self.packed[first], self.packed[second]


def _nothing(values: _F) -> _F:
    return np.empty((len(values), 0), np.float32)


@njit()
def _guess_precision(nodes, traits):  # type: ignore[no-untyped-def]
    """Fill in, where no precision is given, how likely molecules re-blink, and that times the log of its mean."""
    last = nodes.shape[1] - 1
    for i in range(nodes.shape[0]):
        if nodes[i, last - 1] == 0:
            nodes[i, last - 1] = sigmoid(traits[i, 0])
            nodes[i, last] = nodes[i, last - 1] * min(max(traits[i, 1], -FARTHEST), FARTHEST)


@njit()
def _in_steps(given, steps):  # type: ignore[no-untyped-def]
    for i in range(given.shape[0]):
        for c in range(given.shape[1]):
            steps[i, c] = np.int64(np.rint(SHARED_STEPS * sigmoid(given[i, c])))
