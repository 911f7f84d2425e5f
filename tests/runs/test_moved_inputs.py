"""Inputs that were moved or renamed: a run goes on with them, and with no others."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import done_records, result_tables, same, simulated_table

from caml_dask.errors import OutputError
from caml_dask.io.moved_inputs import followed
from caml_dask.io.run_directory import Run
from caml_dask.runs.session import analyse, begun, execute
from caml_dask.settings import Settings

SETTINGS = Settings("XPILJZ", max_localizations=300, test=False)


@pytest.fixture
def begun_run(table, tmp_path):
    """A run of two images, of which the first is done."""
    (tmp_path / "old").mkdir()
    a = shutil.copy(table, tmp_path / "old" / "a.csv")
    b = simulated_table(tmp_path / "old" / "b.csv", side_nm=3000.0, seed=5)
    out = tmp_path / "out"
    execute([a, b], tmp_path / "clean", SETTINGS, workers=0)
    b.rename(tmp_path / "kept.csv")
    shutil.copy(tmp_path / "kept.csv", b)
    with begun([a, b], out, SETTINGS, resume=False, overwrite=False) as run:
        b.unlink()
        assert list(analyse(run, workers=0).failed) == ["0002_b"]
    shutil.copy(tmp_path / "kept.csv", b)
    return out


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("z.csv", "c.csv")], ids=["moved", "renamed, in another order"])
def test_a_run_goes_on_with_inputs_that_were_moved(begun_run, tmp_path, names):
    (tmp_path / "new").mkdir()
    moved = [(tmp_path / "old" / old).rename(tmp_path / "new" / new) for old, new in zip(("a.csv", "b.csv"), names)]
    before = done_records(begun_run)
    assert before
    assert execute(moved, begun_run, SETTINGS, workers=0, resume=True).exit_code == 0
    after = done_records(begun_run)
    assert {path: after[path] for path in before} == before, "what was done is not done again"
    assert same(result_tables(begun_run), result_tables(tmp_path / "clean"))
    assert [image.path for image in Run.open(begun_run).images] == [path.resolve() for path in moved]


def test_inputs_of_other_content_are_refused(begun_run, tmp_path):
    other = simulated_table(tmp_path / "old" / "b.csv", side_nm=3000.0, seed=6)
    with pytest.raises(OutputError, match=r"another run, which cannot be resumed. It differs in inputs.*b\.csv"):
        execute([tmp_path / "old" / "a.csv", other], begun_run, SETTINGS, workers=0, resume=True)


IMAGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, "p", "q"])), max_size=6, unique=True)


def manifest(places, contents):
    images = [
        {"image_id": f"{n:04d}_x", "path": path, "channel": channel} for n, (path, channel) in enumerate(places, 1)
    ]
    return {"images": images, "inputs": {path: contents[path] for path, _ in places}}


@given(
    places=IMAGES,
    contents=st.fixed_dictionaries({name: st.sampled_from([None, [1, "x"], [2, "y"]]) for name in "abcdef"}),
    renamed=st.permutations("abcdef"),
    data=st.data(),
)
def test_images_keep_their_ids_and_contents(places, contents, renamed, data):
    stands = manifest(places, contents)
    to = {old: old if contents[old] is None else f"new/{new}" for old, new in zip("abcdef", renamed)}
    there = {to[old]: contents[old] for old in "abcdef"}
    now = manifest(data.draw(st.permutations([(to[path], channel) for path, channel in places])), there)
    found = followed(stands, now)
    assert found is not None

    def known(of):
        return [(i["image_id"], i["channel"], of["inputs"][i["path"]]) for i in of["images"]]

    assert known(found) == known(stands)
    assert {(i["path"], i["channel"]) for i in found["images"]} == {(i["path"], i["channel"]) for i in now["images"]}
    if places:
        assert followed(stands, {**now, "images": now["images"][1:]}) is None
        assert followed({**stands, "images": stands["images"][1:]}, now) is None
    assert followed(stands, stands) == stands
