"""Runs of objects in buckets and on web servers, and copies of what they find: as with files, or a clear error."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import requests
from buckets import SECRET, Proxy, client, environment, one_in_five, server
from click.testing import CliRunner
from pyarrow import fs
from support import result_tables, same, simulated_table

import caml_dask
from caml_dask.atomic import parsed
from caml_dask.cli import main
from caml_dask.errors import InputError
from caml_dask.io.remote import retries
from caml_dask.io.remote.url import Url
from caml_dask.runs.bringing import Bringing
from caml_dask.runs.inputs import named
from caml_dask.settings import ColumnMap


@pytest.fixture(scope="module")
def store():
    with server() as address:
        yield address


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [simulated_table(folder / f"cell {n}.csv", side_nm=1500.0, seed=n) for n in (2, 10)]


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "out"
    assert invoke(*files, out=out).exit_code == 0
    return result_tables(out)


@pytest.fixture
def s3(store, files, monkeypatch):
    """A client of a bucket `in` with two tables and other objects, and of an empty one; the environment of its user."""
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.01)
    requests.post(f"{store}/moto-api/reset", timeout=10)
    found = client(store)
    for bucket in ("input", "output"):
        found.create_bucket(Bucket=bucket)
    for file in files:
        found.put_object(Bucket="input", Key=f"cells/{file.name}", Body=file.read_bytes())
    found.put_object(Bucket="input", Key="cells/notes.docx", Body=b"notes")
    found.put_object(Bucket="input", Key="cells/.hidden/cell.csv", Body=b"hidden")
    with environment(store):
        yield found


def invoke(*inputs, out, command="run", options=("--no-test", "-n", "XPILJZ")):
    more = ("--workers", "0") if command == "run" else ()
    return CliRunner().invoke(main, [command, *map(str, inputs), "--out", str(out), *more, *options])


def quick(*options):
    return ("--no-test", "-n", "XPILJZ", *options)


def objects(s3, prefix: str = "") -> dict[str, bytes]:
    listed = s3.list_objects_v2(Bucket="output", Prefix=prefix).get("Contents", [])
    return {o["Key"]: s3.get_object(Bucket="output", Key=o["Key"])["Body"].read() for o in listed}


def assert_whole(s3, out: Path, prefix: str, images: int = 2) -> None:
    """Each image is there to the byte, and its record, which tells no untruth, is its last object."""
    there = objects(s3, f"{prefix}/")
    folders = [folder for folder in out.iterdir() if folder.is_dir() and folder.name != ".run"]
    assert len(folders) == images
    for folder in folders:
        record = parsed(there[f"{prefix}/{folder.name}/complete.json"].decode())
        local = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert record["files"].keys() == local.keys()
        for name, content in local.items():
            assert there[f"{prefix}/{folder.name}/{name}"] == content
            assert record["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for name in ("summary.json", "images.csv"):
        assert there[f"{prefix}/{name}"] == (out / name).read_bytes()


def assert_no_secret(out: Path, *said: str) -> None:
    texts = [file.read_bytes() for file in out.rglob("*") if file.is_file()]
    assert texts and not any(SECRET.encode() in text or b"testing" in text for text in texts)
    assert not any(SECRET in text for text in said)


def test_a_folder_of_a_bucket_as_the_same_files_here(s3, expected, tmp_path):
    found = invoke("s3://input/cells/", out=tmp_path / "out", options=quick("--out-url", "s3://output/a/run 1"))
    assert found.exit_code == 0, found.output
    assert same(result_tables(tmp_path / "out"), expected)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [image["path"] for image in summary["images"]] == [f"s3://input/cells/cell {n}.csv" for n in (2, 10)]
    assert_whole(s3, tmp_path / "out", "a/run 1")
    assert_no_secret(tmp_path / "out", found.output)
    left = [file.suffix for file in (tmp_path / "out" / ".run" / "inputs").rglob("*")]
    assert left == [".json", ".json"]  # the pins; the files went with their images


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("s3://input/cells/cell ?.csv", ["cell 2"]),
        ("s3://input/**/*.csv", ["cell 2", "cell 10"]),
        ("s3://input/*/cell*[02].csv", ["cell 2", "cell 10"]),
        ("s3://input/", ["cell 2", "cell 10"]),
        ("s3://input/cells/cell 10.csv", ["cell 10"]),
    ],
)
def test_patterns_and_folders(s3, url, names):
    found = Bringing(named([Url.parse(url)])).urls
    assert [one.name for one in found] == [f"{name}.csv" for name in names]


def test_copies_of_runs_are_no_inputs(s3, tmp_path, files):
    assert invoke(files[0], out=tmp_path / "out", options=quick("--out-url", "s3://output/results")).exit_code == 0
    found = invoke("s3://output/", out=tmp_path / "again")
    assert found.exit_code == 2 and "there is no object that ends in .csv" in found.output


def test_over_a_server_that_fails_one_request_in_five(s3, store, expected, tmp_path):
    with Proxy(store, one_in_five) as proxy, environment(proxy.address):
        found = invoke("s3://input/cells/", out=tmp_path / "out", options=quick("--out-url", "s3://output/run"))
    assert found.exit_code == 0, found.output
    assert min(proxy.fates[fate] for fate in ("503", "cut", "lost")) >= 2
    assert same(result_tables(tmp_path / "out"), expected)
    assert_whole(s3, tmp_path / "out", "run")


def test_what_could_not_be_copied_is_named_and_copied_later(s3, store, tmp_path):
    """One image's clusters are refused for the whole run; its record is not written, and nothing is sent twice."""
    refused = re.compile(r"0002_cell_10/clusters\.parquet")
    fate = lambda _, method, path: "403" if refused.search(path) and method in ("PUT", "POST") else ""  # noqa: E731
    out, given = tmp_path / "out", quick("--out-url", "s3://output/run")
    with Proxy(store, fate) as proxy, environment(proxy.address):
        found = invoke("s3://input/cells/", out=out, options=given)
    assert found.exit_code == 3 and "0002_cell_10: not copied" in found.output and "--resume" in found.output
    there = objects(s3)
    assert "run/0001_cell_2/complete.json" in there and "run/0002_cell_10/complete.json" not in there
    with Proxy(store, lambda *_: "") as proxy, environment(proxy.address):
        found = invoke("s3://input/cells/", out=out, options=quick("--resume"))  # it knows where to
    assert found.exit_code == 0, found.output
    sent = {path.partition("?")[0] for method, path in proxy.seen if method == "PUT"}
    before = {key for key in there if key != "run/summary.json"}
    assert sent and not {path.partition("/output/")[2].replace("%20", " ") for path in sent} & before
    assert not [path for method, path in proxy.seen if method == "GET" and path.startswith("/input/cells/cell")]
    assert_whole(s3, out, "run")


