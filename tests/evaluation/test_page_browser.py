"""The page in a real browser: narrow and wide, light and dark, by keyboard, without scripts, without network."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.browser import NARROW, WIDE, brightness, contrast, resize, start, too_wide
from tests.evaluation.page_results import HOSTILE, page_report
from tubelet.evaluation.page import write_page

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One for all tests, and the page of 51 classes and 600 videos, compared with another."""
    folder = tmp_path_factory.mktemp("browser")
    driver = start(folder / "profile")
    found = page_report(folder)
    cheaper = replace(found, views="1x1", macs_per_video=found.macs_per_video // 12)
    page = write_page([found, cheaper], folder / "page.html", clips=True, examples=3)
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def look(browser: webdriver.Chrome, width: int, scheme: str = "light") -> None:
    """Load the page anew in a window of this width."""
    resize(browser, width, scheme)
    browser.refresh()


def column(browser: webdriver.Chrome, table: str, number: int) -> list[str]:
    """The texts of a column."""
    script = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent.trim())"
    return browser.execute_script(script, f"{table} tbody tr > :nth-child({number})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_in_every_window(browser: webdriver.Chrome, width: int, scheme: str) -> None:
    browser.get_log("performance")
    look(browser, width, scheme)
    needs_no_network(browser.get_log("performance"))
    assert browser.get_log("browser") == []
    assert browser.title == "model.safetensors: val, 4x3 views"  # no name of a class ran as a script
    assert HOSTILE in browser.find_element(By.TAG_NAME, "body").text
    fits(browser, width)
    stands_out(browser, scheme)


def needs_no_network(log: list[dict[str, str]]) -> None:
    """The browser asked for the page, and for what is inside it."""
    events = [json.loads(line["message"])["message"] for line in log]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert len([url for url in asked if url.startswith("file:")]) == 1


def fits(browser: webdriver.Chrome, width: int) -> None:
    """What is too wide scrolls in a box of its own, which the keyboard reaches."""
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true;")
    total, wide, boxes = too_wide(browser, ".scroll, .skip, .stack thead")
    assert total <= width
    assert wide == []
    assert set(boxes) == {0}


def stands_out(browser: webdriver.Chrome, scheme: str) -> None:
    """The paper follows the scheme, and every text stands out from it: 4.5 to 1, as WCAG asks."""
    assert (brightness(browser) > 128) == (scheme == "light")
    script = """
      const style = (one) => getComputedStyle(one);
      const texts = document.querySelectorAll("p, th, td, a, dd, dt, .note, .gone, .file, summary");
      const papers = [document.body, document.querySelector(".gallery li")];
      return [[...texts].map((one) => style(one).color), papers.map((one) => style(one).backgroundColor)];
    """
    colours, papers = browser.execute_script(script)
    for colour in set(colours):
        assert all(contrast(colour, paper) >= 4.5 for paper in papers), (scheme, colour, papers)


def test_tables_are_sorted_by_keyboard(browser: webdriver.Chrome) -> None:
    look(browser, WIDE)
    table = "#head-0 ~ [aria-label=Classes] table"
    heads = browser.find_elements(By.CSS_SELECTOR, f"{table} th[scope=col]")
    share = [float(text.split()[0]) for text in column(browser, table, 3)]
    assert share == sorted(share)
    assert heads[2].get_attribute("aria-sort") == "ascending"
    heads[2].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heads[2].get_attribute("aria-sort") == "descending"
    share = [float(text.split()[0]) for text in column(browser, table, 3)]
    assert share == sorted(share, reverse=True)
    heads[0].find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert heads[0].get_attribute("aria-sort") == "ascending"
    assert heads[2].get_attribute("aria-sort") is None
    names = column(browser, table, 1)
    assert names.index("word 9") < names.index("word 10") < names.index("word 50")
    assert len(names) == 51
    other = "#head-2 ~ [aria-label=Classes] table"
    button = browser.find_element(By.CSS_SELECTOR, f"{other} th:nth-child(3) button")
    for _ in range(2):  # a class without videos stays at the end
        button.send_keys(Keys.ENTER)
        assert column(browser, other, 1)[-1] == "never"


def test_heat_map_is_sorted_and_read_out(browser: webdriver.Chrome) -> None:
    look(browser, WIDE)
    figure = browser.find_element(By.CSS_SELECTOR, "figure.heat")
    script = """
      return [...arguments[0].querySelectorAll("[data-n]")]
        .map((r) => [r.getAttribute("x"), r.getAttribute("y"), r.dataset.n].map(Number))
    """
    before = browser.execute_script(script, figure)
    choice = Select(figure.find_element(By.TAG_NAME, "select"))
    choice.select_by_visible_text("share that is right, least first")
    after = browser.execute_script(script, figure)
    assert before != after
    assert sorted(n for *_, n in before) == sorted(n for *_, n in after)
    assert sum(x == y for x, y, _ in before) == sum(x == y for x, y, _ in after)
    svg = figure.find_element(By.TAG_NAME, "svg")
    svg.send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    worst = column(browser, "#head-0 ~ [aria-label=Classes] table", 1)[0]
    assert figure.find_element(By.TAG_NAME, "output").text.startswith(f"{worst}: ")
    svg.send_keys(Keys.ARROW_RIGHT)
    assert f"{worst} was taken for " in figure.find_element(By.TAG_NAME, "output").text


def test_clips_play(browser: webdriver.Chrome) -> None:
    look(browser, WIDE)
    script = """
      const done = arguments[0], film = document.querySelector("video");
      film.addEventListener("timeupdate", () => film.currentTime > 0 && done("plays"));
      film.addEventListener("error", () => done("error"));
      film.play().catch((why) => done(String(why)));
    """
    browser.set_script_timeout(60)
    assert browser.execute_async_script(script) == "plays"
    assert browser.get_log("browser") == []


def test_says_all_without_scripts(browser: webdriver.Chrome) -> None:
    """Nothing is hidden from a browser that runs no script, and nothing is offered that would need one."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, WIDE)
        assert not browser.find_elements(By.CSS_SELECTOR, "button, select")
        text = browser.find_element(By.TAG_NAME, "main").text
        for words in ("Surest mistakes", "word 50", "moov atom not found", "Comparison", "What made it"):
            assert words in text
        assert len(browser.find_elements(By.CSS_SELECTOR, "figure.heat [data-n]")) > 51
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_contrast_is_what_it_should_be() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
