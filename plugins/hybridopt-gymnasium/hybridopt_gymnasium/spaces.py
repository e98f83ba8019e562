"""From observations to a network's inputs, and from its outputs to actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from hybridopt import ConfigError
from hybridopt_gymnasium.environment import Scaling

UNBOUNDED = 1e6  # bounds beyond stand for "none": some environments write the largest float

Actor = Callable[[Tensor], np.ndarray]


class Observations:
    """Makes inputs of observations.

    With "bounds", every value that the space bounds is divided by the larger of its two bounds, so that it lies in
    [-1, 1] and zero stays zero; what has no bound stays as it is.

    Args:
        space: of one observation.
        scaling: "bounds" or "none".
    """

    def __init__(self, space: spaces.Box, scaling: Scaling):
        self.shape = space.shape
        largest = np.maximum(np.abs(space.low), np.abs(space.high)).astype(np.float64)
        bounded = (scaling == "bounds") & (largest > 0) & (largest < UNBOUNDED)
        self.scale = np.where(bounded, largest, 1.0).astype(np.float32)

    def __call__(self, observations: Sequence[np.ndarray] | np.ndarray) -> Tensor:
        """(k, *shape) of any type -> float32 (k, *shape)."""
        return torch.from_numpy(np.asarray(observations, np.float32) / self.scale)


def actor(space: spaces.Space) -> tuple[int, Actor]:
    """How many outputs choose an action of this space, and how.

    Discrete: the largest output. MultiDiscrete: the largest of each group. MultiBinary: whether an output is positive.
    Box: tanh, stretched to the bounds; an output without bounds is the action itself, and with one bound is clipped.

    Returns:
        The number of outputs, and what makes actions (k, ...) of outputs (k, size).

    Raises:
        ConfigError: the space is another one.
    """
    match space:
        case spaces.Discrete():
            return int(space.n), lambda outputs: outputs.argmax(1).numpy() + space.start
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            sizes = space.nvec.tolist()
            return sum(sizes), lambda outputs: _groups(outputs, sizes) + space.start
        case spaces.MultiBinary():
            return prod(
                space.shape
            ), lambda outputs: (outputs > 0).numpy().astype(space.dtype).reshape(-1, *space.shape)
        case spaces.Box() if np.issubdtype(space.dtype, np.floating):
            return prod(space.shape), lambda outputs: _within(outputs.double().numpy(), space)
    raise ConfigError(
        f"Actions of the space {space} cannot be chosen by a network's outputs: take an environment whose actions are "
        "Discrete, MultiDiscrete, MultiBinary or a Box of real numbers."
    )


def _groups(outputs: Tensor, sizes: list[int]) -> np.ndarray:
    return np.stack([group.argmax(1).numpy() for group in outputs.split(sizes, 1)], axis=1)


def _within(outputs: np.ndarray, space: spaces.Box) -> np.ndarray:
    outputs = outputs.reshape(-1, *space.shape)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    bounded = (np.abs(low) < UNBOUNDED) & (np.abs(high) < UNBOUNDED)
    least, most = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    squashed = least + (most - least) * (np.tanh(outputs) + 1) / 2
    return np.clip(np.where(bounded, squashed, outputs), low, high).astype(space.dtype)
