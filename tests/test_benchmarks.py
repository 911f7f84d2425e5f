"""The benchmarks run: they must not rot."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caml_dask import read_localizations

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_memory_smoke(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "memory.py"), "--smoke", "--results", str(tmp_path / "memory.json")]
    subprocess.run(command, check=True, capture_output=True)
    measured = json.loads((tmp_path / "memory.json").read_text())["measured"]
    assert [round(m["localizations"], -4) for m in measured] == [10_000, 20_000]
    assert all(m["peak_rss_gib"] > 0.1 and m["worker_seconds_by_stage"]["classify"] > 0 for m in measured)


def test_scale_smoke_resumed_and_plotted(tmp_path):
    results = tmp_path / "scale.json"
    command = [sys.executable, str(BENCHMARKS / "scale.py"), "--smoke", "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads(results.read_text())
    assert [run["what"] for run in found["runs"]] == 2 * ["sizes"] + 2 * ["hot-spot"] + 2 * ["small-images"] + 2 * [
        "workers"
    ]
    assert all(run["peak_rss_gib"] > 0.1 and run["workers_lost"] == 0 for run in found["runs"])
    assert [run["images"] for run in found["runs"] if run["what"] == "small-images"] == [1, 3]
    assert found["runs"][-1]["computing_wall_s"] > 0
    summary = found["summary"]
    assert all(len(summary[name]) == 1 for name in summary if name.endswith("wall"))
    # What stands is kept: with one run taken away, that one alone is run again.
    results.write_text(json.dumps({**found, "runs": found["runs"][1:]}))
    subprocess.run(command, check=True, capture_output=True)
    again = json.loads(results.read_text())["runs"]
    assert again[:-1] == found["runs"][1:]
    assert again[-1]["localizations"] == found["runs"][0]["localizations"]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "plots.py"), "--results", str(tmp_path)], check=True, capture_output=True
    )
    plots = {path.name: path.stat().st_size for path in tmp_path.glob("plot_*.png")}
    assert set(plots) == {f"plot_{name}.png" for name in ("time", "memory", "stages", "ratios")}
    assert min(plots.values()) > 5_000


@pytest.mark.parametrize("hot_spot", [False, True])
def test_simulated_inputs_come_in_random_order(tmp_path, monkeypatch, hot_spot):
    spec = importlib.util.spec_from_file_location("harness", BENCHMARKS / "harness.py")
    harness = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "harness", harness)
    spec.loader.exec_module(harness)
    monkeypatch.setattr(harness, "_BUCKET_ROWS", 3000)
    n = harness.write_square(tmp_path / "square.csv", 10_000, hot_spot=hot_spot)
    points = read_localizations(tmp_path / "square.csv")
    assert len(points) == n == pytest.approx(10_000, rel=0.05)
    xy = np.column_stack([points["x_nm"].to_numpy(), points["y_nm"].to_numpy()])
    side = np.ptp(xy, axis=0).max()
    middle = (np.abs(xy - (xy.max(axis=0) + xy.min(axis=0)) / 2) < 0.052 * side).all(axis=1)
    assert middle.mean() == pytest.approx(0.5 if hot_spot else 0.01, abs=0.03)
    # a tenth of the rows spans the field, and holds its share of the hot spot
    first = slice(0, n // 10)
    assert np.ptp(xy[first], axis=0).min() > 0.9 * side
    assert middle[first].mean() == pytest.approx(middle.mean(), abs=0.06)
    assert [path.name for path in tmp_path.iterdir()] == ["square.csv"]


def test_driver_smoke(tmp_path):
    """All units are done once; what stands is not measured again."""
    results = tmp_path / "driver.json"
    command = [sys.executable, str(BENCHMARKS / "driver.py"), "--smoke", "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True)
    cases = json.loads(results.read_text())["cases"]
    assert [case["what"] for case in cases] == ["images", "tiles", "begin"]
    assert cases[0]["units"] == 40 and cases[1]["units"] > 6 * 20
    again = subprocess.run(command, check=True, capture_output=True)
    assert again.stdout == b"" and json.loads(results.read_text())["cases"] == cases


def test_dbscan_scale_smoke(tmp_path):
    """All programs find as many clusters and as much noise."""
    results = tmp_path / "dbscan.json"
    command = [sys.executable, str(BENCHMARKS / "dbscan_scale.py"), "--smoke", "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True)
    measured = json.loads(results.read_text())["measured"]
    assert len(measured) == 8
    for hot_spot in (False, True):
        found = {(one["clusters"], one["noise"]) for one in measured if one["hot_spot"] == hot_spot}
        assert len(found) == 1


def test_speed_smoke(tmp_path):
    """Both sides of each pair agree; how fast they are is not tested."""
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--smoke", "--results", str(tmp_path / "speed.json")]
    subprocess.run(command, check=True, capture_output=True)
    measured = json.loads((tmp_path / "speed.json").read_text())["measured"]
    assert len(measured) == 17
    assert all(m["ratio"] > 0 for m in measured)
    assert sum(m["wanted"] is not None for m in measured) == 9


def test_comparison_smoke(tmp_path):
    """Two commands make all that stands in the folder of their results; called again, one reads what it made."""
    folder = tmp_path / "labelled" / "squares"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(2):
        centers = np.repeat(rng.uniform(200, 1800, (8, 2)), 15, axis=0)
        table = np.vstack([centers + rng.normal(0, 15, centers.shape), rng.uniform(0, 2000, (80, 2))])
        index = np.append(np.repeat(np.arange(1, 9), 15), np.zeros(80))
        pd.DataFrame({"x": table[:, 0], "y": table[:, 1], "index": index}).to_csv(folder / f"{k}.csv", index=False)
    out = tmp_path / "out"
    where = ["--smoke", "--work", str(tmp_path / "work"), "--out", str(out), "--workers", "0"]
    command = [sys.executable, str(BENCHMARKS / "accuracy.py"), *where, "--labelled", str(folder.parent)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([sys.executable, str(BENCHMARKS / "rivals.py"), *where], check=True, capture_output=True)
    made = {path.name for path in out.iterdir()}
    assert {path.name for path in (BENCHMARKS / "results" / "rivals").iterdir()} <= made
    chosen = pd.read_parquet(out / "accuracy.parquet")
    assert chosen["method"].nunique() == 11
    tuned = chosen[chosen["choice"].isin(["field", "folder"])].pivot_table("ari", ["method", "group"], "choice")
    assert len(tuned) == 6 * 2
    assert (tuned["field"] >= tuned["folder"]).all()
    assert tuned.loc["DBSCAN"].to_numpy().min() > 0.7
    searched = pd.read_parquet(out / "searched.parquet").query("candidate > 0 and group == 'squares'")
    for row in chosen[(chosen["choice"] == "others")].itertuples():
        ari = searched[searched["method"] == row.method].pivot(index="candidate", columns="field", values="ari")
        elsewhere = ari.drop(columns=row.field)
        assert row.ari == ari.loc[elsewhere.squeeze().idxmax(), row.field], "a table was tuned on itself"
    assert (chosen["choice"] == "others").sum() == 6 * 2
    left_out = chosen[chosen["reason"] != ""]
    assert set(left_out["method"]) == {"CAML 87B144"}, "a network of 1,000 neighbors needs larger fields"
    times = pd.read_csv(out / "times.csv")
    assert len(times) == 9
    assert (times["status"] == "done").all()
    assert (times.loc[times["scenario"] != "csr-d1000", "ari"] > 0.7).all()
    assert (out / "times.png").stat().st_size > 1000
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "33 of 33 parts are there already" in again.stdout
    assert pd.read_parquet(out / "accuracy.parquet").equals(chosen)


def test_merging_smoke(tmp_path):
    """Molecules that return are merged, and clusters of what is merged are counted."""
    folder = tmp_path / "known" / "apart"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    molecule = np.repeat(np.arange(150), 4)
    frame = rng.integers(0, 5_000, 150)[molecule] + np.tile([0, 2, 5, 9], 150)
    xy = rng.uniform(0, 4_000, (150, 2))[molecule] + rng.normal(0, 8, (600, 2))
    table = pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], "frame": frame, "molecule": molecule})
    table.to_csv(folder / "1.csv", index=False)
    table.assign(uncertainty=8.0).drop(columns="molecule").to_csv(tmp_path / "real.csv", index=False)
    where = ["--known", str(folder.parent), "--fields", "1", "--results", str(tmp_path / "merging.json")]
    where += ["--real", str(tmp_path / "real.csv")]
    subprocess.run([sys.executable, str(BENCHMARKS / "merging.py"), "--smoke", *where], check=True, capture_output=True)
    found = json.loads((tmp_path / "merging.json").read_text())
    rules = {row["choice"]: row for row in found["molecules"]}
    assert set(rules) == {"auto", "published", "best"}
    assert rules["auto"]["ari"] > 0.9 and rules["auto"]["counted"] == pytest.approx(1, abs=0.1)
    in_space = {row["choice"]: row for row in found["volumes"]}
    assert in_space["auto"]["ari"] > in_space["best"]["ari"] and in_space["auto"]["counted"] == pytest.approx(
        1, abs=0.1
    )
    clusters = {row["of"]: row["ari"] for row in found["clusters"] if row["network"] == "XPILJZ"}
    assert clusters["true molecules"] > clusters["detections"]
    before, after = found["real"]
    assert (before["merge"], before["localizations"], after["merge"]) == (None, 600, "auto")
    assert after["localizations"] == pytest.approx(150, rel=0.1)
    assert after["detections_per_molecule"] == pytest.approx(4, rel=0.1)
    assert after["precision_times_stated"] == pytest.approx(1, rel=0.2)


def test_reading_smoke(tmp_path):
    """Two tables that an independent reader reads alike, and one whose name it does not know."""
    (tmp_path / "real").mkdir()
    (tmp_path / "roi").mkdir()
    (tmp_path / "real" / "dstorm_membrane_1.csv").write_text(
        '"id","frame","x [nm]","y [nm]"\n1,1,7.5,8\n2,3,0.25,900.1\n'
    )
    header = '<field identifier="{}" unit="{}" />'
    fields = header.format("Position-0-0", "nanometer") + header.format("Position-1-0", "nanometer")
    fields += header.format("ImageNumber-0-0", "frame")
    text = f"# <localizations>{fields}</localizations>\n1.5 2.5 0\n700 4.25 9\n3 3 9\n"
    (tmp_path / "roi" / "rapidSTORM_1.txt").write_text(text)
    command = [sys.executable, str(BENCHMARKS / "reading.py"), "--samples", str(tmp_path), "--results"]
    subprocess.run([*command, str(tmp_path / "reading.csv")], check=True, capture_output=True)
    with (tmp_path / "reading.csv").open(newline="") as file:
        one, other = csv.DictReader(file)
    assert (one["rows"], one["equal"], one["x_low_nm"], one["y_high_nm"]) == ("2", "True", "0.25", "900.1")
    assert (other["format"], other["rows"], other["x_high_nm"]) == ("rapidSTORM", "3", "700.0")
    (tmp_path / "roi" / "unknown.txt").write_text(text)
    done = subprocess.run([*command, str(tmp_path / "again.csv")], capture_output=True, text=True)
    assert done.returncode == 1 and "add one to INDEPENDENT" in done.stderr


def test_randomness_smoke(tmp_path):
    """Noise is not beyond randomness, and clusters among it are."""
    few = ["--fields", "1", "--largest", "400", "--results", str(tmp_path / "randomness.json")]
    subprocess.run([sys.executable, str(BENCHMARKS / "randomness.py"), *few], check=True, capture_output=True)
    found = json.loads((tmp_path / "randomness.json").read_text())
    assert len(found["noise"]) == 8 and {row["localizations"] for row in found["noise"]} == {400}
    assert found["power"][-1] == {"network": "field-2d", "contrast": 20.0, "found": 1.0}
    assert [row["stated"] for row in found["rates"][:2]] == [0.01, 0.05]


def test_drift_smoke(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "drift_correction.py"), "--sizes", "2e4", "--results"]
    subprocess.run([*command, str(tmp_path / "drift.json")], check=True, capture_output=True)
    rows = json.loads((tmp_path / "drift.json").read_text())
    assert [(row["structure"], row["method"]) for row in rows[:2]] == [("rings", "aim"), ("rings", "rcc")]
    assert len(rows) == 8 and max(rows[0]["rmse_nm"]) < 3


def test_channels_smoke(tmp_path):
    """Shifts are found, and what lies together is found together."""
    command = [sys.executable, str(BENCHMARKS / "channels.py"), "--smoke", "--results", str(tmp_path / "channels.json")]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "channels.json").read_text())
    assert len(found["independent"]) == 2 * 17 and len(found["truth"]) == 6 * 3
    apart, together = found["truth"][0], found["truth"][-1]
    assert together["shift_error_nm"] < 10 and together["clusters_share_b"] > 0.9 > 0.2 > apart["clusters_share_b"]


def test_intervals_smoke(tmp_path):
    """Intervals hold areas, and corrected areas are nearer to the true ones than raw ones."""
    few = ["--clusters", "20", "--others", "60", "--resamples", "20", "--results", str(tmp_path / "intervals.json")]
    subprocess.run([sys.executable, str(BENCHMARKS / "intervals.py"), *few], check=True, capture_output=True)
    found = pd.read_json(tmp_path / "intervals.json")
    assert len(found) == 9 and found["covered"].mean() > 0.7
    large = found[found["members"] == 100]
    assert ((large["corrected / true, 20 nm"] - 1).abs() < (large["raw / true, 20 nm"] - 1).abs()).all()


def test_tcell_smoke(tmp_path):
    """The cohort is simulated, analysed, compared and told of; a second call takes what stands."""
    where = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "tcell.json")]
    command = [sys.executable, str(BENCHMARKS / "tcell.py"), "--smoke", *where]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "tcell.json").read_text())
    assert (found["about"]["images"], found["about"]["failed"]) == (8 * 3, 0)
    assert len(found["medians"]) == 8 * 4
    for row in found["medians"]:
        assert row["median_of_images"]["median"] == pytest.approx(row["wanted"], rel=0.6), row
    assert len(found["contrasts"]) == 2 * 2 * 4
    assert "Kruskal-Wallis" in (tmp_path / "work" / "results" / "report.html").read_text()
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "of 24 images done" not in again.stdout and json.loads((tmp_path / "tcell.json").read_text()) == found


def test_screening_smoke(tmp_path):
    """Six images broken in six ways are named; nothing new is done by a second call, and one image by a third."""
    command = [
        sys.executable,
        str(BENCHMARKS / "screening.py"),
        "--smoke",
        "--results",
        str(tmp_path / "screening.json"),
        "--workers",
        "0",
    ]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "screening.json").read_text())
    assert (found["images"], found["analysed"], found["first_call"]["exit_code"]) == (20, 14, 3)
    assert len({image["broken"] for image in found["failed"].values()} - {None}) == 6
    assert found["result_files_changed_by_second_call"] == 0 and found["result_files"] > 14 * 5
    assert found["redone"] == ["0021_control_00"]
    assert found["result_files_changed_by_third_call"] == ["images.csv", "summary.json"]


def test_variants_smoke(tmp_path):
    where = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "variants.csv"), "--workers", "0"]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "variants.py"), "--smoke", *where], check=True, capture_output=True
    )
    rows = list(csv.DictReader((tmp_path / "variants.csv").open()))
    assert [(row["variant"], row["window"]) for row in rows] == [
        ("XPILJZ", "100"), ("XPILJZ-w50", "50"), ("XPILJZ-xy", "100")
    ]  # fmt: skip
    assert all(0 < float(row["accuracy"]) <= 1 for row in rows)


def test_ablations_leave_out_weights_that_there_are(tmp_path, monkeypatch):
    model = pytest.importorskip("caml_dask.networks.training.field.model", reason="needs the extra 'train'")
    names = list(model.initial_weights(0))
    spec = importlib.util.spec_from_file_location("ablations", BENCHMARKS / "ablations.py")
    ablations = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ablations", ablations)
    spec.loader.exec_module(ablations)
    for variant in ablations.VARIANTS.values():
        assert all(any(name.startswith(absent) for name in names) for absent in variant.without)
    monkeypatch.setattr(ablations, "SURVEYED", 256)
    found = ablations.row("half the data", tmp_path, steps=4, fields=1, threads=1)
    assert found["steps"] == 2 and 0 < found["re-blinking"]["accuracy"] < 1


def test_a_field_that_deserves_a_warning_earns_it(monkeypatch):
    spec = importlib.util.spec_from_file_location("warned_of", BENCHMARKS / "warned_of.py")
    warned_of = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "warned_of", warned_of)
    spec.loader.exec_module(warned_of)
    for kind in ("rows-left-out", "empty-region"):
        assert warned_of.warned((kind, 1, 0)).count(kind) == 1


def test_following_smoke(tmp_path):
    """What appears and vanishes in a film is found, and outlines that must overlap too much lose clusters."""
    command = [sys.executable, str(BENCHMARKS / "following.py"), "--smoke", "--results", str(tmp_path / "found.json")]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["by_density"]) == 2 * 2 and len(found["by_overlap"]) == 3 * 6
    for row in found["by_density"]:
        assert row["events"]["appear"]["found"] >= 0.9 * row["events"]["appear"]["true"] > 0
        assert row["median_lifetime_to_true"] == pytest.approx(1, abs=0.1)
    kept = {row["least_overlap"]: row["discs_in_one_track"] for row in found["by_overlap"] if row["film"] == "fast"}
    assert kept[0.3] > kept[0.6] and found["seconds"]["windows"] == 5
