"""What the page asks for, as a Starlette application. No part of a request becomes a path of the file system: files of
the page are read when it starts, and images are found by their ids."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from caml_dask.errors import CamlError, UsageError
from caml_dask.results.image import ImageResult
from caml_dask.viewer.about import MOST_OUTLINES, MOST_POINTS, about
from caml_dask.viewer.clusters import Range
from caml_dask.viewer.guard import Guard
from caml_dask.viewer.library import Library
from caml_dask.viewer.packs import column_pack, points_pack, tile_pack
from caml_dask.viewer.points import Box
from caml_dask.viewer.shelf import Prepared

PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
_FRESH = {"Cache-Control": "no-store"}
_KEPT = {"Cache-Control": "private, max-age=3600"}  # the address names the results by their digest
_LEAST_GZIPPED = 2048
_Of = Callable[[Request, Prepared], Response]
_Answer: TypeAlias = Callable[[Request], Response]


def application(library: Library, token: str) -> ASGIApp:
    """The application.

    Parameters
    ----------
    library : Library
        The run or screening.
    token : str
        What every address begins with.

    Returns
    -------
    ASGI application
        It answers who knows the token, and only reads.
    """
    image = "/images/{image_id}"
    of = f"{image}/{{digest}}"
    routes = [
        *(Route(f"/{name}", _file(path)) for name, path in _files().items()),
        Route("/", _file(PAGE / "index.html")),
        Route("/run", lambda _: JSONResponse(library.listed(), headers=_FRESH)),
        Route(f"{image}/picture", _picture(library)),
        Route(f"{image}/state", _state(library)),
        Route(f"{of}/about", _prepared(library, lambda request, image: _about(request, image, library))),
        Route(f"{of}/columns/{{name}}", _prepared(library, _column)),
        Route(f"{of}/rows/{{row:int}}", _prepared(library, _row)),
        Route(f"{of}/rows/{{row:int}}/outline", _prepared(library, _outline)),
        Route(f"{of}/tiles/{{level:int}}/{{row:int}}/{{column:int}}", _prepared(library, _tile)),
        Route(f"{of}/points", _prepared(library, _points)),
        Route(f"{of}/outlines", _prepared(library, _outlines)),
    ]
    gzip = Middleware(GZipMiddleware, minimum_size=_LEAST_GZIPPED, compresslevel=1)
    handlers = {CamlError: _told, HTTPException: _told}
    app = Starlette(routes=routes, middleware=[gzip], exception_handlers=handlers)  # type: ignore[arg-type]
    app.router.redirect_slashes = False  # it would redirect without the token
    return Guard(app, token)


def _files() -> dict[str, Path]:
    """The files of the page by their names in it."""
    return {path.relative_to(PAGE).as_posix(): path for path in sorted(PAGE.rglob("*.*")) if path.suffix in _TYPES}


def _file(path: Path) -> _Answer:
    content, kind = path.read_bytes(), _TYPES[path.suffix]
    return lambda _: Response(content, media_type=f"{kind}; charset=utf-8", headers=_FRESH)


def _told(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400 if isinstance(error, UsageError) else 500
    text = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": text}, status, headers=_FRESH)


def _named(library: Library, request: Request) -> ImageResult:
    found = library.image(request.path_params["image_id"])
    if found is None:
        raise HTTPException(404, "there is no such image, or it is not done")
    return found


def _picture(library: Library) -> _Answer:
    def answer(request: Request) -> Response:
        found = library.picture(_named(library, request).image_id)
        if found is None:
            raise HTTPException(404, "its picture is missing or altered")
        return Response(found, media_type="image/png", headers=_FRESH)

    return answer


def _state(library: Library) -> _Answer:
    def answer(request: Request) -> Response:
        image = _named(library, request)
        return JSONResponse({**library.state(image), "digest": image.digest}, headers=_FRESH)

    return answer


def _prepared(library: Library, of: _Of) -> _Answer:
    """Answers from an image that is prepared, of the results that the request names."""

    def answer(request: Request) -> Response:
        image = _named(library, request)
        prepared = library.prepared(image)
        if prepared is None or request.path_params["digest"] != image.digest:
            raise HTTPException(409, "the results have changed, or are not prepared yet: load the page again")
        return of(request, prepared)

    return answer


def _about(request: Request, image: Prepared, library: Library) -> Response:
    summary = _named(library, request).summary
    return JSONResponse(about(image.clusters, "score" in image.points.names, image.grid, summary), headers=_KEPT)


def _column(request: Request, image: Prepared) -> Response:
    return _bytes(column_pack(image.clusters, request.path_params["name"]))


def _row(request: Request, image: Prepared) -> Response:
    return JSONResponse(image.clusters.row(request.path_params["row"]), headers=_KEPT)


def _outline(request: Request, image: Prepared) -> Response:
    found = image.clusters.outline(request.path_params["row"], _pixel(request))
    return JSONResponse({"outline": found}, headers=_KEPT)


def _tile(request: Request, image: Prepared) -> Response:
    level, row, column = (request.path_params[name] for name in ("level", "row", "column"))
    return _bytes(tile_pack(image.pyramid, level, row, column))


def _points(request: Request, image: Prepared) -> Response:
    return _bytes(points_pack(image.points, _box(request), MOST_POINTS))


def _outlines(request: Request, image: Prepared) -> Response:
    ranges = [_range(text) for text in request.query_params.getlist("filter")]
    total, outlines = image.clusters.outlines_inside(_box(request), _pixel(request), ranges, MOST_OUTLINES)
    return JSONResponse({"total": total, "outlines": outlines}, headers=_KEPT)


def _bytes(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream", headers=_KEPT)


def _box(request: Request) -> Box:
    text = request.query_params.get("box", "")
    box = [_number(part, "box") for part in text.split(",")]
    if len(box) != 4 or not (box[0] <= box[2] and box[1] <= box[3]):
        raise UsageError(f"box={text!r} is no rectangle: give x0,y0,x1,y1 in nm")
    return box


def _pixel(request: Request) -> float:
    px_nm = _number(request.query_params.get("px", ""), "px")
    if px_nm <= 0:
        raise UsageError(f"px={px_nm:g} is no size of a pixel: give a positive number of nm")
    return px_nm


def _range(text: str) -> Range:
    """A range as `measure:low:high`; a side that is left out is open."""
    measure, *sides = text.split(":")
    if len(sides) != 2:
        raise UsageError(f"filter={text!r} is no range: give measure:low:high")
    low, high = (
        open_side if side == "" else _number(side, "filter") for side, open_side in zip(sides, (-math.inf, math.inf))
    )
    return Range(measure, low, high)


def _number(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"{name}: {text[:40]!r} is no number")
    return found
