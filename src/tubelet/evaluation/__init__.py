"""Measuring a classifier on labelled videos."""

from tubelet.evaluation.evaluate import evaluate
from tubelet.evaluation.joint import JointMetrics
from tubelet.evaluation.metrics import HeadMetrics, measure
from tubelet.evaluation.multi_label import MultiMetrics
from tubelet.evaluation.regression import NumberMetrics
from tubelet.evaluation.report import Report, Unreadable, report
from tubelet.evaluation.results import Results, VideoResult, read_results

__all__ = [
    "HeadMetrics",
    "JointMetrics",
    "MultiMetrics",
    "NumberMetrics",
    "Report",
    "Results",
    "Unreadable",
    "VideoResult",
    "evaluate",
    "measure",
    "read_results",
    "report",
]
