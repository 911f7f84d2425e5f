"""`caml-dask evaluate` from end to end: files, columns, equal bytes, going on where it was; figures of all networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from caml_dask.cli import main
from caml_dask.evaluation import clusters, labelled, labels, parts, protocol
from caml_dask.evaluation.charts import common_limits
from caml_dask.evaluation.figures import draw_figures
from caml_dask.evaluation.parts import KEYS, parts_of, tasks_of, write_csv
from caml_dask.evaluation.protocol import Protocol, described
from caml_dask.evaluation.summaries import account, summarised
from caml_dask.networks import NETWORKS
from caml_dask.simulate import scenario_named, simulate_square

LARGEST_PNG = 150_000


def evaluate(out: Path, *options: object) -> str:
    result = CliRunner().invoke(main, ["evaluate", "--out", str(out), "--workers", "0", *map(str, options)])
    assert result.exit_code == 0, result.output
    return result.output


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".run" not in path.parts
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    """A folder of folders: one labelled table, one too small, one without truth."""
    root = tmp_path_factory.mktemp("labelled")
    square = next(simulate_square(scenario_named("uniform-p20-r50-c50-d100"), 3_000.0, np.random.default_rng(1)))
    rows = np.column_stack([square.xy_nm, square.truth])
    for folder, some in (("squares", rows), ("small", rows[:50])):
        (root / folder).mkdir()
        np.savetxt(root / folder / "1.csv", some, delimiter=",")
    (root / "real").mkdir()
    (root / "real" / "1.csv").write_text("x,y,frame\n1,2,3\n")
    return root


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, tables) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("smoke") / "out"
    return out, evaluate(out, "XPILJZ", "--smoke", "--labelled", tables)


def test_a_smoke_run_leaves_records_tables_and_figures(smoke):
    out, said = smoke
    assert "balanced accuracy" in said and "XPILJZ   evaluation" in said and "Called clustered where" in said
    for kind, columns in parts.COLUMNS.items():
        frame = pd.read_csv(out / "records" / f"{kind}.csv")
        assert tuple(frame.columns) == columns
        assert frame.equals(frame.sort_values(list(KEYS[kind]), ignore_index=True))
    records = pd.read_csv(out / "records" / "labels.csv")
    assert set(records["grid"]) == set(protocol.IN_THE_PLANE)
    assert records["balanced_accuracy"].between(0, 1).all() and (records["n"] == protocol.SMOKE_SAMPLES).all()
    assert records["contrast"].notna().any()
    made = {path.stem for path in (out / "tables").iterdir()}
    assert made >= {"accuracy_by_density", "calibration", "csr", "clusters", "fragments", "labelled_by_folder"}
    by_grid = pd.read_csv(out / "tables" / "accuracy_by_grid.csv").set_index("grid")
    mine = records[records["grid"] == "lines"]["balanced_accuracy"]
    assert by_grid.loc["lines", "balanced_accuracy"] == pytest.approx(mine.mean(), abs=1e-7)
    assert by_grid.loc["lines", "fields"] == len(mine) and "csr" not in by_grid.index
    about = json.loads((out / "evaluation.json").read_text())
    assert list(about["networks"]) == ["XPILJZ"] and about["smoke"] is True


def test_what_is_left_out_is_named(smoke):
    left_out = pd.read_csv(smoke[0] / "tables" / "left_out.csv")
    assert set(left_out["group"]) == {"small", "real"}
    reason = left_out.set_index("group")["reason"]
    assert "needs 101 localizations; the table has 50" in reason["small"] and reason["real"] == labelled.NO_TRUTH


def test_figures_are_pngs_of_a_sane_size(smoke):
    figures = sorted((smoke[0] / "figures").iterdir())
    assert len(figures) >= 8
    for path in figures:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 250 and max(image.size) < 2_500, path.name
            assert np.asarray(image.convert("L")).std() > 5, path.name
        assert path.stat().st_size < LARGEST_PNG, path.name


def test_a_second_run_scores_nothing_and_changes_no_byte(smoke, tables, monkeypatch):
    out, _ = smoke
    before = contents(out)

    def forbidden(task):
        raise AssertionError(task)

    monkeypatch.setattr("caml_dask.evaluation.run.perform", forbidden)
    said = evaluate(out, "XPILJZ", "--smoke", "--labelled", tables)
    assert contents(out) == before and "parts were there already" in said


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(smoke, tables, tmp_path, monkeypatch):
    whole = contents(smoke[0])
    real, done = parts.perform, []

    def dies(task):
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append((task.kind, task.group, task.item))
        return real(task)

    arguments = ["evaluate", "XPILJZ", "--out", str(tmp_path / "out"), "--smoke", "--labelled", str(tables)]
    monkeypatch.setattr("caml_dask.evaluation.run.perform", dies)
    assert CliRunner().invoke(main, [*arguments, "--workers", "0"]).exit_code == 130
    kept = {path.name for path in (tmp_path / "out" / "parts").iterdir()}
    assert 0 < len(kept) < len([name for name in whole if name.startswith("parts/")])
    finished = {f"{kind}-XPILJZ-{group}" for kind, group, _ in done}
    again = []
    monkeypatch.setattr("caml_dask.evaluation.run.perform", lambda task: again.append(task) or real(task))
    evaluate(tmp_path / "out", "XPILJZ", "--smoke", "--labelled", tables)
    assert contents(tmp_path / "out") == whole
    redone = {f"{task.kind}-XPILJZ-{task.group}" for task in again}
    assert not any(name.startswith(f"{part}-") for name in kept for part in redone) and len(finished & redone) <= 1


def test_grids_are_chosen_and_other_numbers_are_other_parts(tmp_path):
    evaluate(tmp_path / "out", "XPILJZ", "--smoke", "--grids", "csr,lines", "--replicates", 1)
    first = {path.name for path in (tmp_path / "out" / "parts").iterdir()}
    assert {name.rsplit("-", 1)[0] for name in first} == {"labels-XPILJZ-csr", "labels-XPILJZ-lines"}
    evaluate(tmp_path / "out", "XPILJZ", "--smoke", "--grids", "csr", "--replicates", 1, "--seed", 4)
    assert len({path.name for path in (tmp_path / "out" / "parts").iterdir()} - first) == 1
    assert not (tmp_path / "out" / "tables" / "accuracy_by_grid.csv").exists()  # that of the first call is gone
    assert set(pd.read_csv(tmp_path / "out" / "records" / "labels.csv")["grid"]) == {"csr"}


def test_workers_change_no_byte(tmp_path):
    for workers in (0, 1):
        options = ["XPILJZ", "--smoke", "--grids", "large,csr", "--replicates", 1, "--workers", workers]
        evaluate(tmp_path / str(workers), *options)
    assert contents(tmp_path / "0") == contents(tmp_path / "1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["GPT"], "unknown network 'GPT'"),
        (["XPILJZ", "--grids", "moon"], "no grid 'moon' to evaluate: use one of densities"),
        (["XPILJZ", "--grids", "slabs"], "none of the grids slabs fits XPILJZ"),
        (["XPILJZ", "--samples", "0"], "at least one sample"),
        (["XPILJZ", "--labelled", "absent"], "absent is no folder"),
    ],
)
def test_what_cannot_be_evaluated_says_what_to_do(tmp_path, options, said):
    result = CliRunner().invoke(main, ["evaluate", *options, "--out", str(tmp_path / "out"), "--workers", "0"])
    assert result.exit_code == 2 and said in result.output, result.output
    assert not (tmp_path / "out").exists()


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = CliRunner().invoke(main, ["evaluate", "XPILJZ", "--out", str(tmp_path), "--smoke"])
    assert result.exit_code == 2 and "not empty (notes.txt)" in result.output


def test_a_field_is_simulated_once_for_all_networks():
    pending = parts_of(["XPILJZ", "07VEJJ"], ["csr", "large"], [], Protocol(replicates=2))
    assert {(part.kind, part.group, part.network) for part in pending} == {
        (kind, grid, name)
        for kind, grid in (("labels", "csr"), ("labels", "large"), ("clusters", "large"))
        for name in ("XPILJZ", "07VEJJ")
    }
    tasks = tasks_of(pending, Protocol(replicates=2))
    assert len(tasks) == 2 * (5 + 12 + 12) and all(task.networks == ("XPILJZ", "07VEJJ") for task in tasks)
    assert len({part.key for part in pending}) == len(pending)


def made_up(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records as all five networks would leave them, of labels drawn at random: right in nine of ten."""
    of_labels, of_clusters = [], []
    for entry in NETWORKS.values():
        n_classes = len(entry.classes)
        for grid in protocol.label_grids(entry):
            for scenario in protocol.thinned(protocol.label_scenarios(grid, Protocol()), 30):
                row = {"network": entry.name, **described(grid, scenario, 0)}
                clustered = scenario.percent_clustered / 100
                truth = np.where(rng.random(400) < clustered, rng.integers(1, n_classes, 400), 0).astype(np.int8)
                called = np.where(rng.random(400) < 0.9, truth, rng.integers(0, n_classes, 400)).astype(np.int8)
                scores = rng.dirichlet(np.ones(n_classes), 400).astype(np.float32)
                scores = scores[:, 1:] if n_classes == 2 else scores
                of_labels.append({**row, **labels.compare_labels(truth, scores, called), "reason": ""})
        for grid in protocol.cluster_grids(entry):
            for scenario in protocol.cluster_scenarios(grid, Protocol()):
                row = {"network": entry.name, **described(grid, scenario, 0)}
                drawn = {
                    **{c: rng.uniform(1, 100) for c in clusters.PROPERTIES},
                    **dict.fromkeys(clusters.FRAGMENTS, 25.0),
                }
                kinds = clusters.classes_of(entry).values()
                of_clusters += [{**row, "class": kind, **drawn, "reason": ""} for kind in kinds]
    return (
        pd.DataFrame(of_labels, columns=list(labels.COLUMNS)),
        pd.DataFrame(of_clusters, columns=list(clusters.COLUMNS)),
    )


