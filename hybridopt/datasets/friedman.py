"""Friedman's first regression problem (Friedman 1991, https://doi.org/10.1214/aos/1176347963; Breiman 1996)."""

from sklearn.datasets import make_friedman1

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_settings, split_arrays


def friedman(
    samples: int = 1000,
    features: int = 10,
    noise: float = 1.0,
    batch_size: int | None = 256,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Friedman #1, a smooth function with interactions: 10 features, 1 value (regression), as many samples as wanted.

    Args:
        samples: how many are drawn, for the three sets together.
        features: how many each sample has; the value depends on the first five only.
        noise: the standard deviation of the Gaussian noise that is added to the value before it is scaled.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, and which sample goes where.

    Returns:
        Inputs (features,), drawn from [0, 1], and the value (1,), both standardised.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.at_least("dataset", 5, features=features)  # the value depends on five
    ranges.at_least("dataset", 0, noise=noise)
    inputs, targets = make_friedman1(n_samples=samples, n_features=features, noise=noise, random_state=split_seed)
    return split_arrays(
        inputs,
        targets,
        "regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
    )
