from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from exported import FINITE, HOLLOW, clusters_table, outlines_tables, points_table
from PIL import Image
from support import simulated_table

from caml_dask import Analysis, extras, open_run
from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.results.image import outlines_of
from caml_dask.results.pooled import pooled_clusters
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

NASTY = '<script>alert("x")</script>&'


@pytest.fixture
def analysis() -> Analysis:
    xy = points_table().filter(FINITE)
    x, y = xy["x_nm"].to_numpy(), xy["y_nm"].to_numpy()
    n = int(FINITE.sum())
    summary: dict[str, Any] = {
        "image_id": NASTY, "network": "XPILJZ", "rows": n + 1, "localizations": n, "dropped_nonfinite": 1,
        "dropped_where": 0, "percent_clustered": 56.25, "clusters": 3, "clusters_per_um2": None, "area_um2": 1.0,
        "area_defined_by": "given", "bounds_nm": [x.min(), y.min(), x.max(), y.max()],
        "medians": {"n_localizations": {"median": 4.5, "q25": 4, "q75": 5, "n": 2}, "area_nm2": None},
        "csr_test": {"p_value": 0.012}, "warnings": [f"odd: {NASTY}"],
    }  # fmt: skip
    outlines = outlines_of(pa.concat_tables(outlines_tables()))
    return Analysis(points_table().to_pandas(), clusters_table().to_pandas(), outlines, summary)


class Page(HTMLParser):
    """Tags, sources and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def picture(source: str) -> np.ndarray:
    kind, data = source.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_notebook_shows_the_picture_and_the_key_figures_and_runs_nothing_of_a_name(analysis):
    page = Page(analysis._repr_html_())
    assert "script" not in page.tags and page.text.count(NASTY) == 2
    for words in ("16", "56.2 %", "4.50", "0.012"):
        assert words in page.text or (float(words.rstrip(" %")) == 4.5 and "4.5" in page.text)
    (source,) = page.sources
    shown = picture(source)
    assert shown.shape[1] <= 320 and len(np.unique(shown.reshape(-1, 3), axis=0)) > 3


def test_tables_go_to_arrow_and_come_back_as_they_were(analysis):
    points = analysis.to_arrow()
    expected = points_table()
    for name in ("loc_id", "x_nm", "label", "cluster_id", "p_clustered"):
        assert points.schema.field(name).type == expected.schema.field(name).type
        assert points[name].to_pylist()[4:] == expected[name].to_pylist()[4:]
    assert analysis.to_arrow("clusters")["cluster_id"].to_pylist() == [0, 5, 9]
    assert analysis.to_arrow("outlines").column_names == ["cluster_id", "outline"]
    with pytest.raises(UsageError, match="one of points, clusters, outlines"):
        analysis.to_arrow("point")


def test_polars_takes_the_tables(analysis):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(analysis.to_arrow("clusters"))
    assert frame["cluster_id"].to_list() == [0, 5, 9]


def test_clusters_become_a_geodataframe(analysis):
    frame = analysis.to_geopandas()
    assert frame.crs is None and frame["cluster_id"].tolist() == [0, 5, 9]
    assert frame.geometry.iloc[0].equals(HOLLOW) and frame.geometry.iloc[2] is None
    turned = replace(analysis, outlines=analysis.outlines[::-1])
    assert turned.to_geopandas().geometry.iloc[0].equals(HOLLOW), "by their ids, not by their order"


@pytest.mark.parametrize(("call", "extra"), [("plot", "plot"), ("to_geopandas", "geopandas")])
def test_what_needs_an_extra_names_it(analysis, call, extra, monkeypatch):
    monkeypatch.setattr(extras, "_installed", lambda package: False)
    with pytest.raises(UsageError, match=rf'pip install "caml_dask\[{extra}\]"'):
        getattr(analysis, call)()


def test_clusters_of_images_are_pooled_with_their_factors():
    def image(channel: str | None, factors: dict[str, str], **columns: list[float]) -> SimpleNamespace:
        summary = {"channel": channel} | ({"factors": factors} if factors else {})
        return SimpleNamespace(summary=summary, clusters=pd.DataFrame({"image_id": "of the night", **columns}))

    whole = pooled_clusters(
        {
            "a": image(None, {"condition": "naive", "label": "dim"}, label=[1, 1], area_nm2=[3.0, 4.0]),
            "b": image("561", {"condition": "activated", "label": ""}, label=[1], area_nm2=[5.0]),
            "c": image(None, {}, label=[], area_nm2=[]),
            "d": image(None, {}, label=[1], volume_nm3=[6.0]),
        }
    )
    first = ["image_id", "condition", "factor_label", "channel", "label"]
    assert whole.columns.tolist() == [*first, "area_nm2", "volume_nm3"]
    assert whole["image_id"].tolist() == ["a", "a", "b", "d"]
    assert whole["condition"].tolist()[:3] == ["naive", "naive", "activated"] and pd.isna(whole["condition"].iloc[3])
    assert whole["factor_label"].tolist()[:3] == ["dim", "dim", ""] and whole["label"].tolist() == [1, 1, 1, 1]
    assert whole["area_nm2"].tolist()[:3] == [3, 4, 5] and whole["volume_nm3"].tolist()[3] == 6
    assert pooled_clusters({}).columns.tolist() == ["image_id", "cluster_id"]


def test_a_run_is_shown_and_pooled(tmp_path):
    tables = [simulated_table(tmp_path / f"cell {k}.csv", side_nm=2000.0, seed=k) for k in (1, 2)]
    (bad := tmp_path / "bad.csv").write_text("x [nm],y [nm]\n1,1\n")
    execute([*tables, bad], tmp_path / "out", Settings("XPILJZ", test=False), workers=0)
    run = open_run(tmp_path / "out")
    whole = run.clusters()
    assert whole.groupby("image_id").size().to_dict() == {i.image_id: len(i.clusters) for i in run.images.values()}
    page = Page(run._repr_html_())
    assert len(page.sources) == 2 and "0001_bad failed" in page.text
    image = run.images[0]
    assert picture(image.thumbnail).shape[1] == 320
    assert image.to_arrow().num_rows == len(image.points)
    axes = image.plot(color="cluster")
    assert len(axes.collections[0].get_offsets()) == len(image.points)
    call = ["overview", str(tmp_path / "out"), "--to", "svg", "--images", "cell 1"]
    assert CliRunner().invoke(main, call).exit_code == 0
    (written,) = (tmp_path / "out" / "export").iterdir()
    assert written.name == f"{image.image_id}_overview.svg" and "most clusters" in written.read_text()
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2 and "is there already" in again.stderr
    assert CliRunner().invoke(main, [*call, "--overwrite"]).exit_code == 0
    assert CliRunner().invoke(main, [*call[:-1], "cell 3"]).exit_code == 2
    (image.directory / "overview.png").write_bytes(b"no picture")
    again = open_run(tmp_path / "out").images[0]
    assert again.thumbnail is None and "img" not in Page(again._repr_html_()).tags
