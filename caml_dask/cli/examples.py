"""Examples, shown at the end of each command's help: those that most users need."""

from __future__ import annotations

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "run": (
        ("two cells, on all cores", "caml-dask run cell_a.csv cell_b.csv -o results"),
        ("all tables of a folder, with another network", "caml-dask run data -o results -n 07VEJJ"),
        ("by DBSCAN", "caml-dask run cell_a.csv -o results --method dbscan --eps-nm 30 --min-samples 5"),
        ("only precise localizations", "caml-dask run cell_a.csv -o results --where 'uncertainty_nm < 20'"),
        ("inside cells outlined in ImageJ", "caml-dask run data -o results --roi outlines --roi-pixel-nm 100"),
        ("inside the cell, found by itself", "caml-dask run cell_a.csv -o results --cell-mask auto"),
        ("and for other programs", "caml-dask run cell_a.csv -o results --export csv,picasso"),
        ("columns that say no unit", "caml-dask run 'data/**/*.csv' -o results --columns x=X,y=Y,unit=um"),
    ),
    "demo": (
        ("in a minute", "caml-dask demo"),
        ("in one process, elsewhere", "caml-dask demo -j 0 -o tried"),
    ),
    "screen": (
        ("a table of the cohort", "caml-dask screen cohort.csv -o screening"),
        ("conditions by folders", "caml-dask screen 'data/{condition}/{replicate}/*.csv' -o screening"),
        ("a failure that is known", "caml-dask screen cohort.csv -o screening --acknowledge bad_cell.csv"),
    ),
    "status": (
        ("of a run or a screening", "caml-dask status results"),
        ("for programs", "caml-dask status screening --json"),
    ),
    "prune": (
        ("which nights could go", "caml-dask prune screening"),
        ("remove them", "caml-dask prune screening --yes"),
    ),
    "doctor": (
        ("this machine", "caml-dask doctor"),
        ("for some data and a place for the results", "caml-dask doctor data -o results"),
        ("a cluster", "caml-dask doctor --deploy slurm.toml data -o results"),
    ),
    "array-script": (
        ("then TASKS=50 ./pbs_array.sh results data", "caml-dask array-script --system pbs > pbs_array.sh"),
    ),
    "plan": (("then `unit` in each task of each stage", "caml-dask plan data -o results"),),
    "unit": (("the first of 50 tasks of a stage", "caml-dask unit classify 0 --of 50 -o results"),),
    "finish": (("when all arrays have ended", "caml-dask finish -o results"),),
    "formats": (
        ("all of them", "caml-dask formats"),
        ("what is read of one, and how to export it", "caml-dask formats picasso"),
    ),
    "networks": (
        ("all of them", "caml-dask networks"),
        ("the card of one", "caml-dask networks XPILJZ"),
    ),
    "simulate": (
        ("the grids of scenarios", "caml-dask simulate"),
        ("one field", "caml-dask simulate uniform-p20-r50-c50-d100 -o fields"),
        ("ten fields as Parquet", "caml-dask simulate csr-d100 -o fields --replicates 10 --format parquet"),
    ),
    "train": (
        ("as published", "caml-dask train XPILJZ -o mine --work work"),
        ("another window", "caml-dask train XPILJZ --window 200 -o mine --work work"),
        ("in minutes, to try it", "caml-dask train XPILJZ --samples 20000 --epochs 2 -o mine --work work"),
    ),
    "train-field": (
        ("two hours on two cores", "caml-dask train-field -o mine --work work --steady 6000 --annealed 600"),
        ("on from there", "caml-dask train-field -o mine --work work --steady 20000 --annealed 2000"),
    ),
    "train-fibers": (
        ("a network of one's own", "caml-dask train-fibers --network mine -o mine-with-fibers"),
        ("in seconds, to try it", "caml-dask train-fibers -o mine --fields 8"),
    ),
    "evaluate": (
        ("all networks", "caml-dask evaluate -o evaluation"),
        ("one, on two grids", "caml-dask evaluate XPILJZ -o evaluation --grids densities,csr"),
        ("in seconds, to try it", "caml-dask evaluate XPILJZ -o evaluation --smoke"),
    ),
    "report": (
        ("a run, with a table of its conditions", "caml-dask report results --cohort cohort.csv"),
        ("a screening", "caml-dask report screening"),
        ("another factor", "caml-dask report screening --by protein --within condition -o report"),
    ),
    "overview": (
        ("a PDF of each image", "caml-dask overview results"),
        ("an SVG of one, elsewhere", "caml-dask overview results --to svg --images cell_a -o figures"),
    ),
    "view": (
        ("a run or a screening", "caml-dask view results"),
        ("one image as a page to send", "caml-dask view results --static cell_a -o cell_a.html"),
    ),
    "export": (
        ("for Picasso and ThunderSTORM", "caml-dask export results --to picasso --to thunderstorm"),
        ("regions and a picture that fit on each other", "caml-dask export results --to imagej --to ome-tiff"),
        ("clusters of one image", "caml-dask export results --to xlsx --images 0001_cell_a -o tables"),
    ),
    "colocalize": (
        ("channels of the same files", "caml-dask colocalize results"),
        ("two images", "caml-dask colocalize results --pair cell_1_csk cell_1_pag"),
        ("with the shift of beads taken from B", "caml-dask colocalize results --fiducials beads.csv --correct-shift"),
    ),
    "follow": (
        ("windows of 500 frames", "caml-dask follow cell.csv -o followed --time-window 500"),
        ("that overlap by half", "caml-dask follow cell.csv -o followed --time-window 500 --time-step 250"),
        ("after drift correction", "caml-dask follow cell.csv -o followed --time-window 500 --drift aim"),
    ),
    "describe": (
        ("a field", "caml-dask describe cell.csv -o described"),
        ("inside the cell, to 1 um", "caml-dask describe cell.csv -o described --cell-mask auto --most-nm 1000"),
        ("regions outlined in ImageJ", "caml-dask describe data -o described --roi outlines --roi-pixel-nm 100"),
    ),
    "completion": (("of bash", "caml-dask completion bash >> ~/.bashrc"),),
}


def with_examples(command: click.Command) -> click.Command:
    """The command, with its examples at the end of its help."""
    lines = [line for about, call in EXAMPLES[command.name or ""] for line in (f"# {about}", call)]
    command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
    return command
