"""Headless Chromium, and pages that were written for these tests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REQUIRE_BROWSER = "NORMCHECK_REQUIRE_BROWSER"
NAMES = {"browser": ("chromium", "chromium-browser", "google-chrome"), "driver": ("chromedriver",)}
Driver = Any  # selenium's, which may be missing


def found(what: str) -> str:
    """The path of the browser or its driver; without it tests are skipped, or fail where they are required."""
    for name in NAMES[what]:
        if path := shutil.which(name):
            return path
    reason = f"there is no {NAMES[what][0]}: apt-get install chromium chromium-driver"
    if os.environ.get(REQUIRE_BROWSER):
        pytest.fail(f"{REQUIRE_BROWSER} is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """One browser for all tests."""
    browser, program = found("browser"), found("driver")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = browser
    arguments = ["--headless=new", "--disable-dev-shm-usage", "--window-size=1200,1000"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start as root without
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options=options, service=ChromeService(program))
    yield started
    started.quit()


@pytest.fixture
def opened(driver: Driver) -> Callable[[Path], Driver]:
    """Open a page from disk, as it looks on first sight: a light one of the usual width."""

    def opened(page: Path, *, dark: bool = False, phone: bool = False) -> Driver:
        driver.get_log("browser")  # what earlier pages said
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        if phone:
            size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        else:
            driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.get(page.as_uri())
        return driver

    return opened


def complaints(driver: Driver) -> list[str]:
    """What the page said on the console, and what it asked for beside itself."""
    said = [json.dumps(entry) for entry in driver.get_log("browser")]
    asked: list[str] = driver.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)"
    )
    return said + asked
