"""napari as tests need it: its settings in no file of the user's, and a display of its own for windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

os.environ["NAPARI_CONFIG"] = ""  # none is read or written
_TRY = "from qtpy.QtWidgets import QApplication; QApplication([])"


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """A display that Qt can open; otherwise tests are skipped with what it says."""
    pytest.importorskip("napari", reason="napari is not installed: pip install 'caml_dask[napari]'")
    server = None
    if sys.platform == "linux":
        if shutil.which("Xvfb") is None:
            pytest.skip("no Xvfb for windows of napari: apt-get install xvfb")
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
        server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        before = os.environ.get("DISPLAY")
        os.environ["DISPLAY"] = f":{number}"
    try:
        tried = subprocess.run([sys.executable, "-c", _TRY], capture_output=True, text=True, timeout=60)
        if tried.returncode:
            pytest.skip(f"Qt cannot open a window: {tried.stderr.strip()[-300:]}")
        yield
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=30)
            if before is None:
                del os.environ["DISPLAY"]
            else:
                os.environ["DISPLAY"] = before
