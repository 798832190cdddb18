"""Results made up for the tests of the page: heads of every kind, hostile names, videos that are there or gone."""

from array import array
from dataclasses import replace
from pathlib import Path

import torch

from tests.clips import moving_square, write_clip
from tests.evaluation.made import guesses, results_of
from tubelet.evaluation.report import Report, report
from tubelet.labels import Head, Label, Labels

HOSTILE = "<script>document.title='broken'</script>"
QUOTES = """"' onmouseover='alert(1)' x=" & <b>"""


def words(count: int) -> tuple[str, ...]:
    """Names of classes, two of them hostile."""
    return (HOSTILE, QUOTES, *(f"word {number}" for number in range(2, count)))


def page_report(folder: Path, videos: int = 600, classes: int = 51) -> Report:
    """A head of each kind and one of three classes; the first 40 videos are files, and two cannot be read."""
    heads = (
        Head("word", words(classes)),
        Head("<i>size</i>", ("small", "middle", "large"), threshold=0.6),
        Head("colours", ("red", QUOTES, "blue", "never"), "multi"),
        Head("place", ("x", "y"), "number"),
    )
    generator = torch.Generator().manual_seed(1)
    first, word = guesses(videos, classes, 0.7, seed=1)
    first[:, 5] += 1.5 * (word == 4)  # these two are alike
    second, size = guesses(videos, 3, 0.6, seed=2)
    colour = torch.rand(videos, 4, generator=generator) < torch.tensor([0.5, 0.3, 0.1, 0.0])
    third = 2 * colour - 1 + torch.randn(videos, 4, generator=generator)
    place = 10 * torch.rand(videos, 2, generator=generator)
    fourth = place + torch.randn(videos, 2, generator=generator)
    logits = torch.cat([first, second, third, fourth], dim=1)
    logits[[7, 11]] = torch.nan
    said: list[tuple[Label, ...]] = [
        (int(word[i]), int(size[i]), tuple(map(float, colour[i].nonzero()[:, 0])), tuple(place[i].tolist()))
        for i in range(videos)
    ]
    results = results_of(Labels(heads), logits, said)
    clip = write_clip(folder / f"clip {QUOTES.replace('/', '')}.mp4", moving_square(1, 0))
    rows = [replace(row, path=str(clip), video=str(clip)) if row.index < 40 else row for row in results.rows]
    rows[7] = replace(rows[7], error=f"moov atom not found {HOSTILE}")
    rows[11] = replace(rows[11], video=f"{HOSTILE}.mp4", path=f"{HOSTILE}.mp4")
    for index in range(40):  # the surest of all, so that they are shown
        if rows[index].logits is not None:
            rows[index] = replace(rows[index], logits=array("f", [3 * x for x in rows[index].logits or ()]))
    return report(replace(results, rows=tuple(rows)))
