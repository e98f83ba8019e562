"""Two moons: two half circles, each reaching into the other (scikit-learn's ``make_moons``)."""

from typing import cast

from sklearn.datasets import make_moons

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import Arrays, check_settings, split_arrays


def moons(
    samples: int = 1000,
    noise: float = 0.2,
    batch_size: int | None = 256,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Two interleaved half circles in the plane: 2 features, 2 classes, as many samples as wanted.

    Args:
        samples: how many are drawn, for the three sets together.
        noise: the standard deviation of the Gaussian noise that is added to the points.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, and which sample goes where.

    Returns:
        Inputs (2,), standardised; 2 classes: 0 the upper moon, 1 the lower.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.at_least("dataset", 0, noise=noise)
    inputs, targets = cast(Arrays, make_moons(n_samples=samples, noise=noise, random_state=split_seed))
    return split_arrays(
        inputs,
        targets,
        "classification",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
    )
