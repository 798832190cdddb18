import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.data import EpicKitchens, Hmdb51, Kinetics, MomentsInTime, SomethingSomethingV2, Ucf101
from tubelet.data.published import Published
from tubelet.errors import ConfigError
from tubelet.training.config import plain
from tubelet.training.record import revived


@pytest.mark.parametrize(
    "kind", [EpicKitchens, Hmdb51, Kinetics, MomentsInTime, SomethingSomethingV2, Ucf101]
)
def test_paths_may_be_text_and_a_run_keeps_the_source(kind: Any):
    source = kind(root="videos", annotations="lists", image_rate=12.0)
    assert isinstance(source, Published)
    assert source == kind(root=Path("videos"), annotations=Path("lists"), image_rate=12.0)
    assert (source.root, source.annotations, source.place) == (Path("videos"), Path("lists"), "videos")
    assert revived(None, json.loads(json.dumps(plain(source)))) == source


@pytest.mark.parametrize("kind", [Hmdb51, Ucf101])
def test_a_share_held_out_is_a_share(kind: Any):
    with pytest.raises(ConfigError, match="val=1"):
        kind(root="videos", annotations="lists", val=1)
