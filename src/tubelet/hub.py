"""Models from the Hugging Face Hub, and to it. Only the files that are read are fetched, into the Hub's own cache.

Which Hub, and with which token, is as always: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`.
"""

import re
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from tubelet.card import is_ours
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
        api = HfApi()
        folder = Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=[*SETTINGS, *SAFE]))
        if not any(folder.glob("model*.safetensors")):
            api.snapshot_download(repo_id, revision=revision, allow_patterns=[*SETTINGS, *PICKLED])
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


def push(folder: str | Path, repo_id: str, *, private: bool = False, message: str = "A Tubelet model") -> str:
    """Publish a saved model, with its card, on the Hub.

    Args:
        folder: what `Classifier.save` wrote, its card completed or not. A card that is still as it was written does
            not replace one on the Hub that somebody wrote or changed.
        repo_id: `owner/name`; made if need be.
        private: whether a repository that is made now is private.
        message: of the commit.

    Returns:
        The model's address.

    Raises:
        WeightsError: if the folder holds no saved model, or the Hub cannot be reached or does not take it.
    """
    folder = Path(folder)
    files = [folder / name for name in ("config.json", "model.safetensors", "README.md")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightsError(f"{folder} holds no {' and no '.join(missing)}: push what Classifier.save wrote.")
    if not is_repo_id(repo_id):
        raise WeightsError(f"{repo_id!r} is no Hub id: one looks like 'owner/name'.")
    names = [file.name for file in files]
    try:
        api = HfApi()
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        if is_ours(files[2].read_text(encoding="utf-8")) and api.file_exists(repo_id, "README.md"):
            there = Path(api.hf_hub_download(repo_id, "README.md"))
            if not is_ours(there.read_text(encoding="utf-8", errors="replace")):
                names.remove("README.md")
        api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=names, commit_message=message)
    except Exception as error:  # an upload can fail in any way at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{folder} cannot be published as {repo_id}: {reason.rstrip('.')}. If you are not logged in: "
            "`hf auth login`, with a token that may write."
        ) from error
    return str(address)
