"""What Dask shows of a run on request, and on no other."""

from __future__ import annotations

import urllib.request

import pytest
from click.testing import CliRunner
from support import done_records

from caml_dask.cli import main
from caml_dask.executors.deployment.clusters import local_cluster

pytest.importorskip("bokeh")


def test_the_dashboard_is_served_on_this_machine_alone():
    with local_cluster(1, dashboard=True) as client:
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(client.dashboard_link, timeout=30) as page:
            assert b"Dask Diagnostic UI" in page.read()


def test_a_report_is_written_though_the_input_is_small(table, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.html"
    options = ["--performance-report", str(report), "--max-localizations", "600", "--no-test"]
    found = CliRunner().invoke(main, ["run", str(table), "-o", str(out), *options])
    assert found.exit_code == 0, found.output
    assert "Dask Performance Report" in report.read_text() and done_records(out)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--dashboard", "-j", "0"], 2, "runs without Dask, which has nothing to show"),
        (["--performance-report", "no/report.html"], 2, "make it for the performance report"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(table, tmp_path, options, code, said):
    found = CliRunner().invoke(main, ["run", str(table), "-o", str(tmp_path / "out"), *options])
    assert found.exit_code == code and said in found.output
    assert not (tmp_path / "out").exists()
