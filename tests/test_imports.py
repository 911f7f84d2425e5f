"""The import direction of the house, and what importing the package costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import caml_dask

HOUSE = Path(caml_dask.__file__).parent
# Each room may import from rooms of a lower floor, and of its own floor from those that SAME_FLOOR names.
FLOORS = [
    {"schema", "params", "errors"},
    {
        "blocks",
        "candidates",
        "searches",
        "neighbors",
        "tiling",
        "segment",
        "measure",
        "outline",
        "circles",
        "volume",
        "spheres",
        "stats",
        "drift",
        "evaluate",
        "simulate",
        "baselines",
    },
    {"io", "models", "pictures"},
    {"stages", "pipeline", "interface"},
    {"evaluation", "report"},
    {"run", "cli", "__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms of one floor that may look into one another; blocks serve neighbors and links, an
# outline is a part of measuring, stages make up the pipeline, which the interface calls.
SAME_FLOOR = {
    ("neighbors", "blocks"), ("neighbors", "candidates"), ("segment", "blocks"),
    ("segment", "searches"), ("measure", "outline"), ("outline", "circles"),
    ("measure", "volume"), ("volume", "spheres"), ("spheres", "circles"),
    ("params", "errors"), ("pipeline", "stages"), ("interface", "stages"), ("interface", "pipeline"),
    ("cli", "run"), ("__main__", "cli"),
}  # fmt: skip
ONLY_IN = {
    "dask": {"run"}, "distributed": {"run"}, "dask_jobqueue": {"run"},
    "keras": {"models"}, "tensorflow": {"models"}, "matplotlib": {"evaluation"},
}  # fmt: skip


def imports(source: str) -> set[str]:
    """Full names of the modules a source imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def offences(room: str, source: str) -> list[str]:
    """What a module of `room` imports against the house's rules."""
    found = []
    for name in sorted(imports(source)):
        top, *rest = name.split(".")
        if top in ONLY_IN and room not in ONLY_IN[top]:
            found.append(f"{room} names {top}")
        if top != "caml_dask" or not rest or rest[0] not in FLOOR_OF:
            continue
        other = rest[0]
        allowed = FLOOR_OF[other] < FLOOR_OF[room] or other == room
        if not allowed and (room, other) not in SAME_FLOOR:
            found.append(f"{room} imports {other}")
    return found


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(HOUSE).parts[0].removesuffix(".py"), path) for path in sorted(HOUSE.rglob("*.py"))]


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: str(value).rsplit("caml_dask/", 1)[-1])
def test_imports_go_one_way(room, path):
    if room != "__init__":
        assert room in FLOOR_OF, f"{room} has no floor: give it one, or put the module into a room"
        assert offences(room, path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("neighbors", "from caml_dask.pipeline import STAGES"),
        ("io", "from caml_dask.models.classify import load"),
        ("models", "import caml_dask.io.store"),
        ("stages", "from caml_dask.run.session import execute"),
        ("measure", "from caml_dask.segment import merge"),
        ("stages", "def f():\n    import distributed"),
        ("run", "import keras"),
        ("run", "from matplotlib.figure import Figure"),
        ("evaluation", "from caml_dask.run.parallel import each"),
        ("errors", "from caml_dask.schema import POINTS"),
        ("report", "from caml_dask.run.session import execute"),
        ("pipeline", "import caml_dask.report"),
    ],
)
def test_an_import_turned_round_is_seen(room, line):
    assert offences(room, line)


def test_kernels_do_not_need_each_other_or_heavy_packages():
    """Each kernel can be imported by itself, without Dask, Keras or readers."""
    for kernel in ("tiling", "neighbors", "segment", "measure", "stats", "drift", "evaluate", "simulate", "baselines"):
        loaded = run(f"import sys, caml_dask.{kernel}; print(*sys.modules)").split()
        assert not {"dask", "distributed", "keras", "tensorflow", "caml_dask.io", "caml_dask.models"} & set(loaded)


def test_importing_the_package_loads_nothing_heavy():
    loaded = set(run("import sys, caml_dask; print(*sys.modules)").split())
    assert not {"keras", "tensorflow", "dask", "distributed", "scipy", "numpy", "pyarrow", "numba", "sklearn"} & loaded


def test_scoring_loads_neither_keras_nor_tensorflow_nor_dask():
    code = "import sys, numpy; from caml_dask import CAML; CAML().fit(numpy.random.rand(200, 2)); print(*sys.modules)"
    assert not {"keras", "tensorflow", "dask", "distributed"} & set(run(code).split())


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
