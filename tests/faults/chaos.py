"""Processes of `caml-dask run` killed at random times; what comes out is held against an undisturbed run.

    python tests/faults/chaos.py --results tests/faults/results/chaos.json

Trials go on until so many SIGKILLs were sent:

workers        to one of the workers that are at work, while the run goes on
driver         to the driver with all its workers; the run is resumed, the resumed one killed too, until one ends
XPILJZ         both in turn, with a network in place of the threshold rule
after-record   by workers to themselves, between the record of a unit and its report
scheduler      to a scheduler that others started; the driver must then end by itself, with exit code 4 in under 60 s

After each trial the sorted tables of all images are compared with those of one process on one tile. Seeds decide when
and whom; a call with the same options goes on after the trials that stand in --results.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import machine, tables_of, write_square
from disturbed import RULE

DISTURBED = Path(__file__).with_name("disturbed.py")
KILLS = {"workers": 300, "driver": 100, "XPILJZ": 20, "after-record": 50, "scheduler": 20}
SMOKE_KILLS = {"workers": 0, "driver": 1, "XPILJZ": 0, "after-record": 1, "scheduler": 1}
TILE = 300
WORKERS = 2
# Kills come by how far a run is, so that they fall into all of it on slow machines too: so many units an image, at
# most, are begun before the next one, which then comes within so many seconds. Some drivers are killed as they start.
UNITS_BETWEEN = {"workers": 8, "driver": 35, "scheduler": 35}
WITHIN_S = 0.3
AT_START_SHARE, AT_START_S = 0.2, 4.0
AFTER_RECORD_SHARE = 0.08
FAILED = re.compile(r"\d{4,}_\w+: failed: ")  # as the command's last lines have it
LONGEST_S = 600  # of one call of the command; one that takes longer hangs
LOST, LONGEST_END_S = 4, 60  # how a driver without its scheduler ends: exit code and seconds


class Subject:
    """One run directory and the calls of the command that work on it.

    folder : for the run and its journals; new
    inputs : tables to analyse
    model : the rule or a network
    """

    def __init__(self, folder: Path, inputs: list[Path], model: str) -> None:
        self.out, self._folder, self._inputs, self._model = folder / "out", folder, inputs, model
        self.calls = 0
        folder.mkdir()

    def start(self, *where: str, tile: int | None = TILE, **environment: str) -> subprocess.Popen[bytes]:
        """Begin or continue the run; options say where, on local workers if none do."""
        command = [str(DISTURBED), "run", *map(str, self._inputs), "--out", str(self.out), "--network", self._model]
        command += [*(where or ("--workers", str(WORKERS))), "--resume"]
        command += [] if tile is None else ["--max-localizations", str(tile)]
        process = self._process(command, environment)
        self.calls += 1
        return process

    @contextlib.contextmanager
    def scheduler(self) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """A scheduler with workers, begun apart from any run, and the deployment that names it."""
        file, deployment = self._folder / "scheduler.json", self._folder / "deployment.toml"
        file.unlink(missing_ok=True)
        deployment.write_text('kind = "scheduler"\nscheduler_file = "scheduler.json"\n')
        common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        worker = ["-m", "distributed.cli.dask_worker", *common, "--nthreads", "1", "--preload", str(DISTURBED)]
        started = [
            self._process(["-m", "distributed.cli.dask_scheduler", *common, "--port", "0"], {}),
            *(self._process(worker, {}) for _ in range(WORKERS)),
        ]
        try:
            yield started[0], deployment
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _process(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """A process with its family in a group of its own; it writes the journal of the call to come."""
        journal = str(self._journal(self.calls))
        known = {**os.environ, "CAML_JOURNAL": journal, "TMPDIR": str(self._folder), **environment}
        with (self._folder / "log").open("ab") as log:
            command = [sys.executable, *arguments]
            return subprocess.Popen(command, env=known, start_new_session=True, stdout=log, stderr=log)

    def begun(self) -> list[list[str]]:
        """What the journal of the last call says of units begun: process, time, "begin" and unit."""
        journal = self._journal(self.calls - 1)
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [words for line in lines if (words := line.split())[2:3] == ["begin"]]

    def _journal(self, call: int) -> Path:
        return self._folder / f"journal.{call:03d}"

    def units(self, what: str, rng: np.random.Generator) -> int:
        """How many units to wait for before a kill."""
        return int(rng.integers(1, UNITS_BETWEEN[what] * len(self._inputs)))

    def said(self) -> str:
        """What the calls wrote to the terminal."""
        return (self._folder / "log").read_text(errors="replace")

    def told(self) -> dict[str, Any]:
        """What the journals tell: units, how often they were begun, and the most attempts at one in one call."""
        begun, again, given, most = [], 0, 0, 0
        for journal in sorted(self._folder.glob("journal.*")):
            lines = [line.split() for line in journal.read_text().splitlines()]
            names = [words[3] for words in lines if words[2] == "begin"]
            again += sum(words[2] == "again" for words in lines)
            given += sum(words[2] == "given" for words in lines)
            most = max(most, *collections.Counter(names).values(), 0)
            begun += names
        units = len(set(begun))
        return {
            "units": units,
            "begun_more_than_once": len(begun) - units,
            "given_when_done": given,
            "most_attempts_at_a_unit_in_one_call": most,
            "finished_units_run_again": again,
        }


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a driver."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child)
    return found


def kill_workers(subject: Subject, rng: np.random.Generator, most: int) -> dict[str, Any]:
    """Run once and kill a worker again and again, `most` times at most; how often it was."""
    process, kills = subject.start(), 0
    end = time.monotonic() + LONGEST_S
    while process.poll() is None:
        wait_for_units(process, subject, len(subject.begun()) + subject.units("workers", rng), end)
        time.sleep(rng.uniform(0, WITHIN_S))
        at_work = {int(line[0]) for line in subject.begun()}  # Dask gives up one that dies before
        alive = [worker for worker in workers_of(process) if worker.pid in at_work]
        if kills < most and alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                alive[rng.integers(len(alive))].kill()
                kills += 1
    return {"kills": kills}


def wait_for_units(process: subprocess.Popen[bytes], subject: Subject, units: int, end: float) -> None:
    """Wait until so many units were begun in the last call, or it has ended."""
    while process.poll() is None and len(subject.begun()) < units:
        time.sleep(0.02)
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
            raise SystemExit(f"a run takes longer than {LONGEST_S} s:\n{subject.said()[-2000:]}")


def kill_driver(subject: Subject, rng: np.random.Generator, most: int) -> dict[str, Any]:
    """Run and kill the driver with all its workers, and so every run that resumes it, `most` times at most."""
    kills = 0
    while kills < most:
        process = subject.start()
        if rng.random() < AT_START_SHARE:
            time.sleep(rng.uniform(0, AT_START_S))
        else:
            wait_for_units(process, subject, subject.units("driver", rng), time.monotonic() + LONGEST_S)
            time.sleep(rng.uniform(0, WITHIN_S))
        if process.poll() is not None:
            break
        family = [*psutil.Process(process.pid).children(recursive=True), process]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        psutil.wait_procs(family[:-1], timeout=10)
        kills += 1
    return {"kills": kills}


def kill_scheduler(subject: Subject, rng: np.random.Generator, most: int) -> dict[str, Any]:
    """Run on a scheduler begun apart and kill that, and so for every run that resumes it, `most` times at most."""
    kills, otherwise, longest = 0, [], 0.0
    while kills < most:
        with subject.scheduler() as (scheduler, deployment):
            process = subject.start("--deploy", str(deployment))
            wait_for_units(process, subject, subject.units("scheduler", rng), time.monotonic() + LONGEST_S)
            time.sleep(rng.uniform(0, WITHIN_S))
            if process.poll() is not None:
                break
            os.killpg(scheduler.pid, signal.SIGKILL)
            kills, killed = kills + 1, time.monotonic()
            code, seconds = process.wait(LONGEST_S), time.monotonic() - killed
            otherwise += [code] if code != LOST or seconds > LONGEST_END_S else []
            longest = max(longest, seconds)
    return {"kills": kills, "longest_end_s": round(longest, 1), "ended_otherwise": otherwise}


def kill_after_record(subject: Subject, rng: np.random.Generator, most: int) -> dict[str, Any]:
    """Run once; a share of the units end their worker once they are recorded."""
    died = subject.out.with_name("died")
    died.mkdir()
    seed = str(rng.integers(1 << 30))
    known = {"CAML_DIE_AFTER": str(died), "CAML_DIE_SEED": seed, "CAML_DIE_SHARE": str(AFTER_RECORD_SHARE)}
    process = subject.start(**known)
    wait_for_units(process, subject, sys.maxsize, time.monotonic() + LONGEST_S)
    return {"kills": len(list(died.iterdir()))}


WAYS = {
    "workers": kill_workers,
    "driver": kill_driver,
    "after-record": kill_after_record,
    "scheduler": kill_scheduler,
}


def trial(
    what: str, number: int, left: int, inputs: list[Path], expected: dict[str, str], work: Path
) -> dict[str, Any]:
    """One run with its kills, resumed until it is done, and what came of it."""
    rng = np.random.default_rng([number, *what.encode()])
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        subject = Subject(Path(folder) / "trial", inputs, "XPILJZ" if what == "XPILJZ" else RULE)
        way = WAYS.get(what) or (kill_workers, kill_driver)[number % 2]
        told = way(subject, rng, left if what != "XPILJZ" else min(left, 5))
        disturbed = subject.calls
        while subject.start("--workers", "0").wait(LONGEST_S):
            if subject.calls > disturbed + 3:
                raise SystemExit(f"{what} {number} does not come to an end:\n{subject.said()[-4000:]}")
        found = tables_of(subject.out)
        return {
            "what": what,
            "trial": number,
            **told,
            "calls": subject.calls,
            **subject.told(),
            "images_failed": sorted({line for line in subject.said().splitlines() if FAILED.match(line)}),
            "tables_that_differ": sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k)),
            "working_files_left": len(list(subject.out.rglob("*.working"))),
            "seconds": round(time.monotonic() - start, 1),
        }


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals for each kind of trial."""
    found = {}
    for what in dict.fromkeys(t["what"] for t in trials):
        of = [t for t in trials if t["what"] == what]
        found[what] = {
            "runs": len(of),
            "tables_that_differ": sum(len(t["tables_that_differ"]) for t in of),
            "images_failed_before_being_resumed": sum(len(t["images_failed"]) for t in of),
            "most_attempts_at_a_unit_in_one_call": max(t["most_attempts_at_a_unit_in_one_call"] for t in of),
            **{
                name: sum(t[name] for t in of)
                for name in (
                    "kills",
                    "units",
                    "begun_more_than_once",
                    "given_when_done",
                    "finished_units_run_again",
                    "working_files_left",
                )
            },
        }
        if what == "scheduler":
            found[what]["longest_end_s"] = max(t["longest_end_s"] for t in of)
            found[what]["ended_otherwise"] = [code for t in of for code in t["ended_otherwise"]]
    return found


