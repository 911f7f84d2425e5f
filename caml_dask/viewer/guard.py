"""Who is answered: who knows the token, by a name of this machine, and asks to read."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Names in the Host header; the port may be another, such as that of an SSH tunnel."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Hands on what may be asked, with the token taken off its path; refuses all else.

    The name in the Host header is checked because a page of another site can have its own name lead to this machine
    (DNS rebinding), and would then count as the same origin.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str
        The first part of the path of every address.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no lifespan, and no websocket

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refused(scope)
        if answer is not None:
            await answer(scope, receive, sending)
            return
        path = "/" + scope["path"].split("/", 2)[2]
        await self._app({**scope, "path": path}, receive, sending)

    def _refused(self, scope: Scope) -> Response | None:
        """What those get whom the application does not answer."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or _name(hosts[0].decode("latin-1")) not in NAMES:
            return PlainTextResponse("This page is served to this machine alone, as 127.0.0.1 or localhost.", 403)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This page can only be read.", 405, {"Allow": "GET, HEAD"})
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            return PlainTextResponse("Open the address that caml-dask view printed, with the token in it.", 403)
        return None if slash else RedirectResponse(f"/{token}/", 308)


def _name(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()
