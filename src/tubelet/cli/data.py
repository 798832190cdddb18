"""Data on the command line: a folder per class, or a table, and how they are divided."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.data.folders import Folders
    from tubelet.data.table import Table


@dataclass(frozen=True, kw_only=True)
class Division:
    """Columns and shares: what a folder or a table does not say by itself."""

    label: tuple[str, ...] = ("label",)
    """Table: the columns of labels; each is a head."""
    path: str = "path"
    """Table: the column of paths."""
    start: str | None = None
    """Table: the column that says where in the video a clip starts."""
    end: str | None = None
    """Table: the column that says where in the video a clip ends."""
    unit: Literal["seconds", "frames"] = "seconds"
    """Table: the unit of start and end."""
    frame_rate: float | None = None
    """Table: frames per second, by which frames become seconds."""
    margin_seconds: float = 0.0
    """Table: context added before start and after end."""
    split: str | None = None
    """Table: the column of splits (train, val, test). Default: divided at random."""
    group: str | None = None
    """What must stay together when clips are divided at random: the column of a table; for a folder a regular
    expression with one bracket, searched in each file's name."""
    val: float = 0.15
    """Share of the clips held out to choose the best epoch, where nothing says the splits."""
    test: float = 0.15
    """Share held out for the final number."""
    seed: int = 0
    """Another seed divides otherwise."""


@dataclass(frozen=True, kw_only=True)
class Data(Division):
    """Labelled clips."""

    root: Path
    """A folder with a folder of videos for each class (train, val, test folders may stand above them), or a CSV."""


def open_source(root: Path, division: Division) -> "Folders | Table":
    """The source behind a path: a folder per class, or a table.

    Raises:
        ConfigError: for columns of a table where there is a folder.
    """
    from tubelet.data.folders import Folders
    from tubelet.data.source import Fractions
    from tubelet.data.table import Table

    fractions = Fractions(val=division.val, test=division.test, seed=division.seed)
    if root.suffix.lower() == ".csv":
        names = ("label", "path", "start", "end", "unit", "frame_rate", "margin_seconds", "split", "group")
        columns = {name: getattr(division, name) for name in names}
        return Table(file=root, **columns, fractions=fractions)
    plain = Division(group=division.group, val=division.val, test=division.test, seed=division.seed)
    mine = Division(**{name: getattr(division, name) for name in vars(plain)})
    if mine != plain:
        given = [name for name, value in vars(mine).items() if value != getattr(plain, name)]
        raise ConfigError(f"{', '.join(given)} belong to a table, and {root} is no .csv file.")
    return Folders(root=root, group=division.group, fractions=fractions)
