"""Cohorts from tables and from patterns of paths, and what is said of those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caml_dask.errors import UsageError
from caml_dask.screening.cohort import read_cohort

HEADER = "path,condition,replicate\n"


@pytest.fixture
def table(tmp_path):
    def write(content):
        path = tmp_path / "cohort.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def test_a_table(table, tmp_path):
    header = '\ufeffday, path ,channel,condition,replicate,"dose, nM"\n'
    cohort = read_cohort(table(header + '1,a.csv,,naive,1,0\n\n2,/far/b c.csv,Csk, naive ,2,"1,5"\n'))
    assert cohort.factors == ("condition", "replicate", "day", "dose, nM")
    first, second = cohort.members
    assert (first.path, first.channel, first.place) == (tmp_path / "a.csv", None, "line 2")
    assert dict(first.factors) == {"condition": "naive", "replicate": "1", "day": "1", "dose, nM": "0"}
    assert (str(second.path), second.channel, second.place) == ("/far/b c.csv", "Csk", "line 4")
    assert dict(second.factors) == {"condition": "naive", "replicate": "2", "day": "2", "dose, nM": "1,5"}


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems(table, end):
    cohort = read_cohort(table(HEADER.replace("\n", end) + f'a.csv,"two{end}lines",1{end}b.csv,b,1{end}'))
    assert [m.factors["condition"] for m in cohort.members] == ["two\nlines", "b"]


def test_channels_of_one_file_are_members_of_their_own(table):
    cohort = read_cohort(table("path,channel,condition,replicate\na.csv,1,Csk,1\na.csv,2,PAG,1\n"))
    assert [(m.channel, m.factors["condition"]) for m in cohort.members] == [("1", "Csk"), ("2", "PAG")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"no column 'path' in the first line \(nothing\)"),
        ("path,replicate\na.csv,1\n", r"no column 'condition' in the first line \(path, replicate\)"),
        (
            "path|condition|replicate\na.csv|a|1\n",
            r"\(path\|condition\|replicate\): give the table a header such as path,condition",
        ),
        (HEADER, "the cohort has no images"),
        (HEADER + "\n,,\n", "the cohort has no images"),
        ("path,condition,replicate,status\na.csv,a,1,ok\n", "cannot be called 'status'"),
        ("path,condition,replicate,\na.csv,a,1,ok\n", "a column has no name"),
        ("path,condition,replicate,day,day\na.csv,a,1,1,1\n", "2 columns are called 'day'"),
        (HEADER + "a.csv,a,1\nb.csv,a,1,7\n", "line 3: 4 cells, but the header has 3"),
        (HEADER + "a.csv,,1\n", "line 2: the condition is empty"),
        (HEADER + " ,a,1\n", "line 2: the path is empty"),
        (HEADER + "a.csv,a,1\nb.csv,a,1\n./a.csv,b,2\n", "line 4: .*a.csv is already listed in line 2"),
        ("path,condition,replicate,channel\na.csv,a,1,x\na.csv,a,1,\n", "already listed in line 2"),
        ("path,condition,replicate,channel\na.csv,a,1,\na.csv,a,1,x\n", "already listed in line 2"),
        ("path,condition,replicate,channel\na.csv,a,1,x\na.csv,b,1,x\n", "already listed in line 2"),
        (HEADER.encode() + b"\xe4.csv,a,1\n", r"is not UTF-8 \(byte 25\): save it as CSV in UTF-8"),
        ((HEADER + "ä.csv,a,1\n").encode("utf-16"), "is not UTF-8"),
        (HEADER + '"a.csv,a,1\n', "line 2: not valid CSV"),
        (HEADER + "a\0.csv,a,1\n", r"line 2: 'a\\x00.csv' is not a path"),
    ],
)
def test_a_table_that_cannot_be_used(table, content, said):
    with pytest.raises(UsageError, match=said):
        read_cohort(table(content))


def test_a_linked_file_is_the_file_it_links_to(table, tmp_path):
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="already listed in line 2"):
        read_cohort(table(HEADER + "a.csv,a,1\nb.csv,a,2\n"))


@pytest.mark.parametrize("where", ["nowhere.csv", "."])
def test_what_is_no_table_is_refused(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be read .*or a pattern such as"):
        read_cohort(where)


@pytest.fixture
def folders(tmp_path):
    for name in ("naive/1/b.csv", "naive/1/a.csv", "naive/2/x/c.csv", "act [1]/1/a.csv", "naive/1/.a.csv.working"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


def test_a_pattern(folders):
    cohort = read_cohort(f"{folders}/{{condition}}/{{replicate}}/*")
    found = [(str(m.path.relative_to(folders)), *m.factors.values()) for m in cohort.members]
    assert found == [
        ("act [1]/1/a.csv", "act [1]", "1"),
        ("naive/1/a.csv", "naive", "1"),
        ("naive/1/b.csv", "naive", "1"),
    ]


def test_a_pattern_with_more_factors_and_any_folders(folders):
    cohort = read_cohort(f"{folders}/{{condition}}/{{replicate}}/**/{{cell}}.csv")
    assert cohort.factors == ("condition", "replicate", "cell")
    assert [m.factors["cell"] for m in cohort.members] == ["a", "a", "b", "c"]
    only = read_cohort(f"{folders}/act [1]/{{condition}}/{{replicate}}.csv")
    assert [dict(m.factors) for m in only.members] == [{"condition": "1", "replicate": "a"}]


def test_the_results_of_a_screening_are_no_images(folders):
    pattern = f"{folders}/{{condition}}/{{replicate}}/**/*.csv"
    assert len(read_cohort(pattern).members) == 4
    assert len(read_cohort(pattern, leave_out=folders / "naive").members) == 1


@pytest.mark.parametrize(
    ("piece", "reported"),
    [
        ("{condition}/{replicate}", ["act [1]/2"]),
        ("act [1]/{condition}/{replicate}", ["act [1]/2"]),
        ("**/{condition}/{replicate}", ["act [1]/2", "naive/2/x"]),
        (".{condition}/{replicate}", [".snapshot"]),
        ("**/.snapshot/{condition}/{replicate}", [".snapshot", "act [1]/2", "naive/2/x"]),
    ],
)
def test_only_folders_that_a_pattern_can_match_have_to_be_listed(folders, monkeypatch, piece, reported):
    """Not the snapshots of a file system, which `glob` spares as hidden, and not the results of the screening."""
    closed = [folders / name for name in (".snapshot", "act [1]/2", "naive/2/x", "out/1")]
    for folder in (*closed, *(folders / name for name in ("act [1]/1/y", ".raw/1", "naive/.snapshot/1/1"))):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.csv").touch()
    real = os.scandir

    def scandir(path):
        if Path(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = read_cohort(f"{folders}/{piece}/*.csv", leave_out=folders / "out").unreadable
    assert list(found) == [f"{folders / name}: Permission denied" for name in reported]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{condition}/*.csv", r"the pattern has no \{replicate\}: add it, as in"),
        ("{condition}/{replicate}/{condition}.csv", "2 columns are called 'condition'"),
        ("{condition}/{replicate}/{path}.csv", "2 columns are called 'path'"),
        ("{condition}/{replicate}/{}.csv", "a column has no name"),
        ("{condition}/{replicate}/*.tsv", "no file matches: correct the pattern"),
    ],
)
def test_a_pattern_that_cannot_be_used(folders, monkeypatch, pattern, said):
    monkeypatch.chdir(folders)
    with pytest.raises(UsageError, match=said):
        read_cohort(pattern)
