"""Reports of real results: figures, tests and what is said where there is little or damaged data."""

from __future__ import annotations

import errno
import json
import math
import re
import shutil
from urllib.parse import unquote

import cohorts
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from cohorts import LOOSE, TIGHT, rows_of
from scipy import stats

from caml_dask.cli import main
from caml_dask.report import measures, write_report
from caml_dask.report.pictures import pictured
from caml_dask.runs.session import execute
from caml_dask.schema import CLUSTERS
from caml_dask.settings import Settings

COMPARED = measures.measures_of({column.name for column in CLUSTERS})
IMAGE_MEASURES = [measure.name for measure in COMPARED if not measure.of_clusters]
CLUSTER_MEASURES = [measure.name for measure in COMPARED if measure.of_clusters]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Nine images of two nights, four of `loose` and five of `tight`, two a replicate, and a broken one."""
    root = tmp_path_factory.mktemp("cohort")
    items = []
    for k in range(9):
        name, scenario = ("loose", LOOSE) if k < 4 else ("tight", TIGHT)
        path = cohorts.table(root / "in" / f"cell {k}.csv", scenario, seed=k)
        items.append({"path": str(path), "condition": name, "replicate": f"r{k // 2}", "day": str(k % 2)})
    bad = root / "in" / "bad.csv"
    bad.write_text("nonsense\n")
    items.append({"path": str(bad), "condition": "tight", "replicate": "r5", "day": "0"})
    return cohorts.screened(root / "out", items, nights=2, unusual=["localizations 40 % below the last nights"])


@pytest.fixture
def screened(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "out")


def report(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_every_table_holds_what_the_results_do(screened):
    result = report(screened)
    assert result.exit_code == 0, result.output
    assert "9 of 9 images compared by condition, 1 failed; report written to" in result.stdout
    images = rows_of(screened / "report" / "per_image.csv")
    done = [entry for entry in cohorts.read(screened)["images"] if entry["status"] == "done"]
    assert [row["path"] for row in images] == [entry["path"] for entry in done]
    for row, entry in zip(images, done):
        assert (row["condition"], row["day"]) == (entry["factors"]["condition"], entry["factors"]["day"])
        assert [float(row[m]) for m in IMAGE_MEASURES] == pytest.approx([entry[m] for m in IMAGE_MEASURES])
        for m in CLUSTER_MEASURES:
            wanted = [entry["medians"][m][q] for q in ("median", "q25", "q75")]
            assert [float(row[f"{m}_{q}"]) for q in ("median", "q25", "q75")] == pytest.approx(wanted)
    conditions = rows_of(screened / "report" / "per_condition.csv")
    for row in conditions:
        if row["unit"] == "images":
            values = values_of(images, row["measure"], row["condition"])
            assert int(row["n"]) == len(values)
            assert float(row["median"]) == pytest.approx(np.median(values))
            assert float(row["q75"]) == pytest.approx(np.quantile(values, 0.75))
    assert len(conditions) == 2 * (2 * len(COMPARED) + len(CLUSTER_MEASURES))  # by image, replicate and cluster


def values_of(images, measure, condition):
    column = measure if measure in IMAGE_MEASURES else f"{measure}_median"
    return [float(row[column]) for row in images if row["condition"] == condition]


def test_tests_are_those_of_scipy_with_images_and_with_clusters_as_units(screened):
    report(screened)
    images = rows_of(screened / "report" / "per_image.csv")
    tests = rows_of(screened / "report" / "tests.csv")
    whole = {(row["measure"], row["unit"]): row for row in tests if not row["first"]}
    pairs = {(row["measure"], row["unit"]): row for row in tests if row["first"]}
    raw = []
    for measure in IMAGE_MEASURES + CLUSTER_MEASURES:
        loose, tight = (values_of(images, measure, name) for name in ("loose", "tight"))
        row = whole[measure, "images"]
        assert row["test"] == "Mann-Whitney" and int(row["n_first"] or 9) == 9
        ties = len({*tight, *loose}) < 9
        method = stats.PermutationMethod(n_resamples=np.inf) if ties else "exact"
        raw.append(stats.mannwhitneyu(tight, loose, method=method).pvalue)
        assert float(row["p"]) == pytest.approx(raw[-1])
        pair = pairs[measure, "images"]
        assert (pair["first"], pair["second"], pair["n_first"], pair["n_second"]) == ("loose", "tight", "4", "5")
        counted = np.mean([np.sign(b - a) for a in loose for b in tight])
        assert float(pair["effect_size"]) == pytest.approx(counted)
        assert float(pair["effect_low"]) < counted or counted == -1
    order = np.argsort(raw)
    adjusted = np.minimum.accumulate((np.array(raw)[order] * 5 / np.arange(1, 6))[::-1])[::-1]
    found = [float(whole[m, "images"]["p_adjusted"]) for m in IMAGE_MEASURES + CLUSTER_MEASURES]
    assert np.array(found)[order] == pytest.approx(adjusted)
    pooled = {}
    for entry in cohorts.read(screened)["images"]:
        if entry["status"] == "done":
            clusters = pq.read_table(screened / entry["folder"] / "clusters.parquet")
            pooled.setdefault(entry["factors"]["condition"], []).append(clusters["area_nm2"].to_numpy())
    wanted = stats.mannwhitneyu(np.concatenate(pooled["tight"]), np.concatenate(pooled["loose"]))
    assert float(whole["area_nm2", "clusters"]["p"]) == pytest.approx(wanted.pvalue)
    assert ("clusters_per_um2", "clusters") not in whole, "a cluster has no clusters per area"


def test_known_differences_are_found_and_the_page_says_so(screened):
    written = write_report(screened)
    (family,) = written.families
    assert family.images.differs("area_nm2") and family.images.differs("density_per_um2")
    page = written.page.read_text()
    assert "localizations 40 % below the last nights" in page
    assert "bad.csv" in page and "has a header and no localizations" in page
    assert "pseudo-replication" in page
    assert "With only 4 and 5 images, a difference in a single one of the 5 measures cannot reach significance" in page
    assert "these p values are too small" in page
    again = write_report(screened).page.read_text()
    assert again == page, "the same results give the same page"


def test_medians_of_replicates_are_compared_beside(screened):
    """Replicates r0 and r1 are loose, r2, r3 and r4 tight: two are too few for a test, which the headline says."""
    written = write_report(screened)
    (family,) = written.families
    found = written.page.read_text().partition('<ul class="findings">')[2].partition("</li>")[0]
    headline, _, aside = found.partition('<span class="aside">')
    assert "not tested. loose: 2 replicates" in headline and "difference found" not in headline
    assert family.images.comparisons["percent_clustered"].test and "With images as units" in aside
    assert family.replicates.comparisons["area_nm2"].test is None
    assert "loose: 2 replicates, not tested" in family.replicates.comparisons["area_nm2"].notes[0]
    images = [i.values["area_nm2"] for i in family.groups["loose"]]
    wanted = np.median([np.median(images[:2]), np.median(images[2:])])
    assert family.replicates.comparisons["area_nm2"].groups["loose"].median == pytest.approx(wanted)


def test_another_factor_is_compared_within_what_is_named(screened):
    families = write_report(screened, by="day", within=["condition"]).families
    assert [(f.within, list(f.groups)) for f in families] == [
        ({"condition": "loose"}, ["0", "1"]),
        ({"condition": "tight"}, ["0", "1"]),
    ]
    assert sum(len(images) for f in families for images in f.groups.values()) == 9
    notes = write_report(screened, by="condition").notes
    assert any("Images are pooled over day (2 values)" in note for note in notes)
    assert not any("day" in note for note in write_report(screened, within=["day"]).notes)


def test_replicates_themselves_can_be_compared(screened):
    (family,) = write_report(screened, by="replicate", within=[]).families
    assert list(family.groups) == ["r0", "r1", "r2", "r3", "r4"]
    assert family.replicates is None and family.notes == ()


def test_a_cohort_that_failed_altogether_is_told_of(screened):
    whole = cohorts.read(screened)
    for entry in whole["images"]:
        entry.update(status="failed", reason="lost")
    cohorts.write(screened, whole)
    written = write_report(screened)
    assert written.notes == ("No image could be analyzed: there is nothing to compare.",)
    assert written.page.read_text().count('<td class="path">lost</td>') == 10


@pytest.mark.parametrize("name", ["channel", "protein"])
def test_what_is_stained_differently_is_never_compared(screened, name):
    whole = cohorts.read(screened)
    for k, entry in enumerate(whole["images"]):
        entry["factors"][name] = "Csk" if k % 2 else "PAG"
    cohorts.write(screened, whole)
    families = write_report(screened).families
    assert sorted(f.name for f in families) == ["Csk", "PAG"]
    assert all(i.factors[name] == f.name for f in families for images in f.groups.values() for i in images)


def test_a_run_gets_its_factors_from_a_cohort_table(screened, tmp_path):
    run = next((screened / "nights").iterdir())
    listed = rows_of(run / "images.csv")
    table = tmp_path / "cohort.csv"
    elsewhere = "/data/of/old/" + listed[1]["path"].rsplit("/", 1)[1]
    table.write_text(f"path,condition,replicate\n{elsewhere},b,\n{listed[0]['path']},a,\n", encoding="utf-8-sig")
    written = write_report(run, table)
    (family,) = written.families
    assert {name: [i.path for i in images] for name, images in family.groups.items()} == {
        "a": [listed[0]["path"]],
        "b": [listed[1]["path"]],
    }
    assert list(family.groups) == ["b", "a"], "in the order of the table, a control that stands first among them"
    assert sum("has no condition" in note for note in written.notes) == len(listed) - 2
    assert "No test: it needs two groups of 3 or more images" in family.images.comparisons["area_nm2"].notes


def test_a_run_without_a_cohort_table_is_shown_and_not_compared(screened):
    run = next((screened / "nights").iterdir())
    result = report(run)
    assert result.exit_code == 0
    assert "images compared by condition" in result.stdout and result.stdout.startswith("0 of ")
    assert "Give a table with --cohort" in result.stderr
    assert (run / "report.html").read_text().count("<img ") == len(rows_of(run / "images.csv"))


def damage_file(root, entry):
    path = root / entry["folder"] / "clusters.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def cut_picture(root, entry):
    path = root / entry["folder"] / "overview.png"
    path.write_bytes(path.read_bytes()[:-100])


def lose_file(root, entry):
    (root / entry["folder"] / "clusters.parquet").unlink()


def alter_summary(root, entry):
    whole = cohorts.read(root)
    next(e for e in whole["images"] if e["folder"] == entry["folder"])["area_um2"] *= 2
    cohorts.write(root, whole)


def point_outside(root, entry):
    shutil.copytree((root / entry["folder"]).parent, root.parent / "elsewhere")
    elsewhere = f"../elsewhere/{entry['image_id']}"
    cohorts.write(root, json.loads(json.dumps(cohorts.read(root)).replace(entry["folder"], elsewhere)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_file, "is not the file that its run wrote"),
        (cut_picture, "is not the file that its run wrote"),
        (lose_file, "is missing"),
        (alter_summary, "summary.json gives"),
        (point_outside, "is not inside"),
    ],
)
def test_damaged_results_are_named_and_in_no_figure(screened, damage, said):
    entry = cohorts.read(screened)["images"][2]
    damage(screened, entry)
    written = write_report(screened)
    assert len(written.results.images) == 8
    found = {item.path: item.reason for item in written.results.failed}
    assert said in found[entry["path"]]
    assert entry["path"] not in [r["path"] for r in rows_of(screened / "report" / "per_image.csv")]


def test_rows_without_images_and_images_without_rows_get_a_line_each(screened, tmp_path):
    """The table has semicolons and a header in capitals, as spreadsheets write them."""
    run = next((screened / "nights").iterdir())
    listed = rows_of(run / "images.csv")
    table = tmp_path / "cohort.csv"
    lines = [f"{listed[0]['path']};a;r1;5", f"{listed[1]['path']};b;r1;6", "lost & <gone>.csv;a;r2;5"]
    table.write_text("PATH;Condition;REPLICATE;Dose\n" + "\n".join(lines) + "\n", encoding="utf-8-sig")
    result = report(run, "--cohort", table)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"2 of {len(listed)} images compared by condition")
    notes = result.stderr.splitlines()
    assert sum("has no condition" in note for note in notes) == len(listed) - 2
    (gone,) = [note for note in notes if "no image of these results" in note]
    assert gone == f"note: {table}, line 4: {tmp_path / 'lost & <gone>.csv'} is no image of these results."
    page = (run / "report.html").read_text()
    assert "lost &amp; &lt;gone&gt;.csv is no image of these results" in page and "<gone>" not in page
    images = {row["path"]: row for row in rows_of(run / "report" / "per_image.csv")}
    assert [(images[row["path"]]["condition"], images[row["path"]]["Dose"]) for row in listed[:2]] == [
        ("a", "5"),
        ("b", "6"),
    ]


def test_a_name_tells_which_file_it_is_only_where_one_has_it(tmp_path):
    """Files of one name in two folders, and a cohort table that lists one of them, or one elsewhere."""
    for folder, seed in (("a", 1), ("b", 2)):
        cohorts.table(tmp_path / folder / "cell.csv", LOOSE, seed)
    execute(
        [tmp_path / "a" / "cell.csv", tmp_path / "b" / "cell.csv"], tmp_path / "out", Settings(test=False), workers=0
    )
    listed = tmp_path / "cohort.csv"
    listed.write_text("path,condition,replicate\na/cell.csv,naive,r1\n")
    first, second = write_report(tmp_path / "out", listed).results.images
    assert first.factors["condition"] == "naive" and "condition" not in second.factors
    listed.write_text("path,condition,replicate\nelsewhere/cell.csv,naive,r1\n")
    assert not any("condition" in image.factors for image in write_report(tmp_path / "out", listed).results.images)
    execute([tmp_path / "a" / "cell.csv"], tmp_path / "one", Settings(test=False), workers=0)
    moved = write_report(tmp_path / "one", listed)
    assert moved.results.images[0].factors["condition"] == "naive"
    assert any("1 image matched by file name" in note for note in moved.notes)


def test_nights_of_different_settings_are_told_of(screened):
    assert not any("different settings" in note for note in write_report(screened).notes)
    path = next(screened.glob("nights/*1T*"))
    execute(
        [cohorts.table(screened / "x.csv", LOOSE, 99)],
        path,
        Settings(min_points=5, test=False),
        workers=0,
        overwrite=True,
    )
    whole = cohorts.read(screened)
    folder = f"nights/{path.name}/0001_x"
    (entry,) = cohorts.read(path)["images"]
    kept = [entry for entry in whole["images"] if path.name not in entry["folder"]]
    entries = [*kept, {**entry, "folder": folder, "factors": {"condition": "loose"}}]
    cohorts.write(screened, {**whole, "images": entries})
    assert "Images were analyzed with 2 different settings: compare them with care." in write_report(screened).notes


def test_images_in_3d_have_volumes(tmp_path):
    rng = np.random.default_rng(4)
    centers = rng.uniform(200, 3800, (40, 3)) * (1, 1, 0.2)
    points = np.vstack([np.repeat(centers, 25, axis=0) + rng.normal(0, 25, (1000, 3)), rng.uniform(0, 4000, (300, 3))])
    (tmp_path / "slab.csv").write_text(
        '"x [nm]","y [nm]","z [nm]"\n' + "\n".join(f"{x},{y},{z}" for x, y, z in points.round(1).tolist()) + "\n"
    )
    execute([tmp_path / "slab.csv"], tmp_path / "out", Settings(network="GAXJPR", test=False), workers=0)
    page = write_report(tmp_path / "out").page.read_text()
    assert "nm³" in page and "per µm³" in page
    (row,) = rows_of(tmp_path / "out" / "report" / "per_image.csv")
    assert float(row["volume_nm3_median"]) > 0 and "area_nm2_median" not in row


def test_an_image_without_clusters_counts_where_it_can(screened):
    """It has no clusters per area, 0 of them, and no median area."""
    image = write_report(screened).results.images[0]
    values = measures.values_of(image.summary, {name: column[:0] for name, column in image.clusters.items()})
    assert values["clusters_per_um2"] == values["percent_clustered"] == 0
    assert math.isnan(values["area_nm2"]) and math.isnan(values["n_localizations"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "dose"], "no image has a factor 'dose': use one of condition, replicate, day"),
        (["--within", "dose"], "no image has a factor 'dose'"),
        (["--cohort", "absent.csv"], "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(screened, arguments, said):
    result = report(screened, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,condition\na,b\n", "no column 'path'"),
        ("path,condition\na.csv,a\n", "no column 'replicate'"),
        ("path,condition,replicate\n", "has no images"),
        ("path,condition,replicate\na.csv,b\n", "2 cells, but the header has 3"),
        ('path,condition,replicate\n"a.csv,b,1\n', "not valid CSV"),
    ],
)
def test_a_cohort_table_that_is_none_is_refused(screened, tmp_path, content, said):
    table = tmp_path / "cohort.csv"
    table.write_text(content)
    result = report(screened, "--cohort", table)
    assert result.exit_code == 2 and said in result.stderr


def test_a_directory_without_results_is_refused(tmp_path):
    assert report(tmp_path).exit_code == 2
    (tmp_path / "summary.json").write_text('{"images": 3}')
    result = report(tmp_path)
    assert result.exit_code == 2 and "is damaged" in result.stderr


def test_a_report_is_written_elsewhere_and_the_results_stay_as_they_are(screened, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in screened.rglob("*")}
    result = report(screened, "--out", tmp_path / "new" / "report here")
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in screened.rglob("*")} == before
    folder = tmp_path / "new" / "report here"
    links = re.findall(r'<a href="(\./[^"]+)"[^>]*><img', (folder / "report.html").read_text())
    assert len(links) == 9
    assert all((folder / unquote(link)).read_bytes().startswith(b"\x89PNG") for link in links)
    page = (folder / "report.html").read_text()
    assert "This page is not in the folder of its results" in page and str(screened.resolve()) in page
    here = sorted(path.name for path in (*folder.iterdir(), *(folder / "report").iterdir()) if path.is_file())
    assert here == ["methods.txt", "per_condition.csv", "per_image.csv", "report.html", "tests.csv"]


def test_results_that_cannot_be_written_to_ask_for_another_folder(screened, tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "file").write_text("")
    refused = report(screened, "--out", tmp_path / "file")
    assert refused.exit_code == 2 and "is not a folder: name another one with --out" in refused.output
    monkeypatch.setattr("caml_dask.report.write.write_tables", read_only)
    for folder, options in ((screened, []), (tmp_path / "other", ["--out", tmp_path / "other"])):
        refused = report(screened, *options)
        assert refused.exit_code == 2
        said = f"{folder} cannot be written to (Read-only file system): name another folder with --out"
        assert said in refused.output


def test_pictures_of_many_images_are_shared_out_over_conditions(screened):
    images = write_report(screened).results.images
    assert pictured(images, "condition") == set(range(9))
    assert pictured(images, "condition", most=5) == {0, 1, 4, 5}


def test_known_failures_are_marked_and_folders_that_cannot_be_listed_are_noted(screened):
    whole = cohorts.read(screened)
    (bad,) = [entry for entry in whole["images"] if entry["status"] == "failed"]
    assert "acknowledged" not in write_report(screened).page.read_text()
    bad["acknowledged"] = True
    folder = "cannot list the folder /data/x: Permission denied; its images are not screened: check its permissions"
    cohorts.write(screened, {**whole, "notes": [folder]})
    result = report(screened)
    assert f"note: {folder}" in result.stderr
    page = (screened / "report.html").read_text()
    assert "<b>1 image failed</b> (1 acknowledged) and is left out below" in page
    assert page.count('<td class="path">(acknowledged) ') == 1 and f"<p>{folder}</p>" in page
