"""Tubelet models in transformers: once this is imported, its Auto classes know a Tubelet folder.

`AutoConfig`, `AutoModel`, `AutoModelForVideoClassification`, the video-classification pipeline and `Trainer` then
take a folder of any of the four models; what they save is a Tubelet folder again. No code comes with the folder.

Needs `pip install tubelet[huggingface]`. Nothing else in Tubelet imports transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
from transformers.pipelines import SUPPORTED_TASKS

from tubelet.huggingface.config import TubeletConfig
from tubelet.huggingface.model import TubeletForVideoClassification, TubeletModel
from tubelet.huggingface.pipeline import TubeletVideoProcessor

__all__ = ["TubeletConfig", "TubeletForVideoClassification", "TubeletModel", "TubeletVideoProcessor"]

AutoConfig.register("tubelet", TubeletConfig, exist_ok=True)
AutoModel.register(TubeletConfig, TubeletModel, exist_ok=True)
AutoModelForVideoClassification.register(TubeletConfig, TubeletForVideoClassification, exist_ok=True)
# The pipeline of this task for all models: for others than Tubelet's it does what it always did.
SUPPORTED_TASKS["video-classification"]["impl"] = "tubelet.huggingface.pipeline.VideoClassification"
