"""A run stopped at each of its file operations in turn: killed, or on a disk that is full from there on.

    python tests/faults/failpoints.py --results tests/faults/results/failpoints.json

Python tells an audit hook of every file that is opened, made, renamed or removed. One undisturbed run of one process
counts those under its output directory; then the run is done once for each, and

killed       a SIGKILL comes instead of that operation
full         that operation, and each later one that takes room, fails with ENOSPC
small-disk   the directory is a tmpfs, 4 KiB larger each time until the run fits (needs root)

What was finished must still stand afterwards, untouched; `--resume` must give the tables of the undisturbed run, on one
tile. A call with the same options goes on after the trials that stand in --results.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import disturbed
from common import machine, tables_of, write_square

from caml_dask.errors import CamlError
from caml_dask.executors.deployment.clusters import cores
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

TILE = 150
LONGEST_S = 120.0
PAGE_KIB = 4
LARGEST_KIB = 1 << 15
REMOVING = ("os.remove", "os.rmdir", "shutil.rmtree")
MAKING = ("open", "os.mkdir", "os.rename")

Act = Callable[[str, str, bool], None]


class Operations:
    """Counts the operations on files under a directory that change it or make it last, and acts on some of them.

    root : the directory
    act : called from the `at`-th on, with the operation's name, the file's, and whether it is only opened to be read
    """

    def __init__(self, root: Path, at: float = float("inf"), act: Act | None = None) -> None:
        self._root, self._at, self._act, self.count = os.fspath(root), at, act, 0
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in (*REMOVING, *MAKING) or not isinstance(arguments[0], str | os.PathLike):
            return
        path, read = os.fspath(arguments[0]), event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not path.startswith(self._root) or (read and arguments[1] is not None):  # synced files have no mode
            return
        self.count += 1
        if self._act is not None and self.count >= self._at:
            self._act(event, path, read)


def kill(event: str, path: str, read: bool) -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill(event: str, path: str, read: bool) -> None:
    """Fail as on a full disk: what is removed or read takes no room; a file just written may turn out not to fit."""
    if event not in REMOVING and (not read or path.endswith(".working")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def analyse(table: Path, out: Path, tile: int | None = TILE) -> None:
    """Begin or continue a run in this process."""
    execute([table], out, Settings(network=disturbed.RULE, max_localizations=tile), workers=0, resume=True)


def disturb(table: Path, out: Path, said: Path, at: int, act: Act) -> None:
    """A run that is disturbed at its `at`-th operation; what it says of that is written down."""
    Operations(out, at, act)
    told: list[str] = []
    log = logging.Handler(logging.ERROR)
    log.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("caml_dask").addHandler(log)
    try:
        analyse(table, out)
    except (CamlError, OSError) as error:
        told.append(str(error))
    said.write_text(json.dumps(told))


def in_child(do: Callable[[], object]) -> int:
    """Do something in a process of its own; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + LONGEST_S
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise SystemExit(f"a run takes longer than {LONGEST_S} s")
        time.sleep(0.005)


def standing(out: Path) -> dict[str, int]:
    """Done records of a run, and when each was written."""
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in (out / ".run").glob("*/done/*/*/*.json")}


def resumed(table: Path, out: Path, expected: dict[str, str]) -> list[str]:
    """Continue a run until it is done; what is wrong afterwards."""
    before = standing(out)
    if in_child(partial(analyse, table, out)):
        return ["could not be resumed"]
    after = standing(out)
    faults = [f"ran again: {name}" for name in before if after.get(name) != before[name]]
    faults += [f"left behind: {path.name}" for path in out.rglob("*.working")]
    found = tables_of(out)
    return faults + [f"differs: {k}" for k in sorted({*found, *expected}) if found.get(k) != expected.get(k)]


def at_operation(table: Path, expected: dict[str, str], act: Act, at: int) -> list[str]:
    """Disturb a run at one operation and continue it; what went wrong."""
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        out, said = Path(folder) / "out", Path(folder) / "said"
        code = in_child(partial(disturb, table, out, said, at, act))
        faults = [] if act is not kill or code == -signal.SIGKILL else [f"ended with {code}"]
        if act is fill:
            faults += _complaints(json.loads(said.read_text()), out)
        return [f"{act.__name__} {at}: {fault}" for fault in faults + resumed(table, out, expected)]


def _complaints(said: list[str], out: Path) -> list[str]:
    """What a run on a full disk should have said and did not: what is the matter, where, and what to do."""
    wanted = ("no room is left on the disk", str(out), "make room", "--resume")
    early = "cannot be written to (No space left on device)"  # before there is a run to resume
    unclear = [line for line in said if not all(word in line for word in wanted) and early not in line]
    silent = not said and not (out / "summary.json").exists()  # the last operations take no room
    return [f"unclear: {line}" for line in unclear] + (["nothing was said"] if silent else [])


def on_small_disk(table: Path, expected: dict[str, str], kib: int) -> tuple[bool, list[str]]:
    """A run on a disk of some KiB, continued when it has grown: whether it fitted, and what went wrong."""
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        out, said = disk / "out", Path(folder) / "said"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", disk], check=True)
        try:
            in_child(partial(disturb, table, out, said, 0, lambda event, path, read: None))
            complaints = json.loads(said.read_text())
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            faults = _complaints(complaints, out) if complaints else []
            return not complaints, [f"{kib} KiB: {fault}" for fault in faults + resumed(table, out, expected)]
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)  # a process that was killed may still hold a file


def can_mount() -> bool:
    """Whether this process may mount a small disk."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", folder]).returncode == 0


def small_disks(table: Path, expected: dict[str, str], step: int, begin: int) -> Iterator[list[str]]:
    """What went wrong on each disk, until the run fits one."""
    for kib in range(begin, LARGEST_KIB, step):
        fits, faults = on_small_disk(table, expected, kib)
        yield faults
        if fits:
            return
    yield [f"no disk of less than {LARGEST_KIB} KiB is large enough"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write, and to go on from")
    parser.add_argument("--every", type=int, default=1, help="try only every so many-th operation")
    parser.add_argument("--smoke", action="store_true", help="a smaller image")
    options = parser.parse_args()
    disturbed.disturb()
    found = json.loads(options.results.read_text()) if options.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "cell.csv", Path(folder) / "undisturbed"
        write_square(table, 300 if options.smoke else 400)
        analyse(table, out, tile=None)
        expected = tables_of(out)
        shutil.rmtree(out)
        operations = Operations(out)
        analyse(table, out)
        places = range(1, operations.count + 1, options.every)
        with ProcessPoolExecutor(cores()) as pool:
            for name, act in (("killed", kill), ("full", fill)):
                part = found.setdefault(name, {"operations": operations.count, "tried": 0, "faults": []})
                for faults in pool.map(partial(at_operation, table, expected, act), places[part["tried"] :]):
                    note(part, faults, found, options.results)
        part = found.setdefault("small-disk", {"tried": 0, "faults": [], "fits": not can_mount()})
        step = PAGE_KIB * options.every
        if not part["fits"]:
            for faults in small_disks(table, expected, step, step * (1 + part["tried"])):
                note(part, faults, found, options.results)
            part["fits"] = True
            note(part, [], found, options.results, tried=0)
    print(json.dumps(found, indent=1))


def note(part: dict[str, Any], faults: list[str], found: dict[str, Any], results: Path, tried: int = 1) -> None:
    """Count a trial, and write down where all stand."""
    part["tried"] += tried
    part["faults"] += faults
    results.write_text(json.dumps({**found, "machine": machine()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
