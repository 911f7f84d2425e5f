"""Tables of committed results of the benchmarks; figures stand in the result files alone."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

from from_leaderboard import of_leaderboard
from markdown_table import table

_FIXED = "\N{NO-BREAK SPACE}"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def of_results() -> dict[str, str]:
    """Every table by the name of its page."""
    return {
        "speed": speed(),
        "scale": scale(),
        **{f"leaderboard_{name}": text for name, text in of_leaderboard(RESULTS / "leaderboard.json").items()},
        "labelled": labelled(),
        "drift_correction": drift_correction(),
        "merging": merging("molecules"),
        "merging_3d": merging("volumes"),
        "reading": reading(),
        "merged_tables": merged_tables(),
        "randomness_noise": randomness_noise(),
        "randomness_rates": randomness_rates(),
        "randomness_power": randomness_power(),
        "merged_clusters": merged_clusters(),
        "intervals": intervals(),
        "t_cells": t_cells(),
        "t_cell_contrasts": t_cell_contrasts(),
        "following": following(),
        "following_seconds": following_seconds(),
        "driver": driver(),
        "driver_model": driver_model(),
        "ablations": ablations(),
    }


def speed() -> str:
    """Pairs of speed.json: ours beside another implementation, medians of both."""
    rows = []
    for pair in json.loads((RESULTS / "speed.json").read_text())["measured"]:
        what, beside = pair["pair"].split(" / ", 1)
        ours, theirs = pair["median_ours_s"], pair["median_theirs_s"]
        rows.append((what, f"`{beside}`", f"{ours:.3g} s", f"{theirs:.3g} s", f"{pair['ratio']:.2g}"))
    return table(("what", "beside", "caml_dask", "the other", "times faster"), rows)


def scale() -> str:
    """Runs of scale.json, each kind once: medians of wall time and memory of `caml-dask run`."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in json.loads((RESULTS / "scale.json").read_text())["runs"]:
        key = (run["images"], run["each"], run["hot_spot"], run["network"], run["workers"])
        kinds.setdefault(key, []).append(run)
    rows = []
    for (images, each, hot_spot, network, workers), runs in sorted(kinds.items(), key=lambda kind: kind[0][:2][::-1]):
        what = f"{images:,} image{'s'[: images != 1]} of {each:,}" + (
            ", half of it in 1 % of the area" if hot_spot else ""
        )
        wall = statistics.median(run["wall_s"] for run in runs)
        rate = statistics.median(run["localizations_per_s"] for run in runs)
        memory = max(run["peak_rss_gib"] for run in runs)
        rows.append((what, network, workers, len(runs), f"{wall:,.1f} s", f"{rate:,.0f}", f"{memory:.2f} GiB"))
    header = ("input", "network", "workers", "runs", "wall time, median", "localizations/s", "peak memory")
    return table(header, rows)


def drift_correction() -> str:
    """Root mean square error of estimated drift by structure, method and number of localizations."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in json.loads((RESULTS / "drift_correction.json").read_text()):
        errors = ", ".join(f"{error:.2f}" for error in row["rmse_nm"])
        found.setdefault((row["structure"], row["method"]), []).append(f"{errors} nm; {row['seconds']:.1f} s")
    header = ("structure", "method", "100,000 localizations: x, y; time", "1,000,000 localizations")
    return table(header, ((structure, f"`{method}`", *of) for (structure, method), of in found.items()))


def merging(fields: str) -> str:
    """Rules of merging on fields whose molecules are known: Rand index, and molecules counted over those there are."""
    found: dict[str, dict[str, str]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())[fields]:
        figures = f"{_short(row['ari'])}, {_short(row['counted'])}"
        said = f"{figures} ({row['rule']})" if row["choice"] == "best" else figures
        found.setdefault(row["structure"], {})[row["choice"]] = said
    header = ("structure", "`auto`", "50 nm, 25 frames", "best radius and gap on the truth")
    return table(header, ((name, of["auto"], of["published"], of["best"]) for name, of in found.items()))


def merged_clusters() -> str:
    """Rand index of clusters on simulated fields before and after merging; percent clustered where there are none."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())["clusters"]:
        if row["percent_clustered"] is None:
            figure = "too few"
        elif row["ari"] is None:
            figure = f"{row['percent_clustered']:.0f} % clustered"
        else:
            figure = _short(row["ari"])
        found.setdefault((row["scenario"], row["network"]), {})[row["of"]] = figure
    fields = ("clusters of 20, half of all", "clusters of 50, 30 % of all", "no clusters")
    groups = ("detections", "50nm,25frames", "auto", "true molecules")
    rows = ((fields[number], name, *(of[group] for group in groups)) for (number, name), of in found.items())
    return table(("field", "network", "detections", "50 nm, 25 frames", "`auto`", "true molecules"), rows)


