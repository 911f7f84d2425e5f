"""Field networks that ship, and those in folders of their users."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from support import simulated_table

from caml_dask import CAML, analyze
from caml_dask.cli import main
from caml_dask.errors import UsageError, WeightsError
from caml_dask.networks.field.architecture import BENDS, DECISIONS, weight_shapes
from caml_dask.networks.field.trained import is_field_network, load_field_network

SHIPPED = Path(str(files("caml_dask.networks.field") / "weights"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder as `caml-dask train-field` writes it, with weights a little different from those that ship."""
    folder = tmp_path / "own"
    folder.mkdir()
    arrays = safetensors.numpy.load((SHIPPED / "field-2d.safetensors").read_bytes())
    keep(folder, {name: array * np.float32(1.001) for name, array in arrays.items()})
    return folder


def keep(folder: Path, arrays: dict[str, np.ndarray], **changes: object) -> None:
    blob = safetensors.numpy.save(arrays)
    card = json.loads((SHIPPED / "field-2d.json").read_text())
    card |= {"weights_sha256": hashlib.sha256(blob).hexdigest(), **changes}
    (folder / "field-2d.safetensors").write_bytes(blob)
    (folder / "field-2d.json").write_text(json.dumps(card))


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load((folder / "field-2d.safetensors").read_bytes())


@pytest.mark.parametrize(("name", "axes"), [("field-2d", 2), ("field-3d", 3), ("field-2d-fibers", 2)])
def test_the_weights_that_ship_are_those_of_the_card_and_the_architecture(name: str, axes: int) -> None:
    network = load_field_network(name)
    assert network.dimensions == axes == network.card["dimensions"]
    assert network.card["weights"] == sum(array.size for array in network.weights.values())
    assert {name: array.shape for name, array in network.weights.items()} == weight_shapes(network.fibers)


def test_the_network_that_tells_fibers_is_the_other_one_with_two_layers_more() -> None:
    two, three = load_field_network("field-2d"), load_field_network("field-2d-fibers")
    assert three.card["fibers"]["on"] == two.identity
    assert all(np.array_equal(three.weights[name], array) for name, array in two.weights.items())
    assert set(three.weights) - set(two.weights) == {f"fiber{i}_{part}" for i in (1, 2) for part in ("kernel", "bias")}


def test_training_draws_the_weights_of_the_architecture() -> None:
    model = pytest.importorskip("caml_dask.networks.training.field.model", reason="needs the extra 'train'")
    drawn = {name: array.shape for name, array in model.initial_weights(0).items()}
    assert {**drawn, "bend": (BENDS,), "decision": (DECISIONS,)} == weight_shapes()


def test_a_network_of_ones_own_runs_from_its_folder_and_is_known_by_its_digests(own: Path, tmp_path: Path) -> None:
    table = simulated_table(tmp_path / "cell.csv", side_nm=3_000)
    shipped = analyze(table, "field-2d", test=False).points["p_clustered"]
    mine = analyze(table, own, test=False).points["p_clustered"]
    assert 0 < np.abs(mine - shipped).max() < 0.2
    with pytest.raises(SystemExit) as ended:
        main(["run", str(table), "-n", str(own), "-o", str(tmp_path / "out"), "-j", "0", "--no-test"])
    assert ended.value.code == 0
    manifest = json.loads((tmp_path / "out" / ".run" / "manifest.json").read_text())
    card = own / "field-2d.json"
    assert manifest["network"] == {
        "name": "field-2d",
        "weights_sha256": json.loads(card.read_text())["weights_sha256"],
        "card_sha256": hashlib.sha256(card.read_bytes()).hexdigest(),
    }
    assert is_field_network(str(card)) and not is_field_network(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda own: (own / "field-2d.json").write_text("{"), "are no field network"),
        (lambda own: (own / "field-2d.json").write_text("{}"), "are no field network"),
        (lambda own: (own / "field-2d.safetensors").unlink(), "cannot be read"),
        (lambda own: (own / "field-2d.safetensors").write_bytes(b"0" * 300), "have SHA-256"),
        (lambda own: (own / "field-2d.safetensors").write_bytes(b"0" * 3_000_000), "holds more than"),
        (lambda own: keep(own, arrays_of(own), dimensions=3), "of 3 axes"),
        (lambda own: keep(own, {n: a[:1] for n, a in arrays_of(own).items()}), "not those of this version"),
        (lambda own: keep(own, {n: a * np.nan for n, a in arrays_of(own).items()}), "not finite"),
    ],
)
def test_what_is_no_field_network_is_named(own: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(own)
    with pytest.raises(WeightsError, match=words) as refused:
        CAML(network=own).fit(np.random.default_rng(0).uniform(0, 1_000, (50, 2)))
    assert "train it again" in str(refused.value)


def test_a_folder_that_is_gone_is_named(own: Path) -> None:
    shutil.rmtree(own)
    with pytest.raises(UsageError, match="does not exist"):
        CAML(network=own).fit(np.random.default_rng(0).uniform(0, 1_000, (50, 2)))
