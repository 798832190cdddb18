"""What a model is worth on the validation clips, after each epoch."""

import torch

from tubelet.errors import DataError
from tubelet.evaluation.metrics import measure
from tubelet.training.learner import Learner
from tubelet.training.loss import class_numbers, objective
from tubelet.training.step import precision


@torch.no_grad()
def validate(learner: Learner) -> tuple[float, float]:
    """Top-1 accuracy, averaged over the heads that have classes, and the loss on the validation clips, one view each.

    Each process computes its share of them, and all measure the whole.

    Raises:
        DataError: if none of them can be read.
    """
    labels, who = learner.labels, learner.stage.who
    learner.work.model.eval()
    indices: list[int] = []
    logits = [torch.empty(0, sum(labels.classes))]
    targets = [torch.empty(0, sum(labels.classes))]
    for shown in learner.stage.held_out():
        with precision(shown.inputs.device, learner.work.run.autocast):
            said = learner.stage.forward(shown.inputs).float().cpu()
        if shown.indices:
            indices.extend(shown.indices)
            logits.append(said)
            targets.append(shown.targets.cpu())
    parts = who.gather((indices, torch.cat(logits), torch.cat(targets)))
    order = torch.tensor([index for numbers, _, _ in parts for index in numbers], dtype=torch.int64).argsort()
    if not len(order):
        raise DataError("None of the validation clips can be read.")
    together = torch.cat([part for _, part, _ in parts])[order]
    truth = torch.cat([part for _, _, part in parts])[order]
    measured = measure(together, class_numbers(truth, labels), labels)
    heads = [head for head in measured if head.videos]
    loss = float(objective(together, truth, labels))
    return sum(head.top1 for head in heads) / max(len(heads), 1), loss
