"""Fibers told from round clusters: two layers that are added to a field network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'train'")

from click.testing import CliRunner

from caml_dask.cli import main
from caml_dask.networks.field.trained import load_field_network
from caml_dask.networks.training.field import fibers


def trained(folder: Path, workers: int) -> dict[str, np.ndarray]:
    network = load_field_network("field-2d")
    fibers.train_fibers(network, 5, 6, folder, workers=workers, command="as the test does")
    return dict(load_field_network(str(folder)).weights)


def test_what_is_learned_is_the_same_for_any_number_of_workers_and_leaves_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fibers, "EPOCHS", 3)
    one, two = trained(tmp_path / "one", 0), trained(tmp_path / "two", 2)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    known = load_field_network("field-2d")
    assert all(np.array_equal(one[name], array) for name, array in known.weights.items())
    about = json.loads((tmp_path / "one" / "field-2d-fibers.json").read_text())["fibers"]
    assert about["on"] == known.identity
    assert about["results"]["fields"] == 2
    assert about["results"]["macro_recall"] > 1 / 3


@pytest.mark.parametrize("network", ["field-3d", "field-2d-fibers"])
def test_what_cannot_be_added_to_is_refused(network: str, tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["train-fibers", "-o", str(tmp_path), "--network", network])
    assert told.exit_code == 2
    assert "give a field network in 2D that tells two classes" in told.output
