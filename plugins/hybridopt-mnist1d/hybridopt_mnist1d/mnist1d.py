"""MNIST-1D: sequences that ten templates, padded, shifted, scaled, sheared and hidden in noise, give."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hybridopt import ConfigError, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_seed, split_arrays

CLASSES = 10


def mnist1d(
    num_samples: int = 5000,
    train_split: float = 0.8,
    template_len: int = 12,
    padding: list[int] = [36, 60],
    scale_coeff: float = 0.4,
    max_translation: int = 48,
    corr_noise_scale: float = 0.25,
    iid_noise_scale: float = 0.02,
    shear_scale: float = 0.75,
    shuffle_seq: bool = False,
    final_seq_length: int = 40,
    generator_seed: int = 42,
    batch_size: int | None = 100,
    val_fraction: float = 0.1,
    split_seed: int = 0,
) -> TensorDataModule:
    """MNIST-1D (Greydanus & Kobak 2020, https://arxiv.org/abs/2011.14439): ten classes of sequences of 40 values.

    The samples are drawn here by the package ``mnist1d``, without a download; with the defaults they are the published
    4000 for training and 1000 for the test. Validation is a part of the 4000, so that the published networks had more
    to learn from. As published, one mean and one deviation of all 5000 samples bring the values to mean 0 and variance
    1; nothing else is standardised.

    Args:
        num_samples: how many are drawn for training, validation and test together, the same number of each class.
        train_split: the share of them that is not for the test.
        template_len: the number of values that a template is interpolated to.
        padding: the least and the largest number of zeros that follow a template.
        scale_coeff: how much the amplitude differs from sample to sample.
        max_translation: how far a template is shifted at most.
        corr_noise_scale: the standard deviation of the smoothed noise where the template is zero.
        iid_noise_scale: the standard deviation of the noise that each value has.
        shear_scale: how much samples slant.
        shuffle_seq: bring the values of all sequences into one random order, in which nothing is next to each other.
        final_seq_length: the number of values in a sequence.
        generator_seed: fixes the draw; "seed" in the package.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of the training part that is for validation.
        split_seed: fixes which samples these are.

    Returns:
        Inputs (final_seq_length,); 10 classes.

    Raises:
        ConfigError: a setting is out of range.
        DataError: there are too few samples of a class.
    """
    ranges.share("dataset", "(0, 1)", train_split=train_split, val_fraction=val_fraction)
    ranges.at_least("dataset", 10 * CLASSES, num_samples=num_samples)
    ranges.at_least("dataset", 2, template_len=template_len, final_seq_length=final_seq_length)
    ranges.at_least("dataset", 0, scale_coeff=scale_coeff, corr_noise_scale=corr_noise_scale)
    ranges.at_least("dataset", 0, iid_noise_scale=iid_noise_scale, shear_scale=shear_scale)
    check_seed(generator_seed=generator_seed, split_seed=split_seed)
    _check_places(template_len, padding, max_translation)
    drawn = _drawn(
        num_samples=num_samples,
        train_split=train_split,
        template_len=template_len,
        padding=list(padding),
        scale_coeff=scale_coeff,
        max_translation=max_translation,
        corr_noise_scale=corr_noise_scale,
        iid_noise_scale=iid_noise_scale,
        shear_scale=shear_scale,
        shuffle_seq=shuffle_seq,
        final_seq_length=final_seq_length,
        seed=generator_seed,
    )
    return split_arrays(
        np.concatenate([drawn["x"], drawn["x_test"]]),
        np.concatenate([drawn["y"], drawn["y_test"]]),
        "classification",
        val_fraction=val_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
        places=np.repeat(["train", "test"], [len(drawn["y"]), len(drawn["y_test"])]),
    )


def _check_places(template_len: int, padding: list[int], max_translation: int) -> None:
    """Refuse zeros and shifts that a template has no room for."""
    if len(padding) != 2 or not 0 <= padding[0] <= padding[1]:
        raise ConfigError(
            "dataset.padding must be the least and the largest number of zeros, but is "
            f"{list(padding)}: write for example dataset.padding=[36,60]."
        )
    ranges.between("dataset", 1, template_len + padding[1], max_translation=max_translation)


def _drawn(**settings: Any) -> dict[str, np.ndarray]:
    """What the package draws."""
    from mnist1d.data import make_dataset  # takes a second: it loads matplotlib
    from mnist1d.utils import ObjectView

    with _global_generators_kept():
        return make_dataset(ObjectView(settings))


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """The package seeds the generators of Python and numpy, which are the user's."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
