"""Iris (Fisher 1936, https://doi.org/10.1111/j.1469-1809.1936.tb02137.x), as scikit-learn ships it."""

from typing import cast

from sklearn.datasets import load_iris

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox.splits import Arrays, split_arrays


def iris(
    batch_size: int | None = 256, val_fraction: float = 0.2, test_fraction: float = 0.2, split_seed: int = 0
) -> TensorDataModule:
    """Iris species by the size of sepals and petals: 150 samples, 4 features, 3 classes.

    Args:
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs (4,), standardised; 3 classes.

    Raises:
        ConfigError: a setting is out of range.
    """
    inputs, targets = cast(Arrays, load_iris(return_X_y=True))
    return split_arrays(
        inputs,
        targets,
        "classification",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
    )
