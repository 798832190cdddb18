"""Measuring a classifier on labelled videos."""

from tubelet.evaluation.evaluate import Report, Unreadable, evaluate
from tubelet.evaluation.metrics import HeadMetrics, measure

__all__ = ["HeadMetrics", "Report", "Unreadable", "evaluate", "measure"]
