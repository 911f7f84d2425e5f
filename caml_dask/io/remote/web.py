"""Objects on web servers, by the standard library: it follows the environment's proxies and checks certificates."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO, Any

from caml_dask import __version__
from caml_dask.errors import TransferError, UsageError
from caml_dask.io.remote.objects import BLOCK_BYTES, About
from caml_dask.io.remote.retries import PassingError, persist
from caml_dask.io.remote.url import Url, shown

_TIMEOUT_S = 30.0  # without a byte
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MISSING = {404, 410}


class _NoWayDown(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https://"):
            raise UsageError(f"{shown(req.full_url)} leads to {shown(newurl)}, which is not encrypted: give that URL")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class WebObject:
    """An object on a web server.

    Raises
    ------
    UsageError : the server refuses it, or does not say how large it is.
    """

    def __init__(self, url: Url, answer: http.client.HTTPResponse):
        self._url, self._answer = url, answer
        length = answer.headers.get("Content-Length", "")
        if not length.isdecimal():
            answer.close()
            raise UsageError(f"{url}: the server does not say how large it is: download it, and give the file")
        self.about = About(int(length), _tag(answer))

    def blocks(self, start: int) -> Iterator[bytes]:
        """Its bytes from `start` on: of the first answer, or else of a new one."""
        answer = self._answer if not self._answer.isclosed() and start == 0 else self._again(start)
        try:
            with answer:
                while block := answer.read(BLOCK_BYTES):
                    yield block
        except (OSError, http.client.HTTPException) as error:
            raise PassingError(f"the connection broke ({type(error).__name__})") from None

    def close(self) -> None:
        """Read no more of it."""
        self._answer.close()

    def _again(self, start: int) -> http.client.HTTPResponse:
        answer = _ask(self._url, {"Range": f"bytes={start}-"} if start else {})
        if answer is None:
            raise TransferError(f"{self._url} was removed while it was read: correct the URL")
        if _tag(answer) != self.about.tag:
            answer.close()
            raise TransferError(f"{self._url} changed while it was read: call again")
        if start and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            _skip(answer, start)
        return answer


def open_web(url: Url) -> WebObject | None:
    """An object on a web server; None where there is none.

    Raises
    ------
    UsageError : the server refuses.
    TransferError : it does not answer.
    """
    answer = persist(f"opening {url}", lambda: _ask(url, {}))
    return None if answer is None else WebObject(url, answer)


def _ask(url: Url, headers: dict[str, str]) -> http.client.HTTPResponse | None:
    """The answer to a request; None where there is no such object.

    Raises
    ------
    UsageError : the server refuses for good.
    PassingError : another time it may answer.
    """
    address = f"{url}?{url.query}" if url.query else str(url)
    known = {"User-Agent": f"caml_dask/{__version__}", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(address, headers=known | headers)
        found: http.client.HTTPResponse = urllib.request.build_opener(_NoWayDown).open(request, timeout=_TIMEOUT_S)
        return found
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _MISSING:
            return None
        if error.code in _PASSING:
            raise PassingError(f"the server answers {error.code}") from None
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise TransferError(f"{url} changed while it was read: call again") from None
        raise UsageError(f"{url}: the server answers {error.code} ({error.reason}): check the URL") from None
    except urllib.error.URLError as error:
        raise PassingError(f"the server cannot be reached ({error.reason})") from None
    except http.client.InvalidURL:
        raise UsageError(f"{url} is no valid URL: spaces and other characters are written as %20 and so on") from None
    except (OSError, http.client.HTTPException) as error:
        raise PassingError(f"the connection broke ({type(error).__name__})") from None


def _tag(answer: http.client.HTTPResponse) -> str:
    return (answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "").strip('"')


def _skip(answer: http.client.HTTPResponse, count: int) -> None:
    """Read over the first bytes, of a server that does not know ranges."""
    left = count
    try:
        while left and (block := answer.read(min(left, BLOCK_BYTES))):
            left -= len(block)
    except (OSError, http.client.HTTPException) as error:
        raise PassingError(f"the connection broke ({type(error).__name__})") from None
