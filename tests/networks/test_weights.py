from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from caml_dask.errors import CamlError, WeightsError
from caml_dask.networks import NETWORKS, card, load_weights, spec_named
from caml_dask.networks.cards import weights_folder
from caml_dask.networks.catalogue import catalogue, readable

NAME = "XPILJZ"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped weights and card, to be tampered with."""
    for suffix in ("safetensors", "json"):
        (tmp_path / f"{NAME}.{suffix}").write_bytes((weights_folder() / f"{NAME}.{suffix}").read_bytes())
    return tmp_path


def pin(folder: Path, blob: bytes) -> None:
    """Write other weights under a card that pins them."""
    (folder / f"{NAME}.safetensors").write_bytes(blob)
    about = card(folder) | {"weights_sha256": hashlib.sha256(blob).hexdigest()}
    (folder / f"{NAME}.json").write_text(json.dumps(about))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_ships_with_weights_and_a_card_that_agree(name: str):
    arrays, about, entry = load_weights(name), card(name), spec_named(name)
    assert {key: list(array.shape) for key, array in arrays.items()} == about["weights"]
    assert about["input_form"] == entry.input_form
    assert about["dimensions"] == entry.dimensions
    assert about["command"].startswith(f"caml-dask train {name}")
    assert about["training"]["samples"] == {"train": 500_000, "validation": 100_000, "test": 100_000}


PUBLISHED = {
    "XPILJZ": {"accuracy": 0.920, "f1": 0.9199, "precision": 0.9204, "recall": 0.9199},
    "07VEJJ": {"accuracy": 0.924, "f1": 0.9243, "precision": 0.9245, "recall": 0.9243},
    "87B144": {"accuracy": 0.940, "f1": 0.9398, "precision": 0.9420, "recall": 0.9399},
}
# What ships must not fall behind its card; these two stay below the 97.5 and 95 % aimed at.
REACHED = {"GAXJPR": {"accuracy": 0.949}, "3TXKFS": {"recall": 0.919}}
SIZES = {"XPILJZ": 3_265, "07VEJJ": 23_489, "87B144": 80_833, "GAXJPR": 32_065, "3TXKFS": 162_675}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_has_its_size_and_its_figures(name: str):
    assert sum(array.size for array in load_weights(name).values()) == SIZES[name]
    test = card(name)["results"]["test"]
    for measure, least in (PUBLISHED | REACHED)[name].items():
        assert test[measure] >= least
    for density, accuracy in test["mixed_fields"]["balanced_accuracy_by_density_per_um2"].items():
        assert accuracy > {"10": 0.845, "50": 0.892}.get(density, 0.90)


def test_the_window_of_100_calls_little_of_csr_clustered():
    for name, most in (("XPILJZ", 12), ("07VEJJ", 12)):
        assert max(card(name)["results"]["csr_percent_called_clustered_by_density_per_um2"].values()) < most


def test_a_longer_window_and_more_layers_are_more_accurate():
    accuracy = [card(name)["results"]["test"]["accuracy"] for name in ("XPILJZ", "07VEJJ", "87B144")]
    assert accuracy == sorted(accuracy)


def test_an_untouched_copy_is_taken(folder: Path):
    assert load_weights(folder).keys() == load_weights(NAME).keys()


def test_one_flipped_bit_is_found_before_parsing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def parse(blob: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(safetensors.numpy, "load", parse)
    at = folder / f"{NAME}.safetensors"
    blob = at.read_bytes()
    for place in (0, 9, len(blob) // 2, len(blob) - 1):
        for bit in (0, 7):
            altered = bytearray(blob)
            altered[place] ^= 1 << bit
            at.write_bytes(altered)
            with pytest.raises(WeightsError, match="SHA-256"):
                load_weights(folder)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_truncated_weights_are_refused(folder: Path, length: int):
    at = folder / f"{NAME}.safetensors"
    at.write_bytes(at.read_bytes()[:length])
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(folder)


def test_pinned_bytes_that_are_no_safetensors_are_refused(folder: Path):
    pin(folder, b"no weights")
    with pytest.raises(WeightsError, match="safetensors"):
        load_weights(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays | {"output_kernel": arrays["output_kernel"][:-1].copy()},
        lambda arrays: arrays | {"hidden_kernel": arrays["hidden_kernel"].T.copy()},
        lambda arrays: arrays | {"hidden_bias": arrays["hidden_bias"].astype(np.float64)},
        lambda arrays: arrays | {"extra": np.zeros(1, np.float32)},
        lambda arrays: {key: array for key, array in arrays.items() if key != "output_bias"},
    ],
)
def test_arrays_of_another_shape_type_or_name_are_refused(folder: Path, change):
    pin(folder, safetensors.numpy.save(change(load_weights(NAME))))
    with pytest.raises(WeightsError, match="wanted"):
        load_weights(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(folder: Path, value: float):
    arrays = {key: array.copy() for key, array in load_weights(NAME).items()}
    arrays["output_kernel"][17] = value
    pin(folder, safetensors.numpy.save(arrays))
    with pytest.raises(WeightsError, match="non-finite values in output_kernel"):
        load_weights(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "XPILJZ"}', '{"name": "other", "weights_sha256": "0"}'])
def test_a_card_that_pins_nothing_is_refused(folder: Path, text: str):
    (folder / f"{NAME}.json").write_text(text)
    with pytest.raises(WeightsError, match="XPILJZ.json is no card"):
        load_weights(folder)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_missing_file_is_named(folder: Path, suffix: str):
    (folder / f"{NAME}.{suffix}").unlink()
    with pytest.raises(CamlError, match=f"{NAME}.{suffix}"):
        load_weights(folder / f"{NAME}.json")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_card_reads_as_text(name: str):
    text, about = readable(name), card(name)
    for said in (about["weights_sha256"], about["command"], f"{100 * about['results']['test']['accuracy']:.2f} %"):
        assert said in text
    assert spec_named(name).fails in text
    assert f"{name} ({spec_named(name).alias}): {spec_named(name).dimensions}D" in catalogue()
