"""The page of an evaluation: what is on it, and that nothing in the data can break it."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from tests.clips import moving_square, write_clip
from tests.evaluation.made import guesses, results_of
from tests.evaluation.page_results import HOSTILE, QUOTES, page_report
from tubelet.cli import report as command
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.page import write_page
from tubelet.evaluation.page.charts import chained, confusion_of
from tubelet.evaluation.page.examples import galleries
from tubelet.evaluation.page.pictures import Pictures, contact_sheet
from tubelet.evaluation.report import Report, report
from tubelet.evaluation.results import VIDEOS, row_line
from tubelet.labels import UNKNOWN, Head, Labels
from tubelet.video.decode import Video

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Every element of a page; refuses one whose tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Page]:
    folder = tmp_path_factory.mktemp("made")
    found = page_report(folder)
    return found, Page(write_page(found, folder / "page.html", examples=6).read_text("utf-8"))


def test_needs_nothing_else(made: tuple[Report, Page]) -> None:
    """No address but those inside the page, and a policy under which a browser fetches none."""
    _, page = made
    for _, attributes in page.elements:
        for name in ("src", "href", "data", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value
    (policy,) = [m["content"] or "" for m in page.all("meta") if m.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:", policy)


def test_only_its_own_script_runs(made: tuple[Report, Page], tmp_path: Path) -> None:
    text = write_page(made[0], tmp_path / "page.html", examples=0).read_text("utf-8")
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_names_are_text(made: tuple[Report, Page]) -> None:
    """Hostile names of classes, heads and files are shown as they are, and make no element and no attribute."""
    _, page = made
    assert len(page.all("script")) == 1
    assert not page.all("i") or all(
        "style" in one for one in page.all("i")
    )  # bars, not the head named <i>size</i>
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    said = page.said()
    for text in (HOSTILE, QUOTES, "<i>size</i>", f"moov atom not found {HOSTILE}", f"{HOSTILE}.mp4"):
        assert text in said


def test_numbers_are_there(made: tuple[Report, Page]) -> None:
    found, page = made
    said = page.said()
    word = found.heads[0]
    low, high = word.intervals["top1"].low, word.intervals["top1"].high
    assert f"{100 * word.top1:.1f} % [{100 * low:.1f}, {100 * high:.1f}]" in said  # type: ignore[union-attr]
    for text in (
        f"{100 * found.heads[2].mean_average_precision:.1f} % mAP",  # type: ignore[union-attr]
        f"{found.heads[3].mae:.4g} off",  # type: ignore[union-attr]
        "2 of 600 videos could not be read",
        "says “unknown” below 60.0 %",
        "word + <i>size</i>, together",
        "tubelet evaluate",
        "tubelet 0.1.0",
    ):
        assert text in said, text


def test_can_be_used_by_ear(made: tuple[Report, Page]) -> None:
    """Pictures have texts, tables have headings, headings have an order, links lead somewhere."""
    _, page = made
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert all(one.get("alt") for one in page.all("img"))
    assert all(one.get("aria-label") for one in page.all("svg"))
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    assert all(one.get("aria-label") for _, one in page.elements if one.get("role") == "region")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    assert all((one["href"] or "")[1:] in ids for one in page.all("a"))


def test_heat_map_has_every_video(made: tuple[Report, Page]) -> None:
    found, page = made
    cells = [one for one in page.all("rect") if "data-n" in one]
    assert sum(int(one["data-n"] or 0) for one in cells) == found.heads[0].videos
    assert len({(one["x"], one["y"]) for one in cells}) == len(cells)


def test_mistakes_have_pictures_or_a_reason(made: tuple[Report, Page]) -> None:
    found, page = made
    shown = 6 * 6  # two kinds of two heads, one kind of two others, six each
    sheets = page.all("img")
    assert len(sheets) + page.said().count("The video is not there (any more), seen from") == shown
    assert sheets
    data = base64.b64decode((sheets[0]["src"] or "").removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (int(sheets[0]["width"] or 0), int(sheets[0]["height"] or 0))
    surest = galleries(found.results, 0, 1)[0]
    assert surest.total == round((1 - found.heads[0].top1) * found.heads[0].videos)  # type: ignore[union-attr]


def test_surest_mistakes_come_first() -> None:
    labels = Labels((Head("h", ("a", "b")),))
    logits = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0], [4.0, 0.0], [0.5, 0.0], [0.0, 9.0]])
    results = results_of(labels, logits, [(0,), (0,), (1,), (0,), (0,), (UNKNOWN,)])
    wrong, right = galleries(results, 0, 2)
    assert [one.row.index for one in wrong.examples] == [1, 0]
    assert (wrong.examples[0].said, wrong.examples[0].right, wrong.total) == ("b", "a", 2)
    assert [one.row.index for one in right.examples] == [4, 2]
    assert right.total == 3


def test_worst_of_several_classes_and_of_numbers() -> None:
    multi = Labels((Head("m", ("a", "b"), "multi"),))
    logits = torch.tensor([[5.0, -5.0], [5.0, 4.0], [-6.0, -5.0]])
    (mistakes,) = galleries(results_of(multi, logits, [((0.0,),), ((0.0,),), ((0.0,),)]), 0, 9)
    assert [(one.row.index, one.said, one.right) for one in mistakes.examples] == [
        (2, "not a", "a"),
        (1, "b", "a"),
    ]
    number = Labels((Head("n", ("x", "y"), "number"),))
    logits = torch.tensor([[1.0, 100.0], [2.0, 130.0], [9.0, 300.0]])
    said = [((1.0, 100.0),), ((2.0, 200.0),), ((3.0, 300.0),)]
    (errors,) = galleries(results_of(number, logits, said), 0, 2)
    assert [(one.row.index, one.said, one.measured) for one in errors.examples] == [
        (2, "x 9", "6"),
        (1, "y 130", "70"),
    ]


def test_confused_classes_stand_side_by_side() -> None:
    counts = torch.eye(5).int() * 9
    counts[0, 3], counts[3, 1] = 4, 2
    order = chained(counts.numpy())
    assert order[:3] == [0, 3, 1]
    assert sorted(order) == list(range(5))


def test_orders_hold_every_class(made: tuple[Report, Page]) -> None:
    orders = confusion_of(made[0].heads[0]).orders  # type: ignore[arg-type]
    assert all(sorted(order) == list(range(51)) for order in orders.values())


def test_four_hundred_classes(tmp_path: Path) -> None:
    logits, target = guesses(500, 400, 0.6)
    found = report(
        results_of(Labels.single([f"c{i}" for i in range(400)]), logits, [(int(t),) for t in target])
    )
    page = write_page(found, tmp_path / "page.html", examples=0)
    assert page.stat().st_size < 2e6
    Page(page.read_text("utf-8"))


def test_without_labels_and_with_one_class(tmp_path: Path) -> None:
    labels = Labels((Head("a", ("x", "y")), Head("b", ("x", "y"), "multi"), Head("c", ("n",), "number")))
    nothing = results_of(labels, torch.randn(4, 5), [(UNKNOWN, UNKNOWN, UNKNOWN)] * 4)
    text = write_page(report(nothing), tmp_path / "nothing.html").read_text("utf-8")
    assert Page(text).said().count("No video has a label for it") == 3
    one = results_of(Labels.single(["only"]), torch.randn(4, 1), [(0,)] * 4)
    assert "Nothing is confused." in write_page(report(one), tmp_path / "one.html").read_text("utf-8")


def test_replaces_only_its_own_page(tmp_path: Path) -> None:
    found = small()
    page = write_page(found, tmp_path / "new" / "page.html")
    write_page(found, page)
    other = tmp_path / "mine.html"
    other.write_text("<!DOCTYPE html><p>my own page")
    with pytest.raises(FileExistsError, match=r"is no page of `tubelet report`, and is not overwritten"):
        write_page(found, other)
    with pytest.raises(FileExistsError):
        write_page(found, tmp_path)
    assert other.read_text().endswith("my own page")


def test_sheet_shows_the_part(tmp_path: Path) -> None:
    """Frames are of the row's part of the video, spread over it."""
    film = torch.zeros(20, 32, 32, 3, dtype=torch.uint8)
    film[10:] = 200
    clip = write_clip(tmp_path / "clip.mp4", film.numpy(), rate=10)
    row = replace(small().results.rows[0], path=str(clip), video=f"{clip} [1 s to 2 s]", start_seconds=1.0)
    picture = Pictures().of(row)
    data = base64.b64decode(picture.sheet.split(",")[1])
    pixels = torch.tensor(list(Image.open(io.BytesIO(data)).convert("L").tobytes()))
    assert picture.frames == 6
    assert (pixels > 180).float().mean() > 0.95
    with Video(clip) as video:
        assert contact_sheet(video)[1] == 6