def undisturbed(inputs: list[Path], model: str, work: Path) -> dict[str, str]:
    """The tables of one process on one tile."""
    subject = Subject(work / f"undisturbed-{model}", inputs, model)
    if subject.start("--workers", "0", tile=None).wait():
        raise SystemExit(subject.said())
    return tables_of(subject.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=list(KILLS), default=list(KILLS))
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write, and to go on from")
    parser.add_argument("--smoke", action="store_true", help="a few kills on small images")
    options = parser.parse_args()
    wanted = SMOKE_KILLS if options.smoke else KILLS
    trials = json.loads(options.results.read_text())["trials"] if options.results.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        inputs = [work / f"cell_{i}.csv" for i in range(1 if options.smoke else 6)]
        for seed, path in enumerate(inputs):
            write_square(path, 1500 if options.smoke else 3000, seed)
        expected: dict[str, dict[str, str]] = {}
        for what in options.what:
            model = "XPILJZ" if what == "XPILJZ" else RULE
            while (left := wanted[what] - sum(t["kills"] for t in trials if t["what"] == what)) > 0:
                if model not in expected:
                    expected[model] = undisturbed(inputs, model, work)
                number = sum(t["what"] == what for t in trials)
                trials.append(trial(what, number, left, inputs, expected[model], work))
                print(json.dumps(trials[-1]), flush=True)
                result = {"summary": summary(trials), "machine": machine(), "trials": trials}
                text = json.dumps(result, indent=1)
                options.results.write_text(text + "\n")
    print(json.dumps(summary(trials), indent=1))


if __name__ == "__main__":
    main()
