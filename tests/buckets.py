"""A server that speaks S3 for tests, and a proxy before it that fails in ways servers and networks do."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

SECRET = "a-secret-that-nobody-may-print"
_HOP = {"connection", "transfer-encoding", "keep-alive", "server", "date"}


@contextmanager
def server() -> Iterator[str]:
    """The address of a server of moto's."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        yield "http://{}:{}".format(*running.get_host_and_port())
    finally:
        running.stop()


def client(address: str):
    """boto3's client of a server: an oracle that shares no code with Arrow."""
    return boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key=SECRET
    )


@contextmanager
def environment(address: str) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a user of that server, and nothing of this machine's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ENDPOINT_URL", address)
        yield patch


class Proxy:
    """Stands before a server; `fate` of a request's number, from 0, its method and path says what becomes of it.

    "" hands it on; a number is answered as a status; "cut" breaks the connection in the middle of the answer's body;
    "lost" hands it on and breaks the connection without an answer; "altered" hands on another body than was sent.
    """

    def __init__(self, address: str, fate: Callable[[int, str, str], str]):
        self.fates: Counter[str] = Counter()
        self.seen: list[tuple[str, str]] = []
        proxy, count, lock = self, iter(range(1 << 30)), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self._body()
                with lock:
                    fate_now = fate(next(count), self.command, self.path)
                    proxy.fates[fate_now] += 1
                    proxy.seen.append((self.command, self.path))
                if fate_now.isdecimal():
                    self.send_response(int(fate_now))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if fate_now == "altered" and self.command == "PUT":
                    at = body.index(b"\r\n") + 2 if "aws-chunked" in self.headers.get("Content-Encoding", "") else 0
                    body = body[:at] + bytes([255 - body[at]]) + body[at + 1 :]
                onward = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
                kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                onward.request(self.command, self.path, body, kept | {"Content-Length": str(len(body))})
                answer = onward.getresponse()
                content = answer.read()
                onward.close()
                if fate_now == "lost":
                    self._break()
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP | {"content-length"}:
                        self.send_header(name, value)
                head = self.command == "HEAD"
                self.send_header("Content-Length", answer.headers.get("Content-Length") if head else str(len(content)))
                self.end_headers()
                self.wfile.write(b"" if head else content[: len(content) // 2] if fate_now == "cut" else content)
                if fate_now == "cut":
                    self.wfile.flush()
                    self._break()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _break(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *_: object) -> None:
                pass

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def one_in_five(number: int, method: str, path: str) -> str:
    """Every fifth request fails, by turns in each way."""
    return ("503", "cut", "lost")[number // 5 % 3] if number % 5 == 4 else ""
