"""The code on a page, and how it is run: by the tests, and by the build where a page shows what its code draws."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>python|bash)\n(?P<code>.*?)```", re.DOTALL
)
# What the project's own CI runs: the install, the demonstration, the tests.
INSTALLS = ("pip install", "python3 -m venv")


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page; not run for a reason, where one is given."""

    language: str
    code: str
    reason: str | None


def snippets(page: Path) -> list[Snippet]:
    """The blocks of a page in their order."""
    return [Snippet(m["language"], m["code"], m["reason"]) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def runnable(page: Path) -> list[Snippet]:
    """Those that are run."""
    return [s for s in snippets(page) if s.reason is None and not s.code.startswith(INSTALLS)]


def command_in(folder: Path) -> Path:
    """A folder with `caml-dask` of this very code, and the Python that runs it, to be first on the path."""
    for name, module in (("caml-dask", "-m caml_dask "), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        command.chmod(0o755)
    return folder


def run(page: Path, folder: Path, tools: Path) -> None:
    """The snippets of a page one after another; those in Python share their names, as a reader's session does.

    folder : where commands are run; Python runs where the process is

    Raises
    ------
    RuntimeError : a command failed; with what it said
    """
    names: dict[str, object] = {}
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    for snippet in runnable(page):
        if snippet.language == "python":
            exec(compile(snippet.code, str(page), "exec"), names)
            continue
        lines = [line for line in snippet.code.splitlines() if not line.startswith(INSTALLS)]
        code = "\n".join(["set -euo pipefail", *lines])
        done = subprocess.run(["bash", "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{snippet.code}\n{done.stdout}\n{done.stderr}")
