"""Pages of HTML that Tubelet writes: the files they are made from, which come with the package."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

HOUSE = Path(__file__).parent / "house.css"
"""The style that pages share; what is a page's own comes after it."""


@cache
def page_template(file: str, *filters: Callable[..., Any]) -> Template:
    """A page without what is on it. What is put into it is escaped.

    Args:
        file: in the package, such as `evaluation/page/page.html.jinja`; what it includes is beside it.
        filters: functions that the page calls by their names.
    """
    place, name = file.rsplit("/", 1)
    environment = Environment(
        loader=PackageLoader("tubelet", place),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({one.__name__: one for one in filters})
    return environment.get_template(name)
