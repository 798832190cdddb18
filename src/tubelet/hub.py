"""Models from the Hugging Face Hub: only the files that are read, into the Hub's own cache."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from tubelet.errors import WeightsError

SETTINGS = (
    "config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "README.md",
)
SAFE = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
"""The files of a model; the pickled weights are fetched only where there are no others."""


def is_repo_id(text: str) -> bool:
    """Whether a text has the form of a Hub id, `owner/name`."""
    return re.fullmatch(r"\w[\w-]*/\w[\w.-]*", text) is not None and ".." not in text and "--" not in text


def fetch(repo_id: str, revision: str | None = None) -> Path:
    """The folder of a model of the Hub, downloaded if it is not in the Hub's cache yet.

    Only weights, configs and the model card are downloaded. Without a network what was downloaded before is found.
    Where from and with which token is as always with the Hub: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`.

    Args:
        repo_id: `owner/name`.
        revision: a branch, a tag or a commit; None: `main`.

    Raises:
        WeightsError: if there is no such model, it may not be read, holds no weights, or cannot be reached.
    """
    if not is_repo_id(repo_id):
        raise WeightsError(f"{repo_id!r} is no Hub id: one looks like 'owner/name'.")
    name = repo_id if revision is None else f"{repo_id} at revision {revision}"
    try:
        folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=[*SETTINGS, *SAFE]))
        if not any(folder.glob("model*.safetensors")):
            snapshot_download(repo_id, revision=revision, allow_patterns=[*SETTINGS, *PICKLED])
    except GatedRepoError as error:
        raise WeightsError(
            f"The Hub's {name} asks for its terms to be accepted: do so on its page, then log in (`hf auth login`)."
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise WeightsError(
            f"The Hub has no model {name}, or it is private: check the id and the revision, or log in "
            "(`hf auth login`). If a folder was meant: there is none of this name."
        ) from error
    except Exception as error:  # a download can fail in any way at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{name} cannot be fetched from the Hub, and is not in its cache: {reason.rstrip('.')}. Without a "
            "network give a folder. If a folder was meant: there is none of this name."
        ) from error
    if not any(folder.glob("model*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise WeightsError(
            f"The Hub's {name} holds no weights that are known here: neither model.safetensors nor "
            "pytorch_model.bin, whole or in parts."
        )
    return folder
