"""The folder of a run: its settings, its log, its checkpoints, its best model."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tubelet.errors import ConfigError, TubeletError
from tubelet.training.checkpoint import Checkpoints
from tubelet.training.config import Train

SETTINGS, LOG, CHECKPOINTS, PICTURE = "run.json", "log.jsonl", "checkpoints", "run.png"

FREE = frozenset(
    (
        "workers", "device", "keep_decoded", "checkpoint_activations", "compile", "sharded", "save_steps",
        "save_minutes", "keep_checkpoints", "log_steps", "tensorboard", "wandb",
    )
)  # fmt: skip
"""Settings that may differ when a run is resumed: they do not change what is learned."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run: `run.json`, `log.jsonl` and `checkpoints` in it beside the best model's own files."""

    path: Path
    checkpoints: Checkpoints
    writes: bool = True
    """Whether this process is the one that writes."""

    @classmethod
    def of(cls, run: Train, writes: bool) -> "RunFolder":
        """The folder of a run, whatever is in it."""
        return cls(run.out, Checkpoints(run.out / CHECKPOINTS, run.keep_checkpoints), writes)

    @property
    def log_file(self) -> Path:
        """One JSON line for each event."""
        return self.path / LOG

    def begin(self, run: Train) -> None:
        """Begin a new folder, or take up one of the same run.

        Raises:
            ConfigError: if the folder holds anything else: nothing is overwritten.
        """
        settings, file = run.to_dict(), self.path / SETTINGS
        scratch = file.with_suffix(".part")
        if self.path.exists() and (not self.path.is_dir() or any(p != scratch for p in self.path.iterdir())):
            if not file.is_file():
                raise ConfigError(f"{self.path} exists and holds no run: give an empty or a new folder.")
            check_same(json.loads(file.read_text(encoding="utf-8")), settings, self.path)
            for left in self.path.glob(".part-*"):  # by a kill while the best model was written
                shutil.rmtree(left, ignore_errors=True)
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            scratch.replace(file)
        except OSError as error:
            raise TubeletError(f"The run cannot be kept in {self.path}: {error}.") from error

    def log(self, **record: Any) -> None:
        """Append one line to the log.

        Raises:
            TubeletError: if the disk does not take it.
        """
        if not self.writes:
            return
        record = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **record}
        try:
            with self.log_file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise TubeletError(
                f"{self.log_file} cannot be written: {error}. Make room, then give the same command again."
            ) from error

    def log_bytes(self) -> int:
        """The length of the log, once it is on the disk: where a run that resumes here goes on writing."""
        with self.log_file.open("ab") as opened:
            os.fsync(opened.fileno())
            return opened.tell()

    def cut_log(self, length: int) -> None:
        """Remove what was logged after a checkpoint: it comes again."""
        if self.log_file.exists():
            os.truncate(self.log_file, min(length, self.log_file.stat().st_size))


def check_same(there: dict[str, Any], settings: dict[str, Any], place: Path) -> None:
    """Refuse to resume a run with other settings; names them.

    Raises:
        ConfigError: if a setting differs that is not in `FREE`.
    """
    other = [
        line
        for name in sorted((set(there) | set(settings)) - FREE)
        for line in differences(name, there.get(name), settings.get(name))
    ]
    if other:
        raise ConfigError(
            f"{place} holds a run with other settings: give another folder, or the settings of that run to resume "
            "it.\n" + "\n".join(f"  {line}" for line in other)
        )


def differences(name: str, there: Any, here: Any) -> list[str]:
    """A line for each field that differs, by its whole name."""
    if there == here:
        return []
    if isinstance(there, dict) and isinstance(here, dict):
        one, other = cast("dict[str, Any]", there), cast("dict[str, Any]", here)
        names = dict.fromkeys([*one, *other])
        return [line for key in names for line in differences(f"{name}.{key}", one.get(key), other.get(key))]
    return [f"{name}: {there!r} there, {here!r} here"]
