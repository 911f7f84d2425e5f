from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS, WIDTH
from caml_dask.networks.field.messages import Edges
from caml_dask.networks.training.field.gradient import backward, forward

N, E, NEAR = 50, 16, 8
TENSORS = ("own", "other", "vectors", "bias", "kernel", "head")


def drawn(axes: int, heads: int) -> tuple[Edges, list[np.ndarray]]:
    rng = np.random.default_rng(axes)
    neighbors = rng.integers(0, N, (N, E)).astype(np.int32)
    present = (rng.random((N, E)) < 0.8).astype(np.float32)
    edges = Edges(neighbors, present, *(rng.normal(size=(N, E, c)).astype(np.float32) for c in (EDGE_INPUTS, axes)))
    features = EDGE_INPUTS + 3 * CHANNELS
    shapes = (N, WIDTH), (N, WIDTH), (N, CHANNELS, axes), (E, WIDTH), (features, WIDTH), (WIDTH, heads)
    return edges, [rng.normal(scale=0.3, size=shape).astype(np.float32) for shape in shapes]


def by_hand(edges: Edges, *tensors: np.ndarray) -> list[np.ndarray]:
    """A round in float64, as the module's docstring states it."""
    own, other, vectors, bias, kernel, head = tensors
    there, unit = vectors[edges.neighbors], edges.directions[:, :, None].astype(float)
    products = [(vectors[:, None] * unit).sum(-1), (there * unit).sum(-1), (vectors[:, None] * there).sum(-1)]
    inputs = np.concatenate([edges.inputs, np.stack(products, -1).reshape(N, E, -1)], -1)
    messages = np.maximum(own[:, None] + other[edges.neighbors] + bias + inputs @ kernel, 0) * edges.present[..., None]
    means = np.concatenate([messages[:, :NEAR].mean(1), messages[:, NEAR:].mean(1)], 1)
    return [means, np.einsum("ned,new->ndw", edges.directions, messages), messages @ head]


@pytest.mark.parametrize(("axes", "heads"), [(2, 0), (2, 2), (3, 2)])
def test_a_round_and_its_gradient_are_those_of_the_formula(axes: int, heads: int) -> None:
    edges, tensors = drawn(axes, heads)
    exact = [tensor.astype(np.float64) for tensor in tensors]
    rng = np.random.default_rng(9)
    with ThreadPoolExecutor(3) as pool:
        given = forward(edges, NEAR, True, *tensors, pool=pool)
        for got, wanted in zip(given, by_hand(edges, *exact), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)
        by = tuple(rng.normal(size=array.shape).astype(np.float32) for array in given)
        gradients = backward(edges, NEAR, by, *tensors, pool=pool, threads=3)

    def loss(values: list[np.ndarray]) -> float:
        return sum(float((array * g).sum()) for array, g in zip(by_hand(edges, *values), by, strict=True))

    for i, name in enumerate(TENSORS):
        for _ in range(4 * (tensors[i].size > 0)):
            at = tuple(rng.integers(0, size) for size in tensors[i].shape)
            moved = [[array.copy() for array in exact] for _ in range(2)]
            moved[0][i][at] += 1e-6
            moved[1][i][at] -= 1e-6
            wanted = (loss(moved[0]) - loss(moved[1])) / 2e-6
            assert gradients[i][at] == pytest.approx(wanted, rel=1e-3, abs=1e-3), name
