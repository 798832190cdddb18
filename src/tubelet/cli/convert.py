"""`tubelet convert`: any known weights into a Tubelet folder, or into Hugging Face's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Any known weights into a Tubelet folder, or into one that Hugging Face's ViViT loads."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A file, a folder, a name, or an id of the Hugging Face Hub, as for tubelet.load."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The folder to write; it must be empty, or not be there yet."""
    to: Literal["tubelet", "huggingface"] = "tubelet"
    """For whom: Tubelet, or VivitForVideoClassification of transformers, which has Model 1 only."""
    config: str | None = None
    """The architecture, where MODEL does not say it whole, or is an image ViT: a name in Scenic's model zoo, such as
    vivit_l_16x2_fe_epic, or a JSON file of the fields of tubelet.ViViTConfig."""
    revision: str | None = None
    """The branch, tag or commit of a Hub id. Default: main."""
    labels: tuple[str, ...] = ()
    """The names of the classes, where the file has none or an encoder has no classifier yet."""


def main(prog: str, arguments: Sequence[str]) -> int:
    """Exit code 0 when the folder is written."""
    options = tyro.cli(Convert, prog=prog, args=arguments)
    from tubelet.errors import WeightsError
    from tubelet.labels import Labels
    from tubelet.loading import load
    from tubelet.models.config import ViViTConfig
    from tubelet.weights.files import read_json
    from tubelet.weights.releases import RELEASES
    from tubelet.weights.to_huggingface import write_huggingface

    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise WeightsError(f"{options.out} is not empty: write into another folder.")
    labels = Labels.single(options.labels) if options.labels else None
    config = RELEASES.get(options.config or "")
    if options.config is not None and config is None:
        file = Path(options.config)
        if not file.is_file():
            names = ", ".join(RELEASES)
            raise WeightsError(f"--config {file} is no file, and no name in Scenic's model zoo: {names}.")
        config = ViViTConfig.from_dict(read_json(file))
    classifier = load(options.model, config, labels=labels, revision=options.revision)
    if classifier.report is not None:
        print(classifier.report)
    if options.to == "huggingface":
        notes = write_huggingface(classifier.model, classifier.view, classifier.labels, options.out)
        print(
            f"Written: {options.out}, for VivitForVideoClassification and VivitImageProcessor. It has no place for:"
        )
        for note in notes:
            print(f"  {note}")
    else:
        classifier.save(options.out)
        print(f"Written: {options.out}:  tubelet predict VIDEO --model {options.out}")
    return 0
