"""Two classes that a plane divides, but for a few training labels that are wrong and far out."""

import numpy as np
import torch

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_settings, split_arrays


def outliers(
    samples: int = 3000,
    features: int = 10,
    wrong: float = 0.1,
    distance: float = 10.0,
    batch_size: int | None = None,
    val_fraction: float = 0.45,
    test_fraction: float = 0.45,
    split_seed: int = 0,
) -> TensorDataModule:
    """Two linearly separable classes, and outliers that mislead a convex loss: as many samples and features as wanted.

    The zero-one loss of the plane that divides the classes is the share of outliers; a convex loss gives up other
    samples for them (Manwani & Sastry 2013, https://arxiv.org/abs/1109.5231).

    Args:
        samples: how many are drawn, for the three sets together.
        features: of each sample.
        wrong: the share of the training samples that are outliers; validation and test have none.
        distance: how many times farther out they are.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, and which sample goes where.

    Returns:
        Inputs (features,), standard normal but for the outliers; 2 classes.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.at_least("dataset", 1, features=features)
    ranges.share("dataset", "[0, 1)", wrong=wrong)
    ranges.positive("dataset", distance=distance)
    source = np.random.default_rng(split_seed)
    inputs, direction = source.normal(size=(samples, features)), source.normal(size=features)
    module = split_arrays(
        inputs,
        (inputs @ direction > 0).astype(np.int64),
        "classification",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
    )
    train, targets = module.sets["train"]
    far = torch.from_numpy(source.permutation(len(train))[: round(wrong * len(train))])
    train[far] *= distance
    targets[far] = 1 - targets[far]
    return module
