"""Handwritten digits (Alpaydin & Kaynak 1998, UCI, https://doi.org/10.24432/C50P49), as scikit-learn ships them."""

from typing import cast

from sklearn.datasets import load_digits

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox.splits import Arrays, split_arrays

BRIGHTEST = 16


def digits(
    batch_size: int | None = 256, val_fraction: float = 0.2, test_fraction: float = 0.2, split_seed: int = 0
) -> TensorDataModule:
    """Handwritten digits: 1797 images of 8x8 pixels, 10 classes.

    Args:
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs (1, 8, 8), from -1 (paper) to 1 (ink); 10 classes.

    Raises:
        ConfigError: a setting is out of range.
    """
    pixels, targets = cast(Arrays, load_digits(return_X_y=True))
    return split_arrays(
        (pixels * 2 / BRIGHTEST - 1).reshape(-1, 1, 8, 8),
        targets,
        "classification",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
    )
