"""Methods in place of a network, as users ask for them: parameters, the command, screenings, resumed runs, Python."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from baselines_oracles import same_partition
from click.testing import CliRunner
from sklearn.cluster import DBSCAN as Fitted
from support import SHARED, done_records, result_tables, same, simulated_table

from caml_dask import DBSCAN, DominantSets, analyze, baselines, open_run
from caml_dask.cli import main
from caml_dask.errors import OutputError, UsageError
from caml_dask.methods import method_as_kept, method_of
from caml_dask.runs.session import execute
from caml_dask.screening.screen import screen
from caml_dask.settings import Settings
from caml_dask.spatial.dominant import dominant_sets

REAL = sorted((SHARED / "real").glob("*.csv"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return simulated_table(tmp_path_factory.mktemp("input") / "cell.csv", side_nm=3000.0)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """What the command leaves of a table on tiles of 300."""
    out = tmp_path_factory.mktemp("run") / "out"
    result = call(table, out, "--method", "dbscan", "--eps-nm", "25", "--min-samples", 6, "--max-localizations", 300)
    assert result.exit_code == 0, result.output
    return out


def call(table, out, *options, command="run"):
    call = [command, str(table), "--out", str(out), "--workers", "0", "--no-test"]
    return CliRunner().invoke(main, [*call, *map(str, options)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--method dbscan", "--method dbscan needs --eps-nm: add it, such as --eps-nm 30"),
        ("--method tomato", "needs --link-nm and --persistence-per-um2: add them, such as --link-nm 50 --pers"),
        ("--method dbscan --eps-nm 30 --network XPILJZ", "in place of a --network: give one of them"),
        ("--eps-nm 30", "--eps-nm is a parameter of a method: add --method, or leave it out"),
        ("--min-samples 5 --network XPILJZ", "--min-samples is a parameter of a method"),
        ("--method dbscan --eps-nm -3", "eps_nm=-3.0: give a radius above 0 in nm, such as 30"),
        ("--method dbscan --eps-nm nan", "eps_nm=nan: give a radius above 0"),
        ("--method dbscan --eps-nm 30 --min-samples 0", "min_samples=0: give a whole number from 1 on"),
        ("--method dbscan --eps-nm 30 --save-features", "leave it out with --method"),
        ("--method optics --eps-nm 30", "'optics' is not one of 'dbscan', 'getis-franklin'"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(table, tmp_path, options, said):
    result = call(table, tmp_path / "out", *options.split())
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_parameters_of_another_method_and_unknown_methods_are_refused():
    with pytest.raises(UsageError, match=r"--k is no parameter of dbscan, which takes --eps-nm, --min-samples"):
        method_of("dbscan", {"eps_nm": 3.0, "k": 4})
    with pytest.raises(UsageError, match="use one of dbscan"):
        method_as_kept({"name": "optics"})


@pytest.mark.parametrize("given", ["dbscan", baselines.Bayesian(), 30, DBSCAN])
def test_what_is_no_method_is_refused(given):
    with pytest.raises(UsageError, match=r"give a method with its parameters, such as DBSCAN\(eps_nm=30"):
        analyze(np.zeros((9, 2)), method=given)


@pytest.mark.parametrize("given", [{"eps_nm": True}, {"eps_nm": "30"}, {"eps_nm": 30, "min_samples": 2.5}])
def test_parameters_of_another_type_are_refused(given):
    with pytest.raises(UsageError, match="give a"):
        DBSCAN(**given)


def test_however_a_method_is_written_its_settings_have_one_digest():
    one = Settings(method=DBSCAN(30))
    assert one == Settings(method=DBSCAN(eps_nm=np.float32(30), min_samples=np.int64(5)))
    assert one.digest() == Settings(method=one.as_dict()["method"]).digest()
    assert one.digest() not in (Settings(method=DBSCAN(30, 6)).digest(), Settings().digest())
    assert (one.network, one.min_points, Settings().min_points) == (None, 1, 3)


def test_the_command_leaves_what_python_and_scikit_learn_find(table, run):
    points, clusters = (pq.read_table(run / "0001_cell" / f"{name}.parquet") for name in ("points", "clusters"))
    assert "p_clustered" not in points.column_names
    xy = np.column_stack([points["x_nm"].to_numpy(), points["y_nm"].to_numpy()])
    fitted = Fitted(eps=25, min_samples=6, algorithm="kd_tree").fit(xy)
    cluster, core = points["cluster_id"].to_numpy(), fitted.core_sample_indices_
    assert same_partition(cluster[core], fitted.labels_[core])
    assert np.array_equal(cluster < 0, fitted.labels_ < 0)
    assert len(clusters) == fitted.labels_.max() + 1 > 20
    in_python = analyze(table, method=DBSCAN(eps_nm=25, min_samples=6), test=False)
    assert in_python.points.equals(points.to_pandas())
    assert in_python.clusters.drop(columns="image_id").equals(clusters.to_pandas().drop(columns="image_id"))


def test_summary_says_the_method_and_its_parameters(run):
    summary = json.loads((run / "summary.json").read_text())
    kept = {"name": "dbscan", "eps_nm": 25.0, "min_samples": 6}
    assert summary["settings"]["method"] == kept == summary["images"][0]["method"]
    assert summary["settings"]["network"] is None is summary["images"][0]["network"]
    assert summary["images"][0]["tiles"] > 3
    assert summary["images"][0]["warnings"] == []
    assert {"cores", "link_cores", "number_linked"} < set(summary["images"][0]["seconds"])


def test_results_are_read_back_and_exported(run, tmp_path):
    result = open_run(run)
    assert "1 of 1 images done, method DBSCAN (eps_nm=25, min_samples=6)" in repr(result)
    files = result.images[0].export(["csv", "picasso", "thunderstorm", "geojson"], tmp_path)
    assert len(files) > 3
    about = json.loads(next(file for file in files if file.suffix == ".geojson").read_text())["about"]
    assert about["method"] == "DBSCAN (eps_nm=25, min_samples=6)" and "network" not in about


def test_a_finished_run_is_resumed_and_another_radius_is_refused_by_name(table, run, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(run, out)
    before, options = done_records(out), ["--method", "dbscan", "--max-localizations", 300, "--resume"]
    assert call(table, out, *options, "--eps-nm", 25, "--min-samples", 6).exit_code == 0
    assert done_records(out) == before
    refused = call(table, out, *options, "--eps-nm", 26, "--min-samples", 6)
    assert refused.exit_code == 2
    assert "settings.method: {'name': 'dbscan', 'eps_nm': 25.0, 'min_samples': 6} -> " in refused.output
    with pytest.raises(OutputError, match=r"settings\.network: None -> field-2d"):
        execute([table], out, Settings(max_localizations=300, test=False), workers=0, resume=True)
    assert done_records(out) == before


def test_tiles_and_workers_change_nothing(table, run, tmp_path):
    for out, tile, workers in (("one", None, 0), ("dask", 500, 1)):
        settings = Settings(max_localizations=tile, method=DBSCAN(25, 6), test=False)
        assert execute([table], tmp_path / out, settings, workers=workers).exit_code == 0
        assert same(result_tables(tmp_path / out), result_tables(run))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("getis-franklin --radius-nm 40", "L(r) for r = 40 nm is 80 nm or more"),
        ("voronoi --density-factor 3", "at least 3 times denser than the field"),
        ("hdbscan --min-cluster-size 8", "min_cluster_size 8 and min_samples 8"),
        ("tomato --link-nm 40 --persistence-per-um2 500", "by the 10-th neighbor that persist over 500"),
        ("dominant-sets --sigma-nm 60 --min-cohesiveness 0.7", "exp(-(d / 60 nm)^2); sets of a cohesiveness below 0.7"),
        ("dbscan --eps-nm auto", "The radius was "),
    ],
)
def test_each_method_runs_resumes_and_is_reported(table, tmp_path, options, said):
    out, method = tmp_path / "out", ["--method", *options.split(), "--max-localizations", 300]
    assert call(table, out, *method, "--no-test").exit_code == 0
    before, points = done_records(out), pq.read_table(out / "0001_cell" / "points.parquet")
    assert call(table, out, *method, "--no-test", "--resume").exit_code == 0
    assert done_records(out) == before
    kept = method_as_kept(json.loads((out / "summary.json").read_text())["settings"]["method"])
    assert analyze(table, method=kept, test=False).points.equals(points.to_pandas())
    assert len(np.unique(points["cluster_id"])) > 10
    assert CliRunner().invoke(main, ["report", str(out)]).exit_code == 0
    assert said in (out / "methods.txt").read_text()
    planned = CliRunner().invoke(main, ["plan", str(table), "--out", str(tmp_path / "planned"), *map(str, method)])
    assert planned.exit_code == 0, planned.output


def test_a_screening_analyzes_anew_under_another_radius_alone(table, tmp_path):
    shutil.copy(table, tmp_path / "a.csv")
    (tmp_path / "cohort.csv").write_text("path,condition,replicate\na.csv,naive,1\n")
    out, nights = tmp_path / "screening", []
    for eps in (25, 25, 30):
        options = ["--no-test", "--method", "dbscan", "--eps-nm", eps]
        assert call(tmp_path / "cohort.csv", out, *options, command="screen").exit_code == 0
        nights.append(len(list((out / "nights").iterdir())))
    assert nights == [1, 1, 2]
    screened = screen(str(tmp_path / "cohort.csv"), out, Settings(method=DBSCAN(30), test=False), workers=0)
    assert len(list((out / "nights").iterdir())) == 2
    assert screened.exit_code == 0


@pytest.mark.skipif(not REAL, reason="the real tables of ../shared/data/real are not on this machine")
def test_real_tables_are_labelled_as_by_scikit_learn_on_any_tiling(tmp_path):
    method = DBSCAN(30, 10)
    for name, tile in (("one", None), ("many", 4000)):
        settings = Settings(max_localizations=tile, test=False, method=method)
        assert execute(REAL, tmp_path / name, settings, workers=0).exit_code == 0
    found = result_tables(tmp_path / "one")
    assert same(found, result_tables(tmp_path / "many"))
    for number, path in enumerate(REAL, start=1):
        table = pa_csv.read_csv(path)
        xy = np.column_stack([table["x [nm]"].to_numpy(), table["y [nm]"].to_numpy()])
        fitted = Fitted(eps=30, min_samples=10, algorithm="kd_tree").fit(xy)
        cluster, core = found[f"{number:04d}_{path.stem}/points"]["cluster_id"].to_numpy(), fitted.core_sample_indices_
        assert same_partition(cluster[core], fitted.labels_[core])
        assert np.array_equal(cluster < 0, fitted.labels_ < 0)


@pytest.mark.skipif(not REAL, reason="the real tables of ../shared/data/real are not on this machine")
def test_dominant_sets_of_real_tables_are_the_same_on_any_tiling_and_order(tmp_path):
    shuffled = [tmp_path / path.name for path in REAL]
    for path, copy in zip(REAL, shuffled):
        table = pa_csv.read_csv(path)
        pa_csv.write_csv(table.take(np.random.default_rng(0).permutation(len(table))), copy)
    method = DominantSets(50, 0.6)
    for name, inputs, tile in (("one", REAL, None), ("many", shuffled, 4000)):
        settings = Settings(max_localizations=tile, test=False, method=method)
        assert execute(inputs, tmp_path / name, settings, workers=0).exit_code == 0
    one, many = (result_tables(tmp_path / name) for name in ("one", "many"))
    for number, path in enumerate(REAL, start=1):
        key = f"{number:04d}_{path.stem}/"
        place = [("x_nm", "ascending"), ("y_nm", "ascending"), ("label", "ascending")]
        points, others = (tables[f"{key}points"].sort_by(place) for tables in (one, many))
        xy = np.column_stack([points["x_nm"].to_numpy(), points["y_nm"].to_numpy()])
        found, cluster = points["cluster_id"].to_numpy(), others["cluster_id"].to_numpy()
        number_of, cohesiveness = dominant_sets(xy, method.sigma_nm)
        coherent = (cohesiveness >= method.min_cohesiveness) & (np.bincount(number_of) >= 3)
        assert same_partition(found, np.where(coherent[number_of], number_of, -1))
        assert same_partition(found, cluster)
        assert len(one[f"{key}clusters"]) == coherent.sum() > 500
        assert np.array_equal(*(np.sort(tables[f"{key}clusters"]["area_nm2"].to_numpy()) for tables in (one, many)))


def test_overviews_of_a_method_magnify_what_needs_no_score(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    rng = np.random.default_rng(0)
    xy = np.vstack([rng.normal(500, 10, (40, 2)), rng.normal(900, 20, (40, 2)), rng.uniform(0, 1_500, (60, 2))])
    result = analyze(xy, method=DBSCAN(eps_nm=30), test=False)
    assert len(result.clusters) >= 2
    assert "D  " not in result.save_overview(tmp_path / "overview.svg").read_text()
    assert "DBSCAN (eps_nm=30, min_samples=5)" in result._repr_html_()
