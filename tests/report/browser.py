"""A headless Chromium, driven over its DevTools protocol; tests skip by name where there is none."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_SECONDS = 60.0


@dataclass(kw_only=True)
class Tab:
    """One page. `requests`: every address that it asked for; `complaints`: errors of scripts, and refusals by its policy."""

    socket: ClientConnection
    number: int = 0
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    loaded: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=PATIENCE_SECONDS))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["params"]["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])
        elif event.get("method") == "Page.loadEventFired":
            self.loaded += 1

    def open(self, address: str) -> None:
        """Load an address and wait until its scripts have run. Where only the fragment changes, the page stays loaded."""
        before = self.loaded
        anew = "loaderId" in self.call("Page.navigate", url=address)
        end = time.monotonic() + PATIENCE_SECONDS
        while self.run("document.readyState") != "complete" or (anew and self.loaded == before):
            assert time.monotonic() < end, f"{address} does not load"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.run(script):
            assert time.monotonic() < end, f"{script} does not come true"
            time.sleep(0.05)

    def picture(self, path: Path, *, width: int, dark: bool = False, part: str = "body") -> None:
        """A PNG of the element that a selector names, in a window of this width in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(part)}).getBoundingClientRect();"
            "return [b.x + scrollX, b.y + scrollY, b.width, b.height] })()"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self, path: Path) -> None:
        """The page as it prints on A4."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]))


@contextlib.contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, whose profile is in `folder`. Skips the test where there is no Chromium."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(PROGRAMS)}, and none is installed")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0")
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
    browser = subprocess.Popen(
        [program, *flags, *quiet, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = _port(browser, folder / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE_SECONDS) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            found = Tab(socket=socket)
            for domain in ("Page", "Runtime", "Network", "Log"):
                found.call(f"{domain}.enable")
            yield found
    finally:
        browser.terminate()
        browser.wait(timeout=PATIENCE_SECONDS)


def _port(browser: subprocess.Popen[bytes], file: Path) -> int:
    end = time.monotonic() + PATIENCE_SECONDS
    while not (file.is_file() and file.read_text().strip()):
        assert browser.poll() is None, f"the browser ended with code {browser.returncode}"
        assert time.monotonic() < end, "the browser opens no port"
        time.sleep(0.05)
    return int(file.read_text().split()[0])