def test_a_run_that_is_killed_while_it_copies_leaves_nothing_that_looks_whole(s3, store, tmp_path):
    """It dies when the record of an image is about to arrive, after all else of that image."""
    out, processes = tmp_path / "out", []

    def fate(_: int, method: str, path: str) -> str:
        if method in ("PUT", "POST") and "complete.json" in path:
            processes[0].kill()
            return "503"
        return ""

    with Proxy(store, fate) as proxy, environment(proxy.address):
        call = [sys.executable, "-m", "caml_dask", "run", "s3://input/cells/cell 2.csv", "--out", str(out), "-j", "0"]
        processes.append(subprocess.Popen([*call, *quick("--out-url", "s3://output/run")], stderr=subprocess.DEVNULL))
        assert processes[0].wait(timeout=120) == -signal.SIGKILL
    there = objects(s3)
    assert {f"run/0001_cell_2/{name}" for name in ("points.parquet", "clusters.csv", "overview.png")} <= there.keys()
    assert not [name for name in there if name.endswith(("complete.json", "summary.json"))]
    with Proxy(store, lambda *_: "") as proxy, environment(proxy.address):
        assert invoke("s3://input/cells/cell 2.csv", out=out, options=quick("--resume")).exit_code == 0
    assert not [path for method, path in proxy.seen if method == "PUT" and "points.parquet" in path]
    assert_whole(s3, out, "run", images=1)


