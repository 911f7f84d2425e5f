"""What the server answers, and to whom: asked as an application, without a port."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import cohorts
import numpy as np
import pytest
from support import simulated_table
from viewed import Asked, small_run, unpacked

from caml_dask.results.run import open_run
from caml_dask.viewer import guard
from caml_dask.viewer.library import Library
from caml_dask.viewer.server import PAGE, application

TOKEN = "aToken_-123"
IMAGE = "0001_field"


def asked_of(root: Path, cache: Path | None = None) -> Asked:
    return Asked(application(Library(root, cache or root / ".view"), TOKEN), TOKEN)


def state_of(asked: Asked, image: str = IMAGE) -> dict:
    """The state of an image once it is prepared, or failed."""
    until = time.monotonic() + 30
    while (found := json.loads(asked(f"/images/{image}/state")[2]))["state"] == "preparing":
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return small_run(folder / "out", simulated_table(folder / "field.csv", side_nm=2500.0))


@pytest.fixture(scope="module")
def asked(run):
    found = asked_of(run)
    assert state_of(found)["state"] == "ready"
    return found


@pytest.fixture(scope="module")
def base(asked):
    """Where the parts of the image are."""
    return f"/images/{IMAGE}/{state_of(asked)['digest']}"


def paths(base: str) -> list[str]:
    """An address of each kind."""
    box = "box=0,0,1000,1000"
    return [
        *("/", "/page.js", "/style.css", "/vendor/ol.js", "/run", f"/images/{IMAGE}/picture", f"/images/{IMAGE}/state"),
        *(
            f"{base}/about",
            f"{base}/columns/area_nm2",
            f"{base}/rows/0",
            f"{base}/rows/0/outline?px=1",
            f"{base}/tiles/0/0/0",
        ),
        *(f"{base}/points?{box}", f"{base}/outlines?{box}&px=1&filter=area_nm2:10:"),
    ]


def test_whoever_knows_the_token_is_answered(asked, base):
    for path in paths(base):
        status, headers, body = asked(path)
        assert status == 200 and body, path
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';"), path
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("token", ["", "aToken_-124", "aToken_-12", "aToken_-1233", "ATOKEN_-123", "é", "\udcff"])
def test_a_wrong_token_is_refused_everywhere(asked, base, token):
    for path in paths(base):
        if not token and path == "/":
            continue
        status, headers, body = asked(path, token=token)
        assert status == 403 and b"token" in body and "default-src 'none'" in headers["content-security-policy"], path


def test_tokens_are_compared_in_constant_time(asked, monkeypatch):
    compared = []
    monkeypatch.setattr(guard.secrets, "compare_digest", lambda a, b: compared.append((a, b)) or False)
    assert asked("/run")[0] == 403 and compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:127", "", None, "[::2]:80"])
def test_another_name_of_the_host_is_refused(asked, base, host):
    for path in paths(base):
        status, _, body = asked(path, host=host)
        assert status == 403 and b"this machine alone" in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:8000"])
def test_names_of_this_machine_are_taken_at_any_port(asked, host):
    assert asked("/run", host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_it_is_only_read(asked, base, method):
    for path in paths(base):
        assert asked(path, method=method)[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../out/summary.json",
        "/vendor/../server.py",
        "/vendor/%2e%2e/%2e%2e/server.py",
        "/images/../../summary.json/picture",
        "/images/0001_field/../../summary.json",
        "//etc/passwd",
        "/images/%2e%2e/state",
        "/images/../state",
        "/images/.view/state",
        "/page.js/",
        "/server.py",
        "/vendor",
    ],
)
def test_no_path_leads_to_a_file(asked, path):
    status, _, body = asked(path)
    assert status == 404 and b"localizations" not in body and b"root:" not in body and b"import " not in body


def test_files_of_the_page_are_sent_as_they_are(asked):
    for name, kind in (("page.js", "text/javascript"), ("style.css", "text/css"), ("vendor/ol.js", "text/javascript")):
        _, headers, body = asked(f"/{name}")
        assert body == (PAGE / name).read_bytes() and headers["content-type"].startswith(kind)
    assert asked("/")[2] == (PAGE / "index.html").read_bytes()
    assert asked("", token=TOKEN)[0] == 308


def test_numbers_are_those_of_the_run(asked, base, run):
    image = open_run(run).images[0]
    area = unpacked(asked(f"{base}/columns/area_nm2")[2])["values"]
    assert np.array_equal(area, image.clusters["area_nm2"].to_numpy(), equal_nan=True)
    x0, y0, x1, y1 = image.summary["bounds_nm"]
    found = unpacked(asked(f"{base}/points?box={x0},{y0},{x1},{y1}")[2])
    assert found["total"] == image.summary["localizations"] == len(found["x_nm"])
    assert "score" not in found, "a method has no scores"
    about = json.loads(asked(f"{base}/about")[2])
    assert not about["has_score"] and about["by"] == "method DBSCAN (eps_nm=50, min_samples=5)"
    row = json.loads(asked(f"{base}/rows/3")[2])
    assert row["cluster_id"] == image.clusters["cluster_id"][3] and row["touches_border"] in (0, 1)
    everything = f"{base}/outlines?box={x0},{y0},{x1},{y1}&px=1"
    least = float(np.median(image.clusters["area_nm2"]))
    kept = json.loads(asked(f"{everything}&filter=area_nm2:{least}:")[2])
    assert kept["total"] == len(kept["outlines"]) == (image.clusters["area_nm2"] >= least).sum()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("points", "box"),
        ("points?box=1,2,3", "no rectangle"),
        ("points?box=3,0,1,1", "no rectangle"),
        ("points?box=nan,0,1,1", "no number"),
        ("points?box=0,0,1,<b>", "no number"),
        ("points?box=0,0,1e999,1", "no number"),
        ("outlines?box=0,0,1,1", "px"),
        ("outlines?box=0,0,1,1&px=0", "size of a pixel"),
        ("outlines?box=0,0,1,1&px=1&filter=area_nm2", "no range"),
        ("outlines?box=0,0,1,1&px=1&filter=b:1:2", "no column 'b'"),
        ("columns/outline", "no column"),
        ("rows/100000", "no row"),
        ("rows/100000/outline?px=1", "no row"),
        ("rows/0/outline?px=-1", "size of a pixel"),
    ],
)
def test_what_makes_no_sense_is_told(asked, base, query, said):
    status, headers, body = asked(f"{base}/{query}")
    assert status == 400 and headers["content-type"] == "application/json" and said in json.loads(body)["error"]


def test_results_of_another_digest_are_refused(asked):
    status, _, body = asked(f"/images/{IMAGE}/0123/about")
    assert status == 409 and "have changed" in json.loads(body)["error"]


def test_an_unfinished_run_says_so_and_is_seen_once_it_is_finished(run, tmp_path):
    shutil.copytree(run, tmp_path / "out", ignore=shutil.ignore_patterns(".view"))
    (tmp_path / "out/summary.json").rename(tmp_path / "kept.json")
    asked = asked_of(tmp_path / "out")
    listed = json.loads(asked("/run")[2])
    assert listed["images"] == [] and "not finished: continue it with --resume" in listed["error"]
    (tmp_path / "kept.json").rename(tmp_path / "out/summary.json")
    assert [image["image_id"] for image in json.loads(asked("/run")[2])["images"]] == [IMAGE]


def test_a_damaged_summary_and_damaged_points_are_told(run, tmp_path):
    shutil.copytree(run, tmp_path / "out", ignore=shutil.ignore_patterns(".view"))
    asked, points = asked_of(tmp_path / "out"), tmp_path / "out" / IMAGE / "points.parquet"
    whole = points.read_bytes()
    points.write_bytes(whole[:-9])
    found = state_of(asked)
    assert found["state"] == "failed" and "points.parquet is missing or altered" in found["error"]
    points.write_bytes(whole)
    assert state_of(asked)["state"] == "ready", "whoever asks again tries again"
    summary = tmp_path / "out/summary.json"
    summary.write_text(summary.read_text().replace("localizations", "Localizations", 1))
    assert "summary.json is damaged" in json.loads(asked("/run")[2])["error"]


def test_a_cache_that_cannot_be_written_names_the_option(run, tmp_path):
    (tmp_path / "file").write_text("")
    found = state_of(asked_of(run, tmp_path / "file"))
    assert found["state"] == "failed" and "--cache" in found["error"]


def test_of_many_images_a_few_are_kept_open(run, tmp_path, monkeypatch):
    """One that was closed is opened again, and answers as before."""
    monkeypatch.setattr("caml_dask.viewer.library._OPEN", 1)
    library = Library(run, run / ".view")
    asked = Asked(application(library, TOKEN), TOKEN)
    base = f"/images/{IMAGE}/{state_of(asked)['digest']}"
    tile = asked(f"{base}/tiles/0/0/0")
    first = library.prepared(library.image(IMAGE))
    assert first is library.prepared(library.image(IMAGE)) and first.pyramid._block.cache_info().currsize == 1
    other = small_run(tmp_path / "out", simulated_table(tmp_path / "field.csv", side_nm=1500.0, seed=1))
    theirs = Library(other, other / ".view")
    assert state_of(Asked(application(theirs, TOKEN), TOKEN))["state"] == "ready"
    library._states["another"] = next(iter(theirs._states.values()))
    assert asked("/run")[0] == 200 and len(library._states) == 2
    assert asked(f"{base}/tiles/0/0/0") == tile and list(library._states) == [(IMAGE, base.rpartition("/")[2])]
    library._states["another"] = next(iter(theirs._states.values()))
    library._opened("another")
    assert list(library._states) == ["another"] and first.pyramid._block.cache_info().currsize == 0
    assert asked(f"{base}/tiles/0/0/0") == tile and library.prepared(library.image(IMAGE)) is not first


def test_images_of_a_screening_are_listed_with_what_became_of_them(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text('"x [nm]","y [nm]"\n1,2\n')
    good = cohorts.table(tmp_path / "good.csv", cohorts.TIGHT, 1)
    factors = {"condition": "<b>control</b>", "replicate": "1"}
    root = cohorts.screened(tmp_path / "root", [{"path": str(p), **factors} for p in (good, bad)])
    (root / ".screen").mkdir()
    asked = asked_of(root)
    done, failed = sorted(json.loads(asked("/run")[2])["images"], key=lambda image: image["status"])
    assert done["factors"] == factors and done["localizations"] > 100 and "warnings" in done
    assert failed["status"] == "failed" and "no network takes so small a field" in failed["reason"]
    assert asked(f"/images/{failed['image_id']}/state")[0] == 404
    status, headers, body = asked(f"/images/{done['image_id']}/picture")
    assert status == 200 and headers["content-type"] == "image/png" and body.startswith(b"\x89PNG")
    assert state_of(asked, done["image_id"])["state"] == "ready" and list(
        (root / ".view").glob(f"{done['image_id']}-*")
    )
