"""Every recipe: built as it is, and run by typing on tiny videos of its own dataset's layout."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clips import moving_square, write_clip, write_motion
from tests.data.files import write
from tests.data.test_epic import EPIC_100, row
from tests.training.runs import FACTORISED, VIEW, lines_of
from tubelet.classifier import Classifier
from tubelet.cli import train
from tubelet.cli.train import recipe_named
from tubelet.errors import ConfigError
from tubelet.labels import Labels
from tubelet.models.vivit import ViViT
from tubelet.recipes import RECIPES
from tubelet.training import Train

OWN = ("folder", "small_data", "modern", "smoke")
SMALL = [
    "--model.width", "16", "--model.depth", "2", "--model.heads", "2", "--model.hidden", "16",
    "--model.frames", "8", "--model.size", "32", "--view.frames", "8", "--view.size", "32", "--view.resize", "36",
]  # fmt: skip
SHORT = ["--batch-size", "4", "--replicas", "2", "--epochs", "1", "--workers", "0", "--log-steps", "1"]


def clip(file: Path, seed: int) -> None:
    write_clip(file, moving_square(1 if seed % 2 else -1, seed))


def kinetics(root: Path) -> list[str]:
    header = "label,youtube_id,time_start,time_end,split\n"
    for split, count in (("train", 8), ("validate", 2)):
        lines = [f"{'left' if i % 2 else 'right'},{split}{i},5,15,{split}\n" for i in range(count)]
        write(root / f"csv/{split}.csv", header + "".join(lines))
        for i in range(count):
            clip(root / f"videos/{split}{i}_000005_000015.mp4", i)
    return ["--data.root", str(root / "videos"), "--data.annotations", str(root / "csv")]


def moments(root: Path) -> list[str]:
    write(root / "moments_categories.txt", "left,0\nright,1\n")
    for name, folder, count in (("trainingSet", "training", 8), ("validationSet", "validation", 2)):
        names = [f"{'right' if i % 2 else 'left'}/{i}.mp4" for i in range(count)]
        write(root / f"{name}.csv", "".join(f"{one},{one.split('/')[0]},3,0\n" for one in names))
        for i, one in enumerate(names):
            clip(root / folder / one, i)
    return ["--data.root", str(root)]


def ssv2(root: Path) -> list[str]:
    write(root / "labels/labels.json", json.dumps({"Pushing something left": "0", "Holding something": "1"}))
    for split, first, count in (("train", 0, 8), ("validation", 8, 2)):
        templates = ["Holding [something]" if i % 2 else "Pushing [something] left" for i in range(count)]
        entries = [{"id": str(first + i), "template": template} for i, template in enumerate(templates)]
        write(root / f"labels/{split}.json", json.dumps(entries))
        for i in range(count):
            clip(root / f"videos/{first + i}.webm.mp4", i)
            (root / f"videos/{first + i}.webm.mp4").rename(root / f"videos/{first + i}.webm")
    return ["--data.root", str(root / "videos"), "--data.annotations", str(root / "labels")]


def epic(root: Path) -> list[str]:
    annotations = root / "annotations"
    write(annotations / "EPIC_100_verb_classes.csv", "id,key,instances,category\n0,take,,\n1,open,,\n")
    write(
        annotations / "EPIC_100_noun_classes.csv", "id,key,instances,category\n0,door,,\n1,cup,,\n2,tap,,\n"
    )
    for name, video, count in (("train", "P01_01", 8), ("validation", "P01_11", 2)):
        rows = [row(i, video, verb=i % 2, noun=i % 3) for i in range(count)]
        write(annotations / f"EPIC_100_{name}.csv", EPIC_100 + "".join(rows))
        write_clip(root / f"data/P01/videos/{video}.MP4.mp4", np.concatenate([moving_square(1, 3)] * 3))
        (root / f"data/P01/videos/{video}.MP4.mp4").rename(root / f"data/P01/videos/{video}.MP4")
    return ["--data.root", str(root / "data"), "--data.annotations", str(annotations)]


def own(root: Path) -> list[str]:
    write_motion(root / "clips", 4, ("train",))
    write_motion(root / "clips", 1, ("val",))
    return ["--data.root", str(root / "clips")]


def flags_of(name: str, root: Path) -> list[str]:
    """A recipe's own data, written, and what makes it small."""
    if name == "small_data":
        torch.manual_seed(0)
        start = Classifier(ViViT(FACTORISED), VIEW, Labels.numbered((400,)))
        start.save(root / "start")
        return [*own(root), "--init", str(root / "start"), "--frames", "8", "--size", "32", "--frozen.epochs", "1",
                "--frozen.draws", "1", "--partial.epochs", "1"]  # fmt: skip
    if name in OWN:
        return [*own(root), *SMALL]
    data = ssv2 if "ssv2" in name else epic if "epic" in name else moments if "moments" in name else kinetics
    return [*data(root), *SMALL, *(["--model.temporal-depth", "1"] if "_fe_" in name else [])]


