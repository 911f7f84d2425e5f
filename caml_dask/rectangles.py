"""Rectangles in nm as an option takes them: ``x=1000..5000,y=0..2000``, several separated by semicolons."""

from __future__ import annotations

import math
import re

from caml_dask.errors import UsageError

_SPAN = r"\s*=\s*([^.,;]+(?:\.\d+)?)\s*\.\.\s*([^,;]+?)\s*"
_RECTANGLE = re.compile(rf"\s*x{_SPAN},\s*y{_SPAN}")


def is_rectangles(text: str) -> bool:
    """Whether a text is meant as rectangles and not as a path."""
    return re.match(r"\s*[xy]\s*=", text) is not None


def parse_rectangles(text: str) -> list[tuple[float, float, float, float]]:
    """Rectangles that a text describes.

    Parameters
    ----------
    text : str
        ``x=FROM..TO,y=FROM..TO`` in nm; several are separated by semicolons.

    Returns
    -------
    list of (float, float, float, float)
        x0, y0, x1, y1 of each, in nm.

    Raises
    ------
    UsageError
        A part of the text is no rectangle, or spans no area.
    """
    found = []
    for part in text.split(";"):
        match = _RECTANGLE.fullmatch(part)
        try:
            if match is None:
                raise ValueError(part)
            x0, x1, y0, y1 = map(float, match.groups())
        except ValueError:
            raise UsageError(
                f"--roi {text!r}: {part.strip()!r} is no rectangle: give it in nm, such as x=1000..5000,y=0..2000"
            ) from None
        if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, x1, y0, y1)))):
            raise UsageError(f"--roi {text!r}: {part.strip()!r} spans no area: give the lower end of x and y first")
        found.append((x0, y0, x1, y1))
    return found
