"""Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), for the study of games.

With generalised advantage estimation (Schulman et al. 2016, https://arxiv.org/abs/1506.02438), an actor and a critic of
one hidden layer each, and episodes that a time limit ends bootstrapped by the critic (Pardo et al. 2018,
https://arxiv.org/abs/1712.00378).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

ENVIRONMENTS, STEPS = 8, 256  # of a batch: so many beside each other, and so many steps of each
EPOCHS, MINIBATCH = 10, 256
DISCOUNT, TRACE = 0.99, 0.95
CLIP, ENTROPY = 0.2, 0.01
HIDDEN = 32


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """One hidden layer of tanh units; outputs are small at first."""
    last = nn.Linear(HIDDEN, outputs)
    with torch.no_grad():
        last.weight.mul_(0.1)
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.Tanh(), last)


class PPO:
    """An actor that learns to play one environment.

    Args:
        spec: of the environment: ``make()`` gives a fresh one, ``output_size`` is what chooses an action.
        lr: Adam's step size.
        seed: of weights, actions and episodes.
    """

    def __init__(self, spec: Any, lr: float, seed: int):
        torch.manual_seed(seed)
        self.environments = [spec.make() for _ in range(ENVIRONMENTS)]
        self.space = self.environments[0].action_space
        self.discrete = hasattr(self.space, "n")
        observed = self.environments[0].observation_space
        bounds = np.maximum(np.abs(observed.low), np.abs(observed.high)).astype(np.float64)
        self.scale = np.where(bounds < 1e6, np.maximum(bounds, 1e-8), 1.0).astype(np.float32)
        self.actor, self.critic = perceptron(observed.shape[0], spec.output_size), perceptron(observed.shape[0], 1)
        self.spread = nn.Parameter(torch.zeros(spec.output_size))  # log standard deviations of a continuous action
        parameters = [*self.actor.parameters(), *self.critic.parameters(), *([] if self.discrete else [self.spread])]
        self.optimizer = torch.optim.Adam(parameters, lr=lr)
        self.unit: float | None = None  # by which rewards are divided
        self.here = self.see([each.reset(seed=seed * 1000 + i)[0] for i, each in enumerate(self.environments)])
        self.steps = 0

    def see(self, observations: Sequence[np.ndarray]) -> Tensor:
        """Observations as networks get them: bounded values between -1 and 1."""
        return torch.from_numpy(np.stack(observations).astype(np.float32) / self.scale)

    def policy(self, outputs: Tensor) -> Distribution:
        """The distribution of actions, or of what tanh makes actions of."""
        if self.discrete:
            return Categorical(logits=outputs)
        return Independent(Normal(outputs, self.spread.exp().expand_as(outputs)), 1)

    def act(self, drawn: np.ndarray) -> Any:
        """What the environment takes."""
        if self.discrete:
            return int(drawn)
        low, high = self.space.low, self.space.high
        return (low + (high - low) * (np.tanh(drawn) + 1) / 2).astype(self.space.dtype)

    def learn(self) -> None:
        """One batch: play, and improve actor and critic by it."""
        seen, drawn, rewards, values, ends = self._play()
        advantages, after = torch.zeros_like(rewards), torch.zeros(ENVIRONMENTS)
        with torch.no_grad():
            following = torch.cat([values[1:], self.critic(self.here)[None, :, 0]])
        for t in reversed(range(STEPS)):
            delta = rewards[t] + DISCOUNT * following[t] * ~ends[t] - values[t]
            advantages[t] = after = delta + DISCOUNT * TRACE * after * ~ends[t]
        self._improve(seen.flatten(0, 1), drawn.flatten(0, 1), advantages.flatten(), (advantages + values).flatten())

    def _play(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Observations, draws, rewards, values and ends of episodes, each (steps, environments, ...)."""
        rows = []
        for _ in range(STEPS):
            with torch.no_grad():
                drawn = self.policy(self.actor(self.here)).sample()
                values = self.critic(self.here)[:, 0]
            there, rewards, ends = [], [], []
            for environment, choice in zip(self.environments, drawn.numpy(), strict=True):
                observation, reward, terminated, truncated, _ = environment.step(self.act(choice))
                reward = float(reward) / (self.unit or 1.0)
                if truncated and not terminated:
                    with torch.no_grad():
                        reward += DISCOUNT * float(self.critic(self.see([observation])))
                if terminated or truncated:
                    observation = environment.reset()[0]
                there.append(observation)
                rewards.append(reward)
                ends.append(terminated or truncated)
            rows.append((self.here, drawn, torch.tensor(rewards), values, torch.tensor(ends)))
            self.here = self.see(there)
        self.steps += STEPS * ENVIRONMENTS
        seen, drawn, rewards, values, ends = (torch.stack(column) for column in zip(*rows, strict=True))
        if self.unit is None:  # a discounted return is of about the size of a reward over 1 - discount
            self.unit = max(float(rewards.abs().mean()) / (1 - DISCOUNT) / 10, 1e-6)
            rewards = rewards / self.unit
        return seen, drawn, rewards, values, ends

    def _improve(self, seen: Tensor, drawn: Tensor, advantages: Tensor, returns: Tensor) -> None:
        with torch.no_grad():
            before = self.policy(self.actor(seen)).log_prob(drawn)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(seen)).split(MINIBATCH):
                gains = (advantages[rows] - advantages[rows].mean()) / (advantages[rows].std() + 1e-8)
                policy = self.policy(self.actor(seen[rows]))
                ratio = (policy.log_prob(drawn[rows]) - before[rows]).exp()
                kept = torch.minimum(ratio * gains, ratio.clamp(1 - CLIP, 1 + CLIP) * gains).mean()
                error = (self.critic(seen[rows])[:, 0] - returns[rows]).square().mean()
                self.optimizer.zero_grad()
                (0.5 * error - kept - ENTROPY * policy.entropy().mean()).backward()
                nn.utils.clip_grad_norm_([*self.actor.parameters(), *self.critic.parameters()], 0.5)
                self.optimizer.step()

    def close(self) -> None:
        """Let go of the environments."""
        for environment in self.environments:
            environment.close()
