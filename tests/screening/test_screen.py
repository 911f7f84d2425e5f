"""Screening as a scheduler and its user meet it: only what is new is done, and nothing that was done is lost."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support import done_records, result_tables, simulated_table

from caml_dask import open_run
from caml_dask.atomic import fingerprint, publish_json
from caml_dask.cli import main
from caml_dask.errors import OutputError, StoreError, WorkersError
from caml_dask.executors.dask import DaskExecutor
from caml_dask.executors.serial import SerialExecutor
from caml_dask.io.run_directory import Run
from caml_dask.runs.progress import Lines
from caml_dask.screening import screen as screening
from caml_dask.screening.ledger import Ledger
from caml_dask.screening.screen import screen
from caml_dask.screening.status import in_words, status_of
from caml_dask.settings import Settings

KEY_FIGURES = (
    *("localizations", "percent_clustered", "clusters", "clusters_per_um2", "area_um2"),
    *("median_points_per_cluster", "median_area_nm2", "dropped_where", "p_value", "warnings", "warned_of"),
)
IMAGES, BROKEN = 12, {"0011_bad", "0012_absent"}
REASONS = ("bad.csv: no x and y column recognized", "absent.csv: there is no such file")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort of ten small images in two conditions and two broken ones, screened once."""
    folder = tmp_path_factory.mktemp("screening")
    rows = [("path", "condition", "replicate", "dose")]
    for i in range(10):
        path = simulated_table(folder / f"cell_{i}.csv", side_nm=2500.0, seed=i)
        rows.append((path.name, "naive" if i % 2 else "activated", str(1 + i // 4), "5"))
    (folder / "bad.csv").write_text("frame,photons\n1,2\n")
    rows += [("bad.csv", "naive", "1", "5"), ("absent.csv", "activated", "1", "5")]
    write(folder / "cohort.csv", rows)
    return folder, call(folder)


@pytest.fixture
def folder(made, tmp_path):
    """A copy of it that a test may change, times of the files included."""
    shutil.copytree(made[0], tmp_path / "copy")
    return tmp_path / "copy"


def write(table, rows):
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def read(table):
    with table.open(newline="") as file:
        return list(csv.reader(file))


def call(folder, *options):
    """The command, in this process."""
    arguments = ["screen", str(folder / "cohort.csv"), "--out", str(folder / "out"), "--workers", "0", "--no-test"]
    arguments += options
    return CliRunner().invoke(main, arguments)


def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text(), parse_constant=pytest.fail)


def test_a_screening_is_opened_whole(folder):
    simulated_table(folder / "cell_new.csv", side_nm=2500.0, seed=20)
    with (folder / "cohort.csv").open("a") as table:
        table.write("cell_new.csv,naive,9,5\n")
    call(folder)
    assert len(nights(folder)) == 2
    whole = open_run(folder / "out")
    # failures are known by their paths: the broken files of a copied cohort are tried anew, under new numbers
    assert len(whole.images) == 11 and set(whole.failed) == {"0013_bad", "0014_absent"}
    assert whole.images["cell_new"].image_id == "0015_cell_new" and "11 of 13 images done" in repr(whole)
    for image in whole.images.values():
        assert len(image.points) == image.summary["rows"] and len(image.outlines) == image.summary["clusters"]
    changed = summary(folder)
    changed["images"][0]["folder"] = "../elsewhere/0001_cell_0"
    publish_json(folder / "out" / "summary.json", {k: v for k, v in changed.items() if k != "seal"})
    with pytest.raises(StoreError, match="is not in"):
        open_run(folder / "out")
    (folder / "out" / "summary.json").unlink()
    with pytest.raises(OutputError, match="holds a screening that is not finished"):
        open_run(folder / "out")


def state(folder):
    """Every file of a screening but its ledger and lock, with the time it was written and its content."""
    files = [p for p in (folder / "out").rglob("*") if p.is_file() and ".screen" not in p.parts]
    return {p.relative_to(folder): (p.stat().st_mtime_ns, fingerprint(p)) for p in files}


def nights(folder):
    return sorted(path.name for path in (folder / "out" / "nights").iterdir())


def test_broken_images_are_named_and_do_not_stop_the_others(made):
    folder, first = made
    assert first.exit_code == 3, first.output
    assert all(reason in first.stdout for reason in REASONS)
    assert "10 of 12 images done, 12 images analyzed in this call" in first.stdout
    header, *rows = read(folder / "out" / "images.csv")
    assert header == [
        "image_id",
        "path",
        "condition",
        "replicate",
        "channel",
        "dose",
        "status",
        "acknowledged",
        "reason",
        "folder",
        *KEY_FIGURES,
    ]
    assert [row[1] for row in rows] == [str(folder / row[0]) for row in read(folder / "cohort.csv")[1:]]
    assert {row[0] for row in rows if row[6] == "failed"} == BROKEN
    assert all(reason in row[8] for reason, row in zip(REASONS, rows[10:]))
    found = summary(folder)
    assert [i["image_id"] for i in found["images"]] == [row[0] for row in rows]
    figures = [dict(zip(KEY_FIGURES, row[10:])) for row in rows]
    assert figures[10:] == [dict.fromkeys(KEY_FIGURES, "")] * 2
    for of, entry in zip(figures[:10], found["images"]):
        assert {name: float(of[name]) for name in KEY_FIGURES[:5]} == {name: entry[name] for name in KEY_FIGURES[:5]}
        assert float(of["median_area_nm2"]) == entry["medians"]["area_nm2"]["median"]
    with pytest.raises(OutputError, match="or one of its nights, such as nights/"):
        Run.open(folder / "out")
    assert found["images"][3]["factors"] == {"condition": "naive", "replicate": "1", "dose": "5"}
    assert found["new"] == [row[0] for row in rows[:10]] and found["unusual"] == []
    for row in rows[:10]:
        results = folder / "out" / row[9]
        assert {"points.parquet", "clusters.csv", "overview.png"} <= {path.name for path in results.iterdir()}
    assert {"summary.json", "images.csv"} <= {p.name for p in (folder / "out" / "nights" / nights(folder)[0]).iterdir()}


def test_a_file_that_comes_during_a_night_is_the_only_one_it_stands_for(folder, monkeypatch):
    """Files that are not there are alike; what was read of one is never taken for another's."""
    rows = [*read(folder / "cohort.csv"), ("late.csv", "naive", "1", "5"), ("gone.csv", "naive", "1", "5")]
    write(folder / "cohort.csv", rows)
    real = screening.analyse

    def analyse(run, **options):
        simulated_table(folder / "late.csv", side_nm=2500.0, seed=77)
        return real(run, **options)

    with monkeypatch.context() as patched:
        patched.setattr(screening, "analyse", analyse)
        assert call(folder).exit_code == 3
    reasons = {image["path"]: image.get("reason", "") for image in summary(folder)["images"]}
    assert "changed after the run had begun" in reasons[str(folder / "late.csv")]
    assert "there is no such file" in reasons[str(folder / "gone.csv")]
    assert call(folder).exit_code == 3
    reasons = {image["path"]: image.get("reason", "") for image in summary(folder)["images"]}
    assert not reasons[str(folder / "late.csv")]
    assert "there is no such file" in reasons[str(folder / "gone.csv")]


def test_a_deployment_does_the_night(made, tmp_path, monkeypatch):
    """The same tables; and where its workers are lost, the night is left to the next call."""
    deployment = tmp_path / "local.toml"
    deployment.write_text('kind = "local"\nworkers = 1\n')
    shutil.copytree(made[0], tmp_path / "copy", ignore=shutil.ignore_patterns("out"))
    command = ["screen", str(tmp_path / "copy" / "cohort.csv"), "--out", str(tmp_path / "copy" / "out")]
    command += ["--deploy", str(deployment), "--no-test"]
    with monkeypatch.context() as patched:
        patched.setattr(DaskExecutor, "execute", lost)
        refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 4 and "no worker" in refused.stderr
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3 and "was interrupted: resuming it" in done.stderr
    assert "10 of 12 images done, 12 images analyzed" in done.stdout
    assert len(nights(tmp_path / "copy")) == 1
    tables = [
        {
            image["path"].rsplit("/", 1)[1]: pq.read_table(f / "out" / image["folder"] / "points.parquet")
            for image in summary(f)["images"]
            if image["folder"]
        }
        for f in (made[0], tmp_path / "copy")
    ]
    assert len(tables[0]) == 10 and tables[0] == tables[1]
    both = CliRunner().invoke(main, [*command, "--workers", "1"])
    assert both.exit_code == 2 and "give one of them" in both.stderr


def lost(self, run, observer, resumed=False):
    raise WorkersError("no worker for 60 s")


def test_a_second_call_does_nothing(folder):
    call(folder)  # the cohort was moved, which is none of its images' business
    before = state(folder)
    second = call(folder)
    assert second.exit_code == 3
    assert "10 of 12 images done, nothing was new" in second.stdout and all(r in second.stdout for r in REASONS)
    assert state(folder) == before


def test_a_moved_cohort_is_not_done_again(folder):
    """But for what is not there, which nothing tells but its path."""
    moved = call(folder)
    assert "10 of 12 images done, 2 images analyzed in this call" in moved.stdout
    paths = [row[1] for row in read(folder / "out" / "images.csv")[1:]]
    assert all(path.startswith(str(folder)) for path in paths)
    assert summary(folder)["images"][0]["folder"].startswith(f"nights/{nights(folder)[0]}/")


def test_a_changed_file_is_the_only_one_done_again(folder):
    call(folder)
    before = state(folder)
    simulated_table(folder / "cell_4.csv", side_nm=2500.0, seed=40)
    changed = call(folder)
    assert "10 of 12 images done, 1 image analyzed in this call" in changed.stdout
    after = state(folder)
    assert {p.as_posix() for p in before if after.get(p) != before[p]} == {"out/images.csv", "out/summary.json"}
    new = [i for i in summary(folder)["images"] if i["folder"].startswith(f"nights/{nights(folder)[-1]}/")]
    assert [i["path"] for i in new] == [str(folder / "cell_4.csv")]
    assert summary(folder)["new"] == [new[0]["image_id"]]
    assert len({i["image_id"] for i in summary(folder)["images"]}) == IMAGES


@pytest.mark.parametrize(("young", "options"), [(False, ["--verify"]), (True, [])])
def test_a_change_that_size_and_times_do_not_tell(folder, monkeypatch, young, options):
    """It is found where all is to be read, and where a file was so young that its times could not tell."""
    time_ns = time.time_ns() + (60 if young else -60) * 10**9
    monkeypatch.setattr(
        "caml_dask.screening.survey._stat", lambda path: [path.exists() and path.stat().st_size, time_ns, time_ns]
    )
    call(folder)
    path = folder / "cell_4.csv"
    text = path.read_text()
    path.write_text(text[:-2] + ("7" if text[-2] != "7" else "8") + text[-1:])
    if not young:
        assert "nothing was new" in call(folder).stdout
    assert "10 of 12 images done, 1 image analyzed" in call(folder, *options).stdout


def test_files_that_have_not_changed_are_not_read(folder, monkeypatch):
    call(folder)
    time.sleep(2.1)
    call(folder)  # the files are no longer young

    def unread(path):
        assert not path.exists(), f"{path} was read"

    monkeypatch.setattr("caml_dask.screening.survey.content_of", unread)
    assert "nothing was new" in call(folder).stdout


def test_new_rows_are_added_and_factors_changed_without_doing_anything_again(folder):
    call(folder)
    before = state(folder)
    rows = read(folder / "cohort.csv")
    rows[1][1], rows[2][3] = "resting", "=7"
    write(folder / "cohort.csv", rows)
    assert "nothing was new" in call(folder).stdout
    listed = read(folder / "out" / "images.csv")
    assert (listed[1][2], listed[2][5]) == ("resting", "'=7")
    assert [i["factors"]["condition"] for i in summary(folder)["images"][:2]] == ["resting", "naive"]
    simulated_table(folder / "cell_10.csv", side_nm=2500.0, seed=10)
    write(folder / "cohort.csv", [rows[0], ["cell_10.csv", "naive", "4", "5"], *rows[1:]])
    added = call(folder)
    assert "11 of 13 images done, 1 image analyzed" in added.stdout
    assert summary(folder)["images"][0]["path"] == str(folder / "cell_10.csv")
    after = state(folder)
    assert {p.as_posix() for p in before if after.get(p) != before[p]} == {"out/images.csv", "out/summary.json"}


def test_other_settings_do_all_again_and_the_old_ones_nothing(folder):
    call(folder)
    digest = summary(folder)["digest"]
    other = call(folder, "--area-um2", "7")
    assert "10 of 12 images done, 12 images analyzed" in other.stdout
    assert summary(folder)["digest"] != digest
    assert {i["area_um2"] for i in summary(folder)["images"] if i["status"] == "done"} == {7.0}
    assert "nothing was new" in call(folder).stdout
    assert summary(folder)["digest"] == digest
    assert "nothing was new" in call(folder, "--max-localizations", "300").stdout, "tiles never change a result"


@pytest.mark.parametrize("damage", ["truncated", "removed", "the night"])
def test_results_that_were_damaged_are_named_and_made_again(folder, damage):
    call(folder)
    wanted = {i["path"]: i for i in summary(folder)["images"]}
    hit = folder / "out" / summary(folder)["images"][2]["folder"]
    if damage == "truncated":
        (hit / "clusters.csv").write_bytes((hit / "clusters.csv").read_bytes()[:-1])
    elif damage == "removed":
        (hit / "points.parquet").unlink()
    else:
        shutil.rmtree(hit.parent)
    again = call(folder)
    count, name = (
        (10, "holds no run")
        if damage == "the night"
        else (1, f"{hit.name}/{'points' if damage == 'removed' else 'clusters'}")
    )
    assert f"10 of 12 images done, {count} image" in again.stdout
    assert again.stderr.count(name) == count
    for image in summary(folder)["images"]:
        same = ("clusters", "percent_clustered", "medians") if image["status"] == "done" else ("reason",)
        assert all(image[key] == wanted[image["path"]][key] for key in same)
        assert image["status"] == "failed" or (folder / "out" / image["folder"] / "points.parquet").exists()


def test_a_flipped_bit_of_a_result_is_found_where_files_are_verified(folder):
    call(folder)
    path = folder / "out" / summary(folder)["images"][5]["folder"] / "points.parquet"
    was, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "1 image analyzed" in call(folder).stdout, "its time tells"
    path = folder / "out" / summary(folder)["images"][6]["folder"] / "points.parquet"
    was, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert "nothing was new" in call(folder).stdout
    assert "1 image analyzed" in call(folder, "--verify").stdout


def test_a_damaged_ledger_is_never_believed(folder):
    call(folder)
    ledger = folder / "out" / ".screen" / "ledger.json"
    ledger.write_text(ledger.read_text().replace("0003_cell_2", "0004_cell_3"))
    again = call(folder)
    assert "10 of 12 images done, 12 images analyzed" in again.stdout
    assert "ledger.json is damaged (its content does not fit the digest in it)" in again.stderr


def test_one_content_counts_once(folder):
    """For the file it was read from, wherever that stands in the cohort."""
    simulated_table(folder / "cell_3.csv", side_nm=2500.0, seed=33)
    call(folder)
    shutil.copy(folder / "cell_3.csv", folder / "copied.csv")
    rows = read(folder / "cohort.csv")
    write(folder / "cohort.csv", [rows[0], ["copied.csv", "naive", "9", "5"], *rows[1:]])
    assert call(folder).exit_code == 3
    first, *others = summary(folder)["images"]
    assert first["status"] == "failed" and "copied.csv: has the same content as" in first["reason"]
    assert sum(i["status"] == "done" for i in others) == 10


def test_failures_of_the_machine_are_tried_again_and_others_on_demand(folder, monkeypatch):
    from caml_dask.executors import serial

    call(folder)
    simulated_table(folder / "bad.csv", side_nm=2500.0, seed=77)
    run_unit = serial.run_unit

    def no_room(run, key):
        if run.images[key[0]].path.name == "bad.csv":
            raise OSError(28, "No space left on device")
        return run_unit(run, key)

    with monkeypatch.context() as patched:
        patched.setattr(serial, "run_unit", no_room)
        full = call(folder)
    assert full.exit_code == 3 and "No space left on device" in full.stdout
    assert "11 of 12 images done, 1 image analyzed" in call(folder).stdout
    assert "nothing was new" in call(folder).stdout
    assert "11 of 12 images done, 1 image analyzed" in call(folder, "--retry").stdout


def test_channels_of_a_file_are_images(tmp_path):
    xy = np.random.default_rng(0).uniform(0, 3000, (400, 2)).round(1).tolist()
    lines = ["x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID"]
    lines += [f"{x}\t{y}\t0\t0\t{1 + i % 2}" for i, (x, y) in enumerate(xy)]
    (tmp_path / "two.tsv").write_text("\n".join(lines) + "\n")
    write(tmp_path / "cohort.csv", [("path", "condition", "replicate"), ("two.tsv", "a", "1")])
    assert call(tmp_path).exit_code == 0
    rows = read(tmp_path / "out" / "images.csv")[1:]
    assert [(row[0], row[4]) for row in rows] == [("0001_two_ch1", "1"), ("0002_two_ch2", "2")]
    rows = [("path", "condition", "replicate", "channel"), ("two.tsv", "a", "1", "2"), ("two.tsv", "b", "1", "3")]
    write(tmp_path / "cohort.csv", rows)
    named = call(tmp_path)
    assert named.exit_code == 3 and "1 image analyzed" in named.stdout
    assert "holds no channel '3'" in named.stdout


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([("path", "condition")], [], "no column 'replicate'"),
        ([("path", "condition", "replicate"), ("a.csv", "a", "1")], ["--network", "GPT"], "unknown network"),
        ([("path", "condition", "replicate"), ("a.csv", "a", "1")], ["--out", "."], "is not empty (cohort.csv)"),
    ],
)
def test_what_cannot_be_begun_leaves_nothing_and_ends_with_2(tmp_path, monkeypatch, rows, options, said):
    write(tmp_path / "cohort.csv", rows)
    monkeypatch.chdir(tmp_path)
    refused = call(tmp_path, *options)
    assert refused.exit_code == 2 and said in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.csv"]