@pytest.mark.parametrize("name", RECIPES)
def test_trains_two_steps(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [name, *flags_of(name, tmp_path), *SHORT, "--out", str(out)]
    if name == "modern":
        arguments += ["--clips-per-video", "1"]
    assert train.main("tubelet train", arguments) == 0
    steps = [line for line in lines_of(out) if line["event"] == "step" and line["stage"] == "main"]
    assert len(steps) == 2
    assert all(np.isfinite(step["loss"]) for step in steps)
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("vivit_b_k400", (400,), 88_954_000),
        ("vivit_b_fe_k400", (400,), 115_062_928),
        ("vivit_l_fe_k400", (400,), 606_827_920),
        ("vivit_l_fe_k600", (600,), 607_032_920),
        ("vivit_l_fe_epic", (300, 97), 354_900_365),
        ("vivit_l_fe_ssv2", (174,), 354_733_230),
    ],
)
def test_official_models(name: str, classes: tuple[int, ...], parameters: int) -> None:
    run = made(name)
    with torch.device("meta"):
        model = ViViT(replace(run.model, classes=classes))
    assert sum(p.numel() for p in model.parameters()) == parameters


def made(name: str) -> Train:
    return recipe_named(name)(data=None, out=Path("out"))  # pyright: ignore[reportArgumentType]


OFFICIAL: dict[str, tuple[object, ...]] = {
    "vivit_b_k400": (30, 0.1, 2, 0.0, None, 0.0, (0.8, 0.1), None, 224),
    "vivit_b_fe_k400": (30, 0.05, 2, 0.0, None, 0.0, (0.8, 0.1), None, 224),
    "vivit_l_fe_k400": (30, 0.1, 2, 0.0, None, 0.0, (0.8, 0.1), None, 224),
    "vivit_l_fe_k600": (30, 0.05, 2, 0.0, None, 0.0, (0.8, 0.1), None, 224),
    "vivit_l_fe_epic": (50, 0.5, 1, 0.2, 0.1, 0.2, None, (2, 15), 224),
    "vivit_l_fe_ssv2": (35, 0.4, 1, 0.3, 0.3, 0.3, None, (2, 20), 256),
    "vivit_l_fe_moments": (10, 0.25, 2, 0.0, None, 0.0, (0.8, 0.1), None, 224),
}
"""Epochs, rate, stride, label smoothing, mixup, stochastic depth, colour, RandAugment, pixels: the table of the six
official configurations, and of the paper for Moments in Time."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_numbers(name: str) -> None:
    run = made(name)
    view, optimizer = run.view, run.optimizer
    found = (
        run.epochs, optimizer.lr, view.stride, run.label_smoothing, run.mixup, run.model.drop_path, view.colour,
        view.rand_augment, view.size,
    )  # fmt: skip
    assert found == OFFICIAL[name]
    assert run.batch_size == 64
    assert (optimizer.kind, optimizer.betas[0], optimizer.weight_decay, optimizer.l2) == ("sgd", 0.9, 0, 0)
    assert (optimizer.clip_norm, optimizer.warmup_epochs) == (1.0, 2.5)
    assert (view.frames, view.jitter, view.flip, view.value_range) == (32, (0.9, 1.33), True, (-1, 1))
    assert run.model.size == view.size


def test_fields_are_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data.root", "/k400", "--data.annotations", "/k400/csv", "--out", str(tmp_path / "out")]
    run = train.run_from_shell(
        "tubelet train",
        [
            "vivit_b_fe_k400",
            *flags,
            "--optimizer.lr",
            "0.01",
            "--view.no-flip",
            "--optimizer.clip",
            "per_replica",
        ],
    )
    assert (run.optimizer.lr, run.optimizer.kind, run.view.flip) == (0.01, "sgd", False)
    assert run.optimizer.clip == "per_replica"
    assert run.out == tmp_path / "out"
    assert run.epochs == 30
    with pytest.raises(ConfigError, match="classes are those of the data"):
        train.run_from_shell("tubelet train", ["vivit_b_fe_k400", *flags, "--model.classes", "7"])
    for wrong, why in (
        ("--view.frames", "the view shows 16"),
        ("--optimizer.momentum", "--optimizer.momentum"),
    ):
        with pytest.raises(SystemExit):
            train.run_from_shell("tubelet train", ["vivit_b_fe_k400", *flags, wrong, "16"])
        assert why in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_help_tells_the_recipes_values(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("vivit_l_fe_ssv2", "small_data"):
        with pytest.raises(SystemExit) as stopped:
            train.main("tubelet train", [name, "--help"])
        assert stopped.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "--init" in shown
        assert "--data.root" in shown
        assert ("--optimizer.lr FLOAT" in shown) == (name != "small_data")
