"""The video-classification pipeline: a Tubelet model looks at a video as its own view says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import get_session
from torch import Tensor
from transformers import AutoConfig, BatchFeature
from transformers.pipelines.video_classification import VideoClassificationPipeline

from tubelet.errors import ConfigError
from tubelet.huggingface.config import TubeletConfig, names_of
from tubelet.huggingface.model import TubeletForVideoClassification
from tubelet.prediction import Source
from tubelet.video.decode import Video
from tubelet.video.view import View


class TubeletVideoProcessor:
    """Videos into `pixel_values`, as a `View` wants them: which frames, what size, what values.

    Args:
        view: how to look; a folder's own with `from_pretrained`.
    """

    def __init__(self, view: View) -> None:
        self.view = view

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The view in a Tubelet folder's `config.json`."""
        config = AutoConfig.from_pretrained(folder)
        if not isinstance(config, TubeletConfig):
            raise ConfigError(f"{folder} holds a {config.model_type!r} model, not one of Tubelet's.")
        return cls(config.looks())

    def save_pretrained(self, save_directory: str | Path) -> list[str]:
        """Writes nothing: the view is in the model's `config.json`."""
        return []

    def __call__(
        self,
        videos: Source | Sequence[Source],
        num_frames: int | None = None,
        do_sample_frames: bool = True,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """The middle clip of each video (of a uniform view: the frames spread over it), cropped at the centre.

        Args:
            videos: what `tubelet.Video` opens, or an address that starts with http; one, or several.
            num_frames: the view's own number, or None; no other.
            do_sample_frames: True: the view chooses the frames.
            return_tensors: "pt".

        Returns:
            `pixel_values`, float32 `(B, F, C, H, W)`.

        Raises:
            ConfigError: for another number of frames, or what else a view cannot do.
            DecodeError: if a video cannot be read.
        """
        if num_frames not in (None, self.view.frames) or not do_sample_frames or return_tensors != "pt":
            raise ConfigError(
                f"The model's view takes {self.view.frames} frames, chooses them itself and makes PyTorch tensors; "
                f"num_frames={num_frames}, do_sample_frames={do_sample_frames}, return_tensors={return_tensors!r}."
            )
        several = [videos] if isinstance(videos, str | Path | bytes | Video) else videos
        return BatchFeature({"pixel_values": torch.stack([self.clip(video) for video in several])})

    def clip(self, source: Source) -> Tensor:
        """One look at a video, `(F, C, H, W)`."""
        if isinstance(source, Video):
            return self.view.test(source, "1x1").pixels[0]
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            answer = get_session().get(source, follow_redirects=True)
            answer.raise_for_status()
            source = answer.content
        with Video(source) as video:
            return self.view.test(video, "1x1").pixels[0]


class VideoClassification(VideoClassificationPipeline):
    """transformers' pipeline, which for a Tubelet model takes the view of its config and the scores of its heads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        model = args[0] if args else kwargs.get("model")
        if isinstance(model, TubeletForVideoClassification) and kwargs.get("video_processor") is None:
            kwargs["video_processor"] = TubeletVideoProcessor(model.config.looks())
        super().__init__(*args, **kwargs)

    def check_model_type(self, supported_models: Any) -> None:
        """Tubelet's is not in transformers' own list."""
        if not isinstance(self.model, TubeletForVideoClassification):
            super().check_model_type(supported_models)

    def postprocess(
        self, model_outputs: Any, top_k: int = 5, function_to_apply: str | None = None
    ) -> list[dict[str, Any]]:
        """The `top_k` best of all classes; with several heads each class has the probability in its own head."""
        if not isinstance(self.model, TubeletForVideoClassification) or function_to_apply is not None:
            return super().postprocess(model_outputs, top_k, function_to_apply)
        labels = self.model.config.classes()
        if len(labels.heads) == 1:
            return super().postprocess(model_outputs, top_k, function_to_apply)
        scores = torch.cat(list(labels.probabilities(model_outputs.logits[0].float()).values()))
        best = scores.topk(min(top_k, len(scores)))
        names = names_of(labels)
        return [
            {"score": score, "label": names[number]}
            for score, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
