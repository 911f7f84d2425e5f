"""The recipe for conda says of this package what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from caml_dask.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = yaml.safe_load((ROOT / "deploy" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
NAMED = {"dask": "dask-core", "matplotlib": "matplotlib-base"}
"""What conda-forge calls by another name: its dask and matplotlib bring more than those of PyPI."""


def of_project(requirements: list[str]) -> dict[str, set[str]]:
    """Bounds by name on conda-forge."""
    found = [Requirement(text) for text in requirements]
    return {NAMED.get(one.name, one.name.lower()): {str(bound) for bound in one.specifier} for one in found}


def of_recipe(part: str) -> dict[str, set[str]]:
    pairs = [re.fullmatch(r"([a-z0-9_-]+)(?: (\S+))?", text) for text in RECIPE["requirements"][part]]
    found = {pair[1]: set((pair[2] or "").split(",")) - {""} for pair in pairs}
    assert len(found) == len(pairs)
    return found


def test_what_it_needs():
    about = PROJECT["project"]
    python = of_project([f"python{about['requires-python']}"])
    assert of_recipe("run") == of_project(about["dependencies"]) | python
    assert of_recipe("host") == of_project(PROJECT["build-system"]["requires"]) | python | {"pip": set()}
    extras = [text for extra in EXTRAS for text in about["optional-dependencies"][extra]]
    assert of_recipe("run_constraints") == of_project(extras)


def test_what_it_is():
    about = PROJECT["project"]
    assert RECIPE["package"]["name"] == about["name"] and RECIPE["context"]["version"] == about["version"]
    assert RECIPE["about"]["summary"] == about["description"] and RECIPE["about"]["license"] == about["license"]
    assert RECIPE["about"]["license_file"] == about["license-files"]
    entries = [f"{name} = {where}" for name, where in about["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == entries
    source = (ROOT / "deploy" / "conda" / RECIPE["source"]["path"]).resolve()
    assert source == ROOT and all((source / name).is_file() for name in about["license-files"])
