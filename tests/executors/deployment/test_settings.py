"""Deployments read from TOML, and what dask-jobqueue is handed of them."""

from __future__ import annotations

from pathlib import Path

import dask
import pytest
from click.testing import CliRunner

from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.executors.deployment.batch import job_of, keywords
from caml_dask.executors.deployment.clusters import ONE_THREAD
from caml_dask.executors.deployment.security import identity
from caml_dask.executors.deployment.settings import Allocation, Batch, Existing, Local, load_deployment

DEPLOY = Path(__file__).parents[3] / "deploy"


def read(tmp_path, text):
    path = tmp_path / "deployment.toml"
    path.write_text(text)
    return load_deployment(path)


def test_each_kind_is_read(tmp_path):
    assert read(tmp_path, 'kind = "local"\nworkers = 2\nmemory = "1GiB"\n') == Local(2, "1GiB")
    found = read(tmp_path, 'kind = "scheduler"\nscheduler_file = "s.json"\nwait_s = 5\n')
    assert found == Existing(scheduler_file=str(tmp_path / "s.json"), wait_s=5)
    found = read(tmp_path, 'kind = "pbs"\njobs = 3\nshared = ["data", "/x"]\n[cluster]\ncores = 2\n')
    found_in = read(tmp_path, 'kind = "allocation"\nlauncher = "mpirun -n 8"\nmemory = "2GB"\ninterface = "ib0"\n')
    assert found_in == Allocation("mpirun -n 8", "2GB", "ib0", 300)
    assert found == Batch("pbs", jobs=3, shared=[str(tmp_path / "data"), "/x"], cluster={"cores": 2})


def test_paths_for_jobs_hold_wherever_these_start(tmp_path, monkeypatch):
    """PBS starts jobs in HOME, Slurm with --chdir anywhere: no path of the script may be relative."""
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("LOGS", "of-jobs")
    text = (
        'kind = "pbs"\n[cluster]\nlog_directory = "$LOGS/a"\nlocal_directory = "$TMPDIR"\ncores = 1\nmemory = "1GB"\n'
    )
    deployment = read(tmp_path, text)
    assert deployment.cluster["log_directory"] == str(tmp_path / "of-jobs" / "a")
    assert deployment.cluster["local_directory"] == "$TMPDIR", "a folder of the node is for its shell to name"
    monkeypatch.chdir(tmp_path)
    script = job_of(deployment, ONE_THREAD, Path("out/.run").absolute()).job_script()
    assert f"#PBS -o {tmp_path}/of-jobs/a/" in script
    assert f"--tls-key {tmp_path}/out/.run/.tls-of-this-run/key.pem" in script
    found = read(tmp_path, 'kind = "scheduler"\naddress = "tls://a:1"\ntls_ca = "c"\ntls_cert = "d"\ntls_key = "e"\n')
    assert (found.tls_ca, found.tls_cert, found.tls_key) == tuple(str(tmp_path / name) for name in "cde")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = 'local", "cannot be read"),
        ("workers = 2", "kind is None: use one of local, scheduler, allocation, slurm, pbs, lsf, sge"),
        ("kind = 'kubernetes'", "kind is 'kubernetes'"),
        ("kind = 'local'\nworker = 2", "worker is not known here: use workers, memory, wait_s"),
        ("kind = 'local'\nworkers = '2'", "workers = '2' is of type str: give int | None"),
        ("kind = 'local'\nworkers = true", "workers = True is of type bool"),
        ("kind = 'local'\nworkers = 0", "give at least 1"),
        ("kind = 'scheduler'", "either address or scheduler_file"),
        ("kind = 'scheduler'\naddress = 'tls://a:1'\ntls_ca = 'ca.pem'", "go together"),
        ("kind = 'slurm'\nwait_s = 0", "positive number of seconds"),
        ("kind = 'slurm'\nshared = [5]", "shared = [5] is of type list: give list[str]"),
        ("kind = 'slurm'\njobs = 2.5", "jobs = 2.5 is of type float: give int"),
        ("kind = 'slurm'\n[cluster]\nsecurity = 'no'", "security, which a run sets itself"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, said):
    with pytest.raises(UsageError) as refusal:
        read(tmp_path, text)
    assert said in str(refusal.value) and "deployment.toml" in str(refusal.value)


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.toml")), ids=lambda path: path.name)
def test_ready_files_are_read(path):
    deployment = load_deployment(path)
    if isinstance(deployment, Batch):
        pytest.importorskip("dask_jobqueue")
        script = job_of(deployment, ONE_THREAD, Path("/out/.run")).job_script()
        assert "export NUMBA_NUM_THREADS=1" in script and "--nthreads 1" in script
        assert "--protocol tls://" in script and "--tls-key /out/.run/.tls-" in script
        assert "--lifetime" in script and "--dashboard-address 127.0.0.1:0" in script


def test_the_sites_own_yaml_stands_where_the_toml_says_nothing():
    site = {"cores": 16, "processes": 4, "job-script-prologue": ["module load x"], "worker-extra-args": ["--resources"]}
    with dask.config.set({"jobqueue.slurm": site}):
        given = keywords(Batch("slurm", cluster={"memory": "8GB"}), {"OMP_NUM_THREADS": "1"}, None)
        assert given["memory"] == "8GB" and "cores" not in given
        assert given["processes"] == 4
        assert given["job_script_prologue"] == ["export OMP_NUM_THREADS=1", "module load x"]
        assert given["worker_extra_args"] == ["--resources", "--dashboard-address", "127.0.0.1:0"]
        over = keywords(Batch("slurm", cluster={"processes": 2, "job_script_prologue": []}), {}, None)
        assert over["processes"] == 2 and over["job_script_prologue"] == []


def test_each_run_has_a_key_of_its_own_for_this_user_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    security = identity(tmp_path / "a")
    identity(tmp_path / "b")
    assert security.require_encryption
    assert (tmp_path / "a" / "key.pem").read_text() != (tmp_path / "b" / "key.pem").read_text()
    assert all(path.stat().st_mode & 0o177 == 0 for path in (tmp_path / "a").iterdir())


def test_workers_are_said_to_be_in_one_place(tmp_path):
    where = ["--workers", "1", "--deploy", str(DEPLOY / "local.toml")]
    refused = CliRunner().invoke(main, ["run", "x.csv", "--out", str(tmp_path / "out"), *where])
    assert refused.exit_code == 2 and "give one of them" in refused.output
    assert not (tmp_path / "out").exists()
