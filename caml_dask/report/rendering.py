"""Templates filled in: every text is escaped, and nothing is written that HTML, SVG or UTF-8 cannot hold."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caml_dask.io.csv_text import writable
from caml_dask.report import numbers
from caml_dask.report.plots import DRIFT_LEFT_PX, DRIFT_PX, LEFT_PX, PLOT_PX, RIGHT_PX, TOP_PX

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
_OPTION = re.compile(r"(^|[ (])(--[a-z]+(?:-[a-z]+)*)")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


@cache
def environment() -> jinja2.Environment:
    """The environment of the templates: what they print is escaped, and an unknown name is an error."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {name: getattr(numbers, name) for name in ("number", "median", "probability", "effect")}
    found.filters["whole_options"] = whole_options
    places = {"left": LEFT_PX, "right": RIGHT_PX, "top": TOP_PX, "height": PLOT_PX, "drift_left": DRIFT_LEFT_PX}
    places |= {"drift_height": DRIFT_PX}
    found.globals |= {"ratio": numbers.ratio, "at": places}
    return found


def whole_options(text: str) -> str:
    """A sentence, escaped, whose options of the command line are kept in one line, and whose um is µm."""
    from markupsafe import Markup, escape

    written = re.sub(r"\bum(2|3)?\b", lambda found: "µm" + {None: "", "2": "²", "3": "³"}[found[1]], str(escape(text)))
    return Markup(_OPTION.sub(r"\1<code>\2</code>", written))


def printable(text: Any) -> str:
    """Text with what XML and UTF-8 cannot hold, such as control characters in names of files, spelled out."""
    return writable(_NOT_IN_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text)))