def merged_tables() -> str:
    """Real tables before and after merging: clusters, and the share of them that is smaller than the precision."""
    found: dict[str, list[dict[str, object]]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())["real"]:
        found.setdefault(row["table"], []).append(row)
    rows = []
    for name, (before, after) in found.items():
        shares = (
            "none" if of["below_precision"] is None else f"{100 * of['below_precision']:.0f} %"
            for of in (before, after)
        )
        times = after["precision_times_stated"]
        rows.append(
            (
                f"`{name}`",
                f"{before['detections']:,}",
                f"{after['detections_per_molecule']:.1f}",
                "nothing merged" if times is None else f"{times:.1f}",
                f"{before['clusters']:,}, {after['clusters']:,}",
                ", ".join(shares),
            )
        )
    header = (
        "table",
        "detections",
        "detections a molecule",
        "precision found / stated",
        "clusters before, after",
        "smaller than the median precision before, after",
    )
    return table(header, rows)


def reading() -> str:
    """Sample files of other programs as read here and by an independent reader."""
    with (RESULTS / "reading.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            (f"`{row['file']}`", row["format"], row["by"], row["rows"], row["independent_rows"], row["equal"].lower())
            for row in csv.DictReader(file)
        ]
    return table(("file", "format", "independent reader", "rows", "rows it reads", "rows and extents equal"), rows)


def randomness_noise() -> str:
    """The test against randomness on noise: p values below .05, clusters found, fields with a cluster left."""
    rows = []
    for row in json.loads((RESULTS / "randomness.json").read_text())["noise"]:
        kind = f"re-blinking, {row['per_um2']:.0f} per um2" if row["reblinks"] else "molecules"
        figures = (f"{100 * row['below .05']:.0f} %", f"{row['clusters']:.1f}", f"{100 * row['any left']:.0f} %")
        rows.append((row["network"], kind, f"{row['localizations']:,}", row["fields"], *figures))
    return table(
        ("network", "noise", "localizations", "fields", "p below 0.05", "clusters a field", "any left at 0.05"), rows
    )


def randomness_rates() -> str:
    """Realised false discovery rates beside the stated ones."""
    found: dict[float, dict[str, str]] = {}
    for row in json.loads((RESULTS / "randomness.json").read_text())["rates"]:
        said = f"{row['realised']:.3f} of {row['kept']:,} clusters"
        found.setdefault(row["stated"], {})[row["network"]] = said
    networks = list(next(iter(found.values())))
    return table(("stated rate", *networks), ((rate, *(of[n] for n in networks)) for rate, of in found.items()))


def randomness_power() -> str:
    """Share of fields with clusters of some contrast that the test finds."""
    found: dict[str, dict[float, str]] = {}
    for row in json.loads((RESULTS / "randomness.json").read_text())["power"]:
        found.setdefault(row["network"], {})[row["contrast"]] = f"{100 * row['found']:.0f} %"
    contrasts = list(next(iter(found.values())))
    return table(
        ("network", *(f"{contrast:g}" for contrast in contrasts)),
        ((name, *of.values()) for name, of in found.items()),
    )


def intervals() -> str:
    """Coverage of the intervals of areas, and raw and corrected areas of blurred clusters."""
    rows = [
        (
            row["kind"],
            row["members"],
            f"{100 * row['covered']:.0f} %",
            *(f"{row[f'raw / true, {nm} nm']:.2f}, {row[f'corrected / true, {nm} nm']:.2f}" for nm in (10, 20)),
        )
        for row in json.loads((RESULTS / "intervals.json").read_text())
    ]
    return table(("clusters", "members", "intervals hold", "precision 10 nm: raw, corrected", "20 nm"), rows)


_MEASURED = {
    "clusters_per_um2": "clusters per um2",
    "percent_clustered": "percent clustered",
    "n_localizations": "points per cluster",
    "area_nm2": "area in nm2",
}