def test_clips_play(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_square(1, 0, frames=40, side=34), rate=10)
    found = small(str(clip))
    page = Page(write_page(found, tmp_path / "page.html", clips=True, examples=2).read_text("utf-8"))
    films = page.all("video")
    assert films
    assert all("controls" in one and one.get("aria-label") for one in films)
    data = base64.b64decode((films[0]["src"] or "").removeprefix("data:video/mp4;base64,"))
    with av.open(io.BytesIO(data)) as opened:
        stream = opened.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sum(1 for _ in opened.decode(stream)) == 40


def test_pictures_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_square(1, 0))
    text = write_page(small(str(clip)), tmp_path / "page.html", most_bytes=10).read_text("utf-8")
    assert "Not shown: the page would become too large." in text
    assert "data:image/jpeg" not in text


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    row = small().results.rows[0]
    assert "broken.mp4" in Pictures().of(replace(row, index=1, path=str(broken), video=str(broken))).error
    assert "shard" in Pictures().of(replace(row, index=2, path="a.mp4", video="shards/0.tar:a.mp4")).error


def test_compares_evaluations_of_the_same_videos(tmp_path: Path) -> None:
    first = small()
    more = report(
        replace(first.results, manifest=replace(first.results.manifest, views="1x1", macs_per_view=5))
    )
    page = Page(write_page([first, more], tmp_path / "page.html").read_text("utf-8"))
    assert "Comparison" in page.said()
    assert page.said().count("(this page)") == 1
    other = replace(first.results.manifest, data_sha256="3")
    with pytest.raises(DataError, match="Only evaluations of the same videos and heads are compared"):
        write_page([first, report(replace(first.results, manifest=other))], tmp_path / "page.html")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = small().results
    folder = tmp_path / "results"
    folder.mkdir()
    results.manifest.write(folder)
    with pytest.raises(DataError, match="is not finished"):
        command.main("tubelet report", [str(folder)])
    (folder / VIDEOS).write_text("".join(row_line(row, results.labels) for row in results.rows), "utf-8")
    assert command.main("tubelet report", [str(folder)]) == 0
    assert f"Page: {folder / 'report.html'}" in capsys.readouterr().out
    assert command.main("tubelet report", [str(folder), str(folder), str(tmp_path / "two.html")]) == 0
    assert "Comparison" in (tmp_path / "two.html").read_text("utf-8")
    with pytest.raises(DataError, match="holds no results of an evaluation"):
        command.main("tubelet report", [str(tmp_path)])
    with pytest.raises(ConfigError, match="Name the folder"):
        command.main("tubelet report", [str(tmp_path / "page.html")])
    with pytest.raises(ConfigError, match="examples=-1"):
        command.main("tubelet report", [str(folder), "--examples", "-1"])


def small(video: str = "0.mp4") -> Report:
    """Twelve videos of two classes, all of them one file."""
    logits, target = guesses(12, 2, 0.5)
    results = results_of(Labels.single(["left", "right"]), logits, [(int(t),) for t in target])
    return report(replace(results, rows=tuple(replace(row, path=video, video=video) for row in results.rows)))
