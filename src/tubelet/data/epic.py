"""EPIC-Kitchens-55 and 100 (Damen et al. 2018, arXiv 1804.02748, and 2022, arXiv 2006.13256)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tubelet.data.disk import Disk, check_found
from tubelet.data.published import Published
from tubelet.data.rows import Row, in_order, read_rows
from tubelet.data.source import UNKNOWN, Listing, Sample
from tubelet.errors import ConfigError, DataError
from tubelet.labels import Head, Label, Labels

FILES = {
    "100": {
        "train": ("EPIC_100_train.csv",),
        "val": ("EPIC_100_validation.csv",),
        "test": ("EPIC_100_test_timestamps.csv",),
    },
    "55": {
        "train": ("EPIC_train_action_labels.csv",),
        "test": ("EPIC_test_s1_timestamps.csv", "EPIC_test_s2_timestamps.csv"),
    },
}
"""The official files of each edition's splits. A file may be missing where its split is not needed."""
HELD_OUT = ("P26", "P27", "P28", "P29", "P30", "P31")
"""Participants by whom EPIC-Kitchens-55, which has no validation split, is divided unless others are named."""


@dataclass(frozen=True, kw_only=True)
class EpicKitchens(Published):
    """EPIC-Kitchens as it is published: segments of long videos, each with a noun and a verb.

    The heads are `noun`, then `verb`, as in the official ViViT: a released checkpoint and these data then agree. The
    classes are those of the official class files, in their order. Segments of the test split have no labels. A video
    is found by its name in whatever folder below the root; the names of those that are not there are in `missing`.
    Segments of one video are a group.

    Raises:
        ConfigError: if `held_out` is given for EPIC-Kitchens-100.
        DataError: if a file is not what it should be (names the line), or no video is there.
    """

    root: Path
    """The folder of the videos, `P01/videos/P01_01.MP4`, or of folders of frames, `P01/rgb_frames/P01_01`."""
    annotations: Path
    """The folder of the CSV files."""
    edition: Literal["100", "55"] = "100"
    """EPIC-Kitchens-100 or 55."""
    held_out: tuple[str, ...] | None = None
    """Participants of EPIC-Kitchens-55 whose segments are `val`, not `train`. None: P26 to P31."""
    image_rate: float | None = None
    """Frames per second where videos are folders of frames; the official frame numbers then say what belongs to a
    segment, whatever the rate. None: videos are files, cut by the official times."""

    def __post_init__(self) -> None:
        """Refuse a division of what is divided."""
        super().__post_init__()
        if self.held_out is not None and self.edition != "55":
            raise ConfigError(
                "held_out is for edition 55: EPIC-Kitchens-100 has a validation split of its own."
            )

    def read(self) -> Listing:
        """Read the annotations and look which videos are there."""
        heads = (self._head("noun"), self._head("verb"))
        disk = Disk.below(self.root, self.image_rate)
        samples: list[Sample] = []
        missing: list[tuple[str, str]] = []
        for row, split in self._rows():
            video = row.text("video_id")
            path = disk.named(video, ("videos", "rgb_frames", row["participant_id"]))
            labels: tuple[Label, ...] = (UNKNOWN, UNKNOWN)
            if split != "test":
                labels = tuple(row.integer(f"{h.name}_class", len(h.classes)) for h in heads)
            start, end = self._times(row)
            if path is None:
                missing.append((split, video))
                continue
            samples.append(
                Sample(
                    path=path,
                    labels=labels,
                    start_seconds=start,
                    end_seconds=end,
                    split=split,
                    group=video,
                    id=row["narration_id" if self.edition == "100" else "uid"],
                    image_rate=self.image_rate,
                )
            )
        absent = check_found(samples, missing, self.root)
        return Listing(labels=Labels(heads), samples=samples, missing=absent)

    def _rows(self) -> list[tuple[Row, str]]:
        """All segments and their splits."""
        found: list[tuple[Row, str]] = []
        common = ("narration_id" if self.edition == "100" else "uid", "participant_id", "video_id")
        common += ("start_timestamp", "stop_timestamp", "start_frame", "stop_frame")
        held_out = HELD_OUT if self.held_out is None else self.held_out
        for split, names in FILES[self.edition].items():
            columns = common if split == "test" else (*common, "verb_class", "noun_class")
            for name in names:
                if not (self.annotations / name).is_file():
                    continue
                for row in read_rows(self.annotations / name, columns):
                    held = self.edition == "55" and split == "train" and row["participant_id"] in held_out
                    found.append((row, "val" if held else split))
        if not found:
            names = [name for names in FILES[self.edition].values() for name in names]
            raise DataError(f"{self.annotations} holds none of {', '.join(names)}.")
        return found

    def _times(self, row: Row) -> tuple[float, float]:
        """Where a segment starts and ends, in seconds."""
        if self.image_rate is not None:  # frames are counted from 1, and the last one is part of the segment
            start = (max(row.integer("start_frame"), 1) - 1) / self.image_rate
            end = row.integer("stop_frame") / self.image_rate
        else:
            start, end = row.seconds("start_timestamp"), row.seconds("stop_timestamp")
        if end <= start:
            raise DataError(
                f"{row.where}: the segment ends ({end:g} s) no later than it starts ({start:g} s)."
            )
        return start, end

    def _head(self, name: str) -> Head:
        """The classes of a head: `id,key,...` of EPIC-Kitchens-100, `noun_id,class_key,...` of 55."""
        number, key = ("id", "key") if self.edition == "100" else (f"{name}_id", "class_key")
        file = self.annotations / f"EPIC_{'100_' if self.edition == '100' else ''}{name}_classes.csv"
        names: dict[int, str] = {}
        for row in read_rows(file, (number, key)):
            if row.integer(number) in names:
                raise DataError(f"{row.where}: the number {row[number]} is taken.")
            names[row.integer(number)] = row.text(key)
        return Head(name, in_order(names, file))
