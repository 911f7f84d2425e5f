"""Files of a run with one bit flipped, or cut short: whether that is found, named and mended, and never believed.

    python tests/faults/damage.py --results tests/faults/results/damage.json

results   files that users get, features included, of a finished run of two images: one of one tile, one of several
records   done records of the finished run
manifest  the manifest of the finished run
working   tables of a run that was stopped before its last stage
weights   weights of the networks, which must be refused

Of a damaged run, first what `caml_dask.open_run` reads must be refused or be what it was; then `--resume` must name the
file and give the very files of the undamaged run. A call with the same options goes on after the trials that stand in
--results.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import disturbed
import numpy as np
from common import machine, write_square

import caml_dask.executors.serial
import caml_dask.pipeline
from caml_dask import open_run
from caml_dask.atomic import fingerprint, read_json
from caml_dask.errors import CamlError, WeightsError
from caml_dask.executors.deployment.clusters import cores
from caml_dask.networks import NETWORKS, load_weights
from caml_dask.networks.cards import weights_folder
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 200
FLIPS = {"results": 1000, "records": 300, "manifest": 100, "working": 300, "weights": 1000}
RESULTS = (
    *(f"0*/{name}" for name in ("points.parquet", "clusters.parquet", "clusters.csv", "outlines.parquet")),
    "0*/overview.png",
    "0*/features.zarr/**/*",
    "summary.json",
    "images.csv",
)
ALWAYS_ANEW = ("summary.json", "images.csv")  # written at the end of every call, so never named


@dataclass(frozen=True)
class Damage:
    """One file, and what is done to it.

    part : of those above
    file : relative to the run directory, or name of a network
    flip : place of the bit, as a share of the file; or None
    cut : percent of the file that is left; or None
    """

    part: str
    file: str
    flip: float | None = None
    cut: int | None = None

    def done_to(self, content: bytes) -> bytes:
        """The damaged content."""
        if self.flip is None:
            return content[: len(content) * (self.cut or 0) // 100]
        place = int(self.flip * 8 * len(content))
        altered = bytearray(content)
        altered[place // 8] ^= 1 << place % 8
        return bytes(altered)


class Stopped(BaseException):
    """Ends a run in the middle."""


class Originals:
    """The undamaged runs, and what they hold.

    folder : for them and their inputs; new
    """

    def __init__(self, folder: Path) -> None:
        self.inputs = [folder / "small.csv", folder / "tiled.csv"]
        for seed, (path, n) in enumerate(zip(self.inputs, (180, 450))):
            write_square(path, n, seed)
        self.finished, self.stopped = folder / "finished", folder / "stopped"
        self.run(self.finished)
        with contextlib.suppress(Stopped):
            self.run(self.stopped, until_publish)
        self.contents = contents(self.finished)
        self.values = read_back(self.finished)

    def run(self, out: Path, run_unit: Callable[..., dict[str, Any]] = disturbed.run_unit) -> list[str]:
        """Begin or continue a run; what it warned of, and which images failed."""
        said: list[str] = []
        log = logging.Handler(logging.WARNING)
        log.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("caml_dask").addHandler(log)
        caml_dask.executors.serial.run_unit = run_unit
        try:
            execute(self.inputs, out, Settings(disturbed.RULE, TILE, save_features=True), workers=0, resume=True)
        finally:
            logging.getLogger("caml_dask").removeHandler(log)
        return said


def until_publish(run: Any, key: Any) -> dict[str, Any]:
    """A unit; but the last one of an image of several tiles ends the run."""
    if key[1] == caml_dask.pipeline.LAST.name:
        raise Stopped
    return disturbed.run_unit(run, key)


def contents(out: Path) -> dict[str, object]:
    """Fingerprints of all that users get, but of the summary, which says how long the run took."""
    files = [p for p in sorted(out.glob("0*/**/*")) if p.is_file()]
    return {str(p.relative_to(out)): fingerprint(p) for p in (*files, out / "images.csv")}


def read_back(out: Path) -> dict[str, Any]:
    """What a user reads, or the error in place of it."""
    ways: dict[str, Callable[[Any], Any]] = {
        "points": lambda image: image.points.to_json(),
        "clusters": lambda image: image.clusters.to_json(),
        "outlines": lambda image: [str(outline) for outline in image.outlines],
        "summary": lambda image: {k: v for k, v in image.summary.items() if k != "seconds"},
    }
    found: dict[str, Any] = {}
    try:
        images = open_run(out).images
    except CamlError as error:
        return {"run": error}
    for (name, image), (what, way) in itertools.product(images.items(), ways.items()):
        try:
            found[f"{name}/{what}"] = way(image)
        except CamlError as error:
            found[f"{name}/{what}"] = error
    return found


def damages(originals: Originals, part: str, flips: int, percents: range) -> Iterator[Damage]:
    """The same ones each time."""
    rng = np.random.default_rng([*part.encode()])
    groups = groups_of(originals, part)
    for _ in range(flips):
        group = groups[rng.integers(len(groups))]
        yield Damage(part, group[rng.integers(len(group))], flip=rng.random())
    for percent in percents:
        for group in groups:
            yield Damage(part, group[rng.integers(len(group))], cut=percent)


def groups_of(originals: Originals, part: str) -> list[list[str]]:
    """Files of a part, in groups that are hit alike."""
    if part == "weights":
        return [sorted(NETWORKS)]
    root, patterns = {
        "results": (originals.finished, RESULTS),
        "records": (originals.finished, (".run/*/done/**/*.json",)),
        "manifest": (originals.finished, (".run/manifest.json",)),
        "working": (originals.stopped, (".run/*/*/*/*.arrow",)),
    }[part]
    return [[str(p.relative_to(root)) for p in sorted(root.glob(g)) if p.is_file()] for g in patterns]


def tried(originals: Originals, damage: Damage) -> list[str]:
    """What is wrong with how one damage is met."""
    with tempfile.TemporaryDirectory() as folder:
        if damage.part == "weights":
            faults = _refused(Path(folder), damage)
        else:
            out = Path(folder) / "out"
            shutil.copytree(originals.stopped if damage.part == "working" else originals.finished, out)
            path = out / damage.file
            path.write_bytes(damage.done_to(path.read_bytes()))
            faults = _believed(originals, damage, out) + _mended(originals, damage, out)
        return [f"{damage}: {fault}" for fault in faults]


def _refused(folder: Path, damage: Damage) -> list[str]:
    for suffix in ("safetensors", "json"):
        (folder / f"{damage.file}.{suffix}").write_bytes((weights_folder() / f"{damage.file}.{suffix}").read_bytes())
    path = folder / f"{damage.file}.safetensors"
    path.write_bytes(damage.done_to(path.read_bytes()))
    try:
        load_weights(folder / f"{damage.file}.json")
    except WeightsError as error:
        return [] if str(path) in str(error) else ["not named"]
    return ["believed"]


def _believed(originals: Originals, damage: Damage, out: Path) -> list[str]:
    """Values that a reader would take from the damaged run, and that are wrong."""
    if damage.part == "working":
        return []
    found = read_back(out)
    return [f"believed: {k}" for k, v in found.items() if not isinstance(v, CamlError) and v != originals.values[k]]


def _mended(originals: Originals, damage: Damage, out: Path) -> list[str]:
    """What is wrong with a damaged run that is resumed."""
    harmless = damage.part in ("records", "manifest") and _same_json(out, originals.finished, damage.file)
    said = originals.run(out)
    faults = [f"said: {line}" for line in said if ": failed: " in line]
    path = Path(damage.file)
    parts = (path, *(p for p in path.parents if "features.zarr" in p.parts))  # a tile of features is one result
    if not harmless and damage.file not in ALWAYS_ANEW and not any(str(p) in line for p in parts for line in said):
        faults.append("not named")
    now = contents(out)
    faults += [
        f"not mended: {k}" for k in sorted({*now, *originals.contents}) if now.get(k) != originals.contents.get(k)
    ]
    values = read_back(out)
    return faults + [f"not mended: {k}" for k in originals.values if values.get(k) != originals.values[k]]


def _same_json(out: Path, original: Path, name: str) -> bool:
    """Whether a damaged file says what it said before, such as 1E5 for 1e5."""
    try:
        return read_json(out / name) == read_json(original / name)
    except ValueError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write, and to go on from")
    parser.add_argument("--smoke", action="store_true", help="a hundredth of the bits, and few truncations")
    options = parser.parse_args()
    disturbed.disturb()
    found = json.loads(options.results.read_text()) if options.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        originals = Originals(Path(folder))
        with ProcessPoolExecutor(cores()) as pool:
            for name, flips in FLIPS.items():
                few = flips // 100 if options.smoke else flips
                all_of = list(damages(originals, name, few, range(50, 51) if options.smoke else range(100)))
                part = found.setdefault(name, {"flipped": 0, "cut": 0, "faults": []})
                rest = all_of[part["flipped"] + part["cut"] :]
                for damage, faults in zip(rest, pool.map(partial(tried, originals), rest), strict=True):
                    part["flipped" if damage.cut is None else "cut"] += 1
                    part["faults"] += faults
                    options.results.write_text(json.dumps({**found, "machine": machine()}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
