"""The Dask executor against its specification, and real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
from distributed import Client, Security
from doors import refuses_strangers, serves_pages
from support import done_records, result_tables, same, simulated_table

from caml_dask.executors.deployment.clusters import local_cluster
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 500


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return simulated_table(tmp_path_factory.mktemp("input") / "field.csv", side_nm=5000.0)


@pytest.fixture(scope="module")
def serial(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("serial") / "out"
    execute([table], out, Settings(test=False), workers=0)
    return result_tables(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_tables_of_the_serial_executor(table, serial, workers, tmp_path):
    outcome = execute([table], tmp_path / "out", Settings(max_localizations=TILE, test=False), workers=workers)
    assert outcome.exit_code == 0
    assert same(result_tables(tmp_path / "out"), serial)
    records = [json.loads(path.read_text()) for path in done_records(tmp_path / "out")]
    assert len({record["worker"] for record in records}) == workers


def test_images_that_fail_do_not_stop_the_others(table, tmp_path):
    bad, tiny = tmp_path / "bad.csv", tmp_path / "tiny.csv"
    bad.write_text("nonsense\n\x00\x01")
    tiny.write_text('"x [nm]","y [nm]"\n' + "1,2\n" * 29)
    outcome = execute([bad, table, tiny], tmp_path / "out", Settings(max_localizations=TILE, test=False), workers=2)
    assert outcome.exit_code == 3
    assert set(outcome.failed) == {"0002_bad", "0003_tiny"}
    assert "field-2d needs 30 localizations; there are 29" in str(outcome.failed["0003_tiny"])
    images = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert [image["status"] for image in images] == ["done", "failed", "failed"]
    listed = (tmp_path / "out" / "images.csv").read_text().splitlines()
    assert listed[0].startswith("image_id,path,status,reason,") and "0001_field" in listed[1] and ",done," in listed[1]


def test_a_local_cluster_listens_on_loopback_alone_and_to_those_with_its_key():
    with local_cluster(1) as client:
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        connections = [c for p in family for c in p.net_connections("tcp")]
        doors = {c.laddr[:2] for c in connections if c.status == psutil.CONN_LISTEN}
        assert {ip for ip, _ in doors} == {"127.0.0.1"} and not any(map(serves_pages, doors))
        known = client.scheduler_info()
        (worker,) = known["workers"].items()
        for address in (known["address"], worker[0], worker[1]["nanny"]):
            assert address.startswith("tls://127.0.0.1:")
            assert refuses_strangers(("127.0.0.1", int(address.rpartition(":")[2])))
        assert client.submit(sum, [1, 2]).result() == 3
        with pytest.raises(OSError, match=r"(?i)timed out|tls|handshake"):
            Client(client.scheduler.address, security=Security.temporary(), timeout="5s")


def test_a_failed_image_shows_no_traceback(tmp_path):
    absent = tmp_path / "absent.csv"
    absent.symlink_to("nowhere.csv")
    process = start(absent, tmp_path / "out")
    output = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 4
    assert "absent.csv: is a link to nowhere.csv, which does not exist" in output
    assert "Traceback" not in output and "distributed" not in output


def test_interrupted_from_the_keyboard(table, tmp_path):
    process = start(table, tmp_path / "out")
    wait_for_records(process, tmp_path / "out", 5)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 130
    assert "interrupted; what is done is kept: continue with --resume" in output
    assert "Traceback" not in output


def start(table, out, *options):
    command = [sys.executable, "-m", "caml_dask", "run", str(table), "--out", str(out)]
    command += ["--max-localizations", str(TILE), "--workers", "2", "--no-test", *options]
    # Where the tests run in the background of a shell, children would inherit that interrupts are ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=heard
    )


def wait_for_records(process, out, count):
    while len(done_records(out)) < count:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.005)


@pytest.mark.parametrize(("count", "workers"), [(3, 0), (14, 2), (30, 0)])
def test_killed_with_its_workers_and_resumed(table, serial, count, workers, tmp_path):
    """Law 7 with SIGKILL to the driver and every worker: the same tables, and no finished unit runs twice.

    Resumed on workers, and without.
    """
    out = tmp_path / "out"
    process = start(table, out)
    wait_for_records(process, out, count)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)
    before = done_records(out)
    settings = Settings(max_localizations=TILE, test=False)
    assert execute([table], out, settings, workers=workers, resume=True).exit_code == 0
    after = done_records(out)
    assert {path: after[path] for path in before} == before
    assert same(result_tables(out), serial)


def test_a_worker_killed_in_mid_run_changes_nothing(table, serial, tmp_path):
    out = tmp_path / "out"
    process = start(table, out)
    wait_for_records(process, out, 12)
    workers = {json.loads(path.read_text())["worker"].rsplit(":", 1)[1] for path in done_records(out)}
    os.kill(int(workers.pop()), signal.SIGKILL)
    output = process.communicate(timeout=200)[0].decode()
    assert process.returncode == 0, output
    assert output.count("a worker was lost and is replaced") == 1
    assert same(result_tables(out), serial)


def test_workers_killed_while_they_start_again_are_replaced(table, serial, tmp_path):
    """Dask itself gives them up, and so would the run have none left."""
    out = tmp_path / "out"
    process = start(table, out)
    wait_for_records(process, out, 12)
    killed = set()
    while len(killed) < 6 and process.poll() is None:
        for child in psutil.Process(process.pid).children():
            if child.pid not in killed and any("spawn_main" in word for word in child.cmdline()):
                killed.add(child.pid)
                child.kill()
        time.sleep(0.3)
    output = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, output
    assert same(result_tables(out), serial)


def test_small_inputs_run_without_a_cluster(table, serial, tmp_path, monkeypatch):
    """Unless a number of workers is asked for; the results are the same."""
    monkeypatch.setattr("caml_dask.runs.session.deployed", lambda *_: pytest.fail("a cluster was started"))
    outcome = execute([table], tmp_path / "out", Settings(max_localizations=TILE, test=False), workers=None)
    assert same(result_tables(outcome.run.root), serial)
    monkeypatch.setattr("caml_dask.runs.session.SMALL_INPUT_BYTES", table.stat().st_size - 1)
    with pytest.raises(pytest.fail.Exception, match="a cluster was started"):
        execute([table], tmp_path / "other", Settings(test=False), workers=None)


def test_a_second_run_in_the_same_directory_is_refused_by_name_and_the_first_loses_no_worker(table, serial, tmp_path):
    out = tmp_path / "out"
    first = start(table, out)
    wait_for_records(first, out, 1)
    second = start(table, out, "--resume")
    message = second.communicate(timeout=100)[0].decode()
    assert second.returncode == 2
    assert f"in use by process {first.pid}" in message
    output = first.communicate(timeout=200)[0].decode()
    assert first.returncode == 0, output
    assert "was lost" not in output
    assert same(result_tables(out), serial)
