"""The command `view`: what it refuses, and that it serves."""

from __future__ import annotations

import base64
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support import simulated_table
from viewed import small_run, unpacked

from caml_dask.cli import main
from caml_dask.methods import DBSCAN
from caml_dask.results.run import open_run
from caml_dask.runs.session import execute
from caml_dask.settings import Settings
from caml_dask.viewer import static_page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return small_run(folder / "out", simulated_table(folder / "field.csv", side_nm=1500.0))


def said(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["view", *map(str, arguments)])
    return found.exit_code, found.output


def test_what_it_cannot_do_is_told(run, tmp_path, monkeypatch):
    assert said(tmp_path)[0] == 2 and "holds no run" in said(tmp_path)[1]
    for option in (["--port", "0"], ["--cache", tmp_path]):
        code, told = said(run, "--static", "0001_cell", *option)
        assert code == 2 and "leave them out with --static" in told
    assert said(run, "--out", tmp_path / "page.html") == (
        2,
        "caml-dask: --out is the file of --static: add --static IMAGE, or leave it out\n",
    )
    assert said(run, "--static", "fied")[1].endswith("did you mean 0001_field?\n")
    code, text = said(run, "--static", "field", "--out", tmp_path / "none" / "page.html")
    assert code == 2 and "folder that exists" in text
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        code, text = said(run, "--port", str(door.getsockname()[1]))
    assert code == 2 and "name another with --port" in text
    monkeypatch.setattr(static_page, "MOST_HELD", 10)
    code, text = said(run, "--static", "field", "--out", tmp_path / "page.html")
    assert code == 2 and "a page holds 10: look at it with `caml-dask view" in text
    assert list(tmp_path.iterdir()) == []


def test_a_page_holds_the_rows_that_figures_leave_out(run, tmp_path, monkeypatch):
    """Figures and bounds are of regions and molecules; localizations of the page are all that have results."""
    out = small_run(tmp_path / "out", run.parent / "field.csv", merge="40nm,900frames", roi="x=300..900,y=300..900")
    image = open_run(out).images[0]
    rows = len(image.points)
    text = static_page.write_page(out, "field", tmp_path / "page.html").read_text()
    block = re.search('id="held-points">([^<]+)<', text)[1]
    points = unpacked(gzip.decompress(base64.b64decode(block)))
    assert np.array_equal(np.sort(points["loc_id"]), image.points["loc_id"])
    x0, y0, x1, y1 = image.summary["bounds_nm"]
    beyond = (points["x_nm"] < x0) | (points["x_nm"] > x1) | (points["y_nm"] < y0) | (points["y_nm"] > y1)
    assert beyond.any() and image.summary["localizations"] < rows - 1
    monkeypatch.setattr(static_page, "MOST_HELD", rows - 1)
    code, said_of_it = said(out, "--static", "field", "--out", tmp_path / "page.html")
    assert code == 2 and f"has {rows:,} localizations" in said_of_it


def test_it_serves_who_has_the_address_until_it_is_interrupted(run):
    command = [sys.executable, "-m", "caml_dask", "view", str(run)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    address = server.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:") and len(address.split("/")[3]) >= 32
    assert b"page.js" in urllib.request.urlopen(address, timeout=30).read()
    assert b"0001_field" in urllib.request.urlopen(address + "run", timeout=30).read()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address[:-2] + "/run", timeout=30)
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0 and server.stderr.read() == ""


def test_a_run_that_is_replaced_takes_what_was_prepared_with_it(run, tmp_path):
    small_run(tmp_path / "out", run.parent / "field.csv")
    (tmp_path / "out/.view/0001_field").mkdir(parents=True)
    execute(
        [run.parent / "field.csv"],
        tmp_path / "out",
        Settings(test=False, method=DBSCAN(40.0)),
        workers=0,
        overwrite=True,
    )
    assert not (tmp_path / "out/.view").exists() and (tmp_path / "out/0001_field").is_dir()
