"""Files that stand whole or not at all, also where the disk is full; JSON that tells of its own damage."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from pathlib import Path

import pytest

from caml_dask.atomic import publish, publish_json, publish_json_of, publish_text, read_json
from caml_dask.errors import CamlError, DiskFullError, StoreError
from caml_dask.locks import held

CONTENT = {"rows": 17, "share": 0.1, "seconds": 1e-07, "word": "µ\n", "none": None, "list": [1, [2.5]]}


def full(working: Path) -> None:
    working.write_text("half of wh")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_full_disk_what_stood_before_still_stands(tmp_path: Path) -> None:
    path = tmp_path / "result"
    publish_text(path, "before")
    with pytest.raises(DiskFullError) as caught:
        publish(path, full)
    said = str(caught.value)
    assert f"no room is left on the disk of {path}" in said and "make room" in said and "--resume" in said
    assert str(pickle.loads(pickle.dumps(caught.value))) == said  # as it comes from a worker
    assert isinstance(caught.value, CamlError)
    assert [p.name for p in tmp_path.iterdir()] == ["result"] and path.read_text() == "before"


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        publish_text(tmp_path / "file" / "below", "text")


def test_json_reads_back_and_every_flipped_bit_and_every_cut_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sealed.json"
    publish_json(path, CONTENT, indent=1)
    assert read_json(path) == CONTENT
    intact = path.read_bytes()
    harmless = 0
    for bit in range(8 * len(intact)):
        altered = bytearray(intact)
        altered[bit // 8] ^= 1 << bit % 8
        path.write_bytes(altered)
        try:
            assert read_json(path) == CONTENT
            harmless += 1
        except ValueError:
            pass
    assert harmless == 2  # 1E-07 for 1e-07, and \u00B5 for \u00b5, say the same
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        with pytest.raises(ValueError):  # noqa: PT011
            read_json(path)


def test_who_holds_a_file_is_waited_for_as_long_as_said(tmp_path):
    path = tmp_path / "unit.claim"
    seen = []

    def hold():
        with held(path, wait_s=30):
            seen.append("held")

    with held(path, wait_s=0):
        with (
            pytest.raises(StoreError, match="by another process for more than 0.2 s"),
            held(path, 0.2),
        ):
            pass
        other = threading.Thread(target=hold)
        other.start()
        other.join(0.3)
        assert seen == []
    other.join(30)
    assert seen == ["held"]


@pytest.mark.parametrize("name", ["a", "n", "z"])
@pytest.mark.parametrize("items", [[], [CONTENT], [CONTENT, {"path": "b"}]])
def test_a_list_written_item_by_item_reads_like_one_written_at_once(tmp_path: Path, name: str, items: list) -> None:
    """Wherever its name comes among those of the rest; and damage to an item is told."""
    rest = {"m": 1, "b": CONTENT}
    path = tmp_path / "result.json"
    publish_json_of(path, rest, name, iter(items))
    found = read_json(path)
    publish_json(path.with_name("at_once.json"), {**rest, name: items})
    assert found == read_json(path.with_name("at_once.json")) == {**rest, name: items}
    path.write_text(path.read_text().replace('"m": 1', '"m": 2'))
    with pytest.raises(ValueError, match="does not fit"):
        read_json(path)
