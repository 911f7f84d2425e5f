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


@pytest.fixture
def made(tmp_path, monkeypatch):
    """How often each digest was prepared, and a way to ask."""
    shelf, counts, real = Shelf(tmp_path / "kept", tmp_path / "export"), [], shelving.prepare
    monkeypatch.setattr(shelving, "prepare", lambda image, *rest: counts.append(1) or real(image, *rest))

    def ask(digest="one", image=IMAGE):
        return shelf.prepare(image.image_id, digest, lambda: image, lambda _: None)

    return shelf, counts, ask


def test_it_is_made_once_and_again_for_other_results(made):
    shelf, counts, ask = made
    assert shelf.ready(IMAGE.image_id, "one") is None
    assert ask().points.rows == IMAGE.localizations and ask() and len(counts) == 1
    assert shelf.ready(IMAGE.image_id, "one") and shelf.ready(IMAGE.image_id, "two") is None
    other = drawn_image(4, 300, 2)
    assert ask("two", other).points.rows == other.localizations and len(counts) == 2
    assert shelf.ready(IMAGE.image_id, "one") is None


@pytest.mark.parametrize("name", [POINTS, CLUSTERS, "view.json", f"{PYRAMID_NAME}/zarr.json"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_what_is_damaged_is_made_again(made, name, keep):
    shelf, counts, ask = made
    ask()
    path = shelf.folder / IMAGE.image_id / name
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert ask().points.rows == IMAGE.localizations and len(counts) == 2


def test_what_a_killed_process_left_is_removed(made):
    shelf, _, ask = made
    left = shelf.folder / f".{IMAGE.image_id}.0123.working"
    left.mkdir(parents=True)
    (left / "points.parquet").write_bytes(b"half")
    ask()
    assert sorted(path.name for path in shelf.folder.iterdir()) == [IMAGE.image_id, f"{IMAGE.image_id}.lock"]


def test_a_failure_leaves_nothing(made):
    shelf, _, ask = made

    def torn(_):
        yield from list(IMAGE.points(None))[:2]
        raise StoreError("torn")

    with pytest.raises(StoreError, match="torn"):
        ask(image=replace(IMAGE, points=torn))
    assert not (shelf.folder / IMAGE.image_id).exists() and not list(shelf.folder.glob(".*"))


def test_an_exported_pyramid_of_these_results_is_taken(made):
    shelf, _, ask = made
    export([IMAGE], "ome-zarr", shelf.exports, Options(pixel_nm=20.0), overwrite=False)
    found = ask()
    assert found.pyramid.pixel_nm == 20.0 and not (shelf.folder / IMAGE.image_id / PYRAMID_NAME).exists()
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
