"""Texts of a screening that run where a page takes them for markup, and what such a page would reach."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import cohorts


def payload(place: str, port: int = 9) -> str:
    """Text that runs and asks for something, where a page takes it for markup; and where it tells from which place."""
    return (
        f"""{place}"'><script>document.title='{place}'</script><img src="http://127.0.0.1:{port}/{place}" """
        f"""onerror="document.title='{place}'"></style></svg>{{{{7*7}}}}"""
    )


FACTS = ("digest", "machine", "network", "settings", "versions")


def poison(root, port):
    """Put a payload into every text of a screening that reaches the page; returns the places."""
    whole = cohorts.read(root)
    text = functools.partial(payload, port=port)
    places = [
        "unusual",
        "version",
        *FACTS,
        "factor",
        "factor-value",
        "condition",
        "channel",
        "path",
        "image-id",
        "warning",
    ]
    whole["unusual"] = [text("unusual")]
    whole["caml_dask"] = text("version")
    whole["digest"] = text("digest")
    whole["machine"] = {"processor": text("machine"), "scoring": text("machine")}
    whole["network"] = {"name": text("network"), "weights_sha256": text("network")}
    whole["settings"] = {text("settings"): text("settings"), "columns": {"x": text("settings")}}
    whole["versions"] = {text("versions"): text("versions")}
    for entry in whole["images"]:
        condition = f"{entry['factors']['condition']} {text('condition')}"
        entry["factors"] = {"condition": condition, text("factor"): text("factor-value")}
        entry.update(warnings=[text("warning")], path=text("path"), image_id=text("image-id"), channel=text("channel"))
        if "reason" in entry:
            entry["reason"] = text("reason")
    cohorts.write(root, whole)
    return [*places, "reason"]


class Markup(HTMLParser):
    """What a page is made of: elements with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """What a page would reach outside: the port of a server on this machine, and the paths that it is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], asked
    server.shutdown()
