"""Where labelled clips come from."""

from tubelet.data.epic import EpicKitchens
from tubelet.data.folders import Folders
from tubelet.data.kinetics import Kinetics
from tubelet.data.moments import MomentsInTime
from tubelet.data.quarantine import Without
from tubelet.data.shards import Shards
from tubelet.data.source import Fractions, Sample, Source
from tubelet.data.ssv2 import SomethingSomethingV2
from tubelet.data.table import Table
from tubelet.data.ucf import Hmdb51, Ucf101

__all__ = [
    "EpicKitchens",
    "Folders",
    "Fractions",
    "Hmdb51",
    "Kinetics",
    "MomentsInTime",
    "Sample",
    "Shards",
    "SomethingSomethingV2",
    "Source",
    "Table",
    "Ucf101",
    "Without",
]
