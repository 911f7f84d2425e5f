"""Plots of the committed results: one command makes all of them anew.

    python benchmarks/plots.py

Reads scale.json, memory.json, speed.json, driver.json and ablations.json where they stand in benchmarks/results, and
writes PNG files beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
STAGES = (
    *("read", "plan", "scatter", "gather", "classify", "link"),
    *("stitch", "cut", "number", "measure", "points", "publish"),
)
Runs = list[dict[str, Any]]


def _curve(runs: Runs, name: str) -> tuple[list[int], list[float]]:
    """Median over repeats of what the runs say, by number of localizations."""
    values: dict[int, list[float]] = {}
    for run in runs:
        values.setdefault(run["localizations"], []).append(run[name])
    sizes = sorted(values)
    return sizes, [statistics.median(values[n]) for n in sizes]


def _against_n(axes: Axes, runs: Runs, name: str, mark: str = "o-") -> None:
    for model in dict.fromkeys(run.get("network", "XPILJZ") for run in runs):
        mine = [run for run in runs if run.get("network", "XPILJZ") == model]
        axes.plot(*_curve(mine, name), mark, label=f"{model}, {mine[0]['workers']} workers")
    axes.set_xscale("log")
    axes.set_xlabel("localizations")
    axes.grid(alpha=0.3)


def time_against_n(axes: Axes, results: dict[str, Any]) -> None:
    """Wall time by size, beside what grows in proportion."""
    runs = [run for run in results["scale"]["runs"] if run["what"] == "sizes"]
    _against_n(axes, runs, "wall_s")
    sizes, seconds = _curve(runs, "wall_s")
    axes.plot(sizes, [seconds[-1] * n / sizes[-1] for n in sizes], ":", color="grey", label="in proportion")
    axes.set_yscale("log")
    axes.set_ylabel("seconds, CSV to all outputs")
    axes.legend()


def memory_against_n(axes: Axes, results: dict[str, Any]) -> None:
    """Peak memory of all processes by size."""
    if "scale" in results:
        _against_n(axes, [run for run in results["scale"]["runs"] if run["what"] == "sizes"], "peak_rss_gib")
    if "memory" in results:
        axes.plot(*_curve(results["memory"]["measured"], "peak_rss_gib"), "s--", label="memory.json")
    axes.set_xscale("log")
    axes.set_xlabel("localizations")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("peak memory of all processes, GiB")
    axes.grid(alpha=0.3)
    axes.legend()


def seconds_by_stage(axes: Axes, results: dict[str, Any]) -> None:
    """Worker time a million localizations, stage by stage, by size."""
    runs = [run for run in results["scale"]["runs"] if run["what"] == "sizes" and run["repeat"] == 0]
    runs.sort(key=lambda run: run["localizations"])
    labels = [f"{run['localizations']:.0e}\n{run['network']}" for run in runs]
    bottom = np.zeros(len(runs))
    for stage, color in zip(STAGES, plt.colormaps["tab20"].colors, strict=False):
        height = [1e6 * run["worker_seconds_by_stage"].get(stage, 0.0) / run["localizations"] for run in runs]
        axes.bar(labels, height, bottom=bottom, label=stage, color=color)
        bottom += height
    axes.set_ylabel("worker seconds a million localizations")
    axes.legend(fontsize="small", ncols=2)


def ratios_of_scale(axes: Axes, results: dict[str, Any]) -> None:
    """The comparisons of scale.json."""
    summary = results["scale"]["summary"]
    found = {
        name.replace("_", " "): values[0] for name, values in summary.items() if isinstance(values, list) and values
    }
    _bars(axes, found, "ratio")


def ratios_of_speed(axes: Axes, results: dict[str, Any]) -> None:
    """How many times faster than others each pair of speed.json is."""
    _bars(axes, {pair["pair"]: pair["ratio"] for pair in results["speed"]["measured"]}, "times faster")


def _bars(axes: Axes, values: dict[str, float], label: str) -> None:
    bars = axes.barh([textwrap.fill(name, 64) for name in values], list(values.values()))
    axes.tick_params(axis="y", labelsize="x-small")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    axes.invert_yaxis()


def driver_against_count(axes: Axes, results: dict[str, Any]) -> None:
    """CPU of driver and scheduler by images, and by units of one image; memory beside it."""
    memory = axes.twinx()
    for label, color in (("before", "tab:orange"), ("after", "tab:blue")):
        for what, mark, name in (("images", "o-", "driver_ms_an_image"), ("tiles", "s--", "driver_ms_a_unit")):
            cases = [case for case in results["driver"]["cases"] if (case["label"], case["what"]) == (label, what)]
            cases.sort(key=lambda case: case["units"])
            units = [case["units"] for case in cases]
            axes.plot(units, [case[name] for case in cases], mark, color=color, label=f"{label}, {what}")
            memory.plot(units, [case["grown_mib"] for case in cases], mark[0] + ":", color=color, alpha=0.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("units (a small image is one)")
    axes.set_ylabel("ms of CPU of driver and scheduler a unit")
    memory.set_ylabel("MiB that the driver grows by (pale)")
    memory.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def index_without_parts(axes: Axes, results: dict[str, Any]) -> None:
    """Adjusted Rand index of the field network by what its training was without, and by its size and length."""
    rows = results["ablations"]
    at = np.arange(len(rows))
    for shift, (sort, color) in zip(
        (-0.2, 0.2), (("molecules", "tab:blue"), ("re-blinking", "tab:orange")), strict=True
    ):
        found = [row[sort]["ari"] for row in rows]
        bars = axes.barh(at + shift, found, height=0.4, color=color, label=sort)
        axes.bar_label(bars, fmt="%.3f", padding=3, fontsize="x-small")
        axes.axvline(found[0], color=color, linestyle=":")
    axes.set_yticks(at, [textwrap.fill(row["variant"], 32) for row in rows], fontsize="small")
    axes.set_xlabel("adjusted Rand index on new fields of the prior")
    axes.set_xlim(left=0.2)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


PLOTS: tuple[tuple[str, str, Callable[[Axes, dict[str, Any]], None]], ...] = (
    ("scale", "time", time_against_n),
    ("scale", "memory", memory_against_n),
    ("scale", "stages", seconds_by_stage),
    ("scale", "ratios", ratios_of_scale),
    ("memory", "memory", memory_against_n),
    ("speed", "speed", ratios_of_speed),
    ("driver", "driver", driver_against_count),
    ("ablations", "ablations", index_without_parts),
)
"""The results a plot needs, the name of its file, and what draws it; the first that can be drawn has the name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files, and for the plots")
    folder = parser.parse_args().results
    paths = {name: folder / f"{name}.json" for name in ("scale", "memory", "speed", "driver", "ablations")}
    results = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    drawn: set[str] = set()
    for needed, name, draw in PLOTS:
        if needed not in results or name in drawn:
            continue
        figure, axes = plt.subplots(figsize=(8.0, 5.0), layout="constrained")
        draw(axes, results)
        path = folder / f"plot_{name}.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)
        drawn.add(name)
        print(path)


if __name__ == "__main__":
    main()
