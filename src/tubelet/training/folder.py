"""The folder of a run: its settings, its log, its last checkpoint, its best model."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import ConfigError
from tubelet.training.config import Train

SETTINGS, LOG, LAST = "run.json", "log.jsonl", "last.pt"

FREE = frozenset(("workers", "device", "keep_decoded", "checkpoint_activations"))
"""Settings that may differ when a run is resumed: they do not change what is learned."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, `run.json`, `log.jsonl` and `last.pt` in it beside the best model's own files."""

    path: Path

    @classmethod
    def open(cls, run: Train) -> "RunFolder":
        """Begin a new folder, or take up one of the same run.

        Raises:
            ConfigError: if the folder holds anything else: nothing is overwritten.
        """
        settings, file = run.to_dict(), run.out / SETTINGS
        if run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
            if not file.is_file():
                raise ConfigError(f"{run.out} exists and holds no run: give an empty or a new folder.")
            there = json.loads(file.read_text(encoding="utf-8"))
            names = sorted((set(there) | set(settings)) - FREE)
            other = [name for name in names if there.get(name) != settings.get(name)]
            if other:
                raise ConfigError(
                    f"{run.out} holds a run with another {', '.join(other)}: give another folder, or the settings "
                    "of that run to resume it."
                )
        else:
            run.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return cls(run.out)

    def log(self, **record: Any) -> None:
        """Append one line to the log."""
        record = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **record}
        with (self.path / LOG).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(record, ensure_ascii=False) + "\n")

    def save(self, state: dict[str, Any]) -> None:
        """Put the last checkpoint in its place once it is whole."""
        scratch = self.path / (LAST + ".part")
        torch.save(state, scratch)
        scratch.replace(self.path / LAST)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last checkpoint, if there is one."""
        file = self.path / LAST
        return torch.load(file, map_location=device, weights_only=True) if file.is_file() else None
