"""Breast cancer in Wisconsin (Street, Wolberg, Mangasarian 1993, https://doi.org/10.24432/C5DW2B), by scikit-learn."""

from typing import cast

from sklearn.datasets import load_breast_cancer

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox.splits import Arrays, split_arrays


def breast_cancer(
    batch_size: int | None = 256, val_fraction: float = 0.2, test_fraction: float = 0.2, split_seed: int = 0
) -> TensorDataModule:
    """Tumours, malignant or benign, by the shape of cell nuclei: 569 samples, 30 features, 2 classes.

    Args:
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs (30,), standardised; 2 classes: 0 malignant, 1 benign.

    Raises:
        ConfigError: a setting is out of range.
    """
    inputs, targets = cast(Arrays, load_breast_cancer(return_X_y=True))
    return split_arrays(
        inputs,
        targets,
        "classification",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
    )
