"""What works without the packages of the extras, and what commands say that need them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import simulated_table

from caml_dask.errors import UsageError
from caml_dask.extras import EXTRAS, require

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PACKAGES = tuple(name for names in EXTRAS.values() for name in names)
BLOCKED = """
import sys

class Missing:
    # As of a package that is not installed; those that others load themselves where they find them included.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def without(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python, and that of its child processes, finds none of the packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKED.format(packages=set(PACKAGES)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT.parent)])}


def python(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What a Python process leaves; one that hangs, or trains after all, is ended."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


def command(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return python(environment, "-m", "caml_dask", *arguments)


def test_an_analysis_needs_no_extra(without: dict[str, str], tmp_path: Path):
    """In Python and by the commands, in one process and on workers."""
    table = simulated_table(tmp_path / "cell.csv", side_nm=2000.0)
    code = (
        "import sys, numpy as np, caml_dask\n"
        f"found = caml_dask.analyze(caml_dask.read_localizations({str(table)!r}).select(['x_nm', 'y_nm']))\n"
        "caml_dask.CAML().fit(found.points[['x_nm', 'y_nm']].to_numpy())\n"
        f"print(len(found.points), *[name for name in {PACKAGES!r} if name in sys.modules])"
    )
    (tmp_path / "cohort.csv").write_text(f"path,condition,replicate\n{table},a,1\n")
    calls = [
        python(without, "-c", code),
        command(without, "networks"),
        command(without, "run", table, "--out", tmp_path / "out", "--workers", "0"),
        command(without, "run", table, "--out", tmp_path / "on workers", "--workers", "1", "--no-test"),
        command(
            without, "screen", tmp_path / "cohort.csv", "--out", tmp_path / "nights", "--workers", "0", "--no-test"
        ),
        command(
            without, "screen", tmp_path / "cohort.csv", "--out", tmp_path / "deployed", "--workers", "1", "--no-test"
        ),
        command(without, "status", tmp_path / "out"),
    ]
    assert [done.returncode for done in calls] == [0] * 7, [done.stderr for done in calls]
    assert calls[0].stdout.split() == [str(len(table.read_text().splitlines()) - 1)]
    for out in ("out", "on workers"):
        assert (tmp_path / out / "0001_cell" / "overview.png").exists()


def test_commands_that_need_an_extra_name_it(without: dict[str, str], tmp_path: Path):
    (tmp_path / "slurm.toml").write_text('kind = "slurm"\njobs = 1\n[cluster]\ncores = 1\nmemory = "1GiB"\n')
    for extra, arguments in (
        ("train", ("train", "XPILJZ", "--out", tmp_path / "net", "--work", tmp_path / "work", "--workers", "0")),
        ("report", ("report", tmp_path)),
        ("plot", ("evaluate", "XPILJZ", "--out", tmp_path / "evaluation", "--smoke")),
        ("view", ("view", tmp_path)),
        ("hpc", ("doctor", "--deploy", tmp_path / "slurm.toml")),
    ):
        done = command(without, *arguments)
        assert done.returncode == 2, (extra, done.stderr)
        said = f'needs the extra "{extra}" ({", ".join(EXTRAS[extra])} not installed): pip install "caml_dask[{extra}]"'
        assert said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "work").exists(), "nothing is simulated for a network that cannot be trained"


def test_what_is_installed_is_not_asked_for():
    for extra in EXTRAS:
        require(extra, "a test")
    with pytest.raises(KeyError):
        require("none", "a test")


def test_one_package_is_enough_to_be_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(EXTRAS, "plot", ("numpy", "no_such_package", "json"))
    with pytest.raises(UsageError, match=r'a picture needs the extra "plot" \(no_such_package not installed\)'):
        require("plot", "a picture")


def test_extras_install_what_is_looked_for():
    """Each package of an extra is one that pyproject.toml installs with it, and none of them is in the base."""
    project = tomllib.loads(PROJECT.read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!\[ ;]", text)[0].lower().replace("-", "_") for text in requirements}

    optional = project["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        assert set(packages) == names(optional[extra])
    assert not names(project["dependencies"]) & set(PACKAGES)
    (everything,) = (text for text in optional["test"] if text.startswith("caml_dask["))
    assert set(everything[len("caml_dask[") : -1].split(",")) == optional.keys() - {"test"}
