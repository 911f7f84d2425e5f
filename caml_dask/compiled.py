"""How kernels are compiled and where they are kept: all that this package asks of numba's compiler, in one place.

A kernel is compiled when it is first called and kept on disk: in `NUMBA_CACHE_DIR`, beside its source, or in the user's
cache folder. Where none of these can be written, the processes of a run share a folder that is removed at its end.
"""

from __future__ import annotations

import atexit
import glob
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.types import unliteral  # type: ignore[attr-defined]

_log = logging.getLogger("caml_dask")
_PACKAGE = Path(__file__).parent
_kernels: list[Any] = []  # all that are made, in any module
_HINT = "set NUMBA_CACHE_DIR to a folder of your own to keep them"


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel: compiled when first called, kept on disk, and free of the interpreter's lock while it runs.

    options : of `numba.njit`, beside these.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
        kept = _kept(function)
        if kept is not None:
            kernel._cache = kept
        kernel.get_call_template = _general(kernel.get_call_template)
        _kernels.append(kernel)
        return kernel

    return decorate


def is_kept(kernel: Any, axes: int | None = None) -> bool:
    """Whether a kernel stands on disk, compiled for this CPU.

    axes : of a kernel whose first argument is a column an axis, for how many.
    """
    return isinstance(kernel._cache, _Cache) and kernel._cache.holds(kernel.targetctx.codegen().magic_tuple(), axes)


def kept_in(kernel: Any) -> Path | None:
    """The folder in which a kernel is kept once it is compiled; None where there is none."""
    return Path(kernel._cache.cache_path) if isinstance(kernel._cache, _Cache) else None


def copy_kept(folder: Path) -> None:
    """Copy what is kept of the kernels of this process, as processes find it whose NUMBA_CACHE_DIR is `folder`.

    Raises
    ------
    OSError : a file cannot be written.
    """
    for kernel in _kernels:
        if isinstance(kernel._cache, _Cache):
            kept = kernel._cache._impl
            into = folder / kept.locator.get_suitable_cache_subpath(kernel.py_func.__code__.co_filename)
            into.mkdir(exist_ok=True)
            for path in sorted(Path(kernel._cache.cache_path).glob(f"{glob.escape(kept.filename_base)}.*")):
                if not (into / path.name).exists():
                    shutil.copyfile(path, into / path.name)


def is_temporary() -> bool:
    """Whether the kernels of this process are in a folder that is removed when it ends."""
    return _share_temporary_folder.cache_info().currsize > 0


class _Announcement(event.Listener):
    """Says once a process that kernels are being compiled, for it takes seconds."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, compilation: Any) -> None:
        """Called by numba before it compiles a function, not where it finds it on disk."""
        if compilation.data["dispatcher"].py_func.__module__.startswith("caml_dask."):
            self.make("compiling numerical kernels for this machine (once; some seconds)")

    def on_end(self, compilation: Any) -> None:
        """Nothing is said."""

    def make(self, text: str) -> None:
        """Say it, unless it has been said."""
        if not self.made:
            self.made = True
            _log.info(text)


announcement = _Announcement()
event.register("numba:compile", announcement)


def _general(template: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that calls another with a number spelled out has it compiled for all numbers, not for that one too."""

    def of(args: Any, keywords: Any) -> Any:
        return template([unliteral(a) for a in args], {name: unliteral(a) for name, a in keywords.items()})

    return of


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache, but stale as soon as a kernel that may be called has changed, and failing quietly.

    Numba looks at the time and size of the kernel's file alone, which differ between nodes that each installed the same
    package, and lets a disk that is full or a damaged file end the program.
    """

    failed = False  # said once a process

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        source = hashlib.sha256(Path(function.__code__.co_filename).read_bytes()).hexdigest()
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, (source, _sources()))

    def holds(self, cpu: Any, axes: int | None) -> bool:
        """Whether there is an entry for a CPU, as numba describes it, and that many axes."""
        with suppress(Exception):
            for signature, compiled_for, _ in self._cache_file._load_index():
                if compiled_for == cpu and axes in (None, getattr(signature[0], "count", None)):
                    return True
        return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What stands on disk for a signature; None where it cannot be read, so that it is compiled anew."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            _log.debug("%s: a compiled kernel cannot be read: %s", self._cache_path, error)
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, where that can be done."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if not _Cache.failed:
                _Cache.failed = True
                _log.warning("compiled kernels cannot be kept in %s (%s): %s", self._cache_path, error, _HINT)


def _kept(function: Callable[..., Any]) -> _Cache | None:
    """The place on disk of a kernel; None where there is not even a temporary one."""
    with suppress(RuntimeError):  # numba's word for no place that can be written
        return _Cache(function)
    with suppress(RuntimeError, OSError):
        _share_temporary_folder()
        return _Cache(function)
    return None


@cache
def _share_temporary_folder() -> None:
    """Make a folder for this process and those it starts.

    What numba keeps is code, so none but the user may write there: `mkdtemp` makes a folder that nobody could prepare.
    """
    folder = tempfile.mkdtemp(prefix="caml_dask-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
    _log.warning("no folder for compiled kernels can be written; they are in %s until this ends: %s", folder, _HINT)


@cache
def _sources() -> str:
    """Digest of the sources of all packages that hold kernels."""
    contents: dict[str, list[bytes]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        contents.setdefault(path.relative_to(_PACKAGE).parts[0], []).append(path.read_bytes())
    digest = hashlib.sha256()
    for files in contents.values():
        if any(b"@njit(" in content for content in files):
            digest.update(b"".join(files))
    return digest.hexdigest()
