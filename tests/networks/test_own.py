"""Networks of the user's own: a folder that training left labels localizations wherever a name does."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from own_networks import write_network
from sklearn.base import clone
from support import result_tables, same, simulated_table

from caml_dask import CAML, analyze, open_run
from caml_dask.cli import main
from caml_dask.errors import UsageError, WeightsError
from caml_dask.networks import NETWORKS, card, load
from caml_dask.networks.registry import from_card, variant
from caml_dask.networks.spec import SUBSETS
from caml_dask.runs.session import analyse, begun, execute
from caml_dask.screening.screen import screen
from caml_dask.settings import NETWORK_ALIASES, Settings, network_named


def call(*arguments: str | Path, code: int = 0) -> str:
    untested = ["--no-test"] if arguments[0] in ("run", "plan") else []
    done = CliRunner().invoke(main, [*map(str, arguments), *untested])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_table(tmp_path_factory.mktemp("input") / "cell.csv", side_nm=3000.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_network(tmp_path / "mine")


def settings(folder: Path, **others: object) -> Settings:
    return Settings(network=str(folder), **others, test=False)


def test_codes_and_aliases_are_taken_in_any_case_and_kept_as_the_code():
    assert NETWORK_ALIASES.keys() == NETWORKS.keys()
    for code, alias in NETWORK_ALIASES.items():
        for text in (code, code.lower(), alias, alias.upper()):
            assert network_named(text) == Settings(network=text).network == code
            assert load(text) is load(code)
    assert Settings(network="xpiljz").digest() == Settings(network="Dense-100").digest() == Settings("XPILJZ").digest()
    assert network_named("XPILJY") == "XPILJY"
    with pytest.raises(UsageError, match="network=5 is of type int"):
        network_named(5)


def test_a_path_is_kept_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    assert network_named("nets") == network_named(Path("nets")) == str(tmp_path / "nets")
    assert network_named("./XPILJZ") == str(tmp_path / "XPILJZ")
    assert network_named(f".{os.sep}not-there") == str(tmp_path / "not-there")


@pytest.mark.parametrize("command", ["run", "screen", "plan"])
def test_the_help_lists_names_and_aliases(command: str):
    said = " ".join(call(command, "--help").split())
    for code, alias in NETWORK_ALIASES.items():
        assert f"{code} or {alias}" in said
    assert "FOLDER" in said


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_card_describes_its_network_in_full(name: str):
    """What the registry says of a network that ships, its card says too, but for what it promises."""
    found, entry = from_card(card(name)), NETWORKS[name]
    for field in ("name", "kind", "n_neighbors", "dimensions", "classes", "grid", "shapes", "architecture",
                  "relative_xy", "clusters", "input_form", "score_columns", "most_bytes"):  # fmt: skip
        assert getattr(found, field) == getattr(entry, field), field


def test_a_folder_of_the_same_weights_labels_like_the_network_that_ships(folder: Path, table: Path):
    xy = np.random.default_rng(0).uniform(0, 3000, (500, 2))
    theirs, ours = analyze(xy, network="XPILJZ", test=False), analyze(xy, network=folder, test=False)
    assert ours.points.equals(theirs.points) and ours.clusters.equals(theirs.clusters)
    assert (ours.summary["network"], theirs.summary["network"]) == ("mine", "XPILJZ")
    fitted = clone(CAML(network=folder)).fit(xy)
    assert np.array_equal(fitted.labels_, CAML("XPILJZ").fit(xy).labels_)


def test_what_ways_there_are_to_name_it(folder: Path):
    network = load(folder)
    assert load(folder / "mine.json") is load(folder / "mine.safetensors") is load(str(folder)) is network
    assert network.name == "mine" and load("XPILJZ").identity.keys() == {"name", "weights_sha256"}
    write_network(folder, "other", scale=0.5)
    with pytest.raises(UsageError, match=r"holds 2 networks: name one, such as .*mine\.json"):
        load(folder)
    assert load(folder / "other.json").name == "other"


def test_a_network_is_read_again_when_its_folder_has_changed(folder: Path):
    before = load(folder)
    write_network(folder, scale=0.5)
    after = load(folder)
    assert after is not before and after.weights_sha256 != before.weights_sha256
    assert np.array_equal(2 * after.weights["output_bias"], before.weights["output_bias"])


def test_what_is_no_network_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("x,y\n")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "mine.json").write_text("{}")
    for name, said in (
        ("empty", "holds no network"),
        ("half", "holds no network"),
        ("table.csv", "is no network: name the folder"),
        ("missing", f"does not exist, as {socket.gethostname()} sees it"),
    ):
        with pytest.raises(UsageError, match=said):
            load(tmp_path / name)
    (tmp_path / "half" / "mine.safetensors").mkdir()
    shutil.copy(write_network(tmp_path / "mine") / "mine.json", tmp_path / "half" / "mine.json")
    with pytest.raises(WeightsError, match=r"mine\.safetensors cannot be read"):
        load(tmp_path / "half")


def test_a_run_records_the_network_and_resumes_with_no_other(folder: Path, table: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert call("run", table, "--out", out, "--network", folder)
    summary = open_run(out).summary
    network = load(folder)
    assert summary["network"] == network.identity | {"card_sha256": network.card_sha256}
    assert summary["images"][0]["network"] == "mine"
    call("run", table, "--out", out, "--network", folder, "--resume")
    write_network(folder, change=lambda about: about.update(origin="another"))
    said = call("run", table, "--out", out, "--network", folder, "--resume", code=2)
    assert "network.card_sha256" in said and "weights_sha256" not in said
    write_network(folder, scale=0.5)
    assert "network.weights_sha256" in call("run", table, "--out", out, "--network", folder, "--resume", code=2)
    assert "settings.network" in call("run", table, "--out", out, "--resume", code=2)
    write_network(folder)
    call("run", table, "--out", out, "--network", folder, "--resume")


def test_a_run_resumes_with_its_network_in_another_place(folder: Path, table: Path, tmp_path: Path):
    out, options = tmp_path / "out", ("--max-localizations", "300", "--workers", "0")
    call("run", table, "--out", out, "--network", folder, *options)
    before = {path: path.stat().st_mtime_ns for path in (out / ".run").rglob("done/**/*.json")}
    moved = folder.rename(tmp_path / "moved")
    call("run", table, "--out", out, "--network", moved, "--resume", *options)
    assert open_run(out).summary["settings"]["network"] == str(moved)
    assert before == {path: path.stat().st_mtime_ns for path in before} and len(before) > 20
    (out / "0001_cell" / "clusters.csv").unlink()  # workers look for the network where it lies now
    call("run", table, "--out", out, "--network", moved, "--resume", *options)
    assert (out / "0001_cell" / "clusters.csv").exists()
    write_network(folder, scale=0.5)
    said = call("run", table, "--out", out, "--network", folder, "--resume", *options, code=2)
    assert "network.weights_sha256" in said and "settings.network" in said


def test_an_alias_resumes_a_run_begun_by_its_code(table: Path, tmp_path: Path):
    call("run", table, "--out", tmp_path / "out", "--network", "xpiljz")
    call("run", table, "--out", tmp_path / "out", "--network", "dense-100", "--resume")
    assert open_run(tmp_path / "out").summary["network"]["name"] == "XPILJZ"


def test_altered_weights_label_nothing(folder: Path, table: Path, tmp_path: Path):
    weights = folder / "mine.safetensors"
    blob = bytearray(weights.read_bytes())
    blob[-1] ^= 1
    weights.write_bytes(blob)
    said = call("run", table, "--out", tmp_path / "out", "--network", folder, code=4)
    assert "mine.safetensors has SHA-256" in said and not (tmp_path / "out").exists()
    with pytest.raises(WeightsError, match="the file was altered"):
        analyze(np.zeros((5, 2)), network=folder)


@pytest.mark.parametrize(("workers", "tile"), [(0, None), (2, 300)])
def test_workers_find_the_network_by_its_path(
    folder: Path, table: Path, tmp_path: Path, workers: int, tile: int | None
):
    out = tmp_path / "out"
    outcome = execute([table], out, settings(folder, max_localizations=tile), workers=workers)
    assert outcome.exit_code == 0, outcome.failed
    assert execute([table], tmp_path / "shipped", Settings("XPILJZ", test=False), workers=0).exit_code == 0
    assert same(result_tables(out), result_tables(tmp_path / "shipped"))


def test_a_network_that_changes_under_a_run_labels_nothing_more(folder: Path, table: Path, tmp_path: Path):
    with begun([table], tmp_path / "out", settings(folder), resume=False, overwrite=False) as run:
        write_network(folder, scale=0.5)
        outcome = analyse(run, workers=0)
    (reason,) = map(str, outcome.failed.values())
    assert f"{folder} on {socket.gethostname()} is not the network that the run began with" in reason
    assert "network.weights_sha256" in reason and outcome.exit_code == 4


def test_a_machine_that_does_not_see_the_network_says_so(folder: Path, table: Path, tmp_path: Path):
    out = tmp_path / "out"
    call("plan", table, "--out", out, "--network", folder)
    elsewhere = folder.rename(tmp_path / "elsewhere")
    said = call("unit", "read", "0", "--of", "1", "--out", out, code=3)
    assert f"{folder} does not exist, as {socket.gethostname()} sees it" in said
    elsewhere.rename(folder)
    call("unit", "read", "0", "--of", "1", "--out", out)


def test_a_screening_knows_a_network_by_its_content(folder: Path, table: Path, tmp_path: Path):
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"path,condition,replicate\n{table},a,1\n")
    out = tmp_path / "screen"
    assert screen(str(cohort), out, settings(folder), workers=0).analyzed == 1
    moved = folder.rename(tmp_path / "moved")
    assert screen(str(cohort), out, settings(moved), workers=0).analyzed == 0
    write_network(moved, scale=0.5)
    assert screen(str(cohort), out, settings(moved), workers=0).analyzed == 1


def test_an_evaluation_takes_a_folder_beside_names(folder: Path, tmp_path: Path):
    small = ("--smoke", "--grids", "csr", "--workers", "0", "--replicates", "1")
    said = call("evaluate", folder, "dense-100", "--out", tmp_path / "out", *small)
    assert "mine" in said and "XPILJZ" in said
    about = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert about["networks"] == {"mine": load(folder).weights_sha256, "XPILJZ": load("XPILJZ").weights_sha256}
    lines = (tmp_path / "out" / "records" / "labels.csv").read_text().splitlines()[1:]
    mine = [line.partition(",")[2] for line in lines if line.startswith("mine,")]
    assert mine == [line.partition(",")[2] for line in lines if line.startswith("XPILJZ,")] and mine
    namesake = write_network(tmp_path / "namesake", "XPILJZ", scale=0.5)
    assert "are called XPILJZ" in call("evaluate", namesake, "XPILJZ", "--out", tmp_path / "two", *small, code=2)


def test_its_card_reads_as_text_and_promises_nothing(folder: Path):
    said = call("networks", folder)
    assert said.startswith("# mine\n") and load(folder).card_sha256 in said and "Holds for" not in said
    assert call("networks", "DENSE-100").startswith("# XPILJZ (dense-100)\n")


@pytest.mark.parametrize("clusters", SUBSETS[1:])
def test_variants_are_rebuilt_from_their_card(tmp_path: Path, clusters: str):
    entry = variant("XPILJZ", clusters=clusters)
    made = write_network(tmp_path, entry.name, change=lambda about: about["training"].update(clusters=clusters))
    found = load(made).spec
    assert (found.name, found.clusters, found.scenarios()) == (entry.name, clusters, entry.scenarios())


def test_a_network_of_positions_is_not_run(tmp_path: Path):
    made = write_network(tmp_path, change=lambda about: about.update(input_form="relative-xy"))
    with pytest.raises(UsageError, match="mine reads the positions of neighbors"):
        load(made)
    assert "# mine" in call("networks", made)


def test_other_architectures_and_windows_come_from_the_card(tmp_path: Path):
    for like in ("87B144", "GAXJPR", "3TXKFS"):
        found, entry = load(write_network(tmp_path / like, like=like)), NETWORKS[like]
        assert (found.spec.kind, found.n_neighbors, found.dimensions, found.classes, found.score_columns) == (
            entry.kind, entry.n_neighbors, entry.dimensions, entry.classes, entry.score_columns,
        )  # fmt: skip
        rows = np.sort(np.random.default_rng(0).random((5, entry.n_neighbors), dtype=np.float32), axis=1)
        assert found.scores(rows).tobytes() == load(like).scores(rows).tobytes()


def put(*path: str, value: object):
    def change(about: dict) -> None:
        for key in path[:-1]:
            about = about[key]
        about[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.pop("kind"), "kind is missing"),
        (put("kind", value="transformer"), "kind is 'transformer': wanted one of 'dense', 'lstm', 'convolution'"),
        (put("kind", value="lstm"), "weights of mine hold"),
        (put("n_neighbors", value=101), "weights of mine hold"),
        (put("n_neighbors", value=2), "at least 4"),
        (put("n_neighbors", value=10**9), "n_neighbors is 1000000000: wanted a whole number from 1 to 10000"),
        (put("n_neighbors", value=100.5), "n_neighbors is 100.5"),
        (put("n_neighbors", value=True), "n_neighbors is True"),
        (put("n_neighbors", value="100"), "n_neighbors is '100'"),
        (put("dimensions", value=4), "dimensions is 4"),
        (put("dimensions", value=3.0), "dimensions is 3.0"),
        (put("classes", value=["a", "b"]), r"classes is \['a', 'b'\]"),
        (put("input_form", value="pickle"), "input_form is 'pickle'"),
        (put("weights_sha256", value="0" * 63), "weights_sha256 is '0+'"),
        (put("trained_on", value=[]), r"trained_on is \[\]"),
        (put("trained_on", "contrast", value=[5, 1]), r"trained_on.contrast is \[5, 1\]: wanted the lowest"),
        (put("trained_on", "contrast", value=[1]), "trained_on.contrast is"),
        (put("trained_on", "contrast", value=[1, float("nan")]), "it holds NaN"),
        (put("trained_on", "percent_clustered", value=[0, 101]), r"trained_on.percent_clustered\[1\] is 101"),
        (put("results", "csr_percent_called_clustered_by_density_per_um2", value={}), "csr_percent.* is {}"),
        (put("results", "csr_percent_called_clustered_by_density_per_um2", value={"5": 500}), r"by_density_per_um2\.5"),
        (put("results", "test", "accuracy", value=float("inf")), "it holds Infinity"),
        (put("results", "test", "confusion", value=[[1, 2]]), "results.test.confusion is"),
        (put("results", "cross_validation", value={"folds": 10}), "results.cross_validation.samples is missing"),
        (put("training", "grid", value="../grid"), r"training.grid is '../grid'"),
        (put("training", "clusters", value="some"), "training.clusters is 'some'"),
        (put("training", "losses_train_validation", value=[[0.1]]), r"losses_train_validation\[0\]"),
        (put("origin", value="\x1b[2Jgone"), "origin is .*printable"),
        (put("origin", value="x" * 5000), "origin is .*at most 4000"),
        (put("origin", value="x" * (2 << 20)), "holds more than 1,048,576 bytes"),
        (put("name", value="another"), "is the card of another"),
        (put("name", value="../mine"), "name is '../mine'"),
    ],
)  # fmt: skip
def test_a_card_of_another_content_is_refused_by_field(tmp_path: Path, change, said: str):
    write_network(tmp_path, change=change)
    with pytest.raises(WeightsError, match=said):
        load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "nothing", "[" * 100_000, '{"name": 1e999}', "\xff", '{"n": ' + "9" * 5_000 + "}"]
)
def test_a_card_that_is_no_json_is_refused(folder: Path, text: str):
    (folder / "mine.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"mine\.json is no card"):
        load(folder)


def test_weights_larger_than_the_network_are_not_read(folder: Path):
    with (folder / "mine.safetensors").open("r+b") as stream:
        stream.truncate(1 << 40)  # sparse: it takes no room, and reading it would take a terabyte
    with pytest.raises(WeightsError, match=r"mine\.safetensors holds more than"):
        load(folder)
