"""How names and numbers stand on a page. What is `Markup` is HTML already; all else is escaped by the template."""

from markupsafe import Markup

from tubelet.evaluation.bootstrap import Interval

NAME_LENGTH = 18
"""Characters of a name in a diagram."""
DASH = "\N{EN DASH}"
"""Where there is no number."""


def share(value: float | None, digits: int = 1) -> str:
    """A share in per cent; a dash where there is none."""
    return DASH if value is None or value != value else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def between(interval: Interval | None) -> Markup:
    """The interval of a share, in per cent; nothing where there is none."""
    if interval is None:
        return Markup()
    ends = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    return Markup(' <span class="between">{}</span>').format(ends)


def found(value: float | None, interval: Interval | None) -> Markup:
    """A share and its interval."""
    return Markup("{}{}").format(share(value), between(interval))


def name(text: object) -> Markup:
    """A name that the data gave, whose direction of writing does not reach beyond it."""
    return Markup("<bdi>{}</bdi>").format(str(text))


def short(text: str) -> str:
    """A name as it stands in a diagram."""
    return text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH - 1]}\N{HORIZONTAL ELLIPSIS}"


def giga(number: float) -> str:
    """A number of multiply-adds, in billions."""
    return f"{number / 1e9:,.4g}"


def px(number: float) -> str:
    """A place or a length in a diagram."""
    return f"{number:.1f}"