def t_cells() -> str:
    """Medians of the simulated T cells: published, from molecules, from raw detections, area with precision out."""
    molecules, raw = (json.loads((RESULTS / f"tcell{of}.json").read_text()) for of in ("", "_raw"))
    corrected = {(row["protein"], row["condition"]): row["median"] for row in raw["corrected_areas_nm2"]}
    rows = []
    for of, seen in zip(molecules["medians"], raw["medians"], strict=True):
        wanted = f"{of['wanted']:g}" + ("" if of["published"] else " (ours)")
        found = [f"{row['median_of_images']['median']:.4g}" for row in (of, seen)]
        if of["measure"] == "area_nm2":
            found[1] += f" ({corrected[of['protein'], of['condition']]:.4g})"
        rows.append((of["protein"], of["condition"], _MEASURED[of["measure"]], wanted, *found))
    header = ("protein", "cells", "measure", "published", "from molecules", "from raw detections (precision out)")
    return table(header, rows)


def t_cell_contrasts() -> str:
    """What activation changes: the published medians, and what the report of raw detections finds."""
    raw = json.loads((RESULTS / "tcell_raw.json").read_text())
    wanted = {(row["protein"], row["condition"], row["measure"]): row for row in raw["medians"]}
    rows = []
    for contrast in raw["contrasts"]:
        protein, measure, pair = contrast["protein"], contrast["measure"], contrast["pair"]
        before, after = (wanted[protein, condition, measure] for condition in pair)
        if before["published"]:
            by = (contrast["by_unit"].get(unit) for unit in ("images", "replicates"))
            said = (f"{'found' if of['found'] else 'not found'}, p {of['p_holm']:.2g}" if of else "-" for of in by)
            medians = f"{before['wanted']:g}, {after['wanted']:g}"
            rows.append((protein, pair[0], _MEASURED[measure], medians, *said))
    header = ("protein", "cells", "measure", "published, before and after", "by images", "by donors")
    return table(header, rows)


def following() -> str:
    """Events of simulated films and those found, by the localizations of a disc and around it."""
    rows = []
    for row in json.loads((RESULTS / "following.json").read_text())["by_density"]:
        events = (f"{e['found']}/{e['true']},{_FIXED}+{e['false']}" for e in row["events"].values())
        about = (f"{row['localizations_of_a_disc']:.0f}", f"{row['others_in_a_window']:,.0f}", row["step_windows"])
        share = f"{100 * row['discs_in_one_track'] / row['discs']:.0f} %"
        rows.append((*about, *events, share, f"{row['median_lifetime_to_true']:.2f}"))
    header = ("of a disc", "others", "step, windows", "appear", "vanish", "merge", "split")
    return table((*header, "in one track", "lifetime to true"), rows)


def following_seconds() -> str:
    """Seconds of following beside those of as many small images."""
    row = json.loads((RESULTS / "following.json").read_text())["seconds"]
    times = [f"{statistics.median(row[name]):.0f} s" for name in ("follow_s", "run_of_small_images_s")]
    return table(
        ("localizations", "windows", "`follow`", "`run`", "ratio"),
        [(f"{row['localizations']:,}", row["windows"], *times, f"{row['ratio']:.2f}")],
    )


def ablations() -> str:
    """What the field network owes to its parts and its size: trainings that differ in one thing."""
    rows = []
    for row in json.loads((RESULTS / "ablations.json").read_text()):
        of_sorts = [f"{row[sort][name]:.3f}" for name in ("ari", "accuracy") for sort in ("molecules", "re-blinking")]
        cost = f"{row['seconds'] / 60:.0f} min"
        rows.append((row["variant"], f"{row['weights']:,}", f"{row['steps']:,}", cost, *of_sorts))
    index = ("Rand index: molecules", "re-blinking", "accuracy: molecules", "re-blinking")
    return table(("training", "weights", "steps", "time", *index), rows)


def driver() -> str:
    """What driver and scheduler cost, before and after batches, by driver.json."""
    rows = []
    for what, count in sorted({(case["what"], case["count"]) for case in _driver_cases()}):
        for name, said in _DRIVER[what].items():
            before, after = (_driver_median(label, what, count, name) for label in ("before", "after"))
            rows.append(
                (said.format(f"{count:,}"), *("-" if one is None else f"{one:,.3g}" for one in (before, after)))
            )
    return table(("", "a unit a task", "batches"), rows)


