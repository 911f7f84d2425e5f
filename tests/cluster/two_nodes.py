"""Whole, resumed and disturbed runs of two nodes over one file system, each with a mount and a host name of its own.

    CAML_SERVED=FOLDER python tests/cluster/two_nodes.py --mount "COMMAND THAT MOUNTS AT /shared" --input field.csv

FOLDER is that of the server, where tables are compared.
A node is a process in mount and UTS namespaces of its own (root; util-linux). It imports the package once, and forks
for each command, so that this also takes minutes where the processor is emulated. What each node does not find is
remembered by its mount alone, as on two machines. Each step is a line of output; the exit code is 1 where one fails.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = Path("/shared")
ANALYSIS = ("--network", "XPILJZ", "--no-test")
TILED = (*ANALYSIS, "--max-localizations", "500")
TABLES = ("points", "clusters", "outlines")
SEEN_S = 75.0


def serve(name: str, mount: str) -> None:
    """Be a node: mount, then do what standard input asks for, a JSON line each."""
    SHARED.mkdir(exist_ok=True)
    subprocess.run(mount, shell=True, check=True)
    subprocess.run(["hostname", name], check=True)
    import distributed.cli.dask_worker  # noqa: F401

    import caml_dask.runs.session  # noqa: F401
    from caml_dask.networks.trained import load
    from caml_dask.runs import job_array, status  # noqa: F401

    load("XPILJZ")
    answer, held = sys.stdout, []
    print(json.dumps("ready"), file=answer, flush=True)
    for line in sys.stdin:
        what, *given = json.loads(line)
        told: Any = None
        if what == "start":
            told = _forked(given)
        elif what == "wait":
            told = os.waitstatus_to_exitcode(os.waitpid(given[0], 0)[1])
        elif what == "seen":
            told = os.path.exists(given[0])  # noqa: PTH110 - each time a lookup
        elif what == "listed":
            told = Path(given[0]).name in os.listdir(Path(given[0]).parent)  # noqa: PTH208
        elif what == "make":
            Path(given[0]).write_text("x")
        elif what == "lock":
            held.append(os.open(given[0], os.O_RDWR | os.O_CREAT))
            try:
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
                told = True
            except OSError:
                told = False
        print(json.dumps(told), file=answer, flush=True)


def _forked(given: list[str]) -> int:
    """Begin a command in a process of its own, its output in the file given first; its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    said = os.open(given[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        if given[1] == "scheduler":
            from distributed.cli.dask_scheduler import main
        elif given[1] == "worker":
            from distributed.cli.dask_worker import main
        else:
            from caml_dask.cli import main
        arguments = given[2:] if given[1] in ("scheduler", "worker") else given[1:]
        main(arguments, prog_name="caml-dask")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


class Node:
    """A node, as who starts it sees it."""

    def __init__(self, name: str, mount: str, logs: Path):
        self.name, self._logs, self._count = name, logs, 0
        command = ["unshare", "--mount", "--uts", "--propagation", "private", sys.executable, __file__, "--node", name]
        self._process = subprocess.Popen(
            [*command, "--mount", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> Any:
        """What the node answers to a line; without words, that it is ready."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if words:
            self._process.stdin.write(json.dumps([str(w) if isinstance(w, Path) else w for w in words]) + "\n")
            self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: object) -> tuple[int, Path]:
        """Begin a command; its process and what it says."""
        self._count += 1
        said = self._logs / f"{self.name}-{self._count}.txt"
        return self.ask("start", said, *map(str, arguments)), said

    def call(self, *arguments: object) -> tuple[int, str]:
        """A command to its end: exit code and what it said."""
        child, said = self.start(*arguments)
        code = self.ask("wait", child)
        return code, f"{said.read_text()}exit code {code}\n"

    def end(self) -> None:
        """Let the node go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Check:
    """The steps, and whether each ended as it should."""

    def __init__(self, one: Node, two: Node, table: Path):
        self._one, self._two, self._table, self.failed = one, two, table, 0
        self._begun = time.monotonic()

    def say(self, right: bool, text: str, told: str = "") -> None:
        """Print a step."""
        self.failed += not right
        print(f"{time.monotonic() - self._begun:7.1f} s  {'ok' if right else 'FAILED':6}  {text}", flush=True)
        if not right:
            print(told, flush=True)

    def file_system(self) -> None:
        """What the file system does: how long a name stays unseen, and whether locks hold."""
        one, two = self._one, self._two
        (early, late) = (SHARED / "looked-up", SHARED / "not-looked-up")
        one.ask("seen", early)
        two.ask("make", early)
        two.ask("make", late)
        self.say(one.ask("seen", late), "a name that was not looked up before is seen at once")
        begun = time.monotonic()
        while not one.ask("seen", early) and time.monotonic() - begun < SEEN_S:
            time.sleep(0.5)
        unseen_s = time.monotonic() - begun
        self.say(True, f"a name that was looked up before it was made is seen on the other node after {unseen_s:.1f} s")
        self.say(one.ask("lock", SHARED / "lock"), "a lock is taken on n1")
        granted = two.ask("lock", SHARED / "lock")
        self.say(True, f"the same lock on n2 is {'granted: locks hold on one node only' if granted else 'refused'}")

    def reference(self, local: Path) -> dict[str, bytes]:
        """The bytes of the tables of a run in one process, on one tile, on a local disk."""
        code, told = self._one.call("run", self._table, "--out", local, *ANALYSIS, "--workers", 0)
        self.say(code == 0, "n1: run on a local disk, one tile, one process", told)
        return bytes_of(local)

    def arrays(self, out: Path, wanted: dict[str, bytes], interrupted: bool) -> None:
        """A run as job arrays, its units on both nodes in turn, looked at by status on both before each stage."""
        stages = self._planned(self._one, out)
        half = len(stages) // 2 if interrupted else len(stages)
        self._units(stages[:half], out)
        if interrupted:
            code, told = self._one.call("unit", stages[half], 0, "--of", 2, "--out", out)  # unit 1 never comes to run
            code, told = self._two.call("finish", "--out", out)
            self.say(code == 4 and "are not done" in told, "n2: finish names what is not done", told)
            stages = self._planned(self._two, out, "--resume")
            self._units(stages, out)
        code, told = self._two.call("finish", "--out", out)
        self.say(code == 0, "n2: finish", told)
        self.say(bytes_of(out) == wanted, "the tables are those of the run on a local disk, byte for byte")

    def _planned(self, node: Node, out: Path, *options: str) -> list[str]:
        for watcher in (self._one, self._two):
            watcher.call("status", out)  # of a run that is not there yet
        code, told = node.call("plan", self._table, "--out", out, *TILED, *options)
        self.say(code == 0, f"{node.name}: plan {' '.join(options)}", told)
        return [line for line in told.splitlines() if line.isidentifier()]

    def _units(self, stages: list[str], out: Path) -> None:
        for number, stage in enumerate(stages):
            for watcher in (self._one, self._two):
                watcher.call("status", out)
            begun = time.monotonic()
            for unit in (0, 1):
                node = (self._one, self._two)[(number + unit) % 2]
                code, told = node.call("unit", stage, unit, "--of", 2, "--out", out)
                if code != 0 or "does not see it yet" in told:
                    self.say(False, f"{node.name}: unit {stage} {unit}", told)
            self.say(True, f"n1, n2: units of {stage} ({time.monotonic() - begun:.1f} s)")

    def on_workers(self, out: Path, wanted: dict[str, bytes], deploy: Path, workers: list[int]) -> None:
        """A run on a worker of each node, killed, told of by status, and resumed from the other node."""
        options = ("--out", out, *TILED, "--deploy", deploy)
        first, _ = self._one.start("run", self._table, *options)
        while done_records(out) < 20:
            time.sleep(0.05)
        for worker in workers:  # or the run might end before it is looked at
            os.kill(worker, signal.SIGSTOP)
        code, told = self._two.call("run", self._table, *options)
        refused = code == 2 and f"in use by process {first} on n1" in told
        self.say(refused, f"n2: a second run at the same time ends: {told.strip().splitlines()[-2]}", told)
        code, told = self._two.call("status", out)
        self.say(f"in use by process {first} on n1" in told, "n2: status names the living process on n1", told)
        os.kill(first, signal.SIGKILL)
        self._one.ask("wait", first)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        time.sleep(35.0)
        code, told = self._two.call("status", out)
        self.say("interrupted: continue" in told, "n2: status knows that it was killed", told)
        code, told = self._two.call("run", self._table, *options, "--resume")
        self.say(code == 0, "n2: run --resume on a worker of each node", told)
        self.say("does not see it yet" not in told, "nothing had to be waited for", told)
        self.say(bytes_of(out) == wanted, "the tables are those of the run on a local disk, byte for byte")
        code, told = self._one.call("run", self._table, *options, "--overwrite")
        self.say(code == 0, "n1: run --overwrite, whole, on a worker of each node", told)
        self.say(bytes_of(out) == wanted, "the tables are those of the run on a local disk, byte for byte")


def done_records(out: Path) -> int:
    """How many done records a run has, as the server sees them."""
    return len(list((SERVED / out.relative_to(SHARED) / ".run").glob("*/done/*/*/*.json")))


def bytes_of(out: Path) -> dict[str, bytes]:
    """The tables of a run, as the server has them."""
    folder = SERVED / out.relative_to(SHARED) if out.is_relative_to(SHARED) else out
    return {name: (folder / "0001_field" / f"{name}.parquet").read_bytes() for name in TABLES}


def attempt(check: Check, step: Callable[[], object]) -> None:
    """A group of steps; one that cannot go on has failed."""
    try:
        step()
    except Exception as error:
        check.say(False, f"{type(error).__name__}: {error}")


SERVED = Path(os.environ.get("CAML_SERVED", "/srv/shared"))


def main() -> int:
    """All steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mount", required=True, help="shell command that mounts the shared folder at /shared")
    parser.add_argument("--input", type=Path, help="localizations, called field.csv")
    parser.add_argument("--only", choices=["arrays", "workers"], help="leave out the others")
    parser.add_argument("--node", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.node:
        serve(given.node, given.mount)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        one, two = (Node(name, given.mount, logs) for name in ("n1", "n2"))
        for node in (one, two):
            node.ask()
        check = Check(one, two, given.input.absolute())
        check.say(True, f"two nodes, each with: {given.mount}")
        check.file_system()
        wanted = check.reference(logs / "local")
        if given.only != "workers":
            attempt(check, lambda: check.arrays(SHARED / "arrays", wanted, interrupted=False))
            attempt(check, lambda: check.arrays(SHARED / "resumed", wanted, interrupted=True))
        if given.only != "arrays":
            address = ("--host", "127.0.0.1", "--port", "8799", "--no-dashboard")
            started = [one.start("scheduler", *address)[0]]
            worker = ("worker", "tcp://127.0.0.1:8799", "--no-nanny", "--nthreads", 1, "--no-dashboard")
            started += [node.start(*worker)[0] for node in (one, two)]
            deploy = logs / "scheduler.toml"
            deploy.write_text('kind = "scheduler"\naddress = "tcp://127.0.0.1:8799"\nwait_s = 600\n')
            attempt(check, lambda: check.on_workers(SHARED / "workers", wanted, deploy, started[1:]))
            for child in started:
                os.kill(child, signal.SIGKILL)
        for node in (one, two):
            node.end()
    check.say(not check.failed, f"{check.failed} steps failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
