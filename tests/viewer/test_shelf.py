"""What is prepared is made once, and again only where it is damaged or of other results."""

from __future__ import annotations

from dataclasses import replace

import pytest
from viewed import analyzed, drawn_image

from caml_dask.errors import StoreError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.write import export
from caml_dask.viewer import shelf as shelving
from caml_dask.viewer.prepare import CLUSTERS, POINTS, PYRAMID_NAME
from caml_dask.viewer.shelf import Shelf

IMAGE = drawn_image(3, 400, 6)
ONE, TWO = "1f" * 16, "2e" * 16
PLACE = f"{IMAGE.image_id}-{ONE[:16]}"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """How often each digest was prepared, and a way to ask."""
    shelf, counts, real = Shelf(tmp_path / "kept", tmp_path / "export"), [], shelving.prepare
    monkeypatch.setattr(shelving, "prepare", lambda image, *rest: counts.append(1) or real(image, *rest))

    def ask(digest=ONE, image=IMAGE):
        return shelf.prepare(image.image_id, digest, lambda: image, lambda _: None)

    return shelf, counts, ask


def test_it_is_made_once_and_again_for_other_results(made):
    shelf, counts, ask = made
    assert shelf.ready(IMAGE.image_id, ONE) is None
    assert ask().points.rows == IMAGE.localizations and ask() and len(counts) == 1
    assert shelf.ready(IMAGE.image_id, ONE) and shelf.ready(IMAGE.image_id, TWO) is None
    other = drawn_image(4, 300, 2)
    assert ask(TWO, other).points.rows == other.localizations and len(counts) == 2
    assert shelf.ready(IMAGE.image_id, ONE) is None
    names = {path.name for path in shelf.folder.iterdir()}
    assert names == {f"{IMAGE.image_id}-{TWO[:16]}", f"{IMAGE.image_id}.lock"}


def test_runs_that_share_a_folder_keep_theirs(made, tmp_path):
    shelf, counts, ask = made
    other, others = Shelf(shelf.folder, tmp_path / "other" / "export"), drawn_image(4, 300, 2)
    mine = ask()
    theirs = other.prepare(IMAGE.image_id, TWO, lambda: others, lambda _: None)
    assert theirs.points.rows == others.localizations and len(counts) == 2
    assert len(mine.points.inside((-9e9, -9e9, 9e9, 9e9), 10**9).columns["x_nm"]) == IMAGE.localizations
    assert mine.pyramid.localizations() == IMAGE.localizations and ask() and len(counts) == 2


@pytest.mark.parametrize("name", [POINTS, CLUSTERS, "view.json", f"{PYRAMID_NAME}/zarr.json"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_what_is_damaged_is_made_again(made, name, keep):
    shelf, counts, ask = made
    ask()
    path = shelf.folder / PLACE / name
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert ask().points.rows == IMAGE.localizations and len(counts) == 2


def test_what_a_killed_process_left_is_removed(made):
    shelf, _, ask = made
    left = shelf.folder / f".{PLACE}.0123.working"
    left.mkdir(parents=True)
    (left / "points.parquet").write_bytes(b"half")
    ask()
    assert sorted(path.name for path in shelf.folder.iterdir()) == [PLACE, f"{IMAGE.image_id}.lock"]


def test_a_failure_leaves_nothing(made):
    shelf, _, ask = made

    def torn(_):
        yield from list(IMAGE.points(None))[:2]
        raise StoreError("torn")

    with pytest.raises(StoreError, match="torn"):
        ask(image=replace(IMAGE, points=torn))
    assert not (shelf.folder / PLACE).exists() and not list(shelf.folder.glob(".*"))


def test_an_exported_pyramid_of_these_results_is_taken(made):
    shelf, _, ask = made
    export([IMAGE], "ome-zarr", shelf.exports, Options(pixel_nm=20.0), overwrite=False)
    found = ask()
    assert found.pyramid.pixel_nm == 20.0 and not (shelf.folder / PLACE / PYRAMID_NAME).exists()
    assert len(found.brightest) == len(found.pyramid.shapes) and found.pyramid.localizations() == IMAGE.localizations


@pytest.mark.parametrize("change", [{"provenance": {"program": "other"}}, {"localizations": 3}])
def test_a_pyramid_of_other_results_is_not(made, change):
    shelf, _, ask = made
    other = replace(IMAGE, **{"provenance": IMAGE.provenance, **change})
    if "localizations" in change:
        few = list(IMAGE.points(None))[:1]
        other = replace(IMAGE, points=lambda columns: iter(b.select(columns) if columns else b for b in few))
    export([other], "ome-zarr", shelf.exports, Options(pixel_nm=20.0), overwrite=False)
    assert ask().pyramid.pixel_nm == 10.0 and len(analyzed(IMAGE)["x_nm"]) == IMAGE.localizations
