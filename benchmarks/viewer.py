"""Measure `caml-dask view` on a run: preparing an image, answers while it is panned at many zooms, and frames.

    python benchmarks/viewer.py RUN --results benchmarks/results/viewer.json

A view asks for what the page asks for: localizations with a margin, or without where these are too many; outlines; and
where localizations are too many, the tiles of the pyramid that it shows. Frames are those of the page in Chromium, if
there is one, without a graphics card, while the mouse drags the view about at four magnifications.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
from chromium import CHROMIUM, Browser
from harness import machine

VIEW_PX = (1400, 850)
STEPS = 10  # views at each zoom
ZOOMS = 10
PADDED = 0.5
DRAGS = 60  # steps of the mouse at each magnification
FRAMES = "window.frames = []; (function next() { frames.push(performance.now()); requestAnimationFrame(next); })()"
DRAWN = "document.getElementById('drawn')?.textContent"


class Client:
    """Asks a server, and keeps how long each answer took and how large it was."""

    def __init__(self, port: int, base: str):
        self.connection, self.base = http.client.HTTPConnection("127.0.0.1", port), base
        self.asked: list[dict] = []

    def get(self, kind: str, path: str) -> bytes:
        begun = time.perf_counter()
        self.connection.request("GET", self.base + path, headers={"Accept-Encoding": "gzip"})
        answer = self.connection.getresponse()
        body = answer.read()
        self.asked.append({"kind": kind, "s": time.perf_counter() - begun, "bytes": len(body)})
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return _unzipped(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def _unzipped(body: bytes) -> bytes:
    import gzip

    return gzip.decompress(body)


def memory_mb(pid: int) -> dict[str, float]:
    """Of a process: most that it held, what it holds, and what of that is not a mapped file."""
    text = Path(f"/proc/{pid}/status").read_text()
    names = {"VmHWM": "most", "VmRSS": "now", "RssAnon": "now_without_mapped_files"}
    return {new: int(re.search(rf"{old}:\s+(\d+)", text)[1]) / 1024 for old, new in names.items()}


def look(client: Client, image: str, about: dict, at: tuple[float, float], px: float) -> None:
    """What a view asks for."""
    half = np.array(VIEW_PX) * px / 2
    view = [*(at - half), *(at + half)]
    padded = [*(at - (1 + 2 * PADDED) * half), *(at + (1 + 2 * PADDED) * half)]
    total = about["most_points"] + 1
    for box in (padded, view):
        body = client.get("points", f"{image}/points?box={','.join(map(str, box))}")
        (length,) = struct.unpack_from("<I", body)
        total = json.loads(body[4 : 4 + length])["total"]
        if total <= about["most_points"] or total >= 12 * about["most_points"]:
            break
    client.get("outlines", f"{image}/outlines?box={','.join(map(str, padded))}&px={px}")
    if total <= about["most_points"]:
        return
    levels = about["pixel_nm"] * 2.0 ** np.arange(len(about["shapes"]))
    level = int(np.argmin(np.abs(np.log(levels / px))))
    side, origin = levels[level] * about["tile_px"], np.array(about["origin_nm"])
    first, last = (np.floor((np.array(corner) - origin) / side).astype(int) for corner in (view[:2], view[2:]))
    most = [-(-length // about["tile_px"]) for length in about["shapes"][level]]
    for row in range(max(0, first[1]), min(most[0], last[1] + 1)):
        for column in range(max(0, first[0]), min(most[1], last[0] + 1)):
            client.get("tile", f"{image}/tiles/{level}/{row}/{column}")


def measure(run: Path, cache: Path) -> dict:
    """All figures of the first image of a run."""
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "caml_dask", "view", str(run), "--cache", str(cache)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        found = re.match(r"http://127\.0\.0\.1:(\d+)(/.+)", server.stdout.readline().strip())
        client = Client(int(found[1]), found[2])
        image_id = json.loads(client.get("run", "run"))["images"][0]["image_id"]
        base, begun = f"images/{quote(image_id)}", time.perf_counter()
        while (state := json.loads(client.get("state", f"{base}/state")))["state"] == "preparing":
            time.sleep(0.2)
        prepared_s, base = time.perf_counter() - begun, f"{base}/{state['digest']}"
        kept_mb = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
        figures = {"prepared_s": prepared_s, "kept_mb": kept_mb, "memory_mb_prepared": memory_mb(server.pid)}
        client.asked.clear()
        figures |= panned(client, base, server.pid)
        if CHROMIUM is not None:
            about = json.loads(client.get("about", f"{base}/about"))
            figures["in_chromium"] = dragged(f"http://127.0.0.1:{found[1]}{found[2]}", image_id, about)
        return figures
    finally:
        server.terminate()
        server.wait()


def panned(client: Client, base: str, pid: int) -> dict:
    about = json.loads(client.get("about", f"{base}/about"))
    x0, y0, x1, y1 = about["bounds_nm"]
    rng, middle = np.random.default_rng(0), np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    whole = max((x1 - x0) / VIEW_PX[0], (y1 - y0) / VIEW_PX[1])
    look(client, base, about, middle, whole)
    first, views = list(client.asked), []
    for px in np.geomspace(whole, 0.5, ZOOMS):
        at = rng.uniform((x0, y0), (x1, y1))
        for _ in range(STEPS):
            client.asked.clear()
            look(client, base, about, at, px)
            views.append({"px_nm": px, "asked": list(client.asked)})
            at = at + rng.choice([-1, 1], 2) * np.array(VIEW_PX) * px * 0.25
    answers = [answer for view in views for answer in view["asked"]]
    times = {kind: [a["s"] for a in answers if a["kind"] == kind] for kind in ("tile", "points", "outlines")}
    sizes = [sum(answer["bytes"] for answer in view["asked"]) for view in views]
    lasting = [sum(answer["s"] for answer in view["asked"]) for view in views]
    return {
        "localizations": about["localizations"],
        "clusters": about["rows"],
        "first_view": {"s": sum(a["s"] for a in first), "bytes": sum(a["bytes"] for a in first)},
        "answers": {
            kind: {"number": len(of), "median_ms": 1e3 * float(np.median(of)), "worst_ms": 1e3 * max(of)}
            for kind, of in times.items()
            if of
        },
        "view": {
            "median_bytes": float(np.median(sizes)),
            "worst_bytes": max(sizes),
            "median_ms": 1e3 * float(np.median(lasting)),
            "worst_ms": 1e3 * max(lasting),
        },
        "memory_mb_panned": memory_mb(pid),
    }


def dragged(address: str, image_id: str, about: dict) -> dict:
    """Seconds until the page shows the whole image, and milliseconds between its frames while it is dragged."""
    x0, y0, x1, y1 = about["bounds_nm"]
    whole = max((x1 - x0) / VIEW_PX[0], (y1 - y0) / VIEW_PX[1])
    frames = {}
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile), VIEW_PX)
        begun = time.perf_counter()
        browser.open(address)
        browser.wait(DRAWN)
        first_s = time.perf_counter() - begun
        for px in (whole, whole / 4, 10.0, 1.0):
            place = f"at={(x0 + x1) / 2},{(y0 + y1) / 2}&px={px}"
            browser.open("about:blank")
            browser.open(f"{address}#image={quote(image_id)}&{place}")
            browser.wait(DRAWN)
            time.sleep(2.0)
            browser.run(FRAMES)
            browser.mouse("mousePressed", 700, 400)
            for step in range(DRAGS):
                angle = 2 * np.pi * step / DRAGS
                browser.mouse("mouseMoved", 700 + 250 * np.sin(angle), 400 + 200 * np.sin(2 * angle))
                time.sleep(1 / 60)
            browser.mouse("mouseReleased", 700, 400)
            between = np.diff(browser.run("frames"))
            frames[f"{px:.3g} nm a pixel"] = {"median_ms": float(np.median(between)), "worst_ms": float(between.max())}
        trouble = browser.said
        browser.close()
    if trouble:
        raise SystemExit(f"the page says: {trouble}")
    return {"first_view_s": first_s, "between_frames": frames}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.run, arguments.run / ".view_measured")
    shutil.rmtree(arguments.run / ".view_measured")
    if arguments.results:
        arguments.results.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
