"""Sort an image to a small disk that another file fills more and more; `test_places.py` mounts and runs this."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from exported import hand_drawn
from test_places import scattered

from caml_dask.errors import DiskFullError
from caml_dask.napari_plugin.clusters import Clusters
from caml_dask.napari_plugin.places import BYTES, Places

PAGES = 16 * 4096  # beyond the bytes of localizations: files end within a page

if __name__ == "__main__":
    disk, reserving = Path(sys.argv[1]), sys.argv[2]
    tempfile.tempdir = str(disk)
    if reserving == "zeros":
        del os.posix_fallocate
    image, _ = scattered(20_000)
    sizes = {part * image.localizations: False for part in (0, 10, 19, 30, 37)}
    for left, enough in {**sizes, BYTES * image.localizations + PAGES: True}.items():
        with (disk / "other").open("wb") as other:
            other.write(bytes(shutil.disk_usage(disk).free - left))
        try:
            places = Places(image)
            assert enough, f"{left} bytes were enough"
            assert len(places) == image.localizations
            del places
        except DiskFullError as error:
            assert not enough, error
            assert f"{BYTES * image.localizations:,} bytes" in str(error) and f"{disk} has" in str(error)
        (disk / "other").unlink()
        assert list(disk.iterdir()) == []
    with (disk / "other").open("wb") as other:
        other.write(bytes(shutil.disk_usage(disk).free))
    try:
        Clusters(hand_drawn())
    except DiskFullError as error:
        assert f"{disk} has no room" in str(error)
    else:
        sys.exit("the outlines were written to a full disk")