def test_metadata_beside_an_object_come_with_it(s3, tmp_path):
    path = tmp_path / "locs.hdf5"
    with h5py.File(path, "w") as file:
        file["locs"] = np.array([(0, 1, 2), (1, 3, 4)], [("frame", "u4"), ("x", "f4"), ("y", "f4")])
    s3.put_object(Bucket="input", Key="picasso/locs.hdf5", Body=path.read_bytes())
    s3.put_object(Bucket="input", Key="picasso/locs.yaml", Body=b"Pixelsize: 100\n")
    assert caml_dask.read_localizations("s3://input/picasso/locs.hdf5")["x_nm"].to_pylist() == [100, 300]
    url, out = Url.parse("s3://input/picasso/locs.hdf5"), tmp_path / "run"
    for pixelsize in (100, 120):
        s3.put_object(Bucket="input", Key="picasso/locs.yaml", Body=f"Pixelsize: {pixelsize}\n".encode())
        (out / ".run").mkdir(parents=True, exist_ok=True)
        (image,) = Bringing([url]).images(out, ColumnMap(), resume=True)
        assert read_positions(image.path) == [pixelsize, 3 * pixelsize]


def read_positions(path: Path) -> list[float]:
    return caml_dask.read_localizations(path)["x_nm"].to_pylist()


def test_whole_images_are_read_as_the_documentation_says(s3, store, tmp_path, files):
    out = tmp_path / "out"
    assert invoke(files[0], out=out, options=quick("--out-url", "s3://output/run")).exit_code == 0
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "object-stores.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    found = {}
    code = code.replace("cohort/results/run-1", "output/run")
    exec(code.replace("S3FileSystem()", f"S3FileSystem(endpoint_override={store!r}, region='us-east-1')"), found)
    assert found["image"]["image_id"] == "0001_cell_2"
    assert found["points"].equals(result_tables(out)["0001_cell_2/points"])


def test_a_copy_that_was_damaged_is_made_whole(s3, tmp_path):
    out = tmp_path / "out"
    assert invoke("s3://input/cells/", out=out, options=quick("--out-url", "s3://output/run")).exit_code == 0
    s3.delete_object(Bucket="output", Key="run/0001_cell_2/points.parquet")
    s3.put_object(Bucket="output", Key="run/0002_cell_10/complete.json", Body=b"{}")
    assert invoke("s3://input/cells/", out=out, options=quick("--resume")).exit_code == 0
    assert_whole(s3, out, "run")


def test_a_resumed_run_refuses_a_changed_object_and_takes_the_same_content(s3, tmp_path, files):
    out = tmp_path / "out"
    assert invoke("s3://input/cells/", out=out).exit_code == 0
    key = f"cells/{files[0].name}"
    upload = s3.create_multipart_upload(Bucket="input", Key=key)["UploadId"]  # another ETag
    part = s3.upload_part(Bucket="input", Key=key, UploadId=upload, PartNumber=1, Body=files[0].read_bytes())
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="input", Key=key, UploadId=upload, MultipartUpload=parts)
    assert invoke("s3://input/cells/", out=out, options=quick("--resume")).exit_code == 0
    s3.put_object(Bucket="input", Key=key, Body=files[0].read_bytes()[:-20])
    found = invoke("s3://input/cells/", out=out, options=quick("--resume"))
    assert found.exit_code == 2 and f"inputs.s3://input/{key}" in found.output


def test_an_image_whose_results_were_removed_is_brought_again(s3, expected, tmp_path):
    out = tmp_path / "out"
    assert invoke("s3://input/cells/", out=out).exit_code == 0
    (out / "0001_cell_2" / "points.parquet").unlink()
    assert invoke("s3://input/cells/", out=out, options=quick("--resume")).exit_code == 0
    assert same(result_tables(out), expected)


