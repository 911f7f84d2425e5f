"""Scripts of job arrays: a double of each batch system's command runs the tasks, as that system numbers them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from caml_dask.cli import main
from caml_dask.executors.array_script import SYSTEMS, array_script

DEPLOY = Path(__file__).parents[2] / "deploy"
COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}
RANGES = {
    "slurm": r"--array=(\d+)-(\d+)",
    "pbs": r"-J (\d+)-(\d+)",
    "lsf": r"\[(\d+)-(\d+)\]",
    "sge": r"-t (\d+)-(\d+)",
}
SAYS = {
    "slurm": ("{0};cluster", "{0};cluster"),
    "pbs": ("{0}.server", "{0}[].server"),
    "lsf": ("Job <{0}> is submitted to default queue <normal>.",) * 2,
    "sge": ("{0}", "{0}.1-3:1"),
}
AFTER = {
    "slurm": "--dependency=afterany:{0}",
    "pbs": "-W depend=afterany:{0}[].server",
    "lsf": "-w ended({0})",
    "sge": "-hold_jid {0}",
}
DOUBLE = """#!{python}
import json, os, pathlib, re, subprocess, sys
folder, words, script = pathlib.Path({folder!r}), " ".join(sys.argv[1:]), sys.stdin.read()
with (folder / "submitted").open("a") as file:
    file.write(json.dumps(words) + "\\n")
number = len((folder / "submitted").read_text().splitlines()) + 40
found = re.search({array!r}, words)
for index in range(int(found[1]), int(found[2]) + 1) if found else [None]:
    given = {{}} if index is None else {{{variable!r}: str(index)}}
    subprocess.run(["/bin/sh", "-c", script], env={{**os.environ, **given}}, cwd="/", check=True)
print({says!r}[found is not None].format(number))
"""
FAKE = """#!/bin/sh
[ "$1" = plan ] && echo "read
plan"
echo "$OMP_NUM_THREADS $*" >>{0}/called
"""


def command(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """Submit a run to a double; what it was told, and what its tasks called."""

    def submit(system, tasks, out, **given):
        variable = SYSTEMS[system].index
        double = DOUBLE.format(
            python=sys.executable, folder=str(tmp_path), array=RANGES[system], variable=variable, says=SAYS[system]
        )
        command(tmp_path / COMMANDS[system], double)
        command(tmp_path / "fake", FAKE.format(tmp_path))
        command(tmp_path / "submit.sh", array_script(system))
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TASKS": str(tasks), "CAML_DASK": str(tmp_path / "fake")}
        subprocess.run(
            [tmp_path / "submit.sh", out, "a b.csv"], cwd=tmp_path, env={**env, **given}, check=True, timeout=60
        )
        told = [json.loads(line) for line in (tmp_path / "submitted").read_text().splitlines()]
        return told, (tmp_path / "called").read_text().splitlines()

    return submit


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_stage_is_an_array_after_the_one_before_and_every_task_has_its_share(system, submitted, tmp_path):
    told, called = submitted(system, 3, "o'ut of it", OPTIONS="--min-points 4", SUBMIT="-q short")
    out = tmp_path / "o'ut of it"
    assert called[0] == f" plan a b.csv --out {out} --resume --min-points 4"
    units = [f"1 unit {stage} {index} --of 3 --out {out}" for stage in ("read", "plan") for index in range(3)]
    assert called[1:] == [*units, f"1 finish --out {out}"]
    assert [name for words in told for name in ("caml-read", "caml-plan", "caml-finish") if name in words] == [
        "caml-read", "caml-plan", "caml-finish"
    ]  # fmt: skip
    assert all("-q short" in words and str(out / ".run" / "jobs") in words for words in told)
    assert [AFTER[system].format(number) in told[number - 40] for number in (41, 42)] == [True, True]
    assert not any(AFTER[system].partition("{")[0] in told[0] for _ in told)


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_task_is_no_array(system, submitted, tmp_path):
    told, called = submitted(system, 1, "out")
    assert called[1:3] == [f"1 unit {stage} 0 --of 1 --out {tmp_path}/out" for stage in ("read", "plan")]
    assert len(told) == 3


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_ready_file_is_what_the_command_prints(system):
    path = DEPLOY / f"{system}_array.sh"
    assert path.read_text() == array_script(system)
    assert os.access(path, os.X_OK)
    printed = CliRunner().invoke(main, ["array-script", "--system", system])
    assert printed.exit_code == 0 and printed.stdout == array_script(system)
    refused = subprocess.run([path], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2 and "OUT INPUT..." in refused.stderr
