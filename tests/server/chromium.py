"""Chromium, driven by selenium, with every other host out of reach and everything written down."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bams3.server.page import IGV, STATIC

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1400,1000", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def missing() -> str | None:
    """Return why nothing can be drawn here."""
    if not (STATIC / IGV).is_file():
        return "igv.js is missing: `make setup` fetches it"
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return "Chromium is not installed: apt-get install chromium chromium-driver"
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed: `make setup`"
    return None


class Tab:
    """A page in the browser, and what it did."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def run(self, script: str, *arguments: object) -> Any:
        return self._driver.execute_script(script, *arguments)

    def open(self, url: str) -> None:
        """Load a page anew, even where only the fragment differs."""
        self._driver.get("about:blank")
        self._driver.get(url)

    def until(self, condition: str, *arguments: object, seconds: float = 25) -> Any:
        """Wait until a script returns something true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(condition, *arguments)
            if found:
                return found
            time.sleep(0.1)
        said = self.run("return document.body.innerText")
        pytest.fail(f"waited {seconds} s for: {condition}\nthe page says: {said}")

    def emulate(self, command: str, **parameters: object) -> None:
        self._driver.execute_cdp_cmd(f"Emulation.{command}", parameters)

    def press(self, keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self._driver).send_keys(keys).perform()

    def type(self, selector: str, text: str) -> None:
        element = self._driver.find_element("css selector", selector)
        element.clear()
        element.send_keys(text)

    def click(self, selector: str) -> None:
        self._driver.find_element("css selector", selector).click()

    def screenshot(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """Return warnings and errors of the console since the last call; CSP violations too."""
        entries = self._driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] not in ("INFO", "DEBUG")]

    def requested(self) -> set[str]:
        """Return the origins of all requests of pages since the last call, beside the browser's."""
        found = set()
        for entry in self._driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                url = message["params"].get("request", message["params"])["url"]
                parts = urlsplit(url)
                if parts.scheme in ("http", "https", "ws", "wss", "ftp"):
                    found.add(f"{parts.scheme}://{parts.netloc}")
        return found


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """Start it with an empty profile."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Tab(driver)
    finally:
        driver.quit()