def test_all_failed_is_4_and_all_done_0(tmp_path):
    write(tmp_path / "cohort.csv", [("path", "condition", "replicate"), ("a.csv", "a", "1")])
    assert call(tmp_path).exit_code == 4
    simulated_table(tmp_path / "a.csv", side_nm=2500.0)
    assert call(tmp_path).exit_code == 0
    run = CliRunner().invoke(main, ["run", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")])
    assert run.exit_code == 2 and "holds no run" in run.output


def test_unusual_figures_are_reported(tmp_path):
    """Eight nights of three images like each other, then one of denser images in one of the two conditions."""
    rows = [("path", "condition", "replicate")]
    for night in range(9):
        for condition in ("a", "b"):
            for k in range(3):
                rng = np.random.default_rng([night, k, ord(condition)])
                n = rng.integers(150, 156) * (2 if night == 8 and condition == "b" else 1)
                path = tmp_path / f"{condition}_{night}_{k}.csv"
                np.savetxt(path, rng.uniform(0, 4000, (n, 2)), header="x [nm],y [nm]", comments="", delimiter=",")
                rows.append((path.name, condition, str(night)))
        write(tmp_path / "cohort.csv", rows)
        screened = screen(str(tmp_path / "cohort.csv"), tmp_path / "out", Settings(test=False), workers=0)
        flagged = [line for line in screened.unusual if "localizations per image" in line]
        assert len(flagged) == (night == 8)
    assert flagged[0].startswith("b, night 2") and "(median of the 8 earlier nights: 15" in flagged[0]
    assert summary(tmp_path)["unusual"] == list(screened.unusual)
    again = call(tmp_path)
    assert f"unusual: {flagged[0]}" in again.stdout
    assert f"unusual: {flagged[0]}" in CliRunner().invoke(main, ["status", str(tmp_path / "out")]).stdout


def start(folder, *options):
    command = [sys.executable, "-m", "caml_dask", "screen", str(folder / "cohort.csv"), "--out", str(folder / "out")]
    command += ["--max-localizations", "200", "--workers", "0", "--no-test", *options]
    # Where the tests run in the background of a shell, children would inherit that interrupts are ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=heard
    )


def interrupted(made, folder, images, number):
    """Screen the cohort anew, send it a signal once so many images are done.

    Returns its status all the while, its process, what it said, and the done records.
    """
    for path in made.glob("*.csv"):
        shutil.copy2(path, folder / path.name)
    process = start(folder)
    seen = []
    while not seen or seen[-1]["done"] < images:
        assert process.poll() is None, process.stdout.read().decode()
        if (folder / "out" / ".screen").exists():
            seen.append(status_of(folder / "out"))
            in_words(seen[-1])
        time.sleep(0.02)
    second = start(folder)
    assert f"in use by process {process.pid}" in second.communicate(timeout=100)[0].decode()
    assert second.returncode == 2
    os.killpg(process.pid, number)
    said = process.communicate(timeout=100)[0].decode()
    (night,) = nights(folder)
    return seen, process, said, done_records(folder / "out" / "nights" / night)


def test_an_interrupted_night_is_resumed_first_and_its_status_known_at_any_time(made, tmp_path):
    seen, process, _, before = interrupted(made[0], tmp_path, 3, signal.SIGKILL)
    begun = [status for status in seen if status["night"]]
    assert all(s["images"] == IMAGES == s["done"] + s["failed"] + s["waiting"] + len(s["under_way"]) for s in begun)
    assert all(s["holder"]["process"] == process.pid for s in begun)
    stages = {image["stage"] for status in seen for image in status["under_way"]}
    assert len(stages) >= 2, "an image under way was seen in its stages"
    assert all(i["done"] <= i["total"] for s in seen for i in s["under_way"] if i["total"] is not None)
    assert begun[-1]["seconds_left"] > 0 and begun[-1]["last_unit_s"] > begun[-1]["holder"]["since"]
    rests = CliRunner().invoke(main, ["status", str(tmp_path / "out")])
    assert "12 images, " in rests.stdout and "was interrupted: screen again to resume it" in rests.stdout

    simulated_table(tmp_path / "cell_10.csv", side_nm=2500.0, seed=99)  # and something new besides
    write(tmp_path / "cohort.csv", [*read(tmp_path / "cohort.csv"), ["cell_10.csv", "naive", "9", "5"]])
    resumed = start(tmp_path)
    output = resumed.communicate(timeout=200)[0].decode()
    assert resumed.returncode == 3, output
    assert "was interrupted: " in output
    night, other = nights(tmp_path)
    after = done_records(tmp_path / "out" / "nights" / night)
    assert len(before) >= 3 and {path: after[path] for path in before if path in after} == before
    assert "11 of 13 images done, 13 images analyzed" in output
    assert [p.name for p in (tmp_path / "out" / "nights" / other).glob("0*")] == ["0013_cell_10"]
    undisturbed = result_tables(made[0] / "out" / "nights" / nights(made[0])[0])
    found = result_tables(tmp_path / "out" / "nights" / night)
    common = found.keys() & undisturbed.keys()
    assert len(common) == 30 and all(found[name].equals(undisturbed[name]) for name in common)


def test_what_an_interrupted_night_finished_is_kept_when_it_cannot_be_resumed(made, tmp_path):
    """A file it had not come to yet has changed: the manifest of the night holds no more."""
    _, process, said, before = interrupted(made[0], tmp_path, 2, signal.SIGINT)
    assert process.returncode == 130 and "call again to go on" in said and "Traceback" not in said
    simulated_table(tmp_path / "cell_9.csv", side_nm=2500.0, seed=98)
    again = call(tmp_path, "--max-localizations", "200")
    assert again.exit_code == 3 and "10 of 12 images done" in again.stdout
    assert "It differs in inputs" in again.stderr and "its finished images are kept" in again.stderr
    assert "are missing or altered" not in again.stderr
    first = nights(tmp_path)[0]
    kept = [i for i in summary(tmp_path)["images"] if i["folder"].startswith(f"nights/{first}/")]
    assert len(kept) >= 2 and kept[0]["image_id"] == "0001_cell_0"
    assert {p: p.stat().st_mtime_ns for p in before if kept[0]["image_id"] in p.parts} == {
        p: time_ns for p, time_ns in before.items() if kept[0]["image_id"] in p.parts
    }
    closed = json.loads((tmp_path / "out" / "nights" / first / "summary.json").read_text())["images"]
    assert {i["reason"] for i in closed if i["status"] == "failed"} == {"not finished in this night: see a later night"}
    assert summary(tmp_path)["new"] == [i["image_id"] for i in summary(tmp_path)["images"] if i["folder"]]
    assert "nothing was new" in call(tmp_path).stdout


@pytest.mark.parametrize("lost", ["the night", "its records", "its manifest", "the text of its manifest"])
def test_a_night_that_was_interrupted_and_lost_is_made_again(folder, lost):
    call(folder)
    ledger = Ledger.read(folder / "out")
    ledger.underway = {"night": nights(folder)[0], "images": 12, "done": 0, "failed": 0}
    ledger.write(folder / "out")
    night = folder / "out" / "nights" / nights(folder)[0]
    if lost == "the night":
        shutil.rmtree(night)
    elif lost == "its records":
        shutil.rmtree(night / ".run")
    elif lost == "its manifest":
        (night / ".run" / "manifest.json").unlink()
    else:
        (night / ".run" / "manifest.json").write_text("{")
    status_of(folder / "out")
    assert "10 of 12 images done, 10 images analyzed" in call(folder).stdout
    assert "nothing was new" in call(folder).stdout


def test_status_of_a_run(made, tmp_path):
    out = tmp_path / "run"
    inputs = [str(made[0] / name) for name in ("cell_0.csv", "bad.csv")]
    CliRunner().invoke(main, ["run", *inputs, "--out", str(out), "--workers", "0", "--no-test"])
    found = json.loads(CliRunner().invoke(main, ["status", str(out), "--json"]).stdout)
    assert (found["kind"], found["images"], found["done"], found["failed"]) == ("run", 2, 1, 1)
    assert "no x and y column" in found["failures"]["0001_bad"] and found["holder"] is None
    (out / ".run" / "0001_bad" / "failed.json").write_text("{")
    assert status_of(out)["waiting"] == 1
    (out / ".run" / "manifest.json").unlink()
    assert "0 images" in in_words(status_of(out)), "as of one that is only just being begun"
    with pytest.raises(OutputError, match="holds no run"):
        status_of(tmp_path)


def test_a_failure_is_noted_until_the_image_is_done(made, tmp_path, monkeypatch):
    def no_room(run, key):
        raise OSError(28, "No space left on device")

    command = ["run", str(made[0] / "cell_0.csv"), "--out", str(tmp_path / "run"), "--workers", "0", "--no-test"]
    with monkeypatch.context() as patched:
        patched.setattr("caml_dask.executors.serial.run_unit", no_room)
        assert CliRunner().invoke(main, command).exit_code == 4
    assert status_of(tmp_path / "run")["failures"] == {"0001_cell_0": "OSError: [Errno 28] No space left on device"}
    run = Run.open(tmp_path / "run")
    SerialExecutor().execute(run, Lines(run))
    assert status_of(tmp_path / "run")["done"] == 1
    assert [path.name for path in (tmp_path / "run" / ".run" / "0001_cell_0").iterdir()] == ["done"]


def test_time_left_is_told_at_the_rate_of_who_works_now(made, tmp_path):
    """One image was done long before, one in 10 s since the present process began; one is left."""
    out = tmp_path / "run"
    inputs = [str(made[0] / f"cell_{i}.csv") for i in range(3)]
    CliRunner().invoke(main, ["run", *inputs, "--out", str(out), "--workers", "0", "--no-test"])
    records = sorted(done_records(out))
    since = time.time() - 60
    for record, at in zip(records, (since - 1000, since + 10)):
        os.utime(record, (at, at))
    records[2].unlink()
    lock = out / ".run" / "lock"
    lock.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    os.utime(lock, (since, since))
    found = status_of(out)
    assert (found["done"], found["waiting"], found["last_unit_s"]) == (2, 1, pytest.approx(since + 10))
    assert (found["seconds_an_image"], found["seconds_left"]) == (pytest.approx(10), pytest.approx(10))
    assert "6 images per minute, about 1 min left" in in_words(found)


def test_a_status_in_words_names_the_stage_as_users_read_it():
    image = {"image_id": "0001_cell", "stage": "classify", "done": 3, "total": 7}
    found = {"kind": "run", "directory": "out", "images": 1, "done": 0, "failed": 0, "waiting": 0, "failures": {}}
    found |= {"under_way": [image], "holder": None, "last_unit_s": None, "seconds_left": None}
    assert in_words(found).splitlines() == [
        "run out: 1 image, 0 done, 0 failed, 1 under way, 0 waiting",
        "  0001_cell: finding neighbors and scoring (3 of 7 units done)",
        "not running; the run was interrupted: continue with --resume",
    ]
