"""The page in a real browser, before a real server: from a video to what it says, and what goes wrong."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import NARROW, WIDE, brightness, resize, start
from tests.serving.middleman import Middleman, cut_off, full, hold
from tests.serving.page_checks import fits, is_named, stands_out
from tests.serving.page_site import CLIPS, HOSTILE, awkward_model, free_port, old_film, serve

pytestmark = pytest.mark.xdist_group("browser")
PATIENCE_SECONDS = 90
LABEL = {"left", "none", "right"}


@pytest.fixture(scope="module")
def site(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Middleman]:
    """A server process, and somebody between it and the browser. After `browser`, which may skip."""
    model = awkward_model(tmp_path_factory.mktemp("model") / "awkward")
    port = free_port()
    process = serve("camera-motion", f"awkward={model}", port=port)
    between = Middleman(port)
    yield between
    between.shutdown()
    between.server_close()
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("browser") / "profile")
    driver.set_script_timeout(PATIENCE_SECONDS)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, site: Middleman) -> webdriver.Chrome:
    """The page, loaded anew; nothing plays by itself."""
    site.troubles.clear()
    site.left.clear()
    resize(browser, WIDE, motion="reduce")
    visit(browser, site)
    return browser


def visit(browser: webdriver.Chrome, site: Middleman) -> None:
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(site.address)
    until(browser, lambda: find(browser, "limits").text != "")


def find(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.ID, name)


def until(browser: webdriver.Chrome, holds: Any) -> None:
    """What is drawn anew while it is looked at does not hold yet."""
    waiting = WebDriverWait(
        browser, PATIENCE_SECONDS, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException]
    )
    waiting.until(lambda _: holds())


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Of all such elements at one moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())"
    return browser.execute_script(script, selector)


def send(browser: webdriver.Chrome, file: Path) -> None:
    find(browser, "file").send_keys(str(file))


def done(browser: webdriver.Chrome) -> None:
    until(
        browser,
        lambda: find(browser, "doing").text.startswith("Done") or find(browser, "trouble").is_displayed(),
    )
    assert find(browser, "doing").text.startswith("Done"), find(browser, "trouble").text


def complains(browser: webdriver.Chrome) -> str:
    until(browser, lambda: find(browser, "trouble").is_displayed())
    return find(browser, "trouble").text


def film(browser: webdriver.Chrome, name: str) -> Any:
    return browser.execute_script(f"return document.getElementById('film').{name}")


def best(browser: webdriver.Chrome) -> str:
    return texts(browser, "#top li bdi")[0]


def download(browser: webdriver.Chrome, link: str, folder: Path) -> str:
    """What somebody finds in the file that a link gives."""
    where = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    file = folder / str(find(browser, link).get_attribute("download"))
    find(browser, link).click()
    until(browser, lambda: file.exists() and file.stat().st_size)
    return file.read_text()


def test_from_a_file_to_its_answers(page: webdriver.Chrome, site: Middleman) -> None:
    send(page, CLIPS / "pan_left.mp4")
    done(page)
    assert find(page, "name").text == "pan_left.mp4"
    assert best(page) == "left"
    assert find(page, "timeline").get_attribute("aria-valuemax") == "4.0"
    curves = page.find_elements(By.CSS_SELECTOR, "#timeline path.curve")
    assert len(curves) == 3
    assert set(texts(page, "#legend li")) == LABEL
    band = page.find_element(By.CSS_SELECTOR, ".band span")
    assert (band.text, round(band.size["width"])) == ("left", round(find(page, "timeline").size["width"]))
    rows = [row.split() for row in texts(page, "#segments tr")]
    assert rows[0][:4] == ["0:00", "0:04", "pan", "left"]
    assert page.get_log("browser") == []
    asked = [json.loads(line["message"])["message"] for line in page.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert {url.split("/")[2] for url in urls if url.startswith("http")} == {site.address.split("/")[2]}
    assert {url.split(":")[0] for url in urls} <= {"http", "blob", "data"}


def test_the_segments_are_files(page: webdriver.Chrome, tmp_path: Path) -> None:
    send(page, CLIPS / "still_then_cut.mp4")
    done(page)
    found = json.loads(download(page, "as-json", tmp_path))
    rows = list(csv.DictReader(io.StringIO(download(page, "as-csv", tmp_path))))
    assert find(page, "as-csv").get_attribute("download") == "still_then_cut.csv"
    assert found["complete"] is True
    assert list(rows[0]) == ["head", "label", "start_seconds", "end_seconds", "probability", "peak"]
    numbers = ("start_seconds", "end_seconds", "probability", "peak")
    read = [row | {name: float(row[name]) for name in numbers} for row in rows]
    assert read == found["segments"]
    assert len(page.find_elements(By.CSS_SELECTOR, "#segments tr")) == len(rows)


def test_rules_are_heeded(page: webdriver.Chrome, site: Middleman) -> None:
    find(page, "rules").find_element(By.TAG_NAME, "summary").click()
    find(page, "smooth").send_keys("1.5")
    find(page, "least").send_keys("10")
    find(page, "cuts").click()
    send(page, CLIPS / "still_then_cut.mp4")
    done(page)
    asked = next(what for what, _ in reversed(site.asked) if "timeline" in what)
    assert {"smooth_seconds=1.5", "least_seconds=10", "respect_cuts=true"} < set(
        asked.split("?")[1].split("&")
    )
    assert find(page, "segments-note").text == "No segments."
    assert page.find_elements(By.CSS_SELECTOR, ".band span") == []
    assert not find(page, "segments-box").is_displayed()
    find(page, "least").send_keys(Keys.BACKSPACE, Keys.BACKSPACE, "-1")
    find(page, "again").click()
    assert complains(page).startswith("That did not work. least_seconds: ")
    find(page, "least").clear()
    find(page, "again").click()
    done(page)
    assert page.find_elements(By.CSS_SELECTOR, ".band span")


def test_the_timeline_seeks(page: webdriver.Chrome) -> None:
    send(page, CLIPS / "zoom_in.mp4")
    done(page)
    timeline = find(page, "timeline")
    width = timeline.size["width"]
    ActionChains(page).move_to_element_with_offset(timeline, width // 4, 0).click().perform()
    until(page, lambda: film(page, "currentTime") == pytest.approx(3, abs=0.05))
    assert find(page, "clock").text == "0:03"
    line = page.find_element(By.CSS_SELECTOR, ".playhead")
    assert line.location["x"] - timeline.location["x"] == pytest.approx(0.75 * width, abs=3)
    assert (timeline.get_attribute("aria-valuetext") or "").startswith("0:03 of 4 s, ")
    page.execute_script("document.getElementById('film').currentTime = 1")  # and the other way round
    until(page, lambda: find(page, "clock").text == "0:01")
    page.find_elements(By.CSS_SELECTOR, "#segments button")[0].click()
    until(page, lambda: film(page, "currentTime") == 0)


def test_it_plays_and_the_line_moves(browser: webdriver.Chrome, site: Middleman) -> None:
    """Of itself with the first answer, where nobody wants less motion."""
    resize(browser, WIDE)
    visit(browser, site)
    send(browser, CLIPS / "tilt_up.mp4")
    line = browser.find_element(By.CSS_SELECTOR, ".playhead")
    until(browser, lambda: film(browser, "currentTime") > 1)
    assert film(browser, "muted") is True
    assert (
        line.location["x"]
        > find(browser, "timeline").location["x"] + 0.2 * find(browser, "timeline").size["width"]
    )
    done(browser)


def test_all_by_keyboard(page: webdriver.Chrome) -> None:
    """From the top of the page to the answers, and along them, without a mouse."""
    visited: list[str] = []

    def press(*keys: str) -> None:
        ActionChains(page).send_keys(*keys).perform()

    def tab_to(name: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            now = page.switch_to.active_element
            visited.append(now.get_attribute("id") or now.text)
            if name in visited[-1]:
                outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid", name
                return
        raise AssertionError(f"{name} is not reached: {visited}")

    tab_to("Skip to")
    press(Keys.ENTER)
    tab_to("pans to the left")
    assert "file" in visited
    press(Keys.ENTER)
    done(page)
    tab_to("head-0")
    press(Keys.ARROW_DOWN)
    until(page, lambda: find(page, "timeline-name").text == "Timeline of tilt")
    tab_to("timeline")
    press(Keys.END)
    until(page, lambda: film(page, "currentTime") == 4)
    press(Keys.ARROW_LEFT)
    until(page, lambda: 3 < film(page, "currentTime") < 4)
    press(Keys.HOME, Keys.PAGE_UP)
    until(page, lambda: film(page, "currentTime") == pytest.approx(0.4, abs=0.01))
    assert find(page, "timeline").get_attribute("aria-valuenow") == "0.4"
    assert "none" in (find(page, "timeline").get_attribute("aria-valuetext") or "")
    press(" ")
    until(page, lambda: film(page, "currentTime") > 0.5)
    press(" ")
    assert film(page, "paused") is True
    tab_to("explain")
    tab_to("as-csv")


def test_where_the_model_looks(page: webdriver.Chrome, site: Middleman) -> None:
    send(page, CLIPS / "roll_right.mp4")
    done(page)
    page.execute_script("document.querySelector('#heads [value=roll]').click()")
    find(page, "timeline").send_keys(Keys.PAGE_UP)
    button, said = find(page, "explain"), find(page, "where-said")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert said.text == "Finding out where the model looks around 0:00.4."
    until(page, lambda: find(page, "overlay").is_displayed())
    assert said.text.startswith("roll: right, around 0:00.4. ")
    until(page, lambda: page.execute_script("return document.getElementById('overlay').readyState") >= 2)
    asked = next(what for what, _ in reversed(site.asked) if "explain" in what)
    assert "head=roll" in asked
    assert "at_seconds=0.400" in asked
    button.click()
    assert not find(page, "where").is_displayed()
    assert page.get_log("browser") == []


def test_other_models_and_awkward_names(page: webdriver.Chrome, tmp_path: Path) -> None:
    Select(find(page, "model")).select_by_visible_text("awkward")
    send(page, CLIPS / "pan_left.mp4")
    done(page)
    radios = page.find_elements(By.CSS_SELECTOR, "#heads input")
    assert [one.accessible_name for one in radios] == ["words", "<b>many</b>", "place"]
    assert len(page.find_elements(By.CSS_SELECTOR, "#top li")) == 5
    assert 1 <= len(page.find_elements(By.CSS_SELECTOR, "#timeline path.curve")) <= 12
    radios[1].click()
    until(page, lambda: {HOSTILE} < set(texts(page, "#legend li")))
    radios[2].click()
    until(page, lambda: {"x", "y"} == set(texts(page, "#legend li")))
    assert "%" not in find(page, "top").text
    assert page.title == "Tubelet: what happens in a video"
    assert page.find_elements(By.CSS_SELECTOR, "main img") == []
    rows = csv.DictReader(io.StringIO(download(page, "as-csv", tmp_path)))
    assert {row["head"] for row in rows} <= {"words", "<b>many</b>"}
    assert page.get_log("browser") == []


def test_what_no_browser_plays_has_answers(page: webdriver.Chrome, tmp_path: Path) -> None:
    send(page, old_film(tmp_path / "old.avi"))
    done(page)
    assert "cannot play" in find(page, "unplayable").text
    assert not find(page, "film").is_displayed()
    find(page, "timeline").send_keys(Keys.END)
    assert find(page, "clock").text == "0:04"
    assert best(page) in LABEL


def test_a_file_is_dropped(page: webdriver.Chrome) -> None:
    script = """
      const [name, give] = arguments, carried = new DataTransfer();
      fetch("samples").then((got) => got.json()).then(([one]) => fetch(`samples/${one.name}.mp4`))
        .then((got) => got.blob()).then((blob) => {
          carried.items.add(new File([blob], name, { type: "video/mp4" }));
          const event = (what) => new DragEvent(what, { dataTransfer: carried, bubbles: true, cancelable: true });
          document.body.dispatchEvent(event("dragenter"));
          const marked = document.getElementById("drop").classList.contains("over");
          document.body.dispatchEvent(event("drop"));
          give(marked && !document.getElementById("drop").classList.contains("over"));
        });
    """
    assert page.execute_async_script(script, "dropped.mp4") is True
    done(page)
    assert find(page, "name").text == "dropped.mp4"


def test_what_is_no_video_or_too_large_is_said(
    page: webdriver.Chrome, site: Middleman, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("Not a film at all.\n" * 50)
    send(page, text)
    assert complains(page).startswith("This video cannot be read. ")
    assert "/" not in complains(page)  # nothing of the server's own folders
    assert not find(page, "shown").is_displayed()
    limit = page.execute_async_script(
        "fetch('models').then((got) => got.json()).then((m) => arguments[0](m.limits.bytes))"
    )
    large = tmp_path / "large.mp4"
    with large.open("wb") as out:
        out.truncate(limit + 1)
    before = len(site.asked)
    send(page, large)
    until(page, lambda: complains(page).startswith("This video is too large. "))
    assert len(site.asked) == before  # not sent in vain
    send(page, CLIPS / "pan_left.mp4")
    done(page)
    assert not find(page, "trouble").is_displayed()


def test_a_busy_server_is_asked_again(page: webdriver.Chrome, site: Middleman) -> None:
    site.troubles += [full, full]
    send(page, CLIPS / "pan_left.mp4")
    until(page, lambda: find(page, "doing").text.startswith("The server is busy. It is asked again in "))
    done(page)
    times = [when for what, when in site.asked if what.startswith("POST /timeline")][-3:]
    assert times[1] - times[0] >= 1
    assert times[2] - times[1] >= 1


def test_a_lost_connection_leaves_what_was_seen(page: webdriver.Chrome, site: Middleman) -> None:
    site.troubles.append(cut_off)
    send(page, CLIPS / "pan_left.mp4")
    assert "broke off before the end. What was answered so far stays." in complains(page)
    assert best(page) in LABEL
    assert not find(page, "downloads").is_displayed()
    find(page, "again").click()
    done(page)
    assert not find(page, "trouble").is_displayed()


def test_cancel(page: webdriver.Chrome, site: Middleman) -> None:
    site.troubles.append(hold)
    send(page, CLIPS / "pan_left.mp4")
    until(page, lambda: find(page, "doing").text == "Sent. Waiting for the first answer.")
    find(page, "cancel").click()
    until(page, lambda: find(page, "doing").text == "Cancelled.")
    assert site.left.wait(10)
    assert page.switch_to.active_element == find(page, "again")


def test_a_key_is_asked_for_once(page: webdriver.Chrome, site: Middleman) -> None:
    site.key = "right"
    try:
        page.refresh()
        until(page, lambda: find(page, "key-dialog").is_displayed())
        page.switch_to.active_element.send_keys("wrong", Keys.ENTER)
        until(page, lambda: find(page, "key-why").text == "That key was not accepted.")
        page.switch_to.active_element.send_keys("right", Keys.ENTER)
        until(page, lambda: page.find_elements(By.CSS_SELECTOR, "#samples button"))
        page.find_element(By.CSS_SELECTOR, "#samples button").click()
        done(page)
        assert not find(page, "key-dialog").is_displayed()
        assert (
            page.execute_script("return document.cookie + localStorage.length + sessionStorage.length")
            == "00"
        )
    finally:
        site.key = None


def test_a_server_that_is_gone_is_said(page: webdriver.Chrome, site: Middleman) -> None:
    port, site.behind = site.behind, free_port()
    try:
        send(page, CLIPS / "pan_left.mp4")
        assert complains(page).startswith("No connection. ")
        assert find(page, "again").is_displayed()
    finally:
        site.behind = port


def test_events_are_read_wherever_they_are_cut(page: webdriver.Chrome) -> None:
    script = """
      const [text, give] = arguments;
      import("./events.js").then(({ EventReader }) => {
        const read = (pieces) => {
          const found = [];
          const reader = new EventReader((name, data) => found.push([name, data]));
          pieces.forEach((piece) => reader.push(piece));
          return JSON.stringify(found);
        };
        const all = new Set([read([text]), read([...text])]);
        for (let i = 0; i <= text.length; i++)
          for (let j = i; j <= text.length; j++) all.add(read([text.slice(0, i), text.slice(i, j), text.slice(j)]));
        give([...all]);
      });
    """
    text = ': hello\r\nevent: window\r\ndata: {"a": 1}\r\n\r\ndata:one\ndata: two\n\n'
    text += "event: end\rdata: {}\r\rdata: \u00e9 half"
    (found,) = page.execute_async_script(script, text)
    assert json.loads(found) == [["window", '{"a": 1}'], ["message", "one\ntwo"], ["end", "{}"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_in_every_window(page: webdriver.Chrome, width: int, scheme: str) -> None:
    resize(page, width, scheme, motion="reduce")
    find(page, "rules").find_element(By.TAG_NAME, "summary").click()
    send(page, CLIPS / "pan_left.mp4")
    done(page)
    page.execute_script("scrollTo(0, 0)")
    assert (brightness(page) > 128) == (scheme == "light")
    fits(page, width)
    stands_out(page)
    is_named(page)


def test_nothing_is_told_while_it_plays_but_now_and_then(page: webdriver.Chrome) -> None:
    """A screen reader hears a slider's every change."""
    send(page, CLIPS / "pan_left.mp4")
    done(page)
    script = """
      const give = arguments[0], told = [], film = document.getElementById("film");
      const watch = new MutationObserver((all) => told.push(...all));
      watch.observe(document.getElementById("timeline"), { attributeFilter: ["aria-valuetext"] });
      film.currentTime = 0;
      film.addEventListener("seeked", () => {
        told.length = 0;
        film.play();
        setTimeout(() => give([told.length, film.currentTime]), 1500);
      }, { once: true });
    """
    told, seconds = page.execute_async_script(script)
    assert seconds > 0.5
    assert told <= 1
