"""A model's folder: `model.safetensors`, `config.json` and the card `README.md`, written and read as one."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tubelet.card import is_ours, write_card
from tubelet.errors import WeightsError
from tubelet.labels import Labels
from tubelet.lora import merged_state
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.view import View
from tubelet.weights.files import read_json, read_safetensors
from tubelet.weights.report import LoadReport, Row, check_plausible, load_strictly

FORMAT = "tubelet"
VERSION = 1


def write_folder(
    folder: Path,
    model: ViViT,
    view: View,
    labels: Labels,
    report: LoadReport | None,
    extra: Mapping[str, Any],
    place: str | None = None,
) -> None:
    """Write a model over what is there, but no card that somebody wrote. See `Classifier.save`.

    Each file is put in its place only when it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "model_type": FORMAT,  # by which transformers knows it once tubelet.huggingface is imported
        "model": model.config.to_dict(),
        "view": view.to_dict(),
        "labels": labels.to_dict(),
        "extra": dict(extra),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in merged_state(model).items()}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as scratch:
        weights, settings, card = (
            Path(scratch, name) for name in ("model.safetensors", "config.json", "README.md")
        )
        save_file(tensors, weights, metadata={"format": "pt"})
        settings.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        weights.chmod(settings.stat().st_mode)  # safetensors writes for the owner's eyes only
        weights.replace(folder / weights.name)
        settings.replace(folder / settings.name)
        there = folder / card.name
        if not there.exists() or is_ours(there.read_text(encoding="utf-8", errors="replace")):
            name = place or folder.resolve().name
            card.write_text(write_card(name, model, view, labels, report, extra), encoding="utf-8")
            card.replace(there)


def write_labels(folder: Path, labels: Labels) -> None:
    """Put other labels, such as those with a threshold, into the `config.json` of a folder; nothing else changes.

    Raises:
        WeightsError: if the folder holds no model of this format, or one of other heads.
    """
    settings = folder / "config.json"
    config = read_json(settings)
    if config.get("format") != FORMAT or Labels.from_dict(config["labels"]).classes != labels.classes:
        raise WeightsError(f"{settings} is not of format {FORMAT!r}, or of a model of other heads.")
    scratch = settings.with_name(".config.json.part")
    text = json.dumps({**config, "labels": labels.to_dict()}, indent=2, ensure_ascii=False)
    scratch.write_text(text + "\n", encoding="utf-8")
    scratch.replace(settings)


def read_folder(folder: Path) -> tuple[ViViT, View, Labels, LoadReport, dict[str, Any]]:
    """What `write_folder` wrote. See `Classifier.load`."""
    settings, file = folder / "config.json", folder / "model.safetensors"
    config = read_json(settings)
    if config.get("format") != FORMAT or config.get("version") != VERSION:
        raise WeightsError(
            f"{settings} is not of format {FORMAT!r}, version {VERSION}, but {config.get('format')!r}, version "
            f"{config.get('version')}."
        )
    tensors = read_safetensors(file)
    try:
        model_config = ViViTConfig.from_dict(config["model"])
        view, labels = View.from_dict(config["view"]), Labels.from_dict(config["labels"])
        extra = dict(config.get("extra", {}))
    except Exception as error:  # what is damaged can be anything at all
        raise WeightsError(f"{settings} is damaged: {type(error).__name__}: {error}") from error
    check_plausible(model_config, len(tensors), str(folder))
    model = ViViT.hollow(model_config)
    load_strictly(model, {name: tensor.float() for name, tensor in tensors.items()}, str(file))
    rows = tuple(Row("taken", name, name, tuple(t.shape)) for name, t in tensors.items())
    return model, view, labels, LoadReport(str(file), "Tubelet", rows), extra
