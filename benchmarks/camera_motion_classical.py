"""The classical row beside the camera-motion model: tracked corners, a similarity per step, thresholds.

`python benchmarks/camera_motion_classical.py --data ../shared/data` prints balanced accuracies and writes JSON.
The thresholds are tuned on virtual moves over the training photographs, never on the test set.
"""

import argparse
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from tubelet.recipes.camera_motion.moves import HEADS, Motion
from tubelet.recipes.camera_motion.scoring import balanced_accuracy
from tubelet.recipes.camera_motion.testset import (
    DURATION_SECONDS,
    TestClip,
    make_test_clip,
    make_test_set,
    photograph_sources,
)


def similarity(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """How the picture moved about its centre between two grey frames: (dx, dy, log scale, angle).

    Also the share of corners that agree, 0 where nothing could be tracked.
    """
    corners = cv2.goodFeaturesToTrack(before, 200, 0.005, 5)
    if corners is None or len(corners) < 6:
        return np.zeros(4), 0.0
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(21, 21), maxLevel=4)
    back, status_back, _ = cv2.calcOpticalFlowPyrLK(after, before, found, None, winSize=(21, 21), maxLevel=4)
    error = np.linalg.norm((back - corners).reshape(-1, 2), axis=1)
    good = (status.ravel() == 1) & (status_back.ravel() == 1) & (error < 1)
    if good.sum() < 6:
        return np.zeros(4), 0.0
    centre = np.array([before.shape[1], before.shape[0]]) / 2
    start, end = corners.reshape(-1, 2)[good] - centre, found.reshape(-1, 2)[good] - centre
    matrix, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=1.5)
    if matrix is None:
        return np.zeros(4), 0.0
    a, b = matrix[0, 0], matrix[1, 0]
    share = float(inliers.sum()) / len(corners)
    return np.array([matrix[0, 2], matrix[1, 2], np.log(np.hypot(a, b)), np.arctan2(b, a)]), share


def measure(frames: Tensor) -> dict[str, float]:
    """The rates of a uint8 (F, 3, H, W) clip in the units of `Motion`; `cut` is how badly the worst step tracks."""
    grey = [cv2.cvtColor(f.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY) for f in frames]
    steps, shares = zip(*(similarity(*pair) for pair in itertools.pairwise(grey)), strict=True)
    motion, tracked = np.stack(steps), np.array(shares)
    change = np.array([np.abs(a.astype(float) - b).mean() for a, b in itertools.pairwise(grey)])
    jump = change / (np.median(change) + 4) * (1 - tracked)
    good = tracked > 0.1
    rate = motion[good].mean(0) / (DURATION_SECONDS / len(frames)) if good.any() else np.zeros(4)
    width = frames.shape[-1]
    # What is left of the path over a smooth curve is shake.
    path = np.cumsum(np.where(good[:, None], motion, 0)[:, :2], axis=0) / width
    moments = np.linspace(-1, 1, len(path))
    rest = path - np.stack([np.polyval(np.polyfit(moments, column, 4), moments) for column in path.T], axis=1)
    shake = float(np.sqrt((rest**2).sum(1).mean()))
    return {
        "pan": -rate[0] / width,
        "tilt": rate[1] / width,
        "zoom": rate[2],
        "roll": -rate[3],
        "shake": shake,
        "cut": float(jump.max()),
    }


def classify(measured: dict[str, float], limits: dict[str, float]) -> list[int]:
    """Classes from measurements: one limit per head."""
    signed = [
        int(np.sign(measured[h]) * (abs(measured[h]) > limits[h])) + 1 for h in HEADS if len(HEADS[h]) == 3
    ]
    return [*signed, int(measured["shake"] > limits["shake"]), int(measured["cut"] > limits["cut"])]


def labels_of(motions: list[Motion]) -> Tensor:
    return torch.tensor([motion.classes() for motion in motions])


def tune(clips: list[TestClip]) -> dict[str, float]:
    """Per head the limit with the best balanced accuracy on the given clips."""
    measured = [measure(clip.frames) for clip in clips]
    labels = labels_of([clip.motion for clip in clips])
    limits = dict.fromkeys(HEADS, 0.0)
    for head in HEADS:
        candidates = np.quantile(np.abs([m[head] for m in measured]), np.linspace(0.02, 0.98, 97))
        scores: list[float] = []
        for limit in candidates:
            limits[head] = float(limit)
            scores.append(
                balanced_accuracy(torch.tensor([classify(m, limits) for m in measured]), labels)[head]
            )
        limits[head] = float(candidates[int(np.argmax(scores))])
    return limits


def tuned_limits(per_photograph: int = 25) -> dict[str, float]:
    sources = photograph_sources()
    return tune([make_test_clip(sources, name, i, seed=5) for name in sources for i in range(per_photograph)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--per-source", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    limits = tuned_limits()
    print("limits", {head: round(limit, 4) for head, limit in limits.items()})
    clips = make_test_set(arguments.data, arguments.per_source)
    found = torch.tensor([classify(measure(clip.frames), limits) for clip in clips])
    labels = labels_of([clip.motion for clip in clips])
    result = {"limits": limits, "all": balanced_accuracy(found, labels)}
    for source in dict.fromkeys(clip.source for clip in clips):
        chosen = torch.tensor([clip.source == source for clip in clips])
        result[source] = balanced_accuracy(found[chosen], labels[chosen])
    for name, row in result.items():
        print(f"{name:14s}", " ".join(f"{head} {value:.3f}" for head, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
