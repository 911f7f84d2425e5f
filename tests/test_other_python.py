"""Functions of the package in another process."""

from __future__ import annotations

import os
import subprocess
import sys

from caml_dask import other_python


def test_a_process_is_given_its_arguments_and_imports_from_where_this_one_does(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    text = "import sys\ndef tell(*words): print(*words, sys.stdin.read(), __file__)\n"
    (tmp_path / "elsewhere" / "told_apart.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "elsewhere"), "", *sys.path])
    import told_apart

    (tmp_path / "told_apart.py").write_text("raise SystemExit('a module of the folder in which it began')")
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    os.write(write, b"asked")
    os.close(write)
    with (
        os.fdopen(read, "rb") as asked,
        other_python.start(told_apart.tell, "two words", "$HOME", stdin=asked, stdout=subprocess.PIPE) as process,
    ):
        said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0
    assert said.split("\n")[0] == f"two words $HOME asked {tmp_path / 'elsewhere' / 'told_apart.py'}"


def test_an_embedded_python_starts_no_other(monkeypatch):
    assert other_python.can_start()
    monkeypatch.setattr(sys, "executable", "/usr/lib/napari")
    assert not other_python.can_start()
