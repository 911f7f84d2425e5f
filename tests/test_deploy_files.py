"""The ready files under deploy/ are what they say; tests/run/test_run_settings.py reads the deployments."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"
ROOT = DEPLOY.parent


def unit(name):
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#", strict=False)
    parser.optionxform = str
    parser.read_string((DEPLOY / name).read_text())
    return parser


def test_the_service_and_its_timer():
    service, timer = unit("caml-dask-screen.service"), unit("caml-dask-screen.timer")
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["ExecStart"].split()[1:] == ["screen", "%h/cohort.csv", "--out", "%h/screening"]
    assert service["Service"]["SuccessExitStatus"] == "3"
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:00", timer["Timer"]["OnCalendar"])
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong(tmp_path):
    for path in DEPLOY.glob("caml-dask-screen.*"):
        text = path.read_text().replace("%h/venv/bin/caml-dask", "/bin/true")
        (tmp_path / path.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "caml-dask-screen" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_service_may_do_little(tmp_path):
    """Of 100, what systemd finds exposed; 96 without a line of protection."""
    path = tmp_path / "caml-dask-screen.service"
    path.write_text((DEPLOY / path.name).read_text().replace("%h/venv/bin/caml-dask", "/bin/true"))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at running services alone")
    assert done.returncode == 0, done.stdout + done.stderr
    written = unit(path.name)["Service"]["ReadWritePaths"]
    assert written == unit(path.name)["Service"]["ExecStart"].split()[-1], "it writes where its results are"


def test_the_crontab_is_silent_on_success_and_tells_everything_else(tmp_path):
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if not line.startswith(("#", "MAILTO="))]
    assert len(lines) == 1
    fields = lines[0].split(maxsplit=5)
    assert fields[:5] == ["15", "2", "*", "*", "*"]
    assert "%" not in fields[5], "cron takes it for the end of the command"
    command = tmp_path / "venv" / "bin" / "caml-dask"
    command.parent.mkdir(parents=True)
    for code, told in ((0, ""), (3, "screen\n")):
        command.write_text(f'#!/bin/sh\necho "$1"\nexit {code}\n')
        command.chmod(0o755)
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-c", fields[5]], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout == told


def test_the_container_has_its_sections_and_what_it_copies_exists():
    text = (DEPLOY / "caml_dask.def").read_text()
    assert re.findall(r"(?m)^%(\w+)$", text) == ["files", "post", "runscript"]
    header = dict(re.findall(r"(?m)^(\w+): (.+)$", text))
    assert header == {"Bootstrap": "docker", "From": "python:3.12-slim-bookworm"}
    copied = re.search(r"(?s)%files\n(.*?)\n\n", text).group(1).split()[::2]
    assert copied and all((ROOT / name).exists() for name in copied)
    post = re.search(r"(?s)%post\n(.*?)\n\n", text).group(1)
    subprocess.run(["bash", "-n"], input=post, text=True, check=True, timeout=60)
