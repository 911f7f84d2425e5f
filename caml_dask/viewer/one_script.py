"""The modules of the page as one script, for a page without a server: there, no module can load another."""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def one_script(folder: Path, first: str) -> str:
    """A module with all that it imports: each is a function that returns what it exports.

    Parameters
    ----------
    folder : Path
        Where the modules are. Each imports names of others by whole lines, and exports declarations.
    first : str
        The module that is run, without its ending.

    Returns
    -------
    str
        The script.
    """
    written: dict[str, str] = {}
    _write(folder, first, written)
    return "\n".join(written.values())


def _write(folder: Path, name: str, written: dict[str, str]) -> None:
    """Write a module behind those that it imports."""
    if name in written:
        return
    source = (folder / f"{name}.js").read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(source):
        _write(folder, other, written)
    exported = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const { \1 } = module_\2;", source))
    written[name] = f"const module_{name} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"
