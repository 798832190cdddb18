"""The public surface is a list."""

import subprocess
import sys

import pytest

import tubelet


def test_every_public_name_is_there() -> None:
    assert sorted(tubelet.__all__, key=str.lower) == [
        "Classifier",
        "ConfigError",
        "DataError",
        "DecodeError",
        "evaluate",
        "explain",
        "Explanation",
        "export",
        "extract_features",
        "Failure",
        "Features",
        "Head",
        "Labels",
        "load",
        "LoadReport",
        "Prediction",
        "probe",
        "read_features",
        "read_results",
        "Rules",
        "scenic_zoo",
        "search",
        "Start",
        "start_config",
        "start_from",
        "stream",
        "timeline",
        "TubeletError",
        "variant",
        "Video",
        "View",
        "ViViT",
        "ViViTConfig",
        "WeightsError",
    ]
    for name in tubelet.__all__:
        assert getattr(tubelet, name).__name__ == name
    assert set(tubelet.__all__) <= set(dir(tubelet))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'vivit_base'"):
        tubelet.vivit_base  # noqa: B018


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, tubelet, tubelet.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
