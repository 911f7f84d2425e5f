"""What the doctor finds: each fault of a deployment is a line that names it."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from caml_dask.cli import main
from caml_dask.errors import WorkersError
from caml_dask.executors.deployment.settings import Allocation, Batch, Existing, Local
from caml_dask.runs import doctor, self_check, sharing
from caml_dask.runs.doctor import OK, PROBLEM, WARNING, examine, needed_bytes
from caml_dask.runs.sharing import Sharing
from caml_dask.settings import Settings

SLURM = Batch("slurm", lifetime="50m", cluster={"cores": 2, "memory": "4GB", "walltime": "01:00:00", "interface": "lo"})


@pytest.fixture
def queued(tmp_path, monkeypatch):
    """A machine on which jobs can be submitted, as far as the doctor looks: it never runs the command."""
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    running = SimpleNamespace(run=lambda command, **_: said_by(*command), TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(doctor, "subprocess", running)


@functools.cache
def said_by(*command):
    """What an interpreter of the jobs says of itself: in all tests the same, so it is started for the first."""
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def lines(deployment, tmp_path, grade, inputs=(), settings=None, ask=False):
    findings = examine(deployment, list(inputs), tmp_path / "out", settings or Settings(), ask)
    return [finding.text for finding in findings if finding.grade == grade]


def with_(**keywords):
    return replace(SLURM, cluster={**SLURM.cluster, **keywords})


def test_a_sound_deployment_has_no_problem(queued, tmp_path):
    assert lines(SLURM, tmp_path, PROBLEM) == []
    assert any("has caml_dask" in text for text in lines(SLURM, tmp_path, OK))


@pytest.mark.parametrize(
    ("deployment", "grade", "said"),
    [
        (with_(memory="1GB"), PROBLEM, "a worker has 0.5 GiB; the largest tile asks for about"),
        (with_(interface="nowhere0"), PROBLEM, "interface = 'nowhere0'"),
        (with_(interface=None), WARNING, "name an interface"),
        (with_(colour="red"), PROBLEM, "colour"),
        (with_(python="/nowhere/python"), WARNING, "/nowhere/python, which the jobs start, cannot be tried here"),
        (with_(python=f"{sys.executable} -I -S"), PROBLEM, "has not caml_dask"),
        (with_(python="/bin/true"), PROBLEM, "has not caml_dask"),
        (with_(processes=1), WARNING, "a worker has 2 cores and uses one"),
        (replace(SLURM, lifetime=None), WARNING, "no lifetime"),
        (replace(SLURM, lifetime="59m"), WARNING, "is not two minutes below the walltime"),
        (replace(SLURM, lifetime="soon"), PROBLEM, "soon"),
        (replace(SLURM, lifetime="50m"), OK, "workers end of themselves after 50m"),
        (replace(SLURM, shared=["/nowhere"]), PROBLEM, "/nowhere does not exist"),
        (replace(SLURM, shared=["/"]), WARNING, "make sure that all nodes see it"),
    ],
)
def test_each_fault_is_named(queued, tmp_path, deployment, grade, said):
    found = lines(deployment, tmp_path, grade)
    assert any(said in text for text in found), found


def test_a_port_in_use_is_named(queued, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = lines(with_(scheduler_options={"port": port}), tmp_path, PROBLEM)
    assert any(f"port {port} of 127.0.0.1 cannot be listened at" in text for text in found)


def test_without_the_batch_system_nothing_can_be_submitted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any("sbatch is not found" in text for text in lines(SLURM, tmp_path, PROBLEM))


def test_the_launcher_of_an_allocation_is_looked_for(tmp_path, monkeypatch):
    (tmp_path / "mpirun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert any(f"here {tmp_path}/mpirun" in text for text in lines(Allocation(), tmp_path, OK))
    (problem,) = lines(Allocation(launcher="aprun", memory="4GiB"), tmp_path, PROBLEM)
    assert "'aprun' is not found" in problem and "in a job" in problem
    assert any("a worker has 0.1 GiB" in text for text in lines(Allocation(memory="100MiB"), tmp_path, PROBLEM))


def test_larger_tiles_ask_for_more_memory(tmp_path):
    assert needed_bytes([], Settings(max_localizations=1_000_000)) > 1.5 * needed_bytes([], Settings())
    assert needed_bytes([], Settings()) > needed_bytes([], Settings("XPILJZ"))
    assert lines(Local(workers=1, memory="4GiB"), tmp_path, PROBLEM) == []
    large = Settings(max_localizations=20_000_000)
    assert "choose a smaller --max-localizations" in lines(Local(1, "4GiB"), tmp_path, PROBLEM, settings=large)[0]


def test_workers_of_a_scheduler_are_asked(tmp_path):
    # Less than a tile asks for, more than the packages take: Dask pauses a worker with four fifths of it in use.
    with LocalCluster(1, threads_per_worker=1, memory_limit="500MiB", dashboard_address=None) as cluster:
        standing = Existing(address=cluster.scheduler_address)
        problems = lines(standing, tmp_path, PROBLEM, inputs=[Path("/nowhere.csv")])
        assert not [text for text in lines(standing, tmp_path, WARNING) if "packages" in text]
        host = socket.gethostname()
        *_, packages, seen, refused = lines(standing, tmp_path, OK)
        assert packages == "packages are the same on both sides"
        assert f"a file that {host} makes in {tmp_path} is seen here after 0." in seen
        assert refused == f"a lock held here in {tmp_path} is refused on {host}"
        assert list(tmp_path.iterdir()) == []
    assert any("does not see /nowhere.csv" in text for text in problems)
    assert any("a worker has 0.5 GiB" in text for text in problems)


@pytest.mark.parametrize(
    ("found", "grade", "said"),
    [
        (Sharing("n1", None, None, True), PROBLEM, "is not seen here: choose an --out that all nodes see"),
        (Sharing("n1", 0.0, 30.1, True), OK, "stays unseen for 30 s"),
        (Sharing("n1", 0.0, None, True), OK, "stays unseen for a minute or longer"),
        (Sharing("n1", 0.0, 0.0, False), WARNING, "granted on n1 too: locks hold on one node only"),
        (Sharing("n1", 0.0, 0.0, None), PROBLEM, "n1 can lock no files"),
    ],
)
def test_what_a_folder_does_between_nodes_is_told(found, grade, said, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "sharing", lambda client, folder: iter([found]))
    findings = list(doctor._shared(None, tmp_path / "scratch", tmp_path))
    assert [finding.grade for finding in findings if said in finding.text] == [grade]


def test_a_folder_of_locks_and_files_of_its_own_is_found_out(tmp_path, monkeypatch):
    """A worker in this process, that locks nothing and makes its files elsewhere."""
    client = SimpleNamespace(run=lambda function, *given, workers=None: {"tcp://one": function(*given)})
    monkeypatch.setattr(sharing.fcntl, "flock", lambda *_: None)
    assert [found.lock_refused for found in sharing.sharing(client, tmp_path)] == [False]
    monkeypatch.setattr(sharing, "_SEEN_S", 0.2)
    monkeypatch.setattr(sharing.Path, "touch", lambda *_, **__: None)
    (tmp_path / "other").mkdir()
    assert [found.seen_s for found in sharing.sharing(client, tmp_path / "other")] == [None]


def test_the_command_shows_the_job_and_says_by_its_exit_code_whether_it_may_be_queued(queued, tmp_path):
    def call(text):
        (tmp_path / "d.toml").write_text(text)
        return CliRunner().invoke(
            main, ["doctor", "--deploy", str(tmp_path / "d.toml"), "--out", str(tmp_path / "out")]
        )

    sound = 'kind = "slurm"\n[cluster]\nqueue = "night"\ncores = 1\nmemory = "4GB"\n'
    told = call(sound)
    assert told.exit_code == 0, told.output
    findings, script = told.output.split("What would be submitted")
    assert "\nok       " in findings
    assert "#SBATCH -p night" in script and "--tls-key" in script
    assert call(sound + 'interface = "nowhere0"\n').exit_code == 2
    incomplete = call('kind = "slurm"\n')
    assert incomplete.exit_code == 2 and "problem  dask-jobqueue cannot use the deployment" in incomplete.output


def test_this_machine_is_checked_with_a_tiny_run(tmp_path):
    told = CliRunner().invoke(main, ["doctor", "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    for said in ("caml_dask 0.", "numba 0", "compiled kernels are kept in", "can be written to", "cores can be used"):
        assert f"ok       {said}" in told.output or said in told.output
    assert told.output.count("gives 379 localizations, 11 clusters, 198 in clusters, as it should") == 2
    assert "problem" not in told.output and not (tmp_path / "out").exists() and list(tmp_path.iterdir()) == []


def test_faults_of_this_machine_are_problems(tmp_path, monkeypatch):
    monkeypatch.setattr(self_check, "KNOWN", {**self_check.KNOWN, "clusters": 12})
    monkeypatch.setattr(self_check, "_run", lambda table, out, workers, run=self_check._run: run(table, out, 0))
    told = CliRunner().invoke(main, ["doctor", "missing.csv", "-o", "/proc/nowhere", "--max-localizations", "90000000"])
    assert told.exit_code == 2
    for said in (
        "there is no file or folder missing.csv",
        "/proc: no file can be written and locked there",
        "choose a smaller --max-localizations",
        "gives 379 localizations, 11 clusters, 198 in clusters; it should give 379, 12, 198: report this",
    ):
        assert f"problem  {said}" in told.output or said in told.output
    assert told.output.count("\nproblem") + told.output.startswith("problem") == 5


def test_a_difference_between_a_worker_and_this_process_is_a_problem(monkeypatch):
    def run(table, out, workers):
        return dict(self_check.KNOWN), pd.DataFrame({"label": [workers]})

    monkeypatch.setattr(self_check, "_run", run)
    grades = [finding.grade for finding in self_check._tiny_run()]
    assert grades == [OK, OK, PROBLEM]


def test_a_tiny_run_that_fails_is_a_problem(monkeypatch):
    def run(table, out, workers):
        raise WorkersError("no worker came")

    monkeypatch.setattr(self_check, "_run", run)
    assert [finding.grade for finding in self_check._tiny_run()] == [PROBLEM, PROBLEM]


@pytest.mark.parametrize("place", [None, Path("/tmp/kernels"), Path("/proc/nowhere")])
def test_kernels_that_are_not_kept_are_a_warning(place, monkeypatch):
    monkeypatch.setattr(self_check, "kept_in", lambda kernel: place)
    monkeypatch.setattr(self_check, "is_temporary", lambda: place == Path("/tmp/kernels"))
    (finding,) = self_check._compiled_code()
    assert finding.grade == WARNING and "set NUMBA_CACHE_DIR to a folder" in finding.text


def test_too_little_room_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(self_check.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    (finding,) = self_check._disk([], tmp_path / "out")
    assert finding.grade == WARNING and "the run may need 1.0 GiB" in finding.text


def test_workers_are_asked_of_a_deployment_alone():
    refused = CliRunner().invoke(main, ["doctor", "--ask"])
    assert refused.exit_code == 2 and "name the deployment with --deploy" in refused.output
