"""How long napari takes to open a run, and what that holds in memory.

    xvfb-run -a -s "-screen 0 1600x1000x24" \\
        python benchmarks/napari_opens.py RUN --results benchmarks/results/napari.json

napari is started for each repeat, in a process of its own: its window alone, then the first image of the run, as
File > Open Folder opens it, until localizations, outlines and the panel of clusters stand there; then some of the
clusters, one after another, by the panel's Go. A display without a graphics card draws more slowly than one with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import machine

VISITED = 20  # clusters
LIMIT_S = 600.0
REPEATS = 3


def held_mib() -> dict[str, float]:
    """What this process holds now, what of that is no mapped file, and the most that it held."""
    names = {"VmRSS": "now", "RssAnon": "now_without_mapped_files", "VmHWM": "most"}
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {names[name[:-1]]: round(int(rest[0]) / 1024) for name, *rest in lines if name[:-1] in names}


def wait_for(what: Callable[[], bool]) -> None:
    """Let napari work until something has come about."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + LIMIT_S
    while not what():
        if time.monotonic() > end:
            raise SystemExit(f"napari did not get there within {LIMIT_S:g} s")
        QApplication.processEvents()
        time.sleep(0.005)


def opened(run: Path) -> dict[str, Any]:
    """Open it once, and look at clusters."""
    os.environ["NAPARI_CONFIG"] = ""  # as napari is to who has just installed it
    begun = time.perf_counter()
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    figures: dict[str, Any] = {"napari_s": time.perf_counter() - begun, "napari_mib": held_mib()}
    begun = time.perf_counter()
    viewer.open(str(run), plugin="caml_dask")
    _, panel = viewer.window.add_plugin_dock_widget("caml_dask", "Clusters")
    wait_for(lambda: panel.follower is not None and panel.shown.text() != "")
    viewer.screenshot(flash=False)
    image, clusters = panel.follower.scene.image, panel.follower.scene.clusters
    figures |= {
        "clusters": len(clusters),
        "localizations": image.localizations,
        "opened_s": time.perf_counter() - begun,
    }
    figures["opened_mib"] = held_mib()
    times = []
    for cluster_id in np.random.default_rng(0).choice(clusters.ids, VISITED):
        panel.follower.words, begun = "", time.perf_counter()
        panel.cluster.setText(str(cluster_id))
        panel.go()
        wait_for(lambda: panel.follower.words != "")
        viewer.screenshot(flash=False)
        times.append(time.perf_counter() - begun)
    figures["gone_to_a_cluster_s"] = {"median": median(times), "worst": max(times)}
    figures["in_the_end_mib"] = held_mib()
    viewer.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--once", action="store_true", help="in this process")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(opened(arguments.run)))
        return
    runs = []
    for _ in range(REPEATS):
        command = [sys.executable, __file__, str(arguments.run), "--once"]
        runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
        print(json.dumps(runs[-1], indent=1))
    if arguments.results:
        arguments.results.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
