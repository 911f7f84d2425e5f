"""Pictures that the code on a page draws: the build runs it on two simulated cells and keeps what it saved."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import shutil
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from snippets import command_in, run

from caml_dask.io.fields import write_field
from caml_dask.simulate import Scenario, simulate

PAGES = ("how-to/look.md",)
# Cells of some 12,000 localizations; those of the second are in fewer and larger clusters.
CELLS = {
    "cell_a.csv": Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=35.0),
    "cell_b.csv": Scenario(points_per_cluster=60, r_max_nm=100.0, percent_clustered=70.0, density_per_um2=35.0),
}
_SHOWN = re.compile(r"\(\.\./_generated/(\w+\.png)\)|\{image\} \.\./_generated/(\w+\.png)")


def draw_pictures(docs: Path) -> None:
    """Run the code of each page, and put the pictures that it shows where it looks for them."""
    matplotlib.use("agg")
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    for name in PAGES:
        page = docs / name
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            lay_out(folder)
            (folder / "bin").mkdir()
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                run(page, folder, command_in(folder / "bin"))
            for shown in _SHOWN.findall(page.read_text(encoding="utf-8")):
                picture = "".join(shown)
                shutil.copy(folder / picture, docs / "_generated" / picture)


def lay_out(folder: Path) -> None:
    """Two cells and their cohort."""
    for seed, (name, scenario) in enumerate(CELLS.items()):
        write_field(simulate(scenario, np.random.default_rng(seed)), folder / name)
    cohort = "path,condition,replicate\ncell_a.csv,naive,donor 1\ncell_b.csv,activated,donor 1\n"
    (folder / "cohort.csv").write_text(cohort)
