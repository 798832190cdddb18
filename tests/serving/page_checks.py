"""What is asked of the page in every window: it fits, it can be read, all has a name."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser import contrast, too_wide

CAN_BE_WORKED = (
    "a, button, input, select, progress, video, fieldset, section, [role=slider], [role=region], [role=group]"
)


def fits(browser: webdriver.Chrome, width: int) -> None:
    """What is too wide scrolls in a box of its own, which the keyboard reaches."""
    total, wide, boxes = too_wide(browser, ".scroll, .skip, .unseen, .band")
    assert total <= width
    assert wide == []
    assert boxes == [0]


def stands_out(browser: webdriver.Chrome) -> None:
    """Every text stands out from what it is on, 4.5 to 1, as WCAG asks; curves 3 to 1."""
    script = """
      const canvas = document.createElement("canvas").getContext("2d");
      const plain = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
      };
      const paper = (one) => {
        for (let at = one; at; at = at.parentElement) {
          const data = plain(getComputedStyle(at).backgroundColor);
          if (data[3] === 255) return `rgb(${[...data].slice(0, 3)})`;
        }
      };
      const written = (one) => one.checkVisibility()
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const of = (colour) => (one) => [one.outerHTML.slice(0, 60), getComputedStyle(one)[colour], paper(one)];
      const texts = [...document.querySelectorAll("body *")].filter(written);
      return [texts.map(of("color")), [...document.querySelectorAll(".curve")].map(of("stroke"))];
    """
    texts, curves = browser.execute_script(script)
    assert len(texts) > 30
    assert len(curves) == 3
    assert [one for one, colour, paper in texts if contrast(colour, paper) < 4.5] == []
    assert [one for one, colour, paper in curves if contrast(colour, paper) < 3] == []


def is_named(browser: webdriver.Chrome) -> None:
    """All that can be worked has a name and a size to hit; ids are there once, and what refers to them finds them."""
    things = [one for one in browser.find_elements(By.CSS_SELECTOR, CAN_BE_WORKED) if one.is_displayed()]
    assert len(things) > 20
    assert [one.get_attribute("outerHTML") for one in things if not one.accessible_name] == []
    script = """
      const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
      const refers = ["for", "aria-labelledby", "aria-describedby"].flatMap((name) =>
        [...document.querySelectorAll(`[${name}]`)].flatMap((one) => one.getAttribute(name).split(" ")));
      const small = [...document.querySelectorAll("button, select, .button")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24)
        .map((one) => one.outerHTML.slice(0, 80));
      return [ids.length - new Set(ids).size, refers.filter((id) => !ids.includes(id)), small,
        document.documentElement.lang, document.querySelectorAll("h1").length];
    """
    assert browser.execute_script(script) == [0, [], [], "en", 1]
