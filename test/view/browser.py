"""A headless Chromium for tests, driven over its own debugging protocol; nothing but ``websockets`` is needed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


class Browser:
    """One page; use it as a context manager.

    Args:
        folder: for its profile and downloads.
        url: to open.
    """

    def __init__(self, folder: Path, url: str, size: tuple[int, int] = (1280, 720)) -> None:
        from websockets.sync.client import connect

        assert CHROMIUM is not None
        profile = folder / "profile"
        profile.mkdir(parents=True)
        self.downloads = folder / "downloads"
        flags = [
            "--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--remote-debugging-port=0", f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}",
            "--no-first-run", "--disable-gpu-vsync", "--disable-extensions",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [CHROMIUM, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            named = profile / "DevToolsActivePort"
            self.wait(lambda: named.is_file() and len(named.read_text().splitlines()) == 2, "Chromium's port")
            port = named.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
                pages = [item for item in json.load(answer) if item["type"] == "page"]
            self._socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
            self._number = 0
            self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
            self.call("Page.navigate", url=url)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._socket.close()
        self.close()

    def close(self) -> None:
        """End the process that was started here."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; events in between are left out."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        """What is written on the page."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def click(self, label: str) -> None:
        """Press the button of that name."""
        wanted = f"item => item.innerText.trim() === {json.dumps(label)}"
        script = f"[...document.querySelectorAll('button')].find({wanted})"
        self.wait(lambda: self.evaluate(f"!!{script}"), f"a button {label}")
        self.evaluate(f"{script}.click()")

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """[H, W, 3] uint8 RGB, also as a PNG file."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.asarray(picture[..., ::-1])

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Look again and again until a condition holds."""
        end = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < end, f"waited {timeout_s:g} s in vain: {what}"
            time.sleep(0.1)
        return found
