"""Output directories of a Unix group: what is written there, all members can replace; keys stay private."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import simulated_table

from caml_dask.atomic import publish
from caml_dask.cli import main
from caml_dask.executors import worker
from caml_dask.executors.deployment.security import own_key
from caml_dask.executors.fitness import which_run
from caml_dask.executors.worker import run_batch
from caml_dask.groups import begin_log, is_shared, writable_by_group
from caml_dask.io.shared_part import part_of, publish_shared_part
from caml_dask.locks import locked
from caml_dask.runs.session import begun, execute
from caml_dask.screening.screen import screen
from caml_dask.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="folders there do not hand on their setgid bit")
QUICK = Settings(network="XPILJZ", test=False, max_localizations=300)


@pytest.fixture
def umask_022():
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022, "it is as it was when the run is over"


def of_a_group(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o2775)
    return folder


def closed(root: Path) -> list[Path]:
    """What the group cannot replace."""
    return [path for path in root.rglob("*") if not path.stat().st_mode & stat.S_IWGRP]


@pytest.mark.parametrize(("mode", "shared"), [(0o2775, True), (0o2770, True), (0o2755, False), (0o775, False)])
def test_a_setgid_bit_and_that_the_group_may_write_make_a_folder_a_groups(tmp_path, mode, shared, umask_022):
    folder = of_a_group(tmp_path / "lab")
    folder.chmod(mode)
    assert is_shared(folder) == is_shared(folder / "none" / "below") == shared
    with writable_by_group(folder / "none"):
        (folder / "file").touch()
        (folder / "private").touch(mode=0o600)
    assert bool((folder / "file").stat().st_mode & stat.S_IWGRP) == shared
    assert not (folder / "file").stat().st_mode & stat.S_IWOTH
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o600


def test_the_umask_is_as_it_was_whichever_thread_ends_last(tmp_path, umask_022):
    folder, inside, ended = of_a_group(tmp_path / "lab"), threading.Event(), threading.Event()

    def first():
        with writable_by_group(folder):
            inside.set()
            ended.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with writable_by_group(folder):
        ended.set()
        thread.join()
        (folder / "file").touch()
    assert (folder / "file").stat().st_mode & stat.S_IWGRP


def test_what_is_made_elsewhere_meanwhile_is_not_writable_for_the_group(tmp_path, umask_022):
    """Others could replace a kernel that numba keeps, and this user would execute it."""
    lab, own = of_a_group(tmp_path / "lab"), tmp_path / "own"
    own.mkdir()

    def write(working):
        (working / "part").mkdir(parents=True)
        (working / "part" / "file").touch()
        (own / "written meanwhile").touch()

    with locked(lab / "run", ".run", "run"):
        (own / "held meanwhile").touch()
        publish(lab / "run" / "table", write)
        with begin_log(lab / "run" / "logs" / "log"):
            (own / "logged meanwhile").touch()
        assert len(list((lab / "run" / ".run").iterdir())) == 2 and closed(lab) == []
    assert len(closed(own)) == 3

    with pytest.raises(OSError, match="symbolic links"):
        publish(lab / "linked", lambda working: working.symlink_to(own / "held meanwhile"))
    assert len(closed(own)) == 3, "what a link leads to keeps its mode"


def test_runs_with_their_exports(tmp_path, umask_022):
    table, lab = simulated_table(tmp_path / "cell.csv", side_nm=1500.0), of_a_group(tmp_path / "lab")
    execute([table], lab / "run", QUICK, workers=0)
    done = CliRunner().invoke(main, ["export", str(lab / "run"), "--to", "csv", "--out", str(lab / "tables")])
    assert done.exit_code == 0 and (lab / "tables").is_dir() and closed(lab) == []
    own = tmp_path / "own"
    execute([table], own, QUICK, workers=0)
    assert len(closed(own)) == sum(1 for _ in own.rglob("*")), "elsewhere the umask decides"


def test_workers(tmp_path, umask_022, monkeypatch):
    """Their umask is their own, and they hold no lock of the run."""
    table, lab = simulated_table(tmp_path / "cell.csv", side_nm=3000.0), of_a_group(tmp_path / "lab")
    with begun([table], lab / "run", QUICK, resume=False, overwrite=False) as run:
        publish_shared_part(run)
    run_unit = worker.run_unit

    def watched(*given):
        (tmp_path / "elsewhere").touch()
        return run_unit(*given)

    monkeypatch.setattr(worker, "run_unit", watched)
    for stage in ("read", "plan", "scatter"):
        (report,) = run_batch(str(run.root), which_run(run), [part_of(run, 0)], [(0, stage, 0)])
        assert report["stage"] == stage
    assert closed(lab) == [] and closed(tmp_path) == [tmp_path / "cell.csv", tmp_path / "elsewhere"]


def test_screenings(tmp_path, umask_022):
    table, lab = simulated_table(tmp_path / "cell.csv", side_nm=1500.0), of_a_group(tmp_path / "lab")
    (tmp_path / "cohort.csv").write_text(f"path,condition,replicate\n{table},a,1\n")
    screen(str(tmp_path / "cohort.csv"), lab / "screening", QUICK, workers=0)
    assert closed(lab) == []


def test_the_key_of_a_run_stays_private(tmp_path, umask_022):
    lab = of_a_group(tmp_path / "lab")
    with locked(lab, ".run", "run"), own_key(lab / ".run") as (folder, _):
        found = [folder, *folder.iterdir()]
        assert len(found) == 4 and not any(path.stat().st_mode & 0o077 for path in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
def test_a_second_member_takes_the_lock_of_the_first(tmp_path):
    """Users without a name, of a group without one; processes that change who they are."""
    taken = {entry.gr_gid for entry in grp.getgrall()}
    group = next(number for number in range(60_000, 61_000) if number not in taken)
    lab = of_a_group(tmp_path / "lab")
    os.chown(lab, 0, group)
    lab.chmod(0o2775)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(stat.S_IMODE(above.stat().st_mode) | 0o011)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom caml_dask.atomic import publish_text\n"
        "from caml_dask.locks import locked\n"
        "def hold(root):\n"
        "    with locked(Path(root), '.run', 'run'):\n"
        "        publish_text(Path(root, 'tables', 'images.csv'), sys.argv[1])\n"
        "hold(sys.argv[4])  # what Python imports only now may not be readable for these users\n"
        "os.setgroups([int(sys.argv[2])]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1])); os.umask(0o022)\n"
        "hold(sys.argv[3])\n"
    )
    for user in (60_001, 60_002):
        call = [sys.executable, "-c", code, str(user), str(group), str(lab / "run"), str(tmp_path / "warm")]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert (lab / "run" / "tables" / "images.csv").read_text() == "60002"
