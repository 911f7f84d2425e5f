"""A headless Chromium, driven by its debugging protocol over a pipe; it reaches nothing but this machine."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_S = 30.0


class BrowserError(Exception):
    """What the browser, or a script in its page, did not do."""


class Browser:
    """One page of a browser.

    profile : a folder for it
    """

    def __init__(self, profile: Path, size: tuple[int, int] = (1300, 850)):
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
            *(f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "--remote-debugging-pipe"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"),
        ]
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._rest, self._session, self.said = 0, b"", None, []
        pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        found = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **parameters: object) -> dict:
        """What a method of the protocol answers; errors of the page meanwhile are kept in `said`."""
        number = self._ask(method, parameters)
        while True:
            answer = self._message()
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(answer["error"])
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown" or _is_error(answer):
                self.said.append(json.dumps(answer["params"]))

    def _ask(self, method: str, parameters: dict) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._number

    def _message(self) -> dict:
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], WAIT_S)[0]:
                raise BrowserError("the browser does not answer")
            self._rest += os.read(self._from, 1 << 20)
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> object:
        """The value of a script of the page; promises are awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str) -> object:
        """The first value of a script that is not false, null or empty; elements of the page have none."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
            if "exceptionDetails" not in answer and (found := answer["result"].get("value")):
                return found
            time.sleep(0.05)
        raise BrowserError(f"{script} stays false; the page says: {self.said}")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """The left button, pressed, moved or released: `kind` is mousePressed, mouseMoved or mouseReleased."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def turn(self, x: float, y: float, by: float) -> None:
        """The wheel, at a place; less than 0 is away from the user."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def press(self, key: str) -> None:
        """Press a key. No answer is waited for: a frame that its key closes gives none."""
        text = {"text": key} if len(key) == 1 else {}
        self._ask("Input.dispatchKeyEvent", {"type": "keyDown", "key": key, **text})
        self._ask("Input.dispatchKeyEvent", {"type": "keyUp", "key": key})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


def _is_error(event: dict) -> bool:
    return event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error"
