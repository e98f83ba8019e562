"""Many episodes of one environment at once. Each slot is seeded by itself, so that its neighbours have no say in it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Protocol

import gymnasium
import numpy as np

from hybridopt_gymnasium.environment import EnvironmentSpec

CARTPOLES = "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv"

Steps = tuple[np.ndarray, np.ndarray, np.ndarray]  # observations (k, *shape), rewards (k,), ended (k,)


class Slots(Protocol):
    """Places for episodes."""

    def reset(self, seeds: np.ndarray, copies: int) -> None:
        """Begin ``copies`` times the episodes of these seeds: slot i plays ``seeds[i % len(seeds)]``."""

    def step(self, running: np.ndarray, actions: Sequence | np.ndarray) -> Steps:
        """One step of the slots whose numbers (k,) are given, in their order; the others stand still."""

    def close(self) -> None:
        """Let go of the environments."""


def slots(spec: EnvironmentSpec) -> Slots:
    """The fastest places that there are for an environment."""
    vectorised = gymnasium.spec(spec.id).vector_entry_point == CARTPOLES
    return CartPoles(spec) if vectorised else Pool(spec)


class Pool:
    """Single environments, of which only those that run are stepped.

    Gymnasium's SyncVectorEnv would step, or refuse to step, those whose episode is over; its AsyncVectorEnv would start
    a process for each slot.
    """

    def __init__(self, spec: EnvironmentSpec):
        self.spec = spec
        self.environments: list[gymnasium.Env] = []
        self.close = weakref.finalize(self, _close, self.environments)

    def reset(self, seeds: np.ndarray, copies: int) -> None:
        while len(self.environments) < copies * len(seeds):
            self.environments.append(self.spec.make())
        for slot, environment in enumerate(self.environments[: copies * len(seeds)]):
            environment.reset(seed=int(seeds[slot % len(seeds)]))

    def step(self, running: np.ndarray, actions: Sequence | np.ndarray) -> Steps:
        taken = [self.environments[slot].step(action) for slot, action in zip(running, actions, strict=True)]
        observations, rewards, terminated, truncated, _ = zip(*taken, strict=True)
        return np.stack(observations), np.array(rewards, np.float64), np.logical_or(terminated, truncated)


class CartPoles:
    """Gymnasium's vectorised CartPole, which is some ten times faster than a pool.

    It draws the start states of all slots from one seed, which would make a slot's start depend on how many there are;
    so they are taken from a single environment that is seeded for each episode. A slot whose episode is over goes on
    with another one, that nobody looks at.
    """

    def __init__(self, spec: EnvironmentSpec):
        self.spec = spec
        self.single = spec.make()

    def reset(self, seeds: np.ndarray, copies: int) -> None:
        states = np.stack([self._start(seed) for seed in seeds.tolist()], axis=1)
        self.many = gymnasium.make_vec(
            self.spec.id,
            num_envs=copies * len(seeds),
            vectorization_mode="vector_entry_point",
            max_episode_steps=self.spec.max_steps,
            **self.spec.kwargs,
        )
        self.many.reset(seed=0)
        self.many.unwrapped.state = np.tile(states, copies)
        self.actions = np.zeros(self.many.num_envs, np.int64)

    def step(self, running: np.ndarray, actions: Sequence | np.ndarray) -> Steps:
        self.actions[running] = actions
        observations, rewards, terminated, truncated, _ = self.many.step(self.actions)
        return observations[running], rewards[running].astype(np.float64), (terminated | truncated)[running]

    def close(self) -> None:
        self.single.close()

    def _start(self, seed: int) -> np.ndarray:
        self.single.reset(seed=seed)
        return self.single.unwrapped.state


def _close(environments: list[gymnasium.Env]) -> None:
    for environment in environments:
        environment.close()
    environments.clear()
