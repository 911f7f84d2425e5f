from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.numpy

pytest.importorskip("tensorflow", reason="training needs the extra 'train'")
import tensorflow as tf

from caml_dask.networks.training.field import fit as loop
from caml_dask.networks.training.field.batches import draw_batch
from caml_dask.networks.training.field.fit import FieldFit, fit, step_size
from caml_dask.networks.training.field.train import train_field

SMALL = FieldFit(seed=3, steady=4, annealed=2, localizations=400, surveyed=256, draw={"most": 300})


@pytest.fixture(scope="module", autouse=True)
def untraced() -> Iterator[None]:
    """A few steps are done sooner than traced."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "KEEP_EVERY", 1)
        return folder, fit(SMALL, folder, workers=0)


def test_a_training_that_was_stopped_ends_with_the_same_weights(
    whole: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "KEEP_EVERY", 1)
    advance, steps = loop._Training.advance, []

    def dies(self: object, *arguments: object) -> object:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return advance(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            fit(SMALL, tmp_path, workers=0)
    weights = fit(SMALL, tmp_path, workers=0)
    assert len(steps) == 5
    for name, value in whole[1].items():
        np.testing.assert_allclose(weights[name], value, atol=1e-6, err_msg=name)


def test_weights_that_a_training_does_without_stay_zero(tmp_path: Path) -> None:
    found = fit(replace(SMALL, without=["other1_", "edge"]), tmp_path, workers=0)
    absent = {name for name in found if name.startswith(("other1_", "edge"))}
    assert len(absent) > 10
    assert all((found[name] != 0).any() != (name in absent) for name in found if name != "bend")


def test_a_longer_training_goes_on_before_the_annealed_end(
    whole: tuple[Path, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "KEEP_EVERY", 1)
    folder, before = whole
    fit(replace(SMALL, steady=5), folder, workers=0)
    steps = [json.loads(line)["step"] for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6, 5, 6, 7]
    again = fit(SMALL, folder, workers=0)
    for name, value in before.items():
        np.testing.assert_array_equal(again[name], value)


def test_a_batch_is_the_same_whoever_draws_it_and_says_the_truth() -> None:
    batch, again = (draw_batch(1, 5, 2_000, {"most": 800}) for _ in range(2))
    for name, value in vars(batch).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert len(batch.field) >= 2_000
    np.testing.assert_array_equal(batch.field[batch.neighbors], np.broadcast_to(batch.field[:, None], batch.same.shape))
    both = batch.clustered[:, None] * batch.clustered[batch.neighbors]
    assert (batch.same <= both).all()
    assert 0 < batch.same.sum() < both.sum()
    # neighbors of one cluster point at the same center
    steps = np.exp(batch.edges[..., 0])[..., None] * batch.directions
    apart = batch.offset[:, None] - (batch.offset[batch.neighbors] + steps)
    usual = np.abs(steps).max(axis=-1) > np.exp(-5.9)
    chosen = (batch.same > 0) & usual & (batch.edges[..., 0] < 5.9)
    assert np.abs(apart[chosen]).max() < 1e-3


def test_the_card_pins_the_weights_and_tells_what_they_reach(
    whole: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    work, weights = whole
    card = train_field(SMALL, 2, tmp_path, work, threads=1, workers=0, fields=2, command="as typed")
    assert json.loads((tmp_path / "field-2d.json").read_text()) == card
    blob = (tmp_path / "field-2d.safetensors").read_bytes()
    assert card["weights_sha256"] == hashlib.sha256(blob).hexdigest()
    for name, value in safetensors.numpy.load(blob).items():
        if not name.startswith(("heads", "bend", "decision")):  # which calibration changes
            np.testing.assert_array_equal(value, weights[name])
    assert card["weights"] == sum(array.size for array in weights.values())
    assert card["command"] == "as typed"
    assert set(card["results"]) >= {"molecules", "re-blinking", "percent_in_clusters_on_random_fields"}


def test_the_step_size_rises_falls_and_is_annealed_to_zero() -> None:
    settings = FieldFit(seed=0, steady=20_000, annealed=1_000)
    sizes = np.array([step_size(step, settings) for step in range(21_000)])
    assert (np.diff(sizes[:300]) > 0).all()
    assert (sizes[300:2_251] == loop.STEP_SIZE).all()
    assert (np.diff(sizes[2_251:]) < 0).all()
    assert sizes[4 * loop.FALLS_FROM] == pytest.approx(loop.STEP_SIZE / 2)
    assert 0 < sizes[-1] < 1e-5
    longer = replace(settings, steady=30_000)
    assert [step_size(step, longer) for step in range(20_000)] == sizes[:20_000].tolist()


def test_processes_that_draw_fields_end_with_a_trainer_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from caml_dask.networks.training.field.batches import stream\n"
        "if __name__ == '__main__':\n"
        "    drawn = stream(0, 0, 9, 100, {'most': 200}, 1)\n"
        "    next(drawn)\n"
        "    print('drawing', flush=True)\n"
        "    time.sleep(600)\n"
    )
    script = tmp_path / "trainer.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None and trainer.stdout.readline() == "drawing\n"
        drawing = [
            child for child in psutil.Process(trainer.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        trainer.kill()
    assert drawing
    _, alive = psutil.wait_procs(drawing, timeout=60)
    assert not alive