def test_all_networks_fit_tables_and_figures(tmp_path):
    of_labels, of_clusters = made_up(np.random.default_rng(0))
    folders = [f"source/folder_{i}" for i in range(12)]
    scores = {"file": "1.csv", "reason": "", **dict.fromkeys(labelled.SCORES, 0.5)}
    of_tables = pd.DataFrame(
        [{"network": name, "folder": folder, **scores} for name in NETWORKS for folder in folders],
        columns=list(labelled.COLUMNS),
    )
    tables = summarised(of_labels, of_clusters, of_tables, {n: e.classes for n, e in NETWORKS.items()}, {})
    assert {"accuracy_by_percent_clustered", "confusion", "csr", "fragments"} <= set(tables)
    assert "left_out" not in tables
    confusion = tables["confusion"]
    fibers = confusion[(confusion["network"] == "3TXKFS") & (confusion["grid"] == "fibers")]
    assert len(fibers) == 9 and fibers["percent_of_true_class"].sum() == pytest.approx(300)
    csr = tables["csr"]
    assert set(csr[csr["network"] == "GAXJPR"]["grid"]) == {"slab-csr"}
    calibration = tables["calibration"]
    assert calibration["localizations"].sum() == of_labels[~of_labels["grid"].isin(["csr", "slab-csr"])]["n"].sum()
    draw_figures(of_clusters, tables, tmp_path / "figures")
    made = {path.name: path.stat().st_size for path in (tmp_path / "figures").iterdir()}
    assert {"accuracy_in_3d.png", "accuracy_with_fibers.png", "found_against_true_in_3d.png"} <= set(made)
    assert max(made.values()) < LARGEST_PNG, made
    for name in NETWORKS:
        assert name in account(tables)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0], [0.5, 7.0], [1e-3, 1e6], [0.0, 5.0]])
def test_axes_hold_all_that_can_be_drawn(values, logarithmic):
    low, high = common_limits(np.array(values), logarithmic)
    drawn = [value for value in values if value > 0 or not logarithmic]
    assert low < min(drawn) and max(drawn) < high and (low > 0 or not logarithmic)
    assert common_limits(np.empty((0, 2)), logarithmic) == (1.0, 10.0)


def test_equal_tables_are_equal_bytes_and_null_is_an_empty_cell(tmp_path):
    frame = pd.DataFrame({"a": [1 / 3, np.nan], "n": [1, 2]})
    write_csv(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"a,n\n0.33333333,1\n,2\n"
