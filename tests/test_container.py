"""The recipe of the container: what it pins is what pyproject.toml asks for, and it runs as no one's root."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "container"
RECIPE = (FOLDER / "Containerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned() -> dict[str, str]:
    """Versions by name; each package has digests of its files."""
    text = (FOLDER / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        name, version, *digests = re.split(r"==|\s+", line.strip())
        assert digests and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in digests)
        found[name] = version
    return found


def test_every_package_is_pinned_within_its_bounds():
    extras = re.findall(r"--extra (\w+)", RECIPE)
    assert "train" not in extras and len(extras) == 4
    asked = [text for name in extras for text in PROJECT["optional-dependencies"][name]] + PROJECT["dependencies"]
    versions = pinned()
    for one in map(Requirement, asked):
        assert versions[one.name.lower()] in one.specifier
    assert not {"tensorflow", "keras"} & versions.keys() and "setuptools" in versions


def test_the_base_has_a_version_and_what_is_copied_is_there():
    (base,) = re.findall(r"(?m)^ARG BASE=(.+)$", RECIPE)
    assert re.fullmatch(r"[a-z./]+:\d+\.\d+-slim", base)
    copied = [name for line in re.findall(r"(?m)^COPY (.+)$", RECIPE) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    assert all(name.removeprefix("./") in copied for name in [PROJECT["readme"], "LICENSE", "pyproject.toml"])


@pytest.mark.parametrize("word", ["USER", "WORKDIR", "ENTRYPOINT"])
def test_it_runs_the_command_as_a_user_in_a_folder_of_data(word):
    expected = {"USER": "caml", "WORKDIR": "/data", "ENTRYPOINT": '["caml-dask"]'}
    assert re.findall(rf"(?m)^{word} (.+)$", RECIPE) == [expected[word]]
    assert "--require-hashes" in RECIPE and f"useradd --create-home --uid 1000 {expected['USER']}" in RECIPE
