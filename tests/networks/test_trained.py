from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from caml_dask.errors import InputError, UsageError
from caml_dask.networks import NETWORKS, TrainedNetwork, card, load, spec_named
from caml_dask.networks.trained import labels_of
from caml_dask.simulate import Field, scenario_named, simulate
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest

NAMES = sorted(NETWORKS)


FIELDS = {
    (2, 2): "uniform-p20-r50-c50-d100",
    (2, 3): "fiber-f50-p30-r40-c50-d100",
    (3, 2): "slab-z150-p40-r50-c50-d300",
}
ROWS = 600


@pytest.fixture(scope="module", params=NAMES)
def network(request) -> TrainedNetwork:
    return load(request.param)


@pytest.fixture(scope="module")
def field(network: TrainedNetwork) -> Field:
    """A field like those the network was trained on."""
    name = FIELDS[network.dimensions, len(network.classes)]
    return simulate(scenario_named(name), np.random.default_rng(0))


@pytest.fixture(scope="module")
def distances(field: Field, network: TrainedNetwork) -> np.ndarray:
    return nearest(BlockIndex.build(field.points_nm), network.n_neighbors, np.arange(ROWS)).distances_nm


def test_a_classifier_is_read_once_and_says_what_it_is(network: TrainedNetwork):
    assert load(network.name) is network
    about = card(network.name)
    assert network.weights_sha256 == about["weights_sha256"]
    assert about["n_neighbors"] == network.n_neighbors
    assert tuple(about["classes"]) == network.classes


def test_scores_change_no_bit_with_order_and_batch(network: TrainedNetwork, distances: np.ndarray):
    scores = network.scores(distances)
    assert scores.dtype == np.float32
    assert scores.shape == (ROWS, len(network.score_columns))
    order = np.random.default_rng(1).permutation(len(distances))
    assert network.scores(distances[order]).tobytes() == scores[order].tobytes()
    for size in (1, 7, 250):
        batches = [network.scores(distances[i : i + size]) for i in range(0, len(distances), size)]
        assert np.concatenate(batches).tobytes() == scores.tobytes()
    assert network.scores(distances[3:]).tobytes() == scores[3:].tobytes()
    assert network.scores(np.asfortranarray(distances)).tobytes() == scores.tobytes()


def test_scores_are_scale_free(network: TrainedNetwork, distances: np.ndarray):
    scores = network.scores(distances)
    assert network.scores(distances / np.float32(128)).tobytes() == scores.tobytes()


def test_labels_tell_the_classes_apart(network: TrainedNetwork, distances: np.ndarray, field: Field):
    labels = network.labels(network.scores(distances))
    assert labels.dtype == np.int8
    assert (labels == field.classes[:ROWS]).mean() > 0.9
    assert set(labels) == set(range(len(network.classes)))


def test_a_score_of_one_half_is_not_clustered():
    scores = np.array([0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.0], np.float32)[:, None]
    assert labels_of(scores).tolist() == [0, 0, 1, 1]


def test_the_highest_of_three_scores_decides_and_the_first_of_equal_ones():
    scores = np.array([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]], np.float32)
    assert labels_of(scores).tolist() == [1, 2, 0, 1]


def test_duplicates_only_get_a_finite_score(network: TrainedNetwork):
    scores = network.scores(np.zeros((2, network.n_neighbors), np.float32))
    assert np.isfinite(scores).all()


def test_no_rows(network: TrainedNetwork):
    assert network.scores(np.empty((0, network.n_neighbors), np.float32)).shape == (
        0,
        len(network.score_columns),
    )


def test_a_missing_neighbor_never_reaches_the_network(network: TrainedNetwork, distances: np.ndarray):
    rows = distances[:5].copy()
    rows[3, -1] = np.inf
    with pytest.raises(InputError, match="finite") as caught:
        network.scores(rows)
    assert caught.value.row == 3


def test_another_window_is_refused(network: TrainedNetwork, distances: np.ndarray):
    with pytest.raises(InputError, match=rf"\(n, {network.n_neighbors}\)"):
        network.scores(distances[:, :-1])


@pytest.mark.parametrize("ask", [spec_named, card, load])
def test_an_unknown_network_lists_the_known_ones(ask):
    with pytest.raises(UsageError, match=r"'XPILJY'.*XPILJZ .dense-100., 07VEJJ"):
        ask("XPILJY")


def test_scoring_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, numpy as np\n"
        "from caml_dask.networks import NETWORKS, load\n"
        "for name in NETWORKS:\n"
        "    load(name).scores(np.ones((2, load(name).n_neighbors), np.float32).cumsum(axis=1, dtype=np.float32))\n"
        "sys.exit(' '.join(m for m in sys.modules if m.split('.')[0] in ('keras', 'tensorflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "") or done.stderr == "\n"
