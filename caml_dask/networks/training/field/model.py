"""The field network for training: its weights, what it computes, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from caml_dask.networks.field.architecture import CONTEXT, EDGE_HEADS, NODE_HEADS, SHARED, TRAIT_WIDTHS, TRAITS
from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS, NODE_INPUTS, ROUNDS, WIDTH
from caml_dask.networks.field.messages import Edges
from caml_dask.networks.field.ranks import EDGE_RANKS, NEAR_EDGES
from caml_dask.networks.field.region import FARTHEST, QUANTILE_INPUTS, REGION_INPUTS
from caml_dask.networks.training.field.gradient import backward, forward


def initial_weights(seed: int) -> dict[str, np.ndarray]:
    """Draw the weights with which training begins: all but the bend that calibration finds.

    Those of the traits are learned by themselves before, and take the place of what is drawn.

    Parameters
    ----------
    seed : int
        Of the training.

    Returns
    -------
    dict of str to float32 array
        The weights by name.
    """
    rng = np.random.default_rng([seed, 1 << 20])
    edges, features = len(EDGE_RANKS), EDGE_INPUTS + 3 * CHANNELS
    weights: dict[str, np.ndarray] = {}

    def dense(name: str, inputs: int, outputs: int, scale: float = 1.0) -> None:
        weights[f"{name}_kernel"] = rng.normal(scale=scale * np.sqrt(2 / inputs), size=(inputs, outputs))
        weights[f"{name}_bias"] = np.zeros(outputs)

    for i, (before, width) in enumerate(pairwise((REGION_INPUTS, *TRAIT_WIDTHS, len(TRAITS))), 1):
        dense(f"traits{i}", before, width)
    dense("region1", QUANTILE_INPUTS + TRAIT_WIDTHS[-1], 2 * CONTEXT)
    dense("region2", 2 * CONTEXT, CONTEXT)
    dense("enter1", NODE_INPUTS + CONTEXT, WIDTH)
    dense("enter2", WIDTH, WIDTH)
    for r in range(ROUNDS + 1):
        dense(f"own{r}", WIDTH + CONTEXT, WIDTH, 0.5)
        weights[f"other{r}_kernel"] = rng.normal(scale=0.5 * np.sqrt(2 / WIDTH), size=(WIDTH, WIDTH))
        weights[f"edge{r}_bias"] = rng.normal(scale=0.1, size=(edges, WIDTH))
        weights[f"edge{r}_kernel"] = rng.normal(scale=0.3, size=(features, WIDTH))
        outputs = CHANNELS if r < ROUNDS else EDGE_HEADS
        weights[f"edge{r}_head"] = rng.normal(scale=np.sqrt(1 / WIDTH), size=(WIDTH, outputs))
        if r < ROUNDS:
            dense(f"update{r}a", 3 * WIDTH + CONTEXT, WIDTH)
            dense(f"update{r}b", WIDTH, WIDTH, 0.3)
            weights[f"keep{r}"] = np.full((1, CHANNELS, 1), 0.5)
            dense(f"early{r}", WIDTH, 1, 0.3)
            dense(f"share{r}", WIDTH, SHARED, 0.5)
            dense(f"shared{r}", SHARED, CONTEXT, 0.3)
    dense("last", 3 * WIDTH, WIDTH)
    dense("heads", WIDTH, NODE_HEADS, 0.3)
    return {name: value.astype(np.float32) for name, value in weights.items()}


class FieldNetwork:
    """The network in TensorFlow, whose rounds of messages are compiled elsewhere.

    Parameters
    ----------
    weights : dict of str to float32 array
        Of :func:`initial_weights`.
    threads : int
        That share the messages.
    """

    def __init__(self, weights: dict[str, np.ndarray], threads: int):
        self.weights = {name: tf.Variable(value, name=name) for name, value in weights.items()}
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def _dense(self, name: str, values: Any) -> Any:
        return values @ self.weights[f"{name}_kernel"] + self.weights[f"{name}_bias"]

    def _messages(self, graph: tuple[Any, ...], pulls: bool, *tensors: Any) -> Any:
        """Means, pulls and edge outputs of a round, with their gradient."""
        n, width = tensors[0].shape
        axes = graph[-1].shape[-1] if pulls else 0
        shapes = [(n, 2 * width), (n, axes, width), (n, len(EDGE_RANKS), tensors[-1].shape[-1])]

        @tf.custom_gradient
        def run(*tensors: Any) -> Any:
            def compute(*arrays: Any) -> Any:
                return forward(Edges(*arrays[:4]), NEAR_EDGES, pulls, *arrays[4:], pool=self._pool)

            given = tf.numpy_function(compute, [*graph, *tensors], [tf.float32] * 3, stateful=False)
            for tensor, shape in zip(given, shapes, strict=True):
                tensor.set_shape(shape)

            def gradient(*by_given: Any) -> Any:
                def compute(*arrays: Any) -> Any:
                    edges, rest = Edges(*arrays[3:7]), arrays[7:]
                    return backward(edges, NEAR_EDGES, arrays[:3], *rest, pool=self._pool, threads=self._threads)

                grads = tf.numpy_function(
                    compute, [*by_given, *graph, *tensors], [tf.float32] * len(tensors), stateful=False
                )
                for grad, tensor in zip(grads, tensors, strict=True):
                    grad.set_shape(tensor.shape)
                return grads

            return tuple(given), gradient

        return run(*tensors)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """What the network says of each localization and edge; and what it would say after each round.

        Parameters
        ----------
        batch : dict of str to tensor
            The fields of a :class:`Batch`.

        Returns
        -------
        dict of str to tensor
            "clustered", (n,), and "same", (n, E), logits; "offset", (n, d), "log_radius" and "log_error", (n,), in the
            region's unit; "early", (ROUNDS, n) logits.
        """
        w = self.weights
        graph = (batch["neighbors"], batch["present"], batch["edges"], batch["directions"])
        told = batch["region"]
        for i in range(1, len(TRAIT_WIDTHS) + 1):
            told = tf.nn.relu(self._dense(f"traits{i}", told))
        traits = tf.gather(self._dense(f"traits{len(TRAIT_WIDTHS) + 1}", told), batch["field"])
        known = tf.concat([batch["region"][:, :QUANTILE_INPUTS], told], 1)
        context = tf.nn.relu(self._dense("region2", tf.nn.relu(self._dense("region1", known))))
        around = tf.gather(context, batch["field"])
        h = tf.nn.relu(self._dense("enter1", tf.concat([_with_precision(batch["nodes"], traits), around], 1)))
        h = self._dense("enter2", h)
        vectors = tf.zeros((tf.shape(h)[0], CHANNELS, batch["directions"].shape[-1]))
        share = 1 / tf.maximum(tf.reduce_sum(batch["present"], 1), 1.0)[:, None, None]
        early = []
        hn = normalized(h)
        for r in range(ROUNDS + 1):
            own = self._dense(f"own{r}", tf.concat([hn, around], 1))
            other = hn @ w[f"other{r}_kernel"]
            head = w[f"edge{r}_head"]
            means, pulls, out = self._messages(
                graph,
                r < ROUNDS,
                own,
                other,
                vectors,
                w[f"edge{r}_bias"],
                w[f"edge{r}_kernel"],
                head if r == ROUNDS else tf.zeros((WIDTH, 0)),
            )
            if r == ROUNDS:
                break
            vectors = w[f"keep{r}"] * vectors + share * tf.einsum("ndw,wk->nkd", pulls, head)
            vectors = vectors / tf.sqrt(1 + tf.reduce_sum(vectors * vectors, -1, keepdims=True))
            change = tf.nn.relu(self._dense(f"update{r}a", tf.concat([hn, means, around], 1)))
            h = h + self._dense(f"update{r}b", change)
            hn = normalized(h)
            early.append(self._dense(f"early{r}", hn)[:, 0])
            mean = tf.math.segment_mean(tf.sigmoid(self._dense(f"share{r}", hn)), batch["field"])
            context = context + tf.nn.relu(self._dense(f"shared{r}", 4 * mean - 2))
            around = tf.gather(context, batch["field"])
        last = tf.nn.relu(self._dense("last", tf.concat([hn, means], 1)))
        heads = self._dense("heads", last)
        votes = tf.concat([heads[:, 1:2], tf.where(batch["present"] > 0, out[:, :, 0], -1e9)], 1)
        length = tf.exp(batch["edges"][:, :, 0]) * batch["present"]
        offset = tf.einsum("ne,ned,ne->nd", tf.nn.softmax(votes)[:, 1:], batch["directions"], length)
        return {
            "clustered": heads[:, 0],
            "offset": offset,
            "log_radius": heads[:, 2],
            "log_error": tf.clip_by_value(heads[:, 3], -6.0, 5.0),
            "same": out[:, :, 1],
            "early": tf.stack(early),
        }


def _with_precision(nodes: Any, traits: Any) -> Any:
    """The nodes, with what is told of the precision where none is given."""
    blinking = tf.sigmoid(traits[:, :1])
    told = tf.concat([blinking, blinking * tf.clip_by_value(traits[:, 1:2], -FARTHEST, FARTHEST)], 1)
    return tf.concat([nodes[:, :-2], tf.where(nodes[:, -2:-1] > 0, nodes[:, -2:], told)], 1)


def normalized(values: Any) -> Any:
    """Each row with a mean of 0 and a variance of 1."""
    values = values - tf.reduce_mean(values, 1, keepdims=True)
    return values * tf.math.rsqrt(tf.reduce_mean(values * values, 1, keepdims=True) + 1e-5)


def losses(said: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """The parts of the loss, weighted: cross-entropies, and the likelihood of offsets and radii in clusters.

    Parameters
    ----------
    said : dict of str to tensor
        Of :class:`FieldNetwork`.
    batch : dict of str to tensor
        The fields of a :class:`Batch`.

    Returns
    -------
    dict of str to tensor
        The parts, whose sum is the loss.
    """
    clustered = batch["clustered"]
    inside = clustered / tf.maximum(tf.reduce_sum(clustered), 1.0)
    axes = batch["offset"].shape[-1]
    gap = said["offset"] - batch["offset"]
    error = tf.sqrt(tf.reduce_sum(gap * gap, 1) + 1e-6)
    edges = tf.nn.sigmoid_cross_entropy_with_logits(batch["same"], said["same"]) * batch["present"]
    early = tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(clustered, tf.shape(said["early"])), said["early"])
    return {
        "clustered": tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(clustered, said["clustered"])),
        "early": 0.1 * tf.reduce_sum(tf.reduce_mean(early, 1)),
        "same": 0.7 * tf.reduce_sum(edges) / tf.reduce_sum(batch["present"]),
        "offset": 0.1 * tf.reduce_sum(inside * (error * tf.exp(-said["log_error"]) + axes * said["log_error"])),
        "radius": 0.1 * tf.reduce_sum(inside * tf.abs(said["log_radius"] - batch["log_radius"])),
    }


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by name, such as the fields of a :class:`Batch`, as tensors."""
    return {name: tf.convert_to_tensor(value) for name, value in arrays.items()}
