"""The layers of the package: which package may import which, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import caml_dask

PACKAGE = Path(caml_dask.__file__).parent
# A package, or module of the first level, may import those of lower layers, and of its own layer those that SAME_LAYER
# names.
LAYERS = [
    {
        "schema",
        "settings",
        "methods",
        "errors",
        "extras",
        "compiled",
        "seen",
        "groups",
        "sorting",
        "where",
        "rectangles",
        "other_python",
    },
    {
        "atomic",
        "holders",
        "locks",
        "spatial",
        "geometry",
        "stats",
        "metrics",
        "simulate",
        "baselines",
        "blinking",
        "drift",
        "randomness",
    },
    {"io", "networks", "overview"},
    {"stages", "pipeline", "plotting"},
    {"executors"},
    {"api", "results", "runs"},
    {"screening", "report", "evaluation", "channels", "following", "describing", "viewer", "napari_plugin"},
    {"cli", "__main__"},
]
LAYER_OF = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}
SAME_LAYER = {
    ("settings", "errors"), ("extras", "errors"), ("sorting", "compiled"), ("locks", "atomic"),
    ("locks", "holders"), ("holders", "atomic"),
    ("baselines", "spatial"), ("blinking", "spatial"),
    ("pipeline", "stages"), ("api", "results"), ("runs", "api"), ("runs", "results"),
    ("settings", "methods"), ("methods", "errors"),
    ("settings", "where"), ("settings", "rectangles"), ("rectangles", "errors"), ("where", "errors"),
    ("report", "screening"), ("report", "viewer"), ("report", "describing"), ("describing", "evaluation"),
    ("__main__", "cli"),
}  # fmt: skip
ONLY_IN = {
    "dask": {"executors", "runs"}, "distributed": {"executors", "runs"}, "dask_jobqueue": {"executors", "runs"},
    "keras": {"networks"}, "tensorflow": {"networks"},
    "starlette": {"viewer"}, "uvicorn": {"viewer"},
    "matplotlib": {"evaluation", "describing", "plotting", "results"},
    "napari": {"napari_plugin"}, "qtpy": {"napari_plugin"},
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


def violations(package: str, source: str) -> list[str]:
    """What a module of `package` imports against the rules."""
    found = []
    for name in sorted(imports(source)):
        top, *rest = name.split(".")
        if top in ONLY_IN and package not in ONLY_IN[top]:
            found.append(f"{package} names {top}")
        if top != "caml_dask" or not rest or rest[0] not in LAYER_OF:
            continue
        other = rest[0]
        allowed = LAYER_OF[other] < LAYER_OF[package] or other == package
        if not allowed and (package, other) not in SAME_LAYER:
            found.append(f"{package} imports {other}")
    return found


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize(("package", "path"), modules(), ids=lambda value: str(value).rsplit("caml_dask/", 1)[-1])
def test_imports_go_one_way(package, path):
    if package != "__init__":
        assert package in LAYER_OF, f"{package} has no layer: give it one, or put the module into a package that has"
        assert violations(package, path.read_text()) == []


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("spatial", "from caml_dask.pipeline import STAGES"),
        ("io", "from caml_dask.networks.trained import load"),
        ("networks", "import caml_dask.io.store"),
        ("stages", "from caml_dask.runs.session import execute"),
        ("geometry", "from caml_dask.spatial.links import merge"),
        ("stages", "def f():\n    import distributed"),
        ("runs", "import keras"),
        ("runs", "from matplotlib.figure import Figure"),
        ("evaluation", "from caml_dask.screening.screen import screen"),
        ("errors", "from caml_dask.schema import POINTS"),
        ("report", "from caml_dask.evaluation.run import evaluate"),
        ("report", "from starlette.requests import Request"),
        ("pipeline", "import caml_dask.report"),
        ("executors", "from caml_dask.runs.session import execute"),
        ("runs", "from caml_dask.screening.ledger import Ledger"),
    ],
)
def test_an_import_turned_round_is_seen(package, line):
    assert violations(package, line)


def test_kernels_do_not_need_each_other_or_heavy_packages():
    """Each kernel can be imported by itself, without Dask, Keras or readers."""
    for kernel in (
        "spatial.partition",
        "spatial.neighbors",
        "spatial.links",
        "geometry.measure",
        "stats",
        "metrics",
        "simulate",
        "baselines",
    ):
        loaded = run(f"import sys, caml_dask.{kernel}; print(*sys.modules)").split()
        assert not {"dask", "distributed", "keras", "tensorflow", "caml_dask.io", "caml_dask.networks"} & set(loaded)


def test_importing_the_package_loads_nothing_heavy():
    loaded = set(run("import sys, caml_dask; print(*sys.modules)").split())
    assert not {"keras", "tensorflow", "dask", "distributed", "scipy", "numpy", "pyarrow", "numba", "sklearn"} & loaded


def test_a_run_of_the_command_loads_no_more_than_it_needs(tmp_path):
    code = (
        "import sys, numpy; from click.testing import CliRunner; from caml_dask.cli import main\n"
        "numpy.savetxt('t.csv', 1e3 * numpy.random.rand(200, 2), delimiter=',', header='x [nm],y [nm]', comments='')\n"
        "done = CliRunner().invoke(main, ['run', 't.csv', '--out', 'out'])\n"
        "print(done.exit_code, *sys.modules)"
    )
    done, *loaded = run(code, tmp_path).split()
    assert done == "0"
    assert not {"matplotlib", "distributed", "scipy.stats", "tensorflow"} & set(loaded)


def test_scoring_loads_neither_keras_nor_tensorflow_nor_dask():
    code = "import sys, numpy; from caml_dask import CAML; CAML().fit(numpy.random.rand(200, 2)); print(*sys.modules)"
    assert not {"keras", "tensorflow", "dask", "distributed"} & set(run(code).split())


def run(code: str, folder: Path | None = None) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder).stdout