def test_another_run_is_not_written_over(s3, tmp_path, files):
    given = quick("--out-url", "s3://output/run")
    assert invoke(*files, out=tmp_path / "a", options=given).exit_code == 0
    before = objects(s3)
    found = invoke(files[0], out=tmp_path / "b", options=given)
    assert found.exit_code == 2 and "s3://output/run holds a run" in found.output and not (tmp_path / "b").exists()
    assert invoke(files[0], out=tmp_path / "b").exit_code == 0
    found = invoke(files[0], out=tmp_path / "b", options=(*given, "--resume"))
    assert found.exit_code == 2 and "holds another run" in found.output and objects(s3) == before
    s3.put_object(Bucket="output", Key="run/mine.txt", Body=b"mine")
    assert invoke(files[0], out=tmp_path / "b", options=(*given, "--overwrite")).exit_code == 0
    assert_whole(s3, tmp_path / "b", "run", images=1)
    assert objects(s3)["run/mine.txt"] == b"mine" and not objects(s3, "run/0002")
    s3.put_object(Bucket="output", Key="other/mine.txt", Body=b"mine")
    found = invoke(files[0], out=tmp_path / "c", options=quick("--out-url", "s3://output/other", "--overwrite"))
    assert found.exit_code == 2 and "holds other objects" in found.output


def test_job_arrays(s3, expected, tmp_path):
    """Only `plan` and `finish` talk to the store."""
    out = tmp_path / "out"
    planned = invoke(
        "s3://input/cells/", out=out, command="plan", options=quick("--out-url", "s3://output/run", "--export", "csv")
    )
    assert planned.exit_code == 0, planned.output
    with environment("http://127.0.0.1:1"):
        for stage in planned.stdout.split():
            done = CliRunner().invoke(main, ["unit", stage, "0", "--of", "1", "--out", str(out)])
            assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, ["finish", "--out", str(out)])
    assert done.exit_code == 0, done.output
    (exported := out / "export").rename(tmp_path / "export")
    assert not exported.exists() and same(result_tables(out), expected)
    assert_whole(s3, out, "run")
    for file in (tmp_path / "export").iterdir():
        assert objects(s3)[f"run/export/{file.name}"] == file.read_bytes()


