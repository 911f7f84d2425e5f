"""The command that compares channels: `colocalize`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from caml_dask.cli.options import DONE, LOCAL, LOGS, SEED, guarded, say


@click.command()
@click.argument("directory", type=LOCAL)
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="Two images, by image_id or stem of the input; can be given several times.  [default: all channels of each "
    "file with one another]",
)
@click.option("--pairs", "table", type=LOCAL, help="CSV table of pairs, with columns a and b.")
@click.option("-o", "--out", type=LOCAL, help="Folder.  [default: DIRECTORY/colocalization]")
@click.option("--radius-nm", type=float, default=500.0, show_default=True, help="Largest radius of DoC and CBC.")
@click.option("--step-nm", type=float, default=10.0, show_default=True, help="Step to that radius.")
@click.option(
    "--close-nm",
    type=float,
    default=20.0,
    show_default=True,
    help="DoC takes localizations with more of either channel within this distance than the mean density gives.",
)
@click.option("--threshold", type=float, default=0.4, show_default=True, help="DoC of colocalized localizations.")
@click.option(
    "--near-nm", type=float, default=50.0, show_default=True, help="Distance up to which pairs of A and B are counted."
)
@click.option(
    "--randomizations",
    type=click.IntRange(0, 100_000),
    default=199,
    show_default=True,
    help="Of each kind; the smallest p value is 2 / (1 + this).",
)
@click.option("--correct-shift", is_flag=True, help="Take the shift between the channels from B.")
@click.option(
    "--fiducials",
    type=LOCAL,
    help="CSV table of beads, with x_a, y_a, x_b, y_b in nm.  [default: the shift is estimated from the data]",
)
@click.option(
    "--largest-shift-nm",
    type=float,
    default=200.0,
    show_default=True,
    help="Largest shift looked for in the data, along x and y.",
)
@SEED
@click.option("--overwrite", is_flag=True, help="Replace an earlier comparison.")
@LOGS
@guarded
def colocalize(
    directory: Path,
    pairs: tuple[tuple[str, str], ...],
    table: Path | None,
    out: Path | None,
    radius_nm: float,
    step_nm: float,
    close_nm: float,
    threshold: float,
    near_nm: float,
    randomizations: int,
    correct_shift: bool,
    fiducials: Path | None,
    largest_shift_nm: float,
    seed: int,
    overwrite: bool,
) -> int:
    """Compare channels of the images in DIRECTORY, which `run` or `screen` wrote, two at a time.

    Finds the overlap of clusters, distances, Clus-DoC's degree of colocalization, coordinate-based colocalization, the
    cross pair correlation and the shift between the channels. Each figure is compared with randomness.
    """
    from caml_dask import __version__
    from caml_dask.channels.colocalize import each_pair
    from caml_dask.channels.figures import Measures
    from caml_dask.channels.write import FOLDER, write_pairs
    from caml_dask.results.run import open_run

    run = open_run(directory)
    measures = Measures(radius_nm, step_nm, close_nm, threshold, near_nm)
    found = each_pair(
        run,
        pairs,
        table=table,
        measures=measures,
        randomizations=randomizations,
        seed=seed,
        correct_shift=correct_shift,
        fiducials=fiducials,
        largest_shift_nm=largest_shift_nm,
    )
    folder = out or directory / FOLDER
    for row in write_pairs(folder, found, run.images, f"caml_dask {__version__} (seed {seed})", overwrite):
        say(f"{row['a']} and {row['b']}: " + ", ".join(_words(row)))
        if row["notes"]:
            say(f"note: {row['notes']}", err=True)
    say(f"tables and pictures in {folder}")
    return DONE


_SAID = {
    "area_share_a": "of the cluster area of A in clusters of B",
    "localizations_share_a": "of the localizations of A in clusters of B",
    "doc_share_a": "of the localizations of A colocalized by DoC",
    "pair_correlation": "times as many close pairs as independent channels have",
}


def _words(row: dict[str, object]) -> list[str]:
    """The key figures of a pair, each with its p value by shifting B."""
    found = []
    for name, words in _SAID.items():
        value, p_value = row[name], row.get(f"{name}_p_shift", row.get(f"{name}_p_placement"))
        if not isinstance(value, float) or not np.isfinite(value):
            continue
        amount = f"{100 * value:.1f} %" if "share" in name else f"{value:.2f}"
        p_words = f" (p {p_value:.2g})" if isinstance(p_value, float) and np.isfinite(p_value) else ""
        found.append(f"{amount} {words}{p_words}")
    return found
