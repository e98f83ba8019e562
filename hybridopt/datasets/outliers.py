"""Two classes that a line divides, but for a few training labels that are wrong and far out."""

import torch
from torch import Tensor

from hybridopt.core.data import TensorDataModule
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges

EVALUATED = 2000  # samples for validation, and for the test


def outliers(
    samples: int = 300,
    features: int = 10,
    wrong: float = 0.1,
    distance: float = 30.0,
    batch_size: int | None = None,
    split_seed: int = 0,
) -> TensorDataModule:
    """Two linearly separable classes, and outliers that mislead a convex loss: as many samples and features as wanted.

    The zero-one loss of the best line is the share of outliers; a convex loss gives up the others for them
    (Manwani & Sastry 2013, https://arxiv.org/abs/1109.5231).

    Args:
        samples: for training; validation and test have 2000 each, without outliers.
        features: of each sample.
        wrong: the share of the training samples that are outliers.
        distance: how many times farther out they are.
        batch_size: samples in a training batch; None for all of them.
        split_seed: fixes the draw.

    Returns:
        Inputs (features,), standard normal but for the outliers; 2 classes.

    Raises:
        ConfigError: a setting is out of range.
    """
    ranges.at_least("dataset", 10, samples=samples)
    ranges.at_least("dataset", 1, features=features)
    ranges.share("dataset", "[0, 1)", wrong=wrong)
    ranges.positive("dataset", distance=distance)
    ranges.at_least("dataset", 0, split_seed=split_seed)
    generator = torch.Generator().manual_seed(split_seed)
    direction = torch.randn(features, generator=generator)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(count, features, generator=generator)
        return inputs, (inputs @ direction > 0).long()

    train, val, test = draw(samples), draw(EVALUATED), draw(EVALUATED)
    far = torch.randperm(samples, generator=generator)[: round(wrong * samples)]
    train[0][far] *= distance
    train[1][far] = 1 - train[1][far]
    return TensorDataModule(train, val, test, DataSpec((features,), 2, "classification"), batch_size)
