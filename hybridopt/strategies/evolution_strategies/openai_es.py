"""OpenAI-ES (Salimans, Ho, Chen, Sidor & Sutskever 2017), https://arxiv.org/abs/1703.03864.

A Gaussian of fixed width is moved along an estimate of the gradient of its mean loss; samples are mirrored and losses
replaced by centred ranks, as in the authors' code. Where that code adds L2 decay to the estimate, so does this one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hybridopt.descent import AdamDescent
from hybridopt.errors import ConfigError
from hybridopt.schedule import factor
from hybridopt.strategy import Search


class OpenAIES(Search):
    """Evolution strategy with mirrored samples, centred ranks, and Adam on the estimated gradient.

    Args:
        popsize: losses a generation; even, since samples come in mirrored pairs.
        sigma: the standard deviation of the perturbations.
        lr: Adam's step size at the start.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        shaping: what stands for the losses in the estimate: their centred ranks in [-1/2, 1/2], or the losses
            themselves ("none"), whose estimate is unbiased for the gradient of the smoothed loss.
        weight_decay: coefficient of the L2 penalty.

    Raises:
        ConfigError: the population is odd or empty, or a scale is not positive.
    """

    def __init__(
        self,
        popsize: int = 100,
        sigma: float = 0.05,
        lr: float = 0.02,
        schedule: Literal["constant", "linear", "cosine", "exponential"] = "cosine",
        final_lr: float = 0.05,
        shaping: Literal["centered_rank", "none"] = "centered_rank",
        weight_decay: float = 0.0,
    ):
        super().__init__()
        if popsize < 2 or popsize % 2:
            raise ConfigError(f"openai_es samples in mirrored pairs: strategy.popsize must be even, but is {popsize}.")
        if sigma <= 0 or lr <= 0:
            raise ConfigError(f"strategy.sigma and strategy.lr must be positive, but are {sigma:g} and {lr:g}.")
        factor(schedule, 0.5, final_lr)  # refuses what is no schedule
        self.popsize, self.sigma, self.lr = popsize, sigma, lr
        self.schedule, self.final_lr = schedule, final_lr
        self.shaping, self.weight_decay = shaping, weight_decay
        self.adam = AdamDescent()

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0.clone())
        self.adam.start(x0)

    def ask(self) -> Tensor:
        half = self.popsize // 2
        self._noise = torch.randn(half, len(self.x), generator=self.generator, device=self.x.device)
        steps = self.sigma * self._noise
        return torch.cat([self.x + steps, self.x - steps])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        gradient = self.estimate(self._noise, losses) + self.weight_decay * self.x
        self.x += self.adam.step(gradient, self.lr * factor(self.schedule, self.progress, self.final_lr))

    def recommend(self) -> Tensor:
        return self.x

    def estimate(self, noise: Tensor, losses: Tensor) -> Tensor:
        """The gradient estimate, sum_i (L(x + sigma e_i) - L(x - sigma e_i)) e_i / (2 m sigma) over m pairs.

        Args:
            noise: (m, d), the e_i.
            losses: (2m,), of the positive and then of the negative steps.

        Returns:
            (d,); with centred ranks the losses' scale is lost, and 1/sigma with it.
        """
        pairs = len(noise)
        shaped = centered_ranks(losses) if self.shaping == "centered_rank" else bounded(losses) / self.sigma
        return (shaped[:pairs] - shaped[pairs:]) @ noise / (2 * pairs)


def bounded(losses: Tensor) -> Tensor:
    """Failures (+inf) count as the worst of the finite losses, or as equal where all failed. (n,) -> (n,)."""
    finite = torch.isfinite(losses)
    return torch.where(finite, losses, losses[finite].max() if finite.any() else 0.0)


def centered_ranks(losses: Tensor) -> Tensor:
    """Ranks scaled to [-1/2, 1/2]; equal losses share their mean rank. (n,) -> (n,)."""
    ordered = losses.sort().values
    below = torch.searchsorted(ordered, losses)
    up_to = torch.searchsorted(ordered, losses, right=True)
    mean_rank = (below + up_to - 1).to(torch.float32) / 2
    return mean_rank / max(1, len(losses) - 1) - 0.5
