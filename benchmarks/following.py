"""Clusters followed through windows, against films whose truth is known; and the time that it takes.

Discs appear, move, vanish, merge and split. No film was looked at when the
rules were set.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from live_made import Film, events_found, made_film, tracks_of_discs

from caml_dask.following.follow import Following, follow
from caml_dask.following.link import LEAST_OVERLAP
from caml_dask.following.tracks import Tracks, track

WIDTH = 200
NEAR_NM = 150.0
LEAST_SHARE = 0.2  # of the smallest part in merges and splits that count
EACH, LONERS = (10.0, 20.0, 40.0), (300.0, 1200.0)
OVERLAPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
FILMS = {
    "slow": {"move": 0.3},
    "fast": {"move": 0.6},
    "crowded": {"move": 0.3, "apart": 6.0, "side_nm": 2200.0, "merging": 0, "splitting": 0, "singles": 30},
}


def compared(films: list[Film], found: list[Tracks | Following]) -> dict[str, object]:
    """Events, lifetimes and displacements of films beside those found, over all films."""
    events = sum(events_found(film, one.events, WIDTH, NEAR_NM, LEAST_SHARE) for film, one in zip(films, found))
    discs = pd.concat(tracks_of_discs(film, one.tracks, one.points, NEAR_NM / 2) for film, one in zip(films, found))
    off = (discs["lifetime_found"] - discs["lifetime"]).abs()
    # centroids are those of the middles of windows
    way = discs["displacement_nm"] * (1 - WIDTH / discs["lifetime"]).clip(lower=0)
    return {
        "events": events.T.to_dict(),
        "discs": len(discs),
        "discs_in_one_track": int((discs["tracks"] == 1).sum()),
        "median_lifetime_to_true": round(float((discs["lifetime_found"] / discs["lifetime"]).median()), 3),
        "median_lifetime_error_windows": round(float(off.median() / WIDTH), 3),
        "median_displacement_error_nm": round(float((discs["displacement_found_nm"] - way).abs().median()), 1),
    }


def by_density(films: int, densities: Sequence[float]) -> list[dict[str, object]]:
    """Localizations of a disc in a window, others in a window, and step of windows."""
    rows = []
    for each, loners in itertools.product(densities, LONERS):
        made = [made_film(np.random.default_rng([1, s]), width=WIDTH, each=each, loners=loners) for s in range(films)]
        for step in (WIDTH, WIDTH // 2):
            found = [follow(film.table, time_window=WIDTH, time_step=step) for film in made]
            about = {"localizations_of_a_disc": each, "others_in_a_window": loners, "step_windows": step / WIDTH}
            rows.append(about | {"films": films} | compared(made, found))
    return rows


def by_overlap(films: int) -> list[dict[str, object]]:
    """The same for shares of outlines that link clusters."""
    rows = []
    for kind, options in FILMS.items():
        made = [made_film(np.random.default_rng([2, seed]), width=WIDTH, **options) for seed in range(films)]
        seen = [follow(film.table, time_window=WIDTH, min_points=10).seen for film in made]
        for share in OVERLAPS:
            found = [track(one, share) for one in seen]
            rows.append({"film": kind, "least_overlap": share, "films": films} | compared(made, found))
    return rows


def seconds(windows: int, each_window: int, repeats: int, workers: int) -> dict[str, object]:
    """Seconds of `follow` on a table, beside those of `run` on as many tables of the same windows, in turns."""
    discs = each_window // 100
    film = made_film(
        np.random.default_rng([3, 0]), windows=windows, width=100, singles=discs, merging=0, splitting=0, each=50.0,
        loners=0.75 * each_window, move=0.02, side_nm=1e3 * max(4.0, (each_window / 60) ** 0.5),
    )  # fmt: skip
    found: dict[str, list[float]] = {"follow": [], "run": []}
    with tempfile.TemporaryDirectory() as folder:
        table, parts = Path(folder) / "film.csv", Path(folder) / "parts"
        parts.mkdir()
        film.table.sort_values("frame").round(2).to_csv(table, index=False)
        for number, part in film.table.round(2).groupby(film.table["frame"] // 100):
            part.to_csv(parts / f"{number:03d}.csv", index=False)
        commands = {
            "follow": [str(table), "--time-window", "100"],
            "run": [str(parts), "--no-test"],
        }
        for repeat in range(repeats):
            for name, arguments in commands.items():
                out = Path(folder) / f"{name}{repeat}"
                command = [sys.executable, "-m", "caml_dask", name, *arguments, "-o", str(out), "-j", str(workers)]
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                found[name].append(round(time.perf_counter() - start, 1))
    medians = {name: float(np.median(values)) for name, values in found.items()}
    return {
        "localizations": len(film.table),
        "windows": windows,
        "workers": workers,
        "follow_s": found["follow"],
        "run_of_small_images_s": found["run"],
        "ratio": round(medians["follow"] / medians["run"], 3),
    }


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=10, help="of each kind")
    parser.add_argument("--repeats", type=int, default=3, help="of the measured times, in turns")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "following.json")
    parser.add_argument("--smoke", action="store_true", help="one film of each kind, and small times")
    chosen = parser.parse_args()
    films, sizes = (
        (1, (5, 1_000, 1, 0)) if chosen.smoke else (chosen.films, (100, 10_000, chosen.repeats, chosen.workers))
    )
    found = {
        "command": f"python benchmarks/following.py --films {films} --repeats {sizes[2]} --workers {sizes[3]}",
        "least_overlap": LEAST_OVERLAP,
        "by_density": by_density(films, EACH[1:2] if chosen.smoke else EACH),
        "by_overlap": by_overlap(films),
        "seconds": seconds(*sizes),
    }
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
