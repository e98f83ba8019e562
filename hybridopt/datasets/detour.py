"""Starts in a cup and goals beyond it, for ``model=point_robot``."""

import numpy as np

from hybridopt.core.data import TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_settings, split_arrays

START, GOAL = (0.0, 0.0), (0.0, 1.0)  # their centres


def detour(
    samples: int = 96,
    spread: float = 0.1,
    batch_size: int | None = None,
    val_fraction: float = 0.33,
    test_fraction: float = 0.33,
    split_seed: int = 0,
) -> TensorDataModule:
    """Ways from a start to a goal: 4 features, 3 values (regression), as many samples as wanted.

    What a network is to learn is to end at the goal and to touch no wall; ``model=point_robot`` has the walls.

    Args:
        samples: how many are drawn, for the three sets together.
        spread: starts and goals are drawn from squares of twice this width, around (0, 0) and (0, 1).
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes the draw, and which sample goes where.

    Returns:
        Inputs (4,), the start and the goal, and the goal and a zero (3,), in the units of the plane.

    Raises:
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed)
    ranges.at_least("dataset", 10, samples=samples)
    ranges.between("dataset", 0.001, 0.3, spread=spread)
    source = np.random.default_rng(split_seed)
    inputs = np.array([*START, *GOAL]) + source.uniform(-spread, spread, size=(samples, 4))
    return split_arrays(
        inputs,
        np.c_[inputs[:, 2:], np.zeros(samples)],
        "regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=False,
    )
