"""The return of an episode: what reinforcement learning maximises (Sutton & Barto 2018).

http://incompleteideas.net/book/the-book-2nd.html, section 3.3, without a discount.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from hybridopt import Batch, ConfigError, DataSpec, Forward, Objective
from hybridopt_gymnasium.environment import EnvironmentSpec
from hybridopt_gymnasium.slots import slots
from hybridopt_gymnasium.spaces import Observations, actor

RETURN, LENGTH = 0, 1


class EpisodeReturn(Objective):
    """The mean return over the episodes of a batch, negative (no gradient): played by a whole population at once.

    All members play the same episodes. One batched pass per time step answers all episodes that still run: a member
    with fewer of them than another is padded to the same number, since a pass is as wide for all members, and the pads
    are computed and so charged. Episodes begin alike for all members: the first pass is shared.

    A network that answers NaN ends its episode, whose return is NaN; its loss is then a failure, +inf.

    Args:
        spec: of an environment.

    Raises:
        ConfigError: the data set is none.
    """

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"control"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {
            "dataset": {"name": "cartpole", "max_steps": 30, "episodes": 2, "val_episodes": 2, "test_episodes": 2},
            "model": {"name": "linear"},
        }
    }

    def __init__(self, spec: DataSpec):
        super().__init__()
        if not isinstance(spec, EnvironmentSpec):
            raise ConfigError(
                f"objective=episode_return plays an environment, but the data set is a {spec.task} problem: choose "
                "one, such as dataset=cartpole, or another objective, such as objective=cross_entropy."
            )
        self.spec = spec
        self._game: Game | None = None  # made by the first batch

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Minus the mean return; outputs (B, 2) are those of :meth:`outputs`, targets (B,) the seeds."""
        return -outputs[:, RETURN].mean()

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        """Play the episodes of a batch.

        Args:
            forward: a pass of all members.
            batch: first observations (B, *input_shape) and seeds (B,).

        Returns:
            (population, B, 2): the return of each episode, and its length in steps.
        """
        inputs, seeds = batch
        answers = forward(inputs)
        members, episodes = answers.shape[:2]
        self._game = self._game or Game(self.spec)
        self._game.slots.reset(seeds.numpy(force=True), members)
        record = np.zeros((members * episodes, 2))
        running, answers = np.arange(len(record)), answers.flatten(0, 1)
        while True:
            running, observations = self._step(running, answers, record)
            if not len(running):
                break
            answers = ask(forward, observations.to(inputs), torch.from_numpy(running // episodes), members)
        return torch.from_numpy(record).reshape(members, episodes, 2).to(inputs)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """Over all episodes: the mean ``return``, its ``return_std``, the mean ``length``, and the share ``solved``.

        An episode is solved if its return reaches the threshold that gymnasium has for the environment; where it has
        none, nothing is said of it.
        """
        metrics: dict[str, Metric] = {
            "return": Success(mean_return),
            "return_std": OfEpisodes(std_return),
            "length": OfEpisodes(mean_length),
        }
        if spec.threshold is not None:
            metrics["solved"] = Success(partial(share_from, threshold=spec.threshold))
        return MetricCollection(metrics, compute_groups=False)

    def _step(self, running: np.ndarray, answers: Tensor, record: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """One step of the episodes that run; write it down.

        Args:
            running: their numbers (k,), ascending.
            answers: the networks' outputs for them, (k, output_size).
            record: (all, 2), added to.

        Returns:
            The numbers of those that go on, and what they observe.
        """
        answers = answers.float().cpu()
        failed = answers.isnan().any(1).numpy()
        observations, rewards, ended = self._game.slots.step(running, self._game.act(answers.nan_to_num()))
        record[running, RETURN] += np.where(failed, np.nan, rewards)
        record[running, LENGTH] += 1
        on = ~(ended | failed)
        return running[on], self._game.observe(observations[on])

    def __getstate__(self) -> dict[str, Any]:
        """Without environments: another process makes its own."""
        return {**super().__getstate__(), "_game": None}


class Game:
    """What it takes to play an environment: places for episodes, and how networks see and act.

    Args:
        spec: the environment.
    """

    def __init__(self, spec: EnvironmentSpec):
        self.slots = slots(spec)
        environment = spec.make()
        self.observe = Observations(environment.observation_space, spec.scaling)
        _, self.act = actor(environment.action_space)
        environment.close()


def ask(forward: Forward, observations: Tensor, members: Tensor, population: int) -> Tensor:
    """Answers to observations of which each member has another number.

    Args:
        forward: a pass of all members, each on as many inputs as the others.
        observations: (k, *shape).
        members: (k,), ascending: whose they are.
        population: the number of members.

    Returns:
        (k, output_size).
    """
    counts = torch.bincount(members, minlength=population)
    column = torch.arange(len(members)) - (counts.cumsum(0) - counts)[members]
    inputs = observations.new_zeros(population, int(counts.max()), *observations.shape[1:])
    inputs[members, column] = observations
    return forward(inputs)[members, column]


class OfEpisodes(Metric):
    """A statistic over all episodes.

    Args:
        statistic: maps returns and lengths (episodes, 2) to a scalar.
    """

    full_state_update = False

    def __init__(self, statistic: Callable[[Tensor], Tensor]):
        super().__init__()
        self.statistic = statistic
        self.add_state("episodes", default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.episodes.append(outputs)

    def compute(self) -> Tensor:
        return self.statistic(torch.cat(self.episodes))


class Success(OfEpisodes):
    """A statistic of which more is better."""

    higher_is_better = True


def mean_return(episodes: Tensor) -> Tensor:
    return episodes[:, RETURN].mean()


def std_return(episodes: Tensor) -> Tensor:
    return episodes[:, RETURN].std(correction=0)


def mean_length(episodes: Tensor) -> Tensor:
    return episodes[:, LENGTH].mean()


def share_from(episodes: Tensor, threshold: float) -> Tensor:
    return (episodes[:, RETURN] >= threshold).float().mean()
