"""Files that stand whole or not at all: written under a working name, synced, renamed (DESIGN law 6)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caml_dask.errors import DiskFullError
from caml_dask.groups import is_shared, make_folder, open_to_group

FULL = (errno.ENOSPC, errno.EDQUOT)
WORKING = ".*.working"  # names that files have until they are published
_SEAL = "seal"


def publish(path: Path, write: Callable[[Path], object], lasting: bool = True) -> None:
    """Write a file or a directory of files under a working name, sync it and rename it into place (DESIGN law 6).

    lasting : its new name is synced too; if not, that is left to the caller, by :func:`sync` of the folder it is in

    Raises
    ------
    DiskFullError : no room for it is left; a file that stood at `path` before still does.
    """
    path = path.absolute()  # Arrow takes a relative name with a colon for a URI
    working = path.with_name(f".{path.name}.{uuid.uuid4().hex}.working")
    try:
        with room_for(path):
            make_folder(path.parent)
            write(working)
            shared = is_shared(path.parent)
            for file in sorted(working.rglob("*"), reverse=True) if working.is_dir() else ():
                sync(file, shared)
            sync(working, shared)  # last: until then nobody else can put a link in the place of a file in it
            if path.is_dir():
                shutil.rmtree(path)
            working.replace(path)
            if lasting:
                sync(path.parent)
    finally:
        if working.is_dir():
            shutil.rmtree(working)
        else:
            working.unlink(missing_ok=True)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Say it in words where the disk of `path` is full.

    Raises
    ------
    DiskFullError
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(
            f"no room is left on the disk of {path}: make room and run again with --resume; what is done is kept"
        ) from error


def sweep(working: Iterable[Path]) -> None:
    """Remove working files that were left behind by who was killed. Only for who holds the directory's lock."""
    for path in sorted(working):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Publish a text file."""
    publish(path, lambda working: working.write_text(text, encoding="utf-8"))


def publish_if_new(path: Path, text: str) -> None:
    """Publish a text file unless it holds just that."""
    try:
        stands = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        stands = False
    if not stands:
        publish_text(path, text)


def publish_json(path: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    """Publish a mapping as JSON under a seal, a digest of itself, by which :func:`read_json` tells damage."""
    publish_text(path, sealed(content, indent))


def publish_json_of(path: Path, content: Mapping[str, Any], name: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Publish a mapping as :func:`publish_json` does, with a list of further mappings under `name`, one a line.

    The items are taken one after another, and none is kept.
    """

    def write(working: Path) -> None:
        seal = hashlib.blake2b(digest_size=16)
        keys = sorted([*content, name])
        before, after = keys[: keys.index(name)], keys[keys.index(name) + 1 :]
        seal.update(
            ("{" + "".join(f"{_member(key, content[key])}, " for key in before) + f"{json.dumps(name)}: [").encode()
        )
        with working.open("w", encoding="utf-8") as file:
            file.write("{\n" + "".join(f"{json.dumps(key)}: {json.dumps(content[key])},\n" for key in content))
            file.write(f"{json.dumps(name)}: [")
            for number, item in enumerate(items):
                seal.update((", " * (number > 0) + json.dumps(item, sort_keys=True)).encode())
                file.write(",\n" * (number > 0) + json.dumps(item))
            seal.update(("]" + "".join(f", {_member(key, content[key])}" for key in after) + "}").encode())
            file.write(f'],\n"{_SEAL}": "{seal.hexdigest()}"}}')

    publish(path, write)


def _member(key: str, value: Any) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}"


def sealed(content: Mapping[str, Any], indent: int | None = None) -> str:
    """A mapping as JSON under its seal."""
    return json.dumps({**content, _SEAL: _seal_of(content)}, indent=indent)


def read_json(path: Path) -> dict[str, Any]:
    """Read back what :func:`publish_json` wrote.

    Raises
    ------
    OSError : it cannot be read.
    ValueError : it is damaged.
    """
    return parsed(path.read_text(encoding="utf-8"))


def parsed(text: str) -> dict[str, Any]:
    """What :func:`sealed` made a text of.

    Raises
    ------
    ValueError : it is damaged.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.pop(_SEAL, None) != _seal_of(content):
        raise ValueError("its content does not fit the digest in it")
    return content


def _seal_of(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def fingerprint(path: Path) -> list[int | str] | None:
    """Size in bytes and BLAKE2b of a file, or of all files of a directory; None where there is none."""
    if not path.exists():
        return None
    digest, size = hashlib.blake2b(digest_size=16), 0
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
                size += len(block)
    return [size, digest.hexdigest()]


def sync(path: Path, shared: bool = False) -> None:
    """Wait until a file's content, or a folder's names, are on the disk.

    shared : make it writable for the group too; not what a link leads to
    """
    handle = os.open(path, os.O_RDONLY | (os.O_NOFOLLOW if shared else 0))
    try:
        if shared:
            open_to_group(handle)
        os.fsync(handle)
    finally:
        os.close(handle)
