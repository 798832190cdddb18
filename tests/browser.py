"""A real browser for the tests of pages: how it is found and started, and what every page is asked."""

import base64
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
WIDE, NARROW = 1280, 360


def start(profile: Path) -> webdriver.Chrome:
    """A browser with a profile of its own. Skips where there is none."""
    # a browser may also be a script that only says how to install one
    if CHROMIUM is None or DRIVER is None or subprocess.run([CHROMIUM, "--version"], timeout=60).returncode:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def resize(
    browser: webdriver.Chrome, width: int, scheme: str = "light", motion: str = "no-preference"
) -> None:
    """A window of this width, for a person who wants this of colours and of motion."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    media = {"features": [{"name": name, "value": value} for name, value in features.items()]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def too_wide(browser: webdriver.Chrome, loose: str) -> tuple[int, list[str], list[int]]:
    """The page's width, what stands out of the window but for these, and the tab places of boxes that scroll."""
    script = """
      const held = (one) => !one.closest(arguments[0]);
      const wide = [...document.querySelectorAll("body *")].filter(held)
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
        .map((one) => one.outerHTML.slice(0, 80));
      const boxes = [...document.querySelectorAll(".scroll")].map((one) => one.tabIndex);
      return [document.documentElement.scrollWidth, wide, boxes];
    """
    return tuple(browser.execute_script(script, loose))


def brightness(browser: webdriver.Chrome) -> int:
    """Of the paper, 0 to 255."""
    picture = Image.open(io.BytesIO(base64.b64decode(browser.get_screenshot_as_base64())))
    corner = picture.convert("L").getpixel((3, 3))
    assert isinstance(corner, int)
    return corner


def contrast(one: str, other: str) -> float:
    """Of two colours such as "rgb(0, 0, 0)": the ratio that WCAG 2 defines."""
    dark, bright = sorted(luminance(colour) for colour in (one, other))
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """As WCAG 2 defines it, from 0 to 1."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