_DRIVER = {
    "images": {
        "driver_ms_an_image": "ms of CPU an image, {} images",
        "grown_mib": "MiB that the driver grows by, {} images",
    },
    "tiles": {
        "driver_ms_a_unit": "ms of CPU a unit, an image of {} tiles",
        "grown_mib": "MiB that the driver grows by, an image of {} tiles",
    },
    "begin": {
        "begun_ms_an_image": "ms an image until the manifest stands, {} tables",
        "summary_ms_an_image": "ms an image for the summary, {} images",
        "peak_rss_mib": "MiB of the driver at most, {} images begun and summed up",
    },
}


def _driver_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((RESULTS / "driver.json").read_text())["cases"]
    return cases


def _driver_median(label: str, what: str, count: int, name: str) -> float | None:
    key = {"label": label, "what": what, "count": count}
    found = [case[name] for case in _driver_cases() if key.items() <= case.items()]
    return statistics.median(found) if found else None


_SERIAL = ("read", "plan", "stitch", "number", "publish")
_MODEL_WORKERS, _MODEL_IMAGES, _MODEL_LOCALIZATIONS, _TILE, _BATCH_S = 1000, 1e6, 1e10, 2e5, 2.0


def driver_model() -> str:
    """Minutes of two large runs on 1,000 workers, by proportion, from driver.json and scale_small_images.json."""
    runs = json.loads((RESULTS / "scale_small_images.json").read_text())["runs"]
    small, one = (next(r for r in runs if (r["images"] > 1) == several) for several in (True, False))
    largest = max(case["count"] for case in _driver_cases() if case["what"] == "images" and case["label"] == "after")
    an_image_ms = _driver_median("after", "images", largest, "driver_ms_an_image") or 0.0
    begun, summed = (
        _driver_median("after", "begin", 1000, f"{name}_ms_an_image") or 0.0 for name in ("begun", "summary")
    )
    a_task_ms = _driver_median("before", "tiles", 1000, "driver_ms_a_unit") or 0.0
    stages, times = one["worker_seconds_by_stage"], _MODEL_LOCALIZATIONS / one["localizations"]
    tiled_s = times * sum(seconds for stage, seconds in stages.items() if stage not in _SERIAL)
    units = (len(stages) - len(_SERIAL)) * _MODEL_LOCALIZATIONS / _TILE
    tasks = max(units * an_image_ms / a_task_ms, tiled_s / _BATCH_S)
    images_s = small["wall_s"] * small["workers"] / small["images"] * _MODEL_IMAGES
    rows = [
        ("inputs looked at, on the driver's two cores", begun * _MODEL_IMAGES / 1e3, None),
        ("computing on all workers", images_s / _MODEL_WORKERS, tiled_s / _MODEL_WORKERS),
        ("driver and scheduler, meanwhile", an_image_ms * _MODEL_IMAGES / 1e3, tasks * a_task_ms / 1e3),
        (f"stages of one unit ({', '.join(_SERIAL)})", None, times * sum(stages[stage] for stage in _SERIAL)),
        ("summary", summed * _MODEL_IMAGES / 1e3, None),
    ]
    said = [(what, *("-" if s is None else f"{s / 60:,.0f} min" for s in seconds)) for what, *seconds in rows]
    return table(("", "1e6 images of 1e4", "one image of 1e10"), said)


def labelled() -> str:
    """Adjusted Rand index on simulations that others labelled, by method and by how its setting was chosen."""
    found = rows_of("rivals/accuracy_by_group.csv")
    kinds = (
        ("molecules", "nieves2023/ground_truth"),
        ("re-blinking detections", "nieves2023/multiple_blinking"),
        ("DBOpt", "dbopt2025/"),
    )
    chosen = {"default": "default", "folder": "best for each folder, on the truth", "kind": "one for all, on the truth"}
    rows = []
    for method in dict.fromkeys(row["method"] for row in found):
        for choice, words in chosen.items():
            mine = [row for row in found if (row["method"], row["choice"]) == (method, choice)]
            cells = []
            for _, start in kinds:
                folders = {row["group"] for row in found if row["group"].startswith(start)}
                values = [float(row["ari"]) for row in mine if row["group"] in folders]
                cells.append(f"{statistics.mean(values):.3f}".lstrip("0") if len(values) == len(folders) else "-")
            if mine:
                rows.append((method.replace(" ", _FIXED), "none" if method.startswith("CAML") else words, *cells))
    return table(("method", "setting", *(what for what, _ in kinds)), rows)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def rows_of(name: str) -> list[dict[str, str]]:
    """Rows of a committed CSV."""
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
