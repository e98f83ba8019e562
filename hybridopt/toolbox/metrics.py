"""What is reported of a classifier or a regression, whatever it was trained on."""

from torchmetrics import MeanAbsoluteError, MetricCollection, R2Score
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from hybridopt.core.spec import DataSpec


def classification_metrics(spec: DataSpec) -> MetricCollection:
    """The share of samples that are right, and F1 as the mean over classes.

    Args:
        spec: of a classification problem; ``output_size`` is the number of classes.

    Returns:
        ``accuracy`` and ``f1``; they take scores (B, output_size) and classes (B,).
    """
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(spec.output_size, average="micro"),
            "f1": MulticlassF1Score(spec.output_size, average="macro"),
        }
    )


def regression_metrics() -> MetricCollection:
    """``r2``, averaged over the targets, and ``mae``; they take outputs and targets, both (B, output_size)."""
    return MetricCollection({"r2": R2Score(), "mae": MeanAbsoluteError()})