def test_from_a_web_server_with_a_signed_url(s3, expected, tmp_path):
    urls = [
        s3.generate_presigned_url("get_object", Params={"Bucket": "input", "Key": f"cells/cell {n}.csv"})
        for n in (2, 10)
    ]
    assert all("Signature" in url and "AWSAccessKeyId=testing" in url for url in urls)
    found = invoke(*urls, out=tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert sorted(t.num_rows for t in result_tables(tmp_path / "out").values()) == sorted(
        t.num_rows for t in expected.values()
    )
    assert_no_secret(tmp_path / "out", found.output)
    assert "Signature" not in (tmp_path / "out" / ".run" / "manifest.json").read_text() + found.output


def test_in_python(s3, files):
    from_url = caml_dask.analyze("s3://input/cells/cell 2.csv", "XPILJZ", test=False)
    assert from_url.points.equals(caml_dask.analyze(files[0], "XPILJZ", test=False).points)
    assert caml_dask.read_localizations("s3://input/cells/cell 2.csv").equals(caml_dask.read_localizations(files[0]))
    with pytest.raises(InputError, match=r"s3://input/none\.csv: there is no such object"):
        caml_dask.analyze("s3://input/none.csv")
    with pytest.raises(InputError, match=r"^s3://input/cells/notes\.docx: "):
        caml_dask.read_localizations("s3://input/cells/notes.docx")


def test_a_table_that_cannot_be_read_is_named_by_its_url(s3, tmp_path):
    found = invoke("s3://input/cells/notes.docx", "s3://input/cells/cell 2.csv", out=tmp_path / "out")
    assert found.exit_code == 3, found.output
    images = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    (reason,) = [image["reason"] for image in images if image["status"] == "failed"]
    assert reason.startswith("s3://input/cells/notes.docx: ")


@pytest.mark.parametrize(
    ("inputs", "options", "wanted"),
    [
        (["s3://input/cells/none.csv"], (), "there is no object s3://input/cells/none.csv"),
        (["s3://no-bucket-here/a.csv"], (), "there is no object s3://no-bucket-here/a.csv"),
        (["s3://no-bucket-here/"], (), "there is no bucket 'no-bucket-here'"),
        (["s3://input/cells/*.parquet"], (), "there is no object that matches"),
        (["s3://input/cells/cell 2.csv"] * 2, (), "is given 2 times"),
        (
            ["s3://input/cells/cell 2.csv"],
            ("--out-url", "s3://no-bucket-here/a"),
            "there is no bucket 'no-bucket-here'",
        ),
        (["s3://input/cells/cell 2.csv"], ("--out-url", "https://host/a"), "give --out-url an s3://BUCKET/PREFIX"),
        (["s3://input/cells/cell 2.csv"], ("--out-url", f"s3://u:{SECRET}@output/a"), "with a user or password"),
        ([f"gs://u:{SECRET}@bucket/a.csv"], (), "gs://bucket/a.csv cannot be opened"),
        (["https://host/folder/"], (), "cannot be listed"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(s3, inputs, options, wanted, tmp_path):
    found = invoke(*inputs, out=tmp_path / "out", options=quick(*options))
    assert found.exit_code == 2 and wanted in found.output, found.output
    assert SECRET not in found.output and list(tmp_path.iterdir()) == []


def test_the_directory_of_a_run_is_no_url(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("run", "plan"):
        found = invoke(files[0], out=f"s3://u:{SECRET}@bucket/a", command=command)
        assert found.exit_code == 2 and "s3://bucket/a is a URL, where a path is wanted" in found.output
        assert "--out-url" in found.output and SECRET not in found.output and list(tmp_path.iterdir()) == []


def screened(cohort, out):
    return CliRunner().invoke(main, ["screen", str(cohort), "--out", str(out), "--workers", "0", *quick()])


@pytest.mark.parametrize("form", ["pattern", "table by URL", "rows"])
def test_a_screening_of_urls_is_refused_before_anything_is_written(s3, tmp_path, form):
    rows = tmp_path / "cohort.csv"
    rows.write_text(f"path,condition,replicate\ns3://u:{SECRET}@input/cells/cell 2.csv,a,1\n")
    cohort = {"pattern": "s3://input/{condition}/{replicate}/*.csv", "table by URL": "s3://input/cohort.csv"}
    found = screened(cohort.get(form, rows), tmp_path / "out")
    assert found.exit_code == 2 and "s3://input/c" in found.output.replace("{condition}", "c")
    assert "mount the store, or copy the cohort here" in found.output and SECRET not in found.output
    found = screened(rows, "s3://output/screening")
    assert found.exit_code == 2 and "s3://output/screening is a URL, where a path is wanted" in found.output
    assert list(tmp_path.iterdir()) == [rows] and not objects(s3)


def test_a_cohort_that_is_copied_from_a_bucket_before_each_screening(s3, store, files, tmp_path):
    """As the documentation says: copied again, nothing is new; a new object is; a removed one is missed."""
    for n, file in enumerate(files):
        s3.put_object(Bucket="input", Key=f"cohort/wild type/{n}/{file.name}", Body=file.read_bytes())
    there = fs.S3FileSystem(endpoint_override=store, region="us-east-1")
    here, cohort, out = tmp_path / "cells", str(tmp_path / "cells/{condition}/{replicate}/*.csv"), tmp_path / "out"

    def night() -> str:
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        fs.copy_files("input/cohort", str(here), source_filesystem=there)
        return screened(cohort, out).output

    assert "2 of 2 images done, 2 images analyzed in this call" in night()
    assert "2 of 2 images done, nothing was new" in night()
    s3.put_object(Bucket="input", Key="cohort/wild type/2/new.csv", Body=files[0].read_bytes() + b"99999,0,1,1\n")
    assert "3 of 3 images done, 1 image analyzed in this call" in night()
    s3.delete_object(Bucket="input", Key=f"cohort/wild type/1/{files[1].name}")
    said = night()
    assert "2 of 3 images done, nothing was new" in said and f"{here}/wild type/1/{files[1].name}" in said


def test_wrong_credentials(s3, store, tmp_path):
    """With a server that asks who one is."""
    requests.post(f"{store}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        for given in (["s3://input/cells/cell 2.csv"], ["s3://input/cells/"]):
            found = invoke(*given, out=tmp_path / "out")
            assert found.exit_code == 2 and "the store refuses these credentials" in found.output, found.output
            assert "AWS_ACCESS_KEY_ID" in found.output and SECRET not in found.output
        assert list(tmp_path.iterdir()) == []
    finally:
        requests.post(f"{store}/moto-api/reset-auth", data=b"inf", timeout=10)
