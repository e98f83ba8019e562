"""Environments as data sets: a sample is an episode, its input the first observation, its target the seed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt import Batch, BatchStream, DataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.data import InOrder, derived_seed
from hybridopt_gymnasium.environment import EnvironmentSpec, Scaling, make
from hybridopt_gymnasium.spaces import Observations, actor

TRAIN, VAL, TEST = 0, 1, 2
ROOM = 2**29  # seeds of each set: the sets share none


class Episodes(DataModule):
    """Seeded episodes of an environment.

    Every training batch has episodes that no batch before had; those of validation and test are always the same.

    Args:
        spec: the environment.
        episodes: how many a training batch has.
        val_episodes: how many for validation.
        test_episodes: how many for the test.
        split_seed: chooses the episodes of validation and test.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self, spec: EnvironmentSpec, episodes: int, val_episodes: int, test_episodes: int, split_seed: int
    ) -> None:
        super().__init__()
        counts = {"episodes": episodes, "val_episodes": val_episodes, "test_episodes": test_episodes}
        ranges.between("dataset", 1, ROOM - 1, **counts)
        ranges.at_least("dataset", 0, split_seed=split_seed)
        self.spec, self.episodes = spec, episodes
        self.held_out = {
            VAL: seeds(VAL, derived_seed(split_seed, VAL), val_episodes),
            TEST: seeds(TEST, derived_seed(split_seed, TEST), test_episodes),
        }

    def train_dataloader(self) -> EpisodeStream:
        return EpisodeStream(self.spec, self.episodes, self.batch_seed)

    def val_dataloader(self) -> InOrder:
        return InOrder(*begin(self.spec, self.held_out[VAL]))

    def test_dataloader(self) -> InOrder:
        return InOrder(*begin(self.spec, self.held_out[TEST]))


class EpisodeStream(BatchStream):
    """Endless batches of new episodes; each is an epoch of its own.

    Args:
        spec: the environment.
        episodes: how many a batch has.
        seed: chooses where among the seeds for training the stream begins.
    """

    def __init__(self, spec: EnvironmentSpec, episodes: int, seed: int):
        super().__init__(seed)
        self.spec, self.episodes = spec, episodes
        self.environment = spec.make()
        weakref.finalize(self, self.environment.close)

    def batches(self, epoch: int) -> Iterator[Batch]:
        first = derived_seed(self.seed, TRAIN) + epoch * self.episodes
        yield observed(self.environment, self.spec, seeds(TRAIN, first, self.episodes))


def seeds(part: int, first: int, count: int) -> Tensor:
    """``count`` seeds in a row, in the room of a set: (count,) int64."""
    return part * ROOM + (first + torch.arange(count)) % ROOM


def begin(spec: EnvironmentSpec, seeds: Tensor) -> Batch:
    """First observations (B, *input_shape), as the network gets them, and the seeds (B,)."""
    environment = spec.make()
    try:
        return observed(environment, spec, seeds)
    finally:
        environment.close()


def observed(environment: Any, spec: EnvironmentSpec, seeds: Tensor) -> Batch:
    """The same, by an environment that is there."""
    observations = Observations(environment.observation_space, spec.scaling)
    return observations(np.stack([environment.reset(seed=seed)[0] for seed in seeds.tolist()])), seeds


def episodes_of(
    id: str,
    kwargs: Mapping[str, Any],
    *,
    max_steps: int | None,
    scaling: Scaling,
    episodes: int,
    val_episodes: int,
    test_episodes: int,
    split_seed: int,
    package: str | None = None,
) -> Episodes:
    """The data set of an environment; for the arguments see its plugin, ``any_environment``.

    Raises:
        ConfigError: there is no such environment, it cannot be played, or a number is out of range.
    """
    environment = make(id, kwargs, max_steps, package)
    try:
        outputs, _ = actor(environment.action_space)
        known = environment.spec
        spec = EnvironmentSpec(
            input_shape=tuple(environment.observation_space.shape),
            output_size=outputs,
            task="control",
            id=known.id,
            kwargs=dict(kwargs),
            max_steps=known.max_episode_steps,
            package=package,
            scaling=scaling,
            threshold=known.reward_threshold,
        )
    finally:
        environment.close()
    return Episodes(spec, episodes, val_episodes, test_episodes, split_seed)
