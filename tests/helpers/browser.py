"""Debian's Chromium without a window, driven by its own protocol (CDP)."""

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60  # after which what a test waits for counts as not coming
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required", "--force-prefers-reduced-motion",
    "--remote-debugging-port=0", "--remote-allow-origins=*",
)  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40, "End": 35, "Home": 36}


def find_browser() -> str:
    """The browser's program; a test without one is skipped."""
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium: apt-get install chromium")


class Browser:
    """A browser with one page.

    Args:
        folder: of its profile.
        size: of the page, pixels.
    """

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 800)) -> None:
        program = find_browser()
        flags = [*FLAGS, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}"]
        self._process = subprocess.Popen(
            [program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.errors: list[str] = []  # exceptions and messages of errors on the page
        self._number = 0
        try:
            self._connect(folder)
            for domain in ("Page", "Runtime", "Log"):
                self.send(f"{domain}.enable")
            self.send(
                "Emulation.setDeviceMetricsOverride",
                width=size[0], height=size[1], deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
        except BaseException:
            self._process.kill()
            raise

    def _connect(self, folder: Path) -> None:
        from urllib.request import urlopen

        import websocket

        end = time.monotonic() + SECONDS
        while True:
            try:
                port = (folder / "DevToolsActivePort").read_text().split()[0]
                with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                address = pages[0]["webSocketDebuggerUrl"]
                break
            except (OSError, IndexError):
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
        self._socket = websocket.create_connection(address, timeout=SECONDS)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type | None, error: Exception | None, trace: TracebackType) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()

    def send(self, method: str, **values) -> dict:
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                self.errors.append(
                    details.get("exception", details).get("description", str(details))
                )
            elif message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}")
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def value(self, script: str):
        """What an expression of JavaScript is; promises are waited for."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = SECONDS):
        """Wait until an expression is true; returns it."""
        end = time.monotonic() + seconds
        while True:
            if found := self.value(script):
                return found
            assert time.monotonic() < end, f"never true: {script}; errors: {self.errors}"
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector: str, modifiers: int = 0) -> None:
        """Click in the middle of an element, which must be seen there."""
        chosen = json.dumps(selector)
        self.wait(f"document.querySelector({chosen})?.getBoundingClientRect().width > 0")
        self.value(f"document.querySelector({chosen}).scrollIntoView({{block: 'nearest'}})")
        x, y = self.value(
            f"(() => {{const box = document.querySelector({chosen}).getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]})()"
        )
        self.mouse("mousePressed", x, y, modifiers)
        self.mouse("mouseReleased", x, y, modifiers)

    def mouse(self, kind: str, x: float, y: float, modifiers: int = 0, **more) -> None:
        values = {"button": "left", "clickCount": 1, "modifiers": modifiers} | more
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **values)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key. Modifiers: 2 for Control, 8 for Shift."""
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        values = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        if not modifiers & 2 and (len(key) == 1 or key == "Enter"):
            values["text"] = "\r" if key == "Enter" else key
        self.send("Input.dispatchKeyEvent", type="keyDown", **values)
        self.send("Input.dispatchKeyEvent", type="keyUp", **values)

    def type(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self.value(f"document.querySelector({json.dumps(selector)}).select()")
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", text=text)

    def screenshot(self, file: Path) -> None:
        found = self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(found["data"]))
