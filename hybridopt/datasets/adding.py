"""The adding problem, the classic test of a recurrent network's memory (Hochreiter & Schmidhuber 1997).

https://doi.org/10.1162/neco.1997.9.8.1735, section 5.4, in the form of Le, Jaitly & Hinton 2015,
https://arxiv.org/abs/1504.00941.
"""

import numpy as np

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_settings, split_arrays


def adding(
    samples: int = 3000,
    length: int = 50,
    batch_size: int | None = 128,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Sequences of numbers, two of which are marked and to be added: 2 features a step, 1 value (regression).

    The first marked number is in the first half of the sequence, the second one in the second half. Who says 1 whatever
    the sequence has a mean squared error of 1/6 = 0.167, and so has who remembers nothing.

    Args:
        samples: how many are drawn, for the three sets together.
        length: steps of a sequence.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, and which sample goes where.

    Returns:
        Inputs (length, 2), numbers from 0 to 1 and marks of 0 or 1, and sums (1,) from 0 to 2.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.at_least("dataset", 2, length=length)
    source = np.random.default_rng(split_seed)
    numbers, marks, half = source.uniform(size=(samples, length)), np.zeros((samples, length)), length // 2
    rows = np.arange(samples)
    marks[rows, source.integers(0, half, samples)] = 1
    marks[rows, source.integers(half, length, samples)] = 1
    return split_arrays(
        np.stack([numbers, marks], axis=2),
        (numbers * marks).sum(1),
        "regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
    )
