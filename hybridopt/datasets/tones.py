"""A sum of sines of unknown frequencies, the textbook case of a loss with many minima."""

import numpy as np

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_settings, split_arrays


def tones(
    samples: int = 600,
    tones: int = 3,
    noise: float = 0.1,
    batch_size: int | None = None,
    val_fraction: float = 0.33,
    test_fraction: float = 0.33,
    split_seed: int = 0,
) -> TensorDataModule:
    """A sum of sines, sampled at random times: 1 feature, 1 value (regression), as many samples as wanted.

    The squared error of one sine with a wrong frequency has a minimum wherever a sidelobe of the spectrum is, so that
    descent finds frequencies that it starts near to only (Parascandolo, Huttunen & Virtanen 2017,
    https://openreview.net/forum?id=Sks3zF9eg). ``model=mlp model.activation=sin`` has units of this kind.

    Args:
        samples: how many are drawn, for the three sets together.
        tones: K, how many sines; their frequencies are spread over 1 to 5 radians a unit of time, their amplitudes are
            from 0.5 to 1.
        noise: the standard deviation of the Gaussian noise that is added to the sum.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, of sines and samples, and which sample goes where.

    Returns:
        Inputs (1,), times from -5 to 5, and the sum (1,), neither of them standardised.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.between("dataset", 1, 10, tones=tones)
    ranges.at_least("dataset", 0, noise=noise)
    source = np.random.default_rng(split_seed)
    frequencies = 1 + 4 * (np.arange(tones) + source.uniform(size=tones)) / tones
    phases, amplitudes = source.uniform(0, 2 * np.pi, tones), source.uniform(0.5, 1, tones)
    times = source.uniform(-5, 5, size=(samples, 1))
    values = (amplitudes * np.sin(frequencies * times + phases)).sum(1) + noise * source.normal(size=samples)
    return split_arrays(
        times,
        values,
        "regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
    )
