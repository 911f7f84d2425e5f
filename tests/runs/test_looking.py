"""The first look at inputs: in several processes what it is in one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caml_dask.errors import UsageError
from caml_dask.io.manifest import content_of
from caml_dask.runs import looking
from caml_dask.runs.inputs import channels_of
from caml_dask.settings import ColumnMap


@pytest.fixture
def files(tmp_path):
    """A table, one of two channels, what is no table, what is not there, and a name that is not UTF-8."""
    (tmp_path / "a.csv").write_text('"x [nm]","y [nm]"\n1,2\n3,4\n')
    (tmp_path / "b.csv").write_text('"x [nm]","y [nm]","colour"\n1,2,red\n3,4,blue\n')
    (tmp_path / "c.csv").write_text("nonsense\n\x00\x01")
    strange = tmp_path / "d\udcff.csv"
    strange.write_text('"x [nm]","y [nm]"\n5,6\n')
    return [*(tmp_path / f"{name}.csv" for name in "abc"), tmp_path / "absent.csv", strange]


COLUMNS = ColumnMap(channel="colour")


def test_several_processes_find_what_one_does(files, monkeypatch):
    few = [looking.Look(path, channels_of(path, ColumnMap()), content_of(path)) for path in files]
    started, real = [], subprocess.Popen

    def popen(*words, **options):
        started.append(words)
        return real(*words, **options)

    monkeypatch.setattr(looking.subprocess, "Popen", popen)
    assert looking.look_at(files, ColumnMap()) == few and not started
    monkeypatch.setattr(looking, "_MANY", 2)
    monkeypatch.setattr(looking, "cores", lambda: 2)
    assert looking.look_at(files, ColumnMap()) == few and len(started) == 1
    assert few[3].content is None and few[4].content[0] == few[0].content[0] - 4


def test_what_another_process_refuses_is_told_of(files, monkeypatch):
    """Columns that cannot be used are named by this process."""
    monkeypatch.setattr(looking, "_MANY", 1)
    monkeypatch.setattr(looking, "cores", lambda: 2)
    monkeypatch.setattr(looking, "answer", sys.exit)
    found = looking.look_at(files[:2], COLUMNS)
    assert found[1].channels == ["blue", "red"]
    with pytest.raises(UsageError):
        looking.look_at(files[:1], ColumnMap(x="X", y="Y", unit="parsec"))
