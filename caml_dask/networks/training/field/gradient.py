"""A round of messages and its gradient, compiled: XLA runs the scatters it needs on one thread of a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS
from caml_dask.networks.field.messages import (
    INPUTS,
    LANES,
    PARTS,
    PRODUCTS,
    Edges,
    add,
    dots,
    edge_inputs,
    gather_messages,
    in_chunks,
    in_lanes,
    larger,
    load,
    multiply_add,
    splat,
    store,
    unrectified,
)
from caml_dask.networks.inference.vectors import vectors

_passed = vectors(LANES).passed


@njit()
def _backward(  # type: ignore[no-untyped-def]
    start,
    stop,
    near,
    own,
    other,
    vectors,
    neighbors,
    present,
    inputs,
    directions,
    bias,
    kernel,
    head,
    g_means,
    g_pulls,
    g_out,
    g_own,
    g_other,
    g_vectors,
    g_bias,
    g_kernel,
    g_head,
):
    _, edges, outputs = g_out.shape
    pulls, axes = g_pulls.shape[0] // own.shape[0], vectors.shape[2]
    features, message = np.empty(INPUTS, np.float32), np.empty((PARTS, LANES), np.float32)
    g_message = np.empty((PARTS, LANES), np.float32)
    lanes, g_products = np.empty((PRODUCTS, LANES), np.float32), np.empty(PRODUCTS, np.float32)
    one, zero = np.float32(1), splat(np.float32(0))
    of_near, of_far = splat(np.float32(1 / near)), splat(np.float32(1 / (edges - near)))
    for i in range(start, stop):
        for e in range(edges):
            if present[i, e] == 0:
                continue
            j = np.int64(neighbors[i, e])
            edge_inputs(i, e, i, j, vectors, inputs, directions, features)
            unrectified(own, i, other, j, bias, e, kernel, features, message)
            far = e >= near
            for p in range(PARTS):
                g = multiply_add(load(g_means, (2 * i + far) * PARTS + p), of_far if far else of_near, zero)
                for x in range(pulls):
                    g = multiply_add(load(g_pulls, (i * pulls + x) * PARTS + p), splat(directions[i, e, x]), g)
                for k in range(outputs):
                    g = multiply_add(load(head, k * PARTS + p), splat(g_out[i, e, k]), g)
                value = load(message, p)
                store(_passed(value, g), g_message, p)
                store(larger(value, zero), message, p)
            for k in range(outputs):
                add(message, g_out[i, e, k], g_head, k * PARTS)
            add(g_message, one, g_own, i * PARTS)
            add(g_message, one, g_other, j * PARTS)
            add(g_message, one, g_bias, e * PARTS)
            for f in range(INPUTS):
                add(g_message, features[f], g_kernel, f * PARTS)
            dots(g_message, kernel, EDGE_INPUTS * PARTS, lanes, g_products)
            for k in range(CHANNELS):
                ga, gb, gc = g_products[3 * k], g_products[3 * k + 1], g_products[3 * k + 2]
                for x in range(axes):
                    g_vectors[i, k, x] += ga * directions[i, e, x] + gc * vectors[j, k, x]
                    g_vectors[j, k, x] += gb * directions[i, e, x] + gc * vectors[i, k, x]


def forward(
    edges: Edges, near: int, pulls: bool, *tensors: NDArray[np.float32], pool: ThreadPoolExecutor
) -> tuple[NDArray[np.float32], ...]:
    """What :func:`gather_messages` gives all localizations, by the threads of a pool."""
    own, *others = tensors
    n, width = own.shape
    axes = others[1].shape[2] if pulls else 0
    shapes = (n, 2 * width), (n, axes, width), (*edges.neighbors.shape, others[-1].shape[1])
    given = tuple(np.empty(shape, np.float32) for shape in shapes)

    def run(rows: slice) -> None:
        parts = gather_messages(edges.of(rows), near, pulls, own[rows], *others, first=rows.start)
        for whole, part in zip(given, parts, strict=True):
            whole[rows] = part

    in_chunks(n, run, pool)
    return given


def backward(
    edges: Edges,
    near: int,
    given: tuple[Any, ...],
    *tensors: NDArray[np.float32],
    pool: ThreadPoolExecutor,
    threads: int,
) -> list[NDArray[Any]]:
    """Gradients by the tensors of :func:`forward`, from those by the three arrays that it gave."""
    own, other, vectors, bias, kernel, head = tensors
    arrays = in_lanes(own), in_lanes(other), np.ascontiguousarray(vectors), *edges, in_lanes(bias), in_lanes(kernel)
    n, heads = len(own), in_lanes(head.T)
    g_means, g_pulls, g_out = given
    g_given = in_lanes(g_means), in_lanes(g_pulls), np.ascontiguousarray(g_out)
    cuts = [n * p // threads for p in range(threads + 1)]

    def run(p: int) -> list[NDArray[Any]]:
        grads = [np.zeros_like(arrays[i]) for i in (0, 1, 2, 7, 8)] + [np.zeros_like(heads)]
        _backward(cuts[p], cuts[p + 1], near, *arrays, heads, *g_given, *grads)
        return grads

    total, *more = list(pool.map(run, range(threads)))
    for part in more:
        for into, values in zip(total, part, strict=True):
            into += values
    *grads, g_head = total
    shaped: list[NDArray[Any]] = [
        g.reshape(t.shape) for g, t in zip(grads, (own, other, vectors, bias, kernel), strict=True)
    ]
    shaped.append(np.ascontiguousarray(g_head.reshape(head.shape[::-1]).T))
    return shaped
