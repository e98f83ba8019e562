"""Diabetes (Efron, Hastie, Johnstone, Tibshirani 2004, https://doi.org/10.1214/009053604000000067), by scikit-learn."""

from typing import cast

from sklearn.datasets import load_diabetes

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox.splits import Arrays, split_arrays


def diabetes(
    batch_size: int | None = 256, val_fraction: float = 0.2, test_fraction: float = 0.2, split_seed: int = 0
) -> TensorDataModule:
    """Progress of diabetes in one year: 442 patients, 10 features, 1 value (regression).

    Args:
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs (10,) and the value (1,), both standardised.

    Raises:
        ConfigError: a setting is out of range.
    """
    inputs, targets = cast(Arrays, load_diabetes(return_X_y=True, scaled=False))
    return split_arrays(
        inputs,
        targets,
        "regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
    )
