"""A headless Chromium that tests drive over DevTools' pipe: no port, and no package beside the
browser itself."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run")
AS_3_AND_4 = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
"""The browser reads orders from file 3 and answers on file 4."""


class Page:
    """A page of the browser. said: what came on the console, and every exception."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, os.fdopen(answers, "rb", buffering=0)
        self._rest, self._count, self._session = b"", 0, ""
        self.said: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        """Another screen, scheme "light" or "dark"."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self._ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def on_paper(self) -> None:
        """From now on the page looks as it does in print."""
        self._ask("Emulation.setEmulatedMedia", media="print")

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded and drawn."""
        self._ask("Page.navigate", url=url)
        self._until("Page.loadEventFired")
        self.drawn()

    def run(self, script: str) -> Any:
        """What an expression comes to, once the page has drawn what came of it."""
        answer = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        self.drawn()
        return answer["result"].get("value")

    def drawn(self) -> None:
        """Wait for two frames of the screen: what was due in the first is there."""
        frame = "new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(() => then(0))))"
        self._ask("Runtime.evaluate", expression=frame, awaitPromise=True)

    def press(self, key: str) -> None:
        """A key goes down and up."""
        text = {"text": key} if len(key) == 1 else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.drawn()

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _ask(self, method: str, **params: Any) -> Any:
        self._count += 1
        order = {"id": self._count, "method": method, "params": params}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._count:
                assert "error" not in told, told["error"]
                return told["result"]

    def _until(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            read = self._answers.read(1 << 16)
            assert read, "the browser has gone"
            self._rest += read
        one, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(one)
        if told.get("method") in (
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
        ):
            self.said.append(json.dumps(told["params"]))
        return told


@contextmanager
def open_page(folder: Path) -> Iterator[Page]:
    """A page of a fresh browser, whose files lie in `folder`."""
    assert CHROMIUM is not None
    (orders, to_browser), (from_browser, answers) = os.pipe(), os.pipe()
    # 3 and 4 are the browser's
    mine = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (orders, answers)]
    command = [
        sys.executable,
        "-c",
        AS_3_AND_4,
        *map(str, mine),
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={folder}",
    ]
    with subprocess.Popen(command, pass_fds=mine, stderr=subprocess.DEVNULL) as browser:
        for end in (*mine, orders, answers):
            os.close(end)
        try:
            yield Page(to_browser, from_browser)
        finally:
            browser.terminate()
            os.close(to_browser)
