"""Where labelled clips come from."""

from tubelet.data.folders import Folders
from tubelet.data.source import Fractions, Sample, Source
from tubelet.data.table import Table

__all__ = ["Folders", "Fractions", "Sample", "Source", "Table"]
