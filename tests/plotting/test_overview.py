from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from exported import hand_drawn, points_table
from PIL import Image

from caml_dask.errors import UsageError
from caml_dask.plotting.overview import ENDINGS, save_overview

LINES = ["16 localizations", "network XPILJZ"]
BEGINS = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_results_give_equal_files(ending: str, tmp_path: Path):
    table = points_table()
    found = []
    for seed in (0, 1):
        given = table if seed == 0 else table.take(np.random.default_rng(1).permutation(len(table)))
        image = hand_drawn(points=lambda columns, given=given: iter(given.select(columns).to_batches(5)))
        found.append(save_overview(image, LINES, tmp_path / f"{seed}{ending}").read_bytes())
    assert found[0].startswith(BEGINS[ending])
    again = save_overview(hand_drawn(), LINES, tmp_path / f"0{ending}").read_bytes()
    assert again == found[0]
    assert len(list(tmp_path.iterdir())) == 2, "no working file is left"


def test_text_stays_text(tmp_path: Path):
    text = save_overview(hand_drawn(image_id="<cell> & more"), LINES, tmp_path / "a.svg").read_text()
    words = re.findall(r">([^<>]+)</text>", text)
    assert {"A  most clusters", "B  typical", "clustered", "16 localizations"} <= set(words)
    assert "&lt;cell&gt; &amp; more" in words
    assert "A" in words, "the letter of a frame"


def test_images_without_clusters_and_with_three_classes_are_drawn(tmp_path: Path):
    table = points_table()
    names = ["p_non" if name == "p_clustered" else name for name in table.column_names]
    three = table.rename_columns(names).append_column("p_fiber", table["p_clustered"])
    save_overview(hand_drawn(three), LINES, tmp_path / "three.png")
    cluster = pa.array(np.full(len(table), -1), mask=np.asarray(table["cluster_id"].is_null()))
    none = table.set_column(table.schema.get_field_index("cluster_id"), "cluster_id", cluster)
    image = hand_drawn(none)
    empty = hand_drawn(none, clusters=lambda: image.clusters()[:0], outlines=lambda: iter([]))
    save_overview(empty, LINES, tmp_path / "none.png")
    assert all(Image.open(path).width > 1000 for path in tmp_path.iterdir())


def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"use one of \.pdf, \.svg, \.png"):
        save_overview(hand_drawn(), LINES, tmp_path / "a.tiff")
