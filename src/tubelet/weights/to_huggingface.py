"""A classifier as a folder that Hugging Face's `VivitForVideoClassification` and `VivitImageProcessor` load."""

import json
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tubelet.errors import WeightsError
from tubelet.labels import Labels
from tubelet.models.config import ViViTConfig
from tubelet.models.vivit import ViViT
from tubelet.video.processor import reasons_against_view, write_processor
from tubelet.video.view import View
from tubelet.weights.rename import write
from tubelet.weights.vivit_folder import PROBLEMS, TABLE, config_to, reasons_against


def labels_to(labels: Labels) -> dict[str, Any]:
    """The fields of a `config.json` that describe one head; numbered classes as they are numbered there."""
    head = labels.heads[0]
    numbered = head.classes == Labels.numbered((len(head.classes),)).heads[0].classes
    names = [f"LABEL_{i}" if numbered else name for i, name in enumerate(head.classes)]
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": PROBLEMS[head.kind],
    }


def lost(config: ViViTConfig, view: View) -> list[str]:
    """What such a folder has no place for, and what whoever uses it must therefore know."""
    frames = {
        "stride": f"every {view.stride} frames",
        "rate": f"{view.frames_per_second} frames per second",
        "uniform": "spread over the whole video",
    }[view.sampling]
    notes = [f"the choice of frames: {frames}, {view.frames} of them"]
    if view.interpolation == "bilinear" and view.fit != "none":
        notes.append("resizing without antialiasing: its processor resizes with antialiasing")
    if view.answers == "window":
        notes.append("answers for windows of time: it answers for the clip that it is given")
    if config.drop_path:
        notes.append(f"drop_path={config.drop_path}, which only training sees")
    if config.dropout:
        notes.append(f"dropout={config.dropout} inside the MLPs, which only training sees")
    return notes


def write_huggingface(model: ViViT, view: View, labels: Labels, folder: Path) -> list[str]:
    """Write `config.json`, `model.safetensors` and `preprocessor_config.json` into a new folder.

    Returns:
        What the folder has no place for, a sentence each.

    Raises:
        WeightsError: if the folder holds anything; or if Hugging Face's ViViT cannot be this model or its processor
            not look so, with every reason.
    """
    config = model.config
    reasons = [*reasons_against(config), *reasons_against_view(view)]
    if reasons:
        lines = [f"  {reason}" for reason in reasons]
        raise WeightsError("\n".join(["Hugging Face's ViViT cannot be this model:", *lines]))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WeightsError(f"{folder} is not empty: write into another folder.")
    tensors = write(model.state_dict(), TABLE, lambda _: config.heads)
    dtype = str(model.head.weight.dtype).removeprefix("torch.")
    settings = {**config_to(config), **labels_to(labels), "dtype": dtype, "torch_dtype": dtype}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        weights = Path(scratch, "model.safetensors")
        save_file({name: t.detach().cpu() for name, t in tensors.items()}, weights, metadata={"format": "pt"})
        for name, content in (("config.json", settings), ("preprocessor_config.json", write_processor(view))):
            file = Path(scratch, name)
            file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            weights.chmod(file.stat().st_mode)  # safetensors writes for the owner's eyes only
            file.replace(folder / name)
        weights.replace(folder / weights.name)
    return lost(config, view)
